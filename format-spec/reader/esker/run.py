"""Runs: sorted entries in columns (chapter 17), and sparse forms of them (chapter 19)."""

from dataclasses import dataclass

from . import limits
from .errors import Damage
from .wire import Reader

ASCENDING, DESCENDING = 0, 1
SEQUENCE_MAX = (1 << 56) - 1


@dataclass
class Run:
    order: int
    timestamp_size: int
    keys: list
    values: list
    trailers: list
    timestamps: list
    # Of a form: entries of the whole run, and which of them are held; their columns hold None elsewhere.
    kept: set | None = None

    def has(self, start: int, count: int) -> bool:
        """Whether these entries are here."""
        if start + count > len(self.keys):
            return False
        return self.kept is None or all(at in self.kept for at in range(start, start + count))


FORM = 2


def decode_form(data: bytes, run_id: bytes, what: str) -> Run:
    """A form of a run, its entries at their positions in the run."""
    if len(data) > limits.CHUNK_PLAIN_MAX:
        raise Damage(f"{what}: {len(data)} bytes are over the limit")
    r = Reader(data, what)
    r.one_of("form", (FORM,))
    if r.raw(32, "run") != run_id:
        raise r.damage("run", "is another than its frame says")
    count = r.varint("entries", limits.RUN_ENTRIES_MAX)
    bits = r.raw((count + 7) // 8, "kept entries")
    kept = [at for at in range(8 * len(bits)) if bits[at // 8] >> at % 8 & 1]
    if kept and kept[-1] >= count:
        raise r.damage("kept entries", "are more than the run has")
    held = decode_run(r.raw(r.left(), "held entries"), what)
    if len(kept) != len(held.keys):
        raise r.damage("kept entries", "are not as many as are stored")
    columns = []
    for column in (held.keys, held.values, held.trailers, held.timestamps):
        spread = [None] * count
        for at, value in zip(kept, column):
            spread[at] = value
        columns.append(spread)
    return Run(held.order, held.timestamp_size, *columns, set(kept))


def join_forms(forms: list, what: str) -> Run:
    """What forms of one run hold together."""
    joined = forms[0]
    for form in forms[1:]:
        if (form.order, form.timestamp_size, len(form.keys)) != (joined.order, joined.timestamp_size, len(joined.keys)):
            raise Damage(f"{what}: its forms are not of one run")
        for at in form.kept - joined.kept:
            joined.keys[at], joined.values[at] = form.keys[at], form.values[at]
            joined.trailers[at], joined.timestamps[at] = form.trailers[at], form.timestamps[at]
        joined.kept |= form.kept
    return joined


def decode_run(data: bytes, what: str) -> Run:
    if len(data) > limits.CHUNK_PLAIN_MAX:
        raise Damage(f"{what}: {len(data)} bytes are over the limit")
    r = Reader(data, what)
    order, timestamp_size = r.one_of("order", (ASCENDING, DESCENDING)), read_timestamp_size(r)
    count = r.varint("entries", limits.RUN_ENTRIES_MAX)
    if count == 0:
        raise r.damage("entries", "are none")
    columns = [r.blob(field, limits.CHUNK_PLAIN_MAX) for field in ("shared lengths", "suffix lengths", "suffixes", "value lengths", "values")]
    keys = _keys(order, count, *(Reader(column, what) for column in columns[:3]))
    values = _cut(count, *(Reader(column, what) for column in columns[3:]))
    trailers = read_trailers(r, count)
    timestamps = r.raw(count * timestamp_size, "timestamps")
    r.finish()
    return Run(order, timestamp_size, keys, values, trailers, split(timestamps, count, timestamp_size))


def read_timestamp_size(r: Reader) -> int:
    size = r.u8("timestamp size")
    if size > limits.TIMESTAMP_MAX:
        raise r.damage("timestamp size", f"is {size}")
    return size


def split(data: bytes, count: int, size: int) -> list:
    return [data[at * size : (at + 1) * size] for at in range(count)]


def read_trailers(r: Reader, count: int) -> list:
    """A column of trailers: sequence number << 8 | type."""
    types = r.raw(count, "types")
    least = r.varint("least sequence number", SEQUENCE_MAX)
    width = r.u8("width of sequence numbers")
    if width > 7:
        raise r.damage("width of sequence numbers", f"is {width}")
    planes = [r.raw(count, "sequence numbers") for _ in range(width)]
    offsets = [int.from_bytes(parts, "little") for parts in zip(*planes)] if width else [0] * count
    most = max(offsets, default=0)
    if min(offsets, default=0) != 0 or (most.bit_length() + 7) // 8 != width or (count == 0 and least != 0):
        raise r.damage("sequence numbers", "are not in their shortest form")
    if least + most > SEQUENCE_MAX:
        raise r.damage("sequence numbers", "have more than 56 bits")
    return [(least + offset) << 8 | kind for offset, kind in zip(offsets, types)]


def shared_length(left: bytes, right: bytes) -> int:
    """How many leading bytes two keys have in common."""
    most = min(len(left), len(right))
    if left[:most] == right[:most]:
        return most
    low = 0
    while most - low > 1:
        middle = (low + most) // 2
        low, most = (middle, most) if left[:middle] == right[:middle] else (low, middle)
    return low


def _keys(order: int, count: int, shared: Reader, lengths: Reader, suffixes: Reader) -> list:
    keys, before, written = [], b"", 0
    for number in range(count):
        prefix = shared.varint("shared length", len(before))
        suffix = suffixes.raw(lengths.varint("suffix length", suffixes.left()), "suffixes")
        written += prefix + len(suffix)
        if written > limits.RUN_KEYS_MAX:
            raise suffixes.damage("keys", "are over their limit")
        key = before[:prefix] + suffix
        if number and (shared_length(before, key) != prefix or (key < before if order == ASCENDING else key > before)):
            raise suffixes.damage("keys", "are out of order, or share more than is said")
        keys.append(key)
        before = key
    for column in (shared, lengths, suffixes):
        column.finish()
    return keys


def _cut(count: int, lengths: Reader, values: Reader) -> list:
    cut = [values.raw(lengths.varint("value length", values.left()), "values") for _ in range(count)]
    lengths.finish()
    values.finish()
    return cut
