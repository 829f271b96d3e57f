"""Data blocks of tables: from entries to bytes (chapter 14)."""

from .errors import Damage
from .run import shared_length
from .wire import put_varint

MASK = 2**32 - 1


def murmur(key: bytes, seed: int) -> int:
    """The hash of a block's hash index, and of old filters (chapter 16) with another seed."""
    factor, whole = 0xC6A4A793, len(key) & ~3
    value = (seed ^ len(key) * factor) & MASK
    for at in range(0, whole, 4):
        value = (value + int.from_bytes(key[at : at + 4], "little")) * factor & MASK
        value ^= value >> 16
    if whole < len(key):
        for number, byte in enumerate(key[whole:]):
            value += (byte - 256 if byte > 127 else byte) << 8 * number
        value = (value & MASK) * factor & MASK
        value ^= value >> 24
    return value


def end_of_block(restarts: list, flags: int = 0, middle: bytes = b"") -> bytes:
    """Restarts, what may stand between, and their number with flags."""
    return b"".join(at.to_bytes(4, "little") for at in restarts) + middle + (len(restarts) | flags).to_bytes(4, "little")


def build_block(form, entries: list) -> bytes:
    """The content of a block of (internal key, value) pairs."""
    out, restarts, before, value_offset = bytearray(), [], b"", 0
    buckets = bytearray(b"\xff" * form.hash_buckets)
    for number, (key, value) in enumerate(entries):
        is_restart = number == 0 or (form.restart_interval > 0 and number % form.restart_interval == 0)
        if is_restart:
            restarts.append(len(out))
        shared = shared_length(before, key) if form.shares_prefixes and not is_restart else 0
        out += put_varint(shared) + put_varint(len(key) - shared) + put_varint(len(value))
        if form.separate_values:
            out += put_varint(value_offset) if is_restart else b""
            out += key[shared:]
        else:
            out += key[shared:] + value
        before, value_offset = key, value_offset + len(value)
        if buckets:
            bucket, restart = murmur(key[:-8], 397) % len(buckets), len(restarts) - 1
            if restart > 253:
                raise Damage("a block with a hash index and too many restarts")
            buckets[bucket] = restart if buckets[bucket] in (255, restart) else 254
    middle = bytes(buckets) + len(buckets).to_bytes(2, "little") if buckets else b""
    if form.separate_values:
        middle += len(out).to_bytes(4, "little")
        out += b"".join(value for _, value in entries)
    flags = form.separate_values << 28 | form.uniform_keys << 29 | bool(buckets) << 31
    return bytes(out) + end_of_block(restarts or [0], flags, middle)
