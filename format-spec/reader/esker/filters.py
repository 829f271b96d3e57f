"""Filters of tables (chapter 16): hashes of keys, and bits."""

from .data_block import murmur
from .errors import Damage

M32, M64 = 2**32 - 1, 2**64 - 1
P1, P2, P3, P4, P5 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
Q1, Q2, Q3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1c ded46de9839097db7240a4a4b7b3671f cb79e64eccc0e578825ad07dccff7221 b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea3 71644897a20df94e3819ef46a9deacd8 a8fa763fe39c343ff9dcbbc7c70b4f1d 8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb 170ddd51b7f0da49d316552629d4689e 2b16be587d47a1fc8ff8b8d17ad031ce 45cb3a8f95160428afd7fbcabb4b407e"
)
XXPH3, MURMUR = 1, 2


def _read(data: bytes, at: int, width: int = 8) -> int:
    return int.from_bytes(data[at : at + width], "little")


def _secret(at: int) -> int:
    return _read(SECRET, at)


def _fold(a: int, b: int) -> int:
    product = (a & M64) * (b & M64)
    return product & M64 ^ product >> 64


def _avalanche(h: int) -> int:
    h &= M64
    h = (h ^ h >> 37) * P3 & M64
    return h ^ h >> 32


def _mix(key: bytes, at: int, secret: int) -> int:
    return _fold(_read(key, at) ^ _secret(secret), _read(key, at + 8) ^ _secret(secret + 8))


def xxph3(key: bytes) -> int:
    n = len(key)
    if n == 0:
        return _fold(_secret(0), P2)
    if n <= 3:
        combined = key[0] + (key[n // 2] << 8) + (key[n - 1] << 16) + (n << 24)
        return _avalanche((combined ^ _secret(0) & M32) * P1)
    if n <= 8:
        k = (_read(key, 0, 4) + (_read(key, n - 4, 4) << 32)) ^ _secret(0)
        m = n + (k ^ k >> 51) * Q1 & M64
        return _avalanche((m ^ m >> 47) * P2)
    if n <= 16:
        a, b = _read(key, 0) ^ _secret(0), _read(key, n - 8) ^ _secret(8)
        return _avalanche(n + a + b + _fold(a, b))
    if n <= 128:
        rounds = (n - 1) // 32 + 1
        ends = (_mix(key, 16 * i, 32 * i) + _mix(key, n - 16 * (i + 1), 32 * i + 16) for i in range(rounds))
        return _avalanche(n * P1 + sum(ends))
    if n <= 240:
        first = _avalanche(n * P1 + sum(_mix(key, 16 * i, 16 * i) for i in range(8)))
        later = sum(_mix(key, 16 * i, 16 * (i - 8) + 3) for i in range(8, n // 16))
        return _avalanche(first + later + _mix(key, n - 16, 119))
    return _long(key)


def _long(key: bytes) -> int:
    lanes, n = [Q3, P1, P2, P3, P4, Q2, P5, Q1], len(key)

    def take(at: int, secret: int) -> None:
        for lane in range(8):
            value = _read(key, at + 8 * lane)
            x = value ^ _secret(secret + 8 * lane)
            lanes[lane] = lanes[lane] + value + (x & M32) * (x >> 32) & M64

    for stripe in range(n // 64):
        take(64 * stripe, 8 * (stripe % 16))
        if stripe % 16 == 15:
            lanes = [(lane ^ lane >> 47 ^ _secret(128 + 8 * i)) * Q1 & M64 for i, lane in enumerate(lanes)]
    if n % 64:
        take(n - 64, 121)
    return _avalanche(n * P1 + sum(_fold(lanes[2 * i] ^ _secret(11 + 16 * i), lanes[2 * i + 1] ^ _secret(19 + 16 * i)) for i in range(4)))


def hash_of(kind: int, key: bytes) -> int:
    return xxph3(key) if kind == XXPH3 else murmur(key, 0xBC9F1D34)


def build_filter(kind: int, hashes: list, line_log: int, lines: int, probes: int) -> bytes:
    """The content of a filter block."""
    if lines > len(hashes) + 1 or (kind == XXPH3) != (line_log == 0):
        raise Damage("a filter of a shape that its keys do not make")
    if lines == 0:
        hashes = []
    if kind == XXPH3:
        bits = bytearray(64 * lines)
        for value in hashes:
            start, x = 512 * ((value & M32) * lines >> 32), value >> 32
            for _ in range(probes):
                bit = start + (x >> 23)
                bits[bit >> 3] |= 1 << (bit & 7)
                x = x * 0x9E3779B9 & M32
        return bytes(bits) + bytes([0xFF, 0, probes, 0, 0])
    line_bits = 8 << line_log
    bits = bytearray(line_bits // 8 * lines)
    for value in hashes:
        start, x, step = value % lines * line_bits, value, (value >> 17 | value << 15) & M32
        for _ in range(probes):
            bit = start + x % line_bits
            bits[bit >> 3] |= 1 << (bit & 7)
            x = x + step & M32
    return bytes(bits) + bytes([probes]) + lines.to_bytes(4, "little")
