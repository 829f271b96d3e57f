"""Checksums of the blocks of a table (chapter 14)."""

import xxhash

MASK = 2**32 - 1


def _crc_table() -> list:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ 0x82F63B78 * (value & 1)
        table.append(value)
    return table


CRC = _crc_table()


def crc32c(data: bytes) -> int:
    value = MASK
    for byte in data:
        value = value >> 8 ^ CRC[(value ^ byte) & 255]
    return value ^ MASK


def block_trailer(kind: int, base: int, offset: int, payload: bytes, compression: int) -> bytes:
    """What stands behind a payload: compression type and checksum. `offset`: of the payload in the file."""
    data = payload + bytes([compression])
    if kind == 0:
        value = 0
    elif kind == 1:
        crc = crc32c(data)
        value = (crc >> 15 | crc << 17 & MASK) + 0xA282EAD8
    elif kind == 2:
        value = xxhash.xxh32_intdigest(data)
    elif kind == 3:
        value = xxhash.xxh64_intdigest(data)
    else:
        value = (xxhash.xxh3_64_intdigest(payload) & MASK) ^ (compression * 0x6B9083D9 & MASK)
    modifier = base ^ ((offset & MASK) + (offset >> 32) & MASK) if base else 0
    return bytes([compression]) + (value + modifier & MASK).to_bytes(4, "little")
