"""Rebuilding tables from runs (chapter 08, kinds 2 and 3)."""

from blake3 import blake3

from . import limits
from .checksums import block_trailer
from .data_block import build_block
from .encoders import encoder
from .errors import Damage
from .recipe import CHUNK, CLEARED, KEPT, LITERAL, OWN, ZEROS, TableBlocks, TableRest
from .records import BYTES
from .repository import Repository
from .table_rest import Facts, RestBuilder

ZERO_BYTES = bytes(1 << 20)


def chunk_of(repo: Repository, use, what: str) -> bytes:
    """The bytes of a chunk, as long as the recipe says."""
    data = repo.chunk(BYTES, use.chunk)
    if len(data) != use.length:
        raise Damage(f"{what}: a chunk of another length than it says")
    return data


def checked(piece, steps, what: str):
    """The steps of a piece; they must come to its length and hash."""
    hasher, length = blake3(), 0
    for step in steps:
        length += len(step)
        if length > piece.length:
            raise Damage(f"{what}: a piece makes more bytes than it promises")
        hasher.update(step)
        yield step
    if length != piece.length or hasher.digest() != piece.hash:
        raise Damage(f"{what}: a piece does not make the bytes it promises")


def table_blocks(repo: Repository, piece: TableBlocks, facts: Facts | None, what: str):
    """The bytes of consecutive data blocks; `facts` is told of each."""
    dictionary = b"".join(chunk_of(repo, use, what) for use in piece.dictionary)
    encoders = [encoder(form.encoder, dictionary) if form.encoder else bytes for form in piece.forms]
    if any(form.encoder >> 24 != form.compression for form in piece.forms):
        raise Damage(f"{what}: an encoder of another compression type")
    entries, kept = _entries(repo, piece, what), _Kept(repo, piece, what)
    offset = piece.offset
    for block in piece.blocks:
        if block.form == KEPT:
            steps = kept.take(block.count)
        elif block.form == ZEROS:
            steps = (ZERO_BYTES[: min(len(ZERO_BYTES), block.count - at)] for at in range(0, block.count, len(ZERO_BYTES)))
        else:
            rows = _rows_of(entries, block.count, what)
            form = piece.forms[block.form - 2]
            payload = encoders[block.form - 2](build_block(form, rows))
            if facts is not None:
                facts.push_block(offset, len(payload), [key for key, _ in rows])
            checksums = piece.checksums
            steps = [payload + block_trailer(checksums.kind, checksums.base_context, offset, payload, form.compression)]
        for step in steps:
            offset += len(step)
            yield step


def _rows_of(entries, count: int, what: str) -> list:
    rows, size = [], 0
    for _ in range(count):
        key, value = next(entries)
        size += len(key) + len(value)
        if size > limits.BLOCK_ENTRY_BYTES_MAX:
            raise Damage(f"{what}: a block is too large")
        rows.append((key, value))
    return rows


def _entries(repo: Repository, piece: TableBlocks, what: str):
    """Internal keys and values of the piece, in order."""
    own, runs = zip(piece.own_trailers, piece.timestamps()), {}
    sources = (row.source for row in piece.trailers for _ in range(row.count))
    for copy in piece.copies:
        if copy.run not in runs:
            run = runs[copy.run] = repo.run(piece.runs[copy.run].chunk, f"{what}: run {copy.run}")
            if (run.order, run.timestamp_size) != (piece.order, piece.timestamp_size):
                raise Damage(f"{what}: a run of another order, or with other timestamps")
        run = runs[copy.run]
        if copy.start + copy.count > len(run.keys):
            raise Damage(f"{what}: entries beyond the end of a run")
        if not run.has(copy.start, copy.count):
            raise Damage(f"{what}: entries that are in none of the forms of their run")
        for at in range(copy.start, copy.start + copy.count):
            source, trailer, timestamp = next(sources), run.trailers[at], run.timestamps[at]
            if source == CLEARED:
                trailer &= 0xFF
            elif source == OWN:
                trailer, timestamp = next(own)
            yield run.keys[at] + timestamp + trailer.to_bytes(8, "little"), run.values[at]


class _Kept:
    """The bytes that a piece does not rebuild, chunk after chunk."""

    def __init__(self, repo: Repository, piece: TableBlocks, what: str):
        self.chunks = (chunk_of(repo, use, what) for use in piece.kept)
        self.data = b""

    def take(self, count: int):
        while count:
            if not self.data:
                self.data = next(self.chunks)
            step, self.data = self.data[:count], self.data[count:]
            count -= len(step)
            yield step


def table_rest(repo: Repository, piece: TableRest, facts: Facts | None, what: str):
    """The bytes behind the data blocks."""
    builder, offset = RestBuilder(facts, piece.checksums), piece.offset
    for part in piece.parts:
        if part.part == CHUNK:
            step = chunk_of(repo, part, what)
        elif part.part == LITERAL:
            step = part.literal
        else:
            step = builder.build(part.kind, part.numbers, offset)
        offset += len(step)
        yield step


def facts_for(last) -> Facts | None:
    """What the data blocks must tell, by the last piece of a recipe; `None` if nothing is built from it."""
    return Facts(last.filter_keys) if isinstance(last, TableRest) and last.filter_keys is not None else None


def table_piece(repo: Repository, piece, facts: Facts | None, what: str):
    """The bytes of a piece of kind 2 or 3, step by step. `facts` goes from each piece of a table to the next."""
    steps = table_rest if isinstance(piece, TableRest) else table_blocks
    return checked(piece, steps(repo, piece, facts, what), what)
