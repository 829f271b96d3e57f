"""Snappy as its versions write it (chapter 15)."""

from .checksums import CRC
from .matches import match_length

MASK = 2**32 - 1
FRAGMENT = 65_536
FACTOR = 506_832_829
PLACES_MAX = {"A": 16_384, "B": 16_384, "C": 32_768, "D": 32_768}


def compress(block: bytes, variant: str) -> bytes:
    """The elements, without the size in front."""
    out = bytearray()
    for start in range(0, len(block), FRAGMENT):
        _fragment(out, block[start : start + FRAGMENT], variant)
    return bytes(out)


def _hasher(variant: str, places: int):
    if variant == "D":
        return lambda word: _crc(word ^ 2 * (places - 1)) >> 1 & places - 1
    if variant == "A":
        shift = 32 - (places.bit_length() - 1)
        return lambda word: (word * FACTOR & MASK) >> shift
    shift = {"B": 18, "C": 17}[variant]
    return lambda word: (word * FACTOR & MASK) >> shift & places - 1


def _crc(value: int) -> int:
    for _ in range(4):
        value = value >> 8 ^ CRC[value & 255]
    return value


def _fragment(out: bytearray, data: bytes, variant: str) -> None:
    size = len(data)
    places = min(max(256, 1 << (size - 1).bit_length()), PLACES_MAX[variant])
    table, hashed = [0] * places, _hasher(variant, places)

    def swap(at: int) -> int:
        slot = hashed(int.from_bytes(data[at : at + 4], "little"))
        found, table[slot] = table[slot], at
        return found

    def search(at: int):
        skip = 32
        while True:
            step = skip >> 5
            skip += step
            if at + step > size - 15:
                return None
            candidate = swap(at)
            if data[candidate : candidate + 4] == data[at : at + 4]:
                return at, candidate
            at += step

    anchor = 0
    while size >= 15 and (found := search(anchor + 1)):
        at, candidate = found
        _literals(out, data[anchor:at])
        while True:
            length = 4 + match_length(data, at + 4, candidate + 4, size)
            _copies(out, length, at - candidate)
            at = anchor = at + length
            if at >= size - 15:
                break
            swap(at - 1)
            candidate = swap(at)
            if data[candidate : candidate + 4] != data[at : at + 4]:
                break
        if anchor >= size - 15:
            break
    if anchor < size:
        _literals(out, data[anchor:])


def _literals(out: bytearray, literals: bytes) -> None:
    less = len(literals) - 1
    if less < 60:
        out.append(less * 4)
    elif less < 256:
        out += bytes([240, less])
    else:
        out.append(244)
        out += less.to_bytes(2, "little")
    out += literals


def _copies(out: bytearray, length: int, distance: int) -> None:
    while length >= 68:
        _copy(out, 64, distance)
        length -= 64
    if length > 64:
        _copy(out, 60, distance)
        length -= 60
    _copy(out, length, distance)


def _copy(out: bytearray, length: int, distance: int) -> None:
    if length <= 11 and distance < 2048:
        out += bytes([1 + (length - 4) * 4 + (distance >> 8) * 32, distance & 255])
    else:
        out.append(2 + (length - 1) * 4)
        out += distance.to_bytes(2, "little")
