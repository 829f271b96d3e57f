"""Primitives of chapter 00: integers, varints, lists, the header, zstd fields."""

import zstandard

from . import limits
from .errors import Damage, TooNew

MAGIC = b"ESKER"
HEADER_LEN = 8
# The newest format that this reader knows of each object kind; 1 where none is named (chapter 00).
NEWEST = {2: 2, 3: 3, 4: 2, 5: 3, 6: 3, 12: 2, 13: 2}


def put_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Reader:
    """Reads a record field by field and never past its end. `format` is that of the object that the bytes stand in."""

    def __init__(self, data: bytes, what: str, format: int = 1):
        self.data = data
        self.what = what
        self.format = format
        self.at = 0

    def damage(self, field: str, why: str) -> Damage:
        return Damage(f"{self.what}: {field} {why} (at byte {self.at})")

    def left(self) -> int:
        return len(self.data) - self.at

    def raw(self, length: int, field: str) -> bytes:
        if length > self.left():
            raise self.damage(field, f"needs {length} bytes, {self.left()} are left")
        self.at += length
        return self.data[self.at - length : self.at]

    def uint(self, width: int, field: str) -> int:
        return int.from_bytes(self.raw(width, field), "little")

    def u8(self, field: str) -> int:
        return self.uint(1, field)

    def u16(self, field: str) -> int:
        return self.uint(2, field)

    def u32(self, field: str) -> int:
        return self.uint(4, field)

    def u64(self, field: str) -> int:
        return self.uint(8, field)

    def varint(self, field: str, limit: int = 2**64 - 1) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.u8(field)
            if byte == 0 and shift > 0:
                raise self.damage(field, "is a varint that is not in its shortest form")
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        else:
            raise self.damage(field, "is a varint over ten bytes")
        if value > limit or value >= 2**64:
            raise self.damage(field, f"is {value}, over its limit of {limit}")
        return value

    def signed(self, field: str) -> int:
        value = self.varint(field)
        return (value >> 1) ^ -(value & 1)

    def blob(self, field: str, limit: int) -> bytes:
        return self.raw(self.varint(field, limit), field)

    def text(self, field: str, limit: int) -> str:
        try:
            return self.blob(field, limit).decode("utf-8")
        except UnicodeDecodeError:
            raise self.damage(field, "is not UTF-8") from None

    def one_of(self, field: str, allowed) -> int:
        value = self.u8(field)
        if value not in allowed:
            raise self.damage(field, f"holds {value}, which the format does not allow")
        return value

    def flag(self, field: str) -> bool:
        return self.one_of(field, (0, 1)) == 1

    def option(self, field: str, get):
        return get() if self.flag(field) else None

    def items(self, field: str, item_min: int, get, limit: int = limits.LIST_MAX) -> list:
        count = self.varint(field, limit)
        if count * item_min > self.left():
            raise self.damage(field, f"are {count}, more than the bytes left can hold")
        return [get() for _ in range(count)]

    def ids(self, field: str, limit: int = limits.LIST_MAX) -> list[bytes]:
        return self.items(field, 32, lambda: self.raw(32, field), limit)

    def finish(self) -> None:
        if self.left():
            raise Damage(f"{self.what}: {self.left()} bytes follow its end")


def newest(kind: int) -> int:
    """The newest format of this object kind that this reader knows."""
    return NEWEST.get(kind, 1)


def read_header(reader: Reader, kind: int) -> int:
    """Checks magic, kind and format, before anything else of the object is looked at; gives the format."""
    if reader.left() < HEADER_LEN:
        raise Damage(f"{reader.what}: no Esker object, {reader.left()} bytes")
    header = reader.raw(HEADER_LEN, "header")
    if header[:5] != MAGIC or header[5] != kind:
        raise Damage(f"{reader.what}: not an Esker object of kind {kind}")
    found = int.from_bytes(header[6:], "little")
    if found > newest(kind):
        raise TooNew(f"{reader.what}: written in format {found}, this reader knows up to {newest(kind)}: use a newer one")
    if found == 0:
        raise Damage(f"{reader.what}: format 0")
    return found


def decode_body(codec: int, body: bytes, plain_len: int, what: str) -> bytes:
    """A field of codec 0 (raw) or 1 (one zstd frame) that must come out `plain_len` bytes long."""
    if codec == 1:
        body = _unzstd(body, plain_len, what)
    if len(body) != plain_len:
        raise Damage(f"{what}: {len(body)} bytes where {plain_len} are promised")
    return body


def _unzstd(body: bytes, plain_len: int, what: str) -> bytes:
    if not body.startswith(b"\x28\xb5\x2f\xfd"):
        raise Damage(f"{what}: not a zstd frame")
    try:
        frame = zstandard.get_frame_parameters(body)
        if frame.dict_id or frame.content_size not in (zstandard.CONTENTSIZE_UNKNOWN, plain_len):
            raise Damage(f"{what}: zstd frame with a dictionary, or of another length than promised")
        decoder = zstandard.ZstdDecompressor()
        if frame.content_size == 0:
            plain = _unzstd_empty(decoder, body)
        else:
            plain = decoder.decompress(body, max_output_size=max(plain_len, 1), allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Damage(f"{what}: {error}") from None
    return plain


def _unzstd_empty(decoder, body: bytes) -> bytes:
    """One-shot decoding takes a stated length of 0 at its word; an empty frame has a few bytes, so look."""
    stream = decoder.decompressobj()
    if len(body) > 64 or stream.decompress(body) or stream.unused_data or not stream.eof:
        raise zstandard.ZstdError("not one empty frame")
    return b""
