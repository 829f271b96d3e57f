#!/usr/bin/env python3
"""Tests of what rebuilds tables: the vectors of chapters 14, 16 and 17, golden blocks of the encoders. Run: python3 -m unittest"""

import random
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from esker.checksums import block_trailer, crc32c
from esker.data_block import build_block
from esker.encoders import encoder, is_missing
from esker.errors import Damage, MissingEncoder
from esker.filters import xxph3
from esker.matches import match_length
from esker.recipe import BlockForm, Checksums
from esker.run import decode_form, decode_run, shared_length
from esker.table_rest import Facts, RestBuilder
from test_reader import unquoted, vectors

ENCODERS = HERE.parents[1] / "crates/esker-sst/tests/golden/encoders"
# The golden block that is made rather than stored: longer than a fragment of Snappy and than LZ4's limit for small tables.
LONG = "".join(f"vertex {line * line % 251:x} follows {line % 97:x}\n" for line in range(4000)).encode()[:72_000]


def numbered(block: dict, field: str) -> list:
    """The values of field.0, field.1 …"""
    out = []
    while f"{field}.{len(out)}" in block:
        out.append(block[f"{field}.{len(out)}"])
    return out


class Vectors(unittest.TestCase):
    def test_data_blocks(self):
        for block in vectors("14-table-blocks"):
            with self.subTest(block["name"]):
                number = lambda field: int(block[field])
                flags = [bool(number(field)) for field in ("shares_prefixes", "separate_values", "uniform_keys")]
                form = BlockForm(number("compression_type"), 0, number("restart_interval"), number("hash_buckets"), *flags)
                keys, values = (list(map(bytes.fromhex, numbered(block, field))) for field in ("keys", "values"))
                content = build_block(form, list(zip(keys, values, strict=True)))
                trailer = block_trailer(number("checksum_type"), number("base"), number("offset"), content, form.compression)
                self.assertEqual((content + trailer).hex(), block["bytes"])

    def test_what_follows_the_data_blocks(self):
        hashes, *tables = vectors("16-table-rest")
        for field, value in hashes.items():
            if field.startswith("hashes."):
                length = int(field.removeprefix("hashes."))
                self.assertEqual(f"{xxph3(bytes(at % 251 for at in range(length))):016x}", value, field)
        built = 0
        for table in tables:
            parts = []
            while f"parts.{len(parts)}.kind" in table:
                parts.append(f"parts.{len(parts)}")
            numbers = {part: list(map(int, numbered(table, f"{part}.numbers"))) for part in parts}
            facts = Facts(next(numbers[part][2] for part in parts if int(table[f"{part}.kind"]) < 3))
            while f"blocks.{len(facts.handles)}.offset" in table:
                block = f"blocks.{len(facts.handles)}"
                keys = list(map(bytes.fromhex, numbered(table, f"{block}.keys")))
                facts.push_block(int(table[f"{block}.offset"]), int(table[f"{block}.size"]), keys)
            builder = RestBuilder(facts, Checksums(int(table["checksum_type"]), int(table["base"])))
            for part in parts:
                with self.subTest(table["name"], part=part):
                    found = builder.build(int(table[f"{part}.kind"]), numbers[part], int(table[f"{part}.offset"]))
                    self.assertEqual(found.hex(), table[f"{part}.bytes"])
                    built += 1
        self.assertEqual(built, 40)

    def test_runs(self):
        for block in vectors("17-run"):
            run = decode_run(bytes.fromhex(block["bytes"]), "run")
            self.assertEqual((run.order, run.timestamp_size), (int(block["order"]), int(block["timestamp_size"])))
            for field in ("keys", "values", "timestamps"):
                self.assertEqual([value.hex() for value in getattr(run, field)], numbered(block, field))
            self.assertEqual(run.trailers, list(map(int, numbered(block, "trailers"))))

    def test_forms(self):
        for block in vectors("19-sparse-run"):
            run, kept = bytes.fromhex(block["run"]), sorted(map(int, numbered(block, "kept")))
            form = decode_form(bytes.fromhex(block["bytes"]), run, "form")
            self.assertEqual((form.order, sorted(form.kept), len(form.keys)), (int(block["order"]), kept, int(block["entries"])))
            for field in ("keys", "values", "timestamps"):
                column = getattr(form, field)
                self.assertEqual([column[at].hex() for at in kept], numbered(block, field))
                self.assertTrue(all(value is None for at, value in enumerate(column) if at not in form.kept))
            self.assertEqual([form.trailers[at] for at in kept], list(map(int, numbered(block, "trailers"))))
            self.assertRaises(Damage, decode_form, bytes.fromhex(block["bytes"]), bytes(31) + b"x", "form")


@unittest.skipUnless(ENCODERS.is_dir(), "the golden blocks of the encoders are not at hand")
class GoldenBlocks(unittest.TestCase):
    def test_every_encoder_gives_what_rocksdb_stored(self):
        seen = 0
        for path in sorted(ENCODERS.glob("*.payload")):
            block, *with_dictionary, number, _ = path.name.split(".")
            # Of ZSTD there is one version here.
            if not is_missing(int(number, 16)):
                with self.subTest(path.name):
                    plain = LONG if block == "long" else (ENCODERS / f"{block}.plain").read_bytes()
                    dictionary = (ENCODERS / f"{block}.dictionary").read_bytes() if with_dictionary else b""
                    self.assertEqual(encoder(int(number, 16), dictionary)(plain), path.read_bytes())
                    seen += 1
        self.assertGreater(seen, 25)


class Parts(unittest.TestCase):
    def test_encoders_that_are_not_to_be_had_are_named(self):
        for number in (0, 1, 0x0401_0000, 0x0402_0011, 0x050A_000D, 0x0757_0000, 0x0757_0017, 0x0757_FFF8, 0x0108_0002, 0x0208_0001):
            self.assertIn(f"{number:#010x}", is_missing(number))
        self.assertNotEqual(is_missing(0x0757_FFF9), is_missing(0x0754_FFF9), "one of two versions is here")
        self.assertRaisesRegex(MissingEncoder, "takes no dictionary", encoder, 0x0402_0001, b"dictionary")

    def test_short_blocks_are_literals(self):
        for number in (0x0108_0001, 0x0109_0001, 0x010A_0001, 0x010B_0001, 0x0401_0001, 0x0402_0001):
            for length in range(13):
                self.assertIn(bytes(range(length)), encoder(number)(bytes(range(length))))
        self.assertEqual(encoder(0x0401_0001)(b""), b"\0\0")
        self.assertEqual(encoder(0x0108_0001)(b""), b"\0")

    def test_what_two_places_have_in_common(self):
        draw = random.Random(1)
        for _ in range(300):
            data = bytes(draw.choice([0, 0, 0, 0, 0, 0, 0, 0, 1]) for _ in range(draw.randrange(1, 300)))
            left, right = draw.randrange(len(data)), draw.randrange(len(data))
            right, left = max(left, right), min(left, right)
            slow = next((k for k in range(len(data) - right) if data[left + k] != data[right + k]), len(data) - right)
            self.assertEqual(match_length(data, right, left, len(data)), slow)
            fast = shared_length(data[left:], data[right:])
            self.assertEqual(fast, slow)
        self.assertEqual(match_length(b"ab", 3, 1, 2), 0)

    def test_crc32c_is_that_of_rfc_3720(self):
        self.assertEqual(crc32c(bytes(32)), 0x8A9136AA)
        self.assertEqual(crc32c(bytes(range(32))), 0x46DD794E)

    def test_a_hash_index_has_at_most_254_restarts(self):
        entries = [(number.to_bytes(2, "big") + bytes(8), b"") for number in range(255)]
        form = BlockForm(0, 0, 1, 300, True, False, False)
        build_block(form, entries[:254])
        self.assertRaises(Damage, build_block, form, entries)


if __name__ == "__main__":
    unittest.main()
