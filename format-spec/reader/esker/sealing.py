"""Keys, chunk ids, sealed parts and the envelope of control objects (chapter 04)."""

import hmac
from dataclasses import dataclass

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from . import limits
from .errors import Damage
from .records import BYTES, CONTROL, RUN, SPARSE_RUN, TABLE, decode
from .wire import Reader, decode_body, read_header

ID_CONTEXT = {
    BYTES: "esker 2026 v1 chunk id of bytes",
    TABLE: "esker 2026 v1 chunk id of tables",
    RUN: "esker 2026 v1 chunk id of runs",
    SPARSE_RUN: "esker 2026 v1 chunk id of sparse runs",
}
PACK_KEY = "esker 2026 v1 pack key"
CONTROL_KEY = "esker 2026 v1 control object key"
CHECKSUM_KEY = "esker 2026 v1 checksum of a plain object"
TAG_LEN = 16
SALT_LEN = 32
ENVELOPE_LEN = 46
FRAME, FRAME_TABLE, WRAPPED = 0, 1, 2
MODES = {0: "not encrypted", 1: "encrypted"}


def derive_key(context: str, material: bytes) -> bytes:
    return blake3(material, derive_key_context=context).digest()


def nonce(number: int, role: int) -> bytes:
    return number.to_bytes(8, "little") + role.to_bytes(4, "little")


def open_aead(key: bytes, number: int, role: int, aad: bytes, sealed: bytes, what: str) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce(number, role), sealed, aad)
    except (InvalidTag, ValueError):
        raise Damage(f"{what}: authentication tag does not match") from None


def open_checksum(key: bytes, number: int, role: int, aad: bytes, sealed: bytes, what: str) -> bytes:
    body, tag = sealed[:-TAG_LEN], sealed[-TAG_LEN:]
    text = nonce(number, role) + len(aad).to_bytes(8, "little") + aad + body
    if len(sealed) < TAG_LEN or not hmac.compare_digest(blake3(text, key=key).digest(TAG_LEN), tag):
        raise Damage(f"{what}: checksum does not match")
    return body


@dataclass
class Sealing:
    """How the objects of one repository are sealed: in plain mode without a master key."""

    master: bytes | None

    def __post_init__(self):
        self.id_keys = {kind: derive_key(context, self.master) for kind, context in ID_CONTEXT.items()} if self.master else {}

    @property
    def mode(self) -> int:
        return 0 if self.master is None else 1

    def chunk_id(self, kind: int, content: bytes) -> bytes:
        if self.master is not None:
            return blake3(content, key=self.id_keys[kind]).digest()
        return blake3(content).digest() if kind == BYTES else derive_key(ID_CONTEXT[kind], content)

    def open_part(self, context: str, salt: bytes, number: int, role: int, aad: bytes, sealed: bytes, what: str) -> bytes:
        if self.master is None:
            return open_checksum(derive_key(CHECKSUM_KEY, salt), number, role, aad, sealed, what)
        return open_aead(derive_key(context, self.master + salt), number, role, aad, sealed, what)


def check_mode(sealing: Sealing, reader: Reader) -> None:
    """The mode byte of a sealed object is the repository's."""
    mode = reader.u8("mode")
    if mode != sealing.mode:
        raise Damage(f"{reader.what}: {MODES.get(mode, 'sealed in an unknown way')} in a repository that is {MODES[sealing.mode]}")


def open_object(sealing: Sealing, kind: int, place: str, data: bytes, what: str):
    """The record in a control object; `place` is its path for kinds 7 to 10, else empty."""
    reader = Reader(data, what)
    found = read_header(reader, kind)
    check_mode(sealing, reader)
    codec = reader.u8("codec")
    plain_len = reader.u32("plain length")
    if plain_len > limits.CONTROL_PLAIN_MAX:
        raise reader.damage("plain length", "is over its limit")
    salt = reader.raw(SALT_LEN, "salt")
    sealed = reader.raw(reader.left(), "payload")
    body = sealing.open_part(CONTROL_KEY, salt, 0, FRAME, data[:ENVELOPE_LEN] + place.encode(), sealed, what)
    if codec not in (0, 1):
        raise Damage(f"{what}: codec {codec}")
    return decode(CONTROL[kind], decode_body(codec, body, plain_len, what), what, found)
