"""`config`, key objects and recovery keys (chapters 02 and 03)."""

import hmac
from dataclasses import dataclass

from argon2.exceptions import HashingError
from argon2.low_level import Type, hash_secret_raw
from blake3 import blake3

from . import limits
from .errors import Damage, WrongSecret
from .records import CONFIG, KEY, decode
from .sealing import WRAPPED, derive_key, open_aead
from .wire import Reader, read_header

PASSPHRASE, RECOVERY = 1, 2
RECOVERY_CONTEXT = "esker 2026 v1 recovery key"
BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
WRAPPED_MAX = 2048
KEY_HEAD_LEN = 53


@dataclass
class ChunkerParameters:
    min: int
    avg: int
    max: int


@dataclass
class Config:
    repository: bytes
    encrypted: bool
    chunker: ChunkerParameters
    pack_target: int
    zstd_level: int
    created_ms: int


@dataclass
class KeyObject:
    kind: int
    memory_kib: int
    passes: int
    lanes: int
    salt: bytes
    wrapped: bytes
    head: bytes
    format: int = 1


@dataclass
class Unwrapped:
    master: bytes
    config_hash: bytes
    created_ms: int
    label: str

    signing: bytes | None = None

    @classmethod
    def read(cls, r: Reader):
        fields = r.raw(32, "master key"), r.raw(32, "config hash"), r.u64("created"), r.text("label", limits.NAME_MAX)
        return cls(*fields, r.raw(32, "signing key") if r.format >= 2 else None)


@dataclass
class Secret:
    """What a person holds: a passphrase, or the 32 bytes of a recovery key."""

    kind: int
    value: bytes


def _hashed(data: bytes, kind: int, what: str) -> Reader:
    """A reader over the fields of an object that ends in its BLAKE3; the header first, then the hash."""
    read_header(Reader(data, what), kind)
    if len(data) > limits.SMALL_OBJECT_MAX:
        raise Damage(f"{what}: {len(data)} bytes are over the limit")
    body, found = data[:-32], data[-32:]
    if len(data) < 32 or not hmac.compare_digest(blake3(body).digest(), found):
        raise Damage(f"{what}: checksum does not match")
    reader = Reader(body, what)
    reader.format = read_header(reader, kind)
    return reader


def decode_config(data: bytes, what: str = "config") -> Config:
    r = _hashed(data, CONFIG, what)
    repository, encrypted = r.raw(16, "repository id"), r.flag("encrypted")
    r.one_of("chunker", (1,))
    low, avg, high = r.u32("min"), r.u32("avg"), r.u32("max")
    bounded = 64 <= low <= 1 << 20 and 256 <= avg <= 4 << 20 and 1 << 10 <= high <= 16 << 20
    if not (bounded and low <= avg <= high and low % 2 == avg % 2 == high % 2 == 0):
        raise r.damage("chunker bounds", f"are {low}/{avg}/{high}")
    pack_target = r.u32("pack target")
    if not limits.PACK_TARGET_MIN <= pack_target <= limits.PACK_TARGET_MAX:
        raise r.damage("pack target", f"is {pack_target}")
    level, created_ms = r.one_of("zstd level", range(1, 23)), r.u64("created")
    r.finish()
    return Config(repository, encrypted, ChunkerParameters(low, avg, high), pack_target, level, created_ms)


def decode_key(data: bytes, what: str = "key object") -> KeyObject:
    r = _hashed(data, KEY, what)
    kind = r.one_of("key kind", (PASSPHRASE, RECOVERY))
    memory, passes, lanes = r.u32("memory"), r.u32("passes"), r.u32("lanes")
    if kind == PASSPHRASE:
        fits = 1 <= passes <= limits.ARGON2_PASSES_MAX and 1 <= lanes <= limits.ARGON2_LANES_MAX
        if not fits or not 8 * lanes <= memory <= limits.ARGON2_MEMORY_KIB_MAX:
            raise r.damage("argon2 cost", f"is {memory} KiB, {passes} passes, {lanes} lanes")
    elif (memory, passes, lanes) != (0, 0, 0):
        raise r.damage("argon2 cost", "stands in the object of a recovery key")
    salt = r.raw(32, "salt")
    head = r.data[:KEY_HEAD_LEN]
    wrapped = r.blob("wrapped key", WRAPPED_MAX)
    r.finish()
    return KeyObject(kind, memory, passes, lanes, salt, wrapped, head, r.format)


def unwrap(key: KeyObject, secret: Secret, what: str = "key object") -> Unwrapped:
    """Opens a key object, `WrongSecret` if this secret does not."""
    if key.kind != secret.kind:
        raise WrongSecret("wrong passphrase or recovery key")
    if key.kind == PASSPHRASE:
        try:
            wrapping = hash_secret_raw(
                secret.value, key.salt, time_cost=key.passes, memory_cost=key.memory_kib, parallelism=key.lanes,
                hash_len=32, type=Type.ID, version=0x13,
            )  # fmt: skip
        except HashingError as error:
            raise Damage(f"{what}: argon2id refuses its cost: {error}") from None
    else:
        wrapping = derive_key(RECOVERY_CONTEXT, secret.value + key.salt)
    try:
        plain = open_aead(wrapping, 0, WRAPPED, key.head, key.wrapped, what)
    except Damage:
        raise WrongSecret("wrong passphrase or recovery key") from None
    return decode(Unwrapped, plain, what, key.format)


def passphrase(data: bytes) -> Secret:
    """The passphrase in a file: all of it but one line end at its end."""
    if data.endswith(b"\n"):
        data = data[:-2] if data.endswith(b"\r\n") else data[:-1]
    if not 1 <= len(data) <= limits.PASSPHRASE_MAX:
        raise WrongSecret(f"a passphrase has 1 to {limits.PASSPHRASE_MAX} bytes")
    return Secret(PASSPHRASE, data)


def parse_recovery(text: str) -> Secret:
    """A recovery key as printed."""
    wrong = WrongSecret("this is not a recovery key, or it has a typing error")
    upper = text.strip().upper() if text.isascii() else ""
    if not upper.startswith("ESKER"):
        raise wrong
    digits = [BASE32.find(digit) for digit in upper[5:] if digit not in "- "]
    if len(digits) != 56 or -1 in digits:
        raise wrong
    value = 0
    for digit in digits:
        value = value << 5 | digit
    data = value.to_bytes(35, "big")
    if blake3(data[:32]).digest()[:3] != data[32:]:
        raise wrong
    return Secret(RECOVERY, data[:32])


def print_recovery(bits: bytes) -> str:
    """The printed form of 32 bytes."""
    value = int.from_bytes(bits + blake3(bits).digest()[:3], "big")
    digits = [BASE32[value >> 5 * place & 31] for place in reversed(range(56))]
    return "ESKER" + "".join("-" * (number % 4 == 0) + digit for number, digit in enumerate(digits))
