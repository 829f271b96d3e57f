"""Packs: their frame tables and frames (chapter 05)."""

from dataclasses import dataclass

from . import limits
from .errors import Damage
from .records import DATA_PACK, META_PACK, FrameEntry, chunk_kinds
from .sealing import FRAME, FRAME_TABLE, PACK_KEY, SALT_LEN, TAG_LEN, Sealing, check_mode
from .wire import MAGIC, Reader, decode_body, read_header

HEAD_LEN, TAIL_LEN = 41, 16
TAIL_MAGIC = b"ESKERend"
OBJECT_KIND = {1: DATA_PACK, 2: META_PACK}


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame with all that opening it needs but the key."""

    pack: str
    head: bytes
    number: int
    offset: int
    last: bool
    kind: int
    codec: int
    chunk: bytes
    stored_len: int
    plain_len: int
    run: bytes | None = None


def head_of(kind: int, pack_format: int, mode: int, salt: bytes) -> bytes:
    """The first bytes of a pack, with which everything in it is authenticated."""
    return MAGIC + bytes([OBJECT_KIND[kind]]) + pack_format.to_bytes(2, "little") + bytes([mode]) + salt


def place_frames(pack: str, head: bytes, entries: list) -> list[Frame]:
    frames, offset = [], HEAD_LEN
    for number, e in enumerate(entries):
        last = number == len(entries) - 1
        frames.append(Frame(pack, head, number, offset, last, e.kind, e.codec, e.chunk, e.stored_len, e.plain_len, e.run))
        offset += e.stored_len
    return frames


def read_frame_table(sealing: Sealing, kind: int, pack: str, size: int, fetch) -> list[Frame]:
    """The frames of a pack of `size` bytes; `fetch(offset, length)` gives its bytes."""
    if not HEAD_LEN + TAIL_LEN <= size <= limits.PACK_MAX:
        raise Damage(f"{pack}: {size} bytes are no pack")
    head = fetch(0, HEAD_LEN)
    r = Reader(head, pack)
    pack_format = read_header(r, OBJECT_KIND[kind])
    check_mode(sealing, r)
    salt = r.raw(SALT_LEN, "salt")
    tail = fetch(size - TAIL_LEN, TAIL_LEN)
    r = Reader(tail, pack)
    table_len, count = r.u32("table length"), r.u32("frame count")
    if tail[8:] != TAIL_MAGIC:
        raise Damage(f"{pack}: no closing magic")
    if not TAG_LEN <= table_len <= size - HEAD_LEN - TAIL_LEN or count > limits.PACK_FRAMES_MAX:
        raise Damage(f"{pack}: its tail claims more than it holds")
    sealed = fetch(size - TAIL_LEN - table_len, table_len)
    plain = sealing.open_part(PACK_KEY, salt, 0, FRAME_TABLE, head + tail, sealed, f"{pack}: frame table")
    r = Reader(plain, f"{pack}: frame table")
    entries = FrameEntry.read_list(r)
    r.finish()
    if any(entry.kind not in chunk_kinds(kind, pack_format) for entry in entries):
        raise Damage(f"{pack}: holds a chunk of a kind that does not belong there")
    if len(entries) != count or HEAD_LEN + sum(e.stored_len for e in entries) + table_len + TAIL_LEN != size:
        raise Damage(f"{pack}: its frames do not fill it")
    return place_frames(pack, head, entries)


def open_frame(sealing: Sealing, frame: Frame, sealed: bytes) -> bytes:
    """The content of a frame's chunk, proven by tag and id."""
    what = f"{frame.pack}: frame {frame.number}"
    aad = frame.head + frame.number.to_bytes(4, "little") + bytes([frame.kind, frame.codec])
    aad += frame.stored_len.to_bytes(4, "little") + frame.plain_len.to_bytes(4, "little") + bytes([frame.last])
    body = sealing.open_part(PACK_KEY, frame.head[-SALT_LEN:], frame.number, FRAME, aad, sealed, what)
    plain = decode_body(frame.codec, body, frame.plain_len, what)
    if sealing.chunk_id(frame.kind, plain) != frame.chunk:
        raise Damage(f"{what}: content does not hash to chunk {frame.chunk.hex()}")
    return plain
