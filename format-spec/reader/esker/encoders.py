"""Encoders of block payloads, by their ids (chapter 15)."""

import zstandard

from . import lz4_block, snappy_block
from .errors import MissingEncoder
from .wire import put_varint

try:
    import lz4
    import lz4.block
except ImportError:
    lz4 = None

SNAPPY = {0x0108: "A", 0x0109: "B", 0x010A: "C", 0x010B: "D"}
LZ4_CONTINUE, LZ4_FAST, LZ4_HIGH = 0x0401, 0x0402, 0x050A
# Library version, whether frames have a checksum.
ZSTD = {0x0754: ((1, 5, 4), False), 0x07D4: ((1, 5, 4), True), 0x0757: ((1, 5, 7), False), 0x07D7: ((1, 5, 7), True)}


def encoder(number: int, dictionary: bytes = b""):
    """The function from a plain block to its payload, for tables with this dictionary (empty: none)."""
    compress = _compressor(number >> 16, number & 0xFFFF, dictionary)
    if isinstance(compress, str):
        raise MissingEncoder(f"encoder {number:#010x} is not to be had: {compress}")
    return lambda block: put_varint(len(block)) + compress(block)


def is_missing(number: int) -> str | None:
    """Why there is no such encoder here; `None` if there is."""
    try:
        encoder(number)
    except MissingEncoder as error:
        return str(error)
    return None


def _compressor(variant: int, parameter: int, dictionary: bytes):
    """A function, or why there is none."""
    if variant in SNAPPY and parameter == 1:
        return lambda block: snappy_block.compress(block, SNAPPY[variant])
    if variant == LZ4_CONTINUE and 1 <= parameter <= 16:
        return lambda block: lz4_block.compress(block, parameter, True, dictionary)
    if dictionary and variant in (LZ4_FAST, LZ4_HIGH):
        return "it takes no dictionary"
    if variant == LZ4_FAST and 1 <= parameter <= 16:
        return lambda block: lz4_block.compress(block, parameter, False)
    if variant == LZ4_HIGH and 1 <= parameter <= 12:
        return _lz4_high(parameter)
    level = parameter - 0x10000 if parameter >= 0x8000 else parameter
    if variant in ZSTD and -7 <= level <= 22 and level:
        return _zstd(level, *ZSTD[variant], dictionary)
    return "this reader does not know it"


def _lz4_high(level: int):
    found = lz4.library_version_string() if lz4 else "not installed"
    # From level 3 on LZ4 1.9.4 gives the same (chapter 15).
    if found != "1.10.0" and not (found == "1.9.4" and level >= 3):
        return f"it needs LZ4 1.10.0, the package lz4 is {found}"
    return lambda block: lz4.block.compress(block, mode="high_compression", compression=level, store_size=False)


def _zstd(level: int, version: tuple, has_checksum: bool, dictionary: bytes):
    if zstandard.ZSTD_VERSION != version:
        needed, found = (".".join(map(str, numbers)) for numbers in (version, zstandard.ZSTD_VERSION))
        return f"it needs ZSTD {needed}, the package zstandard has {found}"
    loaded = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=has_checksum, dict_data=loaded)

    def compress(block: bytes) -> bytes:
        # The package has no ZSTD_createCDict; what it has gives the same below this length (chapter 15).
        if loaded and version == (1, 5, 7) and len(block) >= 128 << 10:
            raise MissingEncoder("ZSTD 1.5.7 for blocks of 128 KiB and more with a dictionary is not to be had")
        return compressor.compress(block)

    return compress
