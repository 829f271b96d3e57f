"""Filter and index blocks of tables, from what the data blocks tell (chapter 16)."""

from dataclasses import dataclass, field

from .checksums import block_trailer
from .data_block import end_of_block
from .encoders import encoder
from .errors import Damage
from .filters import MURMUR, XXPH3, build_filter, hash_of
from .run import shared_length
from .wire import put_varint

FILTER_OF_BLOCKS, FILTER_OF_KEYS, INDEX, INDEX_TOP, FILTER_TOP = range(1, 6)
NUMBERS = {FILTER_OF_BLOCKS: 6, FILTER_OF_KEYS: 6, INDEX: 6, INDEX_TOP: 4, FILTER_TOP: 4}
TRAILER_LEN = 5
SEQUENCE_MAX = (1 << 56) - 1
LAST_KEY, SHORTENED, SHORTENED_TO_THE_END, DESCENDING = range(4)
UNIFORM_KEYS = 1 << 29


class Facts:
    """What the data blocks tell, gathered in file order. `filter_keys`: the number of chapter 16."""

    def __init__(self, filter_keys: int):
        self.filter_keys, self.hash, self.timestamp_size = filter_keys, filter_keys & 3, filter_keys >> 2
        if self.hash not in (0, XXPH3, MURMUR) or self.timestamp_size > 255:
            raise Damage(f"filters of keys of an unknown kind {filter_keys}")
        self.handles, self.first_keys, self.last_keys = [], [], []
        # Hashes of the keys that differ from the one before, and how many there are up to the end of each block.
        self.hashes, self.hash_ends = [], []
        self._before = None

    def push_block(self, offset: int, size: int, keys: list) -> None:
        """The next data block; `size` without its trailer, keys internal."""
        if self.hash:
            for key in keys:
                part = self.part_of(key)
                if part != self._before:
                    self.hashes.append(hash_of(self.hash, part))
                    self._before = part
        self.handles.append((offset, size))
        self.first_keys.append(keys[0] if keys else b"")
        self.last_keys.append(keys[-1] if keys else b"")
        self.hash_ends.append(len(self.hashes))

    def part_of(self, key: bytes) -> bytes:
        return key[: max(0, len(key) - 8 - self.timestamp_size)]

    def hashes_of(self, first: int, count: int) -> list:
        """Of the keys of some blocks, also of the first if the block before ends with it."""
        start = self.hash_ends[first - 1] if first else 0
        if first and self.part_of(self.last_keys[first - 1]) == self.part_of(self.first_keys[first]):
            start -= 1
        return self.hashes[start : self.hash_ends[first + count - 1]]


@dataclass
class IndexForm:
    rule: int
    user_keys: bool
    deltas: bool
    first_keys: bool
    gaps_end_sharing: bool
    uniform_keys: bool
    restart_interval: int
    seek_type: int
    encoder: int

    @classmethod
    def of(cls, numbers: list):
        flags, interval, seek_type, encoder_id = numbers
        if flags & ~0x1F03 or not 0 < interval < 2**32 or seek_type > 255 or encoder_id >= 2**32:
            raise Damage("the form of an index is none")
        return cls(flags & 3, *(bool(flags & 1 << bit) for bit in range(8, 13)), interval, seek_type, encoder_id)


@dataclass
class RestBuilder:
    """Builds the blocks of one table, in file order."""

    facts: Facts
    checksums: object
    # Handle, and last block named, of the partitions built so far; `None` for a filter of keys.
    indexes: list = field(default_factory=list)
    filters: list = field(default_factory=list)
    encoders: dict = field(default_factory=dict)

    def build(self, kind: int, numbers: list, offset: int) -> bytes:
        """The block of this description, trailer included."""
        if len(numbers) != NUMBERS.get(kind):
            raise Damage(f"no description of a block: kind {kind}, {len(numbers)} numbers")
        if kind in (FILTER_OF_BLOCKS, FILTER_OF_KEYS):
            content, last_block = self._filter(kind, *numbers)
            payload, compression = content, 0
        else:
            form = IndexForm.of(numbers[-4:])
            if kind == INDEX:
                content, last_block = self._index(*numbers[:2], form)
            else:
                content, last_block = self._top(form, self.indexes if kind == INDEX_TOP else self.filters), None
            payload, compression = self._stored(content, form.encoder)
        if kind in (FILTER_OF_BLOCKS, FILTER_OF_KEYS):
            self.filters.append(((offset, len(payload)), last_block))
        elif kind == INDEX:
            self.indexes.append(((offset, len(payload)), last_block))
        return payload + block_trailer(self.checksums.kind, self.checksums.base_context, offset, payload, compression)

    def _stored(self, content: bytes, number: int) -> tuple[bytes, int]:
        if number == 0:
            return content, 0
        if number not in self.encoders:
            self.encoders[number] = encoder(number)
        return self.encoders[number](content), number >> 24

    def _filter(self, kind: int, first: int, count: int, filter_keys: int, line_log: int, lines: int, probes: int):
        if filter_keys != self.facts.filter_keys or not self.facts.hash or line_log > 8 or lines >= 2**32 or probes > 255:
            raise Damage("the shape of a filter is none")
        if kind == FILTER_OF_KEYS:
            if first + count > len(self.facts.hashes):
                raise Damage("a filter of keys that are not there")
            hashes, last_block = self.facts.hashes[first : first + count], None
        else:
            self._check_blocks(first, count)
            hashes, last_block = self.facts.hashes_of(first, count), first + count - 1
        return build_filter(self.facts.hash, hashes, line_log, lines, probes), last_block

    def _check_blocks(self, first: int, count: int) -> None:
        if count == 0 or first + count > len(self.facts.handles):
            raise Damage("a block over data blocks that are not there")

    def _index(self, first: int, count: int, form: IndexForm):
        self._check_blocks(first, count)
        writer = IndexWriter(form)
        for block in range(first, first + count):
            offset, size = handle = self.facts.handles[block]
            before = self.facts.handles[block - 1] if block else None
            is_behind_gap = before is not None and sum(before) + TRAILER_LEN != offset
            writer.push(separator(self.facts, block, form), handle, self.facts.first_keys[block], is_behind_gap)
        return writer.finish(), first + count - 1

    def _top(self, form: IndexForm, partitions: list) -> bytes:
        writer = IndexWriter(form)
        for handle, last_block in partitions:
            if last_block is None:
                raise Damage("a partition of a filter that ends inside a block")
            writer.push(separator(self.facts, last_block, form), handle, b"", False)
        return writer.finish()


def separator(facts: Facts, block: int, form: IndexForm) -> bytes:
    """The key of the index behind a block."""
    last = facts.last_keys[block]
    following = facts.first_keys[block + 1][:-8] if block + 1 < len(facts.handles) else None
    short = _shortened(form.rule, last[:-8], following)
    if short is None:
        return last[:-8] if form.user_keys else last
    return short if form.user_keys else short + (SEQUENCE_MAX << 8 | form.seek_type).to_bytes(8, "little")


def _shortened(rule: int, last: bytes, following: bytes | None) -> bytes | None:
    """A user key other than the last one; `None`: the last one stands."""
    if following is None:
        return _raised(last, 0) if rule == SHORTENED_TO_THE_END else None
    if rule == LAST_KEY:
        return None
    common = shared_length(last, following)
    if common == len(last) or common == len(following):
        return None
    old, new = last[common], following[common]
    if rule == DESCENDING:
        return None if old < new or common + 1 == len(last) else last[: common + 1]
    if old > new:
        return None
    if common + 1 < len(following) or old + 1 < new:
        return last[:common] + bytes([old + 1])
    return _raised(last, common + 1)


def _raised(key: bytes, start: int) -> bytes | None:
    for at in range(start, len(key)):
        if key[at] != 255:
            return key[:at] + bytes([key[at] + 1])
    return None


class IndexWriter:
    """The content of an index block, entry by entry."""

    def __init__(self, form: IndexForm):
        self.form, self.out, self.restarts, self.count = form, bytearray(), [], 0
        self.key, self.size = b"", 0

    def push(self, key: bytes, handle: tuple, first_key: bytes, is_behind_gap: bool) -> None:
        form, shared = self.form, 0
        if self.count % form.restart_interval == 0:
            self.restarts.append(len(self.out))
        elif not (is_behind_gap and form.gaps_end_sharing):
            shared = shared_length(self.key, key)
        offset, size = handle
        if form.deltas and shared:
            value = put_signed(size - self.size)
        else:
            value = put_varint(offset) + put_varint(size)
        if form.first_keys:
            value += put_varint(len(first_key)) + first_key
        self.out += put_varint(shared) + put_varint(len(key) - shared)
        if not form.deltas:
            self.out += put_varint(len(value))
        self.out += key[shared:] + value
        self.key, self.size, self.count = key, size, self.count + 1

    def finish(self) -> bytes:
        return bytes(self.out) + end_of_block(self.restarts or [0], UNIFORM_KEYS if self.form.uniform_keys else 0)


def put_signed(value: int) -> bytes:
    return put_varint(2 * value if value >= 0 else -2 * value - 1)
