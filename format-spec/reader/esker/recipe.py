"""Recipes: how to rebuild a file (chapter 08)."""

from dataclasses import dataclass

from . import limits
from .errors import Damage
from .records import BYTES, RECIPE, RUN, typed_piece
from .run import ASCENDING, DESCENDING, read_timestamp_size, read_trailers, shared_length, split
from .wire import Reader

# Operations of kind 1, and parts of kind 3.
CHUNK, HOLE, LITERAL, BUILT = range(1, 5)
# Forms of blocks that are not rebuilt.
KEPT, ZEROS = 0, 1
# Sources of trailers.
HOME, CLEARED, OWN = range(3)
COUNT_MAX = 2**32 - 1


@dataclass
class Operation:
    kind: int
    length: int
    chunk: bytes | None = None
    literal: bytes | None = None

    @classmethod
    def read(cls, r: Reader):
        kind = r.one_of("operation", (CHUNK, HOLE, LITERAL))
        if kind == CHUNK:
            chunk = r.raw(32, "chunk id")
            operation = cls(kind, r.varint("chunk length", limits.CHUNK_PLAIN_MAX), chunk=chunk)
        elif kind == HOLE:
            operation = cls(kind, r.varint("hole length", limits.FILE_MAX))
        else:
            literal = r.blob("literal", limits.INLINE_MAX)
            operation = cls(kind, len(literal), literal=literal)
        if operation.length == 0:
            raise r.damage("operation", "appends nothing")
        return operation


@dataclass
class ByteChunks:
    """Kind 1."""

    operations: list

    @property
    def length(self) -> int:
        return sum(operation.length for operation in self.operations)

    @property
    def hole_bytes(self) -> int:
        return sum(operation.length for operation in self.operations if operation.kind == HOLE)

    def chunks(self) -> list:
        """Kind and id of every chunk that it names."""
        return [(BYTES, operation.chunk) for operation in self.operations if operation.kind == CHUNK]

    @classmethod
    def read(cls, r: Reader):
        return cls(r.items("operations", 2, lambda: Operation.read(r), limits.RECIPE_OPS_MAX))


@dataclass
class ChunkUse:
    chunk: bytes
    length: int

    @classmethod
    def read(cls, r: Reader):
        use = cls(r.raw(32, "chunk id"), r.varint("chunk length", limits.CHUNK_PLAIN_MAX))
        if use.length == 0:
            raise r.damage("chunk length", "is 0")
        return use


@dataclass
class Checksums:
    kind: int
    base_context: int

    @classmethod
    def read(cls, r: Reader):
        return cls(r.one_of("checksum type", range(5)), r.u32("base"))


@dataclass
class BlockForm:
    compression: int
    encoder: int
    restart_interval: int
    hash_buckets: int
    shares_prefixes: bool
    separate_values: bool
    uniform_keys: bool

    @classmethod
    def read(cls, r: Reader):
        compression, encoder = r.u8("compression type"), r.u32("encoder")
        interval, buckets = r.varint("restart interval", COUNT_MAX), r.varint("hash buckets", 2**16 - 1)
        flags = r.one_of("flags", range(8))
        if (compression == 0) != (encoder == 0):
            raise r.damage("encoder", "does not go with the compression type")
        return cls(compression, encoder, interval, buckets, bool(flags & 1), bool(flags & 2), bool(flags & 4))


@dataclass
class RunUse:
    chunk: bytes
    first_key: bytes

    @staticmethod
    def read_list(r: Reader) -> list:
        before, written = b"", 0

        def read():
            nonlocal before, written
            chunk, shared = r.raw(32, "run"), r.varint("shared length", len(before))
            key = before[:shared] + r.blob("first key", limits.RUN_KEYS_MAX)
            written += len(key)
            if shared_length(before, key) != shared or written > limits.RUN_KEYS_MAX:
                raise r.damage("first keys", "share more than is said, or are over their limit")
            before = key
            return RunUse(chunk, key)

        return r.items("runs", 34, read)


@dataclass
class Block:
    form: int
    count: int


@dataclass
class Copy:
    run: int
    start: int
    count: int


@dataclass
class Trailers:
    source: int
    count: int


@dataclass
class TableBlocks:
    """Kind 2."""

    length: int
    hash: bytes
    offset: int
    order: int
    timestamp_size: int
    checksums: Checksums
    dictionary: list
    forms: list
    runs: list
    kept: list
    blocks: list
    copies: list
    trailers: list
    own_trailers: list
    own_timestamps: bytes

    hole_bytes = 0

    def chunks(self) -> list:
        return [(RUN, use.chunk) for use in self.runs] + [(BYTES, use.chunk) for use in self.kept + self.dictionary]

    def timestamps(self) -> list:
        """The piece's own."""
        return split(self.own_timestamps, len(self.own_trailers), self.timestamp_size)

    @classmethod
    def read(cls, r: Reader):
        head = (r.varint("length", limits.FILE_MAX), r.raw(32, "hash"), r.varint("offset", limits.FILE_MAX))
        head += (r.one_of("order", (ASCENDING, DESCENDING)), read_timestamp_size(r), Checksums.read(r))
        uses = lambda field: r.items(field, 33, lambda: ChunkUse.read(r))
        dictionary, forms = uses("dictionary"), r.items("forms", 8, lambda: BlockForm.read(r), limits.PIECE_FORMS_MAX)
        runs, kept = RunUse.read_list(r), uses("kept chunks")
        blocks = [Block(*row) for row in _columns(r, 2, "blocks")]
        copies = list(_copies(r, len(runs)))
        trailers = [Trailers(*row) for row in _columns(r, 2, "trailers")]
        own = r.varint("own trailers", limits.LIST_MAX)
        piece = cls(*head, dictionary, forms, runs, kept, blocks, copies, trailers, read_trailers(r, own), b"")
        piece.own_timestamps = r.raw(own * piece.timestamp_size, "own timestamps")
        piece._check(r)
        return piece

    def _check(self, r: Reader) -> None:
        """Counts and positions agree."""
        sizes = {form: sum(block.count for block in self.blocks if block.form == form) for form in (KEPT, ZEROS)}
        built = [block for block in self.blocks if block.form > ZEROS]
        entries, first_uses = sum(block.count for block in built), []
        for copy in self.copies:
            if copy.run == len(first_uses):
                first_uses.append(copy.run)
            elif copy.run > len(first_uses):
                raise r.damage("copies", "use a run before those listed before it")
        for holds, why in (
            (all(block.form - 2 < len(self.forms) for block in built), "blocks have a form that is not there"),
            (all(block.count for block in self.blocks if block.form <= ZEROS), "bytes kept or zeros are none"),
            (all(row.count for row in self.copies + self.trailers), "copies or trailers are none"),
            (all(row.count <= COUNT_MAX for row in self.blocks + self.copies + self.trailers), "counts are over their limit"),
            (all(row.source in (HOME, CLEARED, OWN) for row in self.trailers), "trailers have an unknown source"),
            (sum(sizes.values()) <= self.length, "kept bytes and zeros are more than the piece"),
            (sum(copy.count for copy in self.copies) == entries, "entries and copies do not agree"),
            (sum(row.count for row in self.trailers) == entries, "entries and trailers do not agree"),
            (sum(row.count for row in self.trailers if row.source == OWN) == len(self.own_trailers), "own trailers do not agree"),
            (sum(use.length for use in self.kept) == sizes[KEPT], "kept chunks do not agree with the blocks"),
            (sum(use.length for use in self.dictionary) <= limits.DICTIONARY_MAX, "the dictionary is over its limit"),
            (len(first_uses) == len(self.runs), "a run is not used"),
        ):
            if not holds:
                raise r.damage("piece", why)


def _columns(r: Reader, width: int, field: str) -> list:
    """Rows of numbers that are stored column by column."""
    count = r.varint(field, limits.LIST_MAX)
    columns = [Reader(r.blob(field, limits.TABLE_PIECE_MAX), r.what) for _ in range(width)]
    if any(column.left() < count for column in columns):
        raise r.damage(field, f"are {count}, more than their bytes can hold")
    rows = list(zip(*([column.varint(field) for _ in range(count)] for column in columns)))
    for column in columns:
        column.finish()
    return rows


def _copies(r: Reader, runs: int):
    ends = [0] * runs
    for run, skip, count in _columns(r, 3, "copies"):
        if run >= runs:
            raise r.damage("copies", "are from a run that is not listed")
        start = ends[run] + ((skip >> 1) ^ -(skip & 1))
        if not 0 <= start <= COUNT_MAX:
            raise r.damage("copies", "start outside of any run")
        ends[run] = start + count
        yield Copy(run, start, count)


@dataclass
class RestPart:
    part: int
    chunk: bytes | None = None
    length: int | None = None
    literal: bytes | None = None
    kind: int | None = None
    numbers: list | None = None

    @classmethod
    def read(cls, r: Reader):
        part = r.one_of("part", (CHUNK, LITERAL, BUILT))
        if part == CHUNK:
            use = ChunkUse.read(r)
            return cls(part, chunk=use.chunk, length=use.length)
        if part == LITERAL:
            literal = r.blob("literal", limits.INLINE_MAX)
            if not literal:
                raise r.damage("literal", "has no bytes")
            return cls(part, literal=literal)
        kind = r.u8("kind of a built block")
        return cls(part, kind=kind, numbers=r.items("numbers", 1, lambda: r.varint("number"), limits.BUILT_NUMBERS_MAX))


@dataclass
class TableRest:
    """Kind 3."""

    length: int
    hash: bytes
    offset: int
    checksums: Checksums
    filter_keys: int | None
    parts: list

    hole_bytes = 0

    def chunks(self) -> list:
        return [(BYTES, part.chunk) for part in self.parts if part.part == CHUNK]

    @classmethod
    def read(cls, r: Reader):
        rest = cls(
            r.varint("length", limits.TABLE_REST_MAX),
            r.raw(32, "hash"),
            r.varint("offset", limits.FILE_MAX),
            Checksums.read(r),
            r.option("filter keys", lambda: r.varint("filter keys")),
            r.items("parts", 3, lambda: RestPart.read(r), limits.RECIPE_OPS_MAX),
        )
        given = sum(part.length or len(part.literal or b"") for part in rest.parts)
        is_built = any(part.part == BUILT for part in rest.parts)
        if given > rest.length or (given < rest.length and not is_built):
            raise r.damage("parts", f"have {given} bytes where there are {rest.length}")
        if is_built != (rest.filter_keys is not None):
            raise r.damage("filter keys", "are given without a built part, or missing")
        return rest


KINDS = {1: ByteChunks, 2: TableBlocks, 3: TableRest}


def decode_recipe(data: bytes, what: str):
    """A piece of a recipe."""
    reader = typed_piece(RECIPE, data, what)
    piece = KINDS[reader.one_of("recipe kind", KINDS)].read(reader)
    reader.finish()
    return piece


def in_order(pieces, what: str):
    """The pieces: all of kind 1; or all of kind 2 and one of kind 3 behind them, each where it says."""
    before, at = None, 0
    for piece in pieces:
        of_table = not isinstance(piece, ByteChunks)
        if isinstance(before, TableRest) or (before is not None and of_table != isinstance(before, TableBlocks)):
            raise Damage(f"{what}: its pieces do not belong together")
        if of_table and piece.offset != at:
            raise Damage(f"{what}: a piece at {piece.offset} where it should be at {at}")
        before, at = piece, at + piece.length
        yield piece
    if isinstance(before, TableBlocks):
        raise Damage(f"{what}: a table without an end")
