#!/usr/bin/env python3
"""Tests of the reader: the golden vectors of ../vectors, whole repositories, hostile ones. Run: python3 -m unittest"""

import dataclasses
import io
import os
import random
import sys
import tempfile
import unittest
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import esker_reader
from esker import keys, recipe, records
from esker.backup import find, plan_host
from esker.checksums import block_trailer
from esker.data_block import build_block
from esker.encoders import encoder
from esker.errors import Damage, ReaderError, TooNew, WrongSecret
from esker.pack import open_frame, read_frame_table
from esker.repository import Repository
from esker.restore import read_file
from esker.run import decode_form, decode_run
from esker.sealing import CHECKSUM_KEY, CONTROL_KEY, PACK_KEY, Sealing, derive_key, nonce, open_object
from esker.wire import Reader, newest

PLAIN, ENCRYPTED = Sealing(None), Sealing(bytes(range(32)))
MODES = {"plain": PLAIN, "encrypted": ENCRYPTED}


def vectors(chapter: str) -> list[dict]:
    text = (HERE.parent / "vectors" / f"{chapter}.txt").read_text("utf-8")
    blocks = [[line for line in block.split("\n") if line and not line.startswith("#")] for block in text.split("\n\n")]
    return [dict(line.split(" = ", 1) for line in block) for block in blocks if block]


def unquoted(value: str) -> str:
    assert value[0] == value[-1] == '"'
    return value[1:-1]


def unhexed(block: dict, field: str) -> bytes:
    return bytes.fromhex(block[field])


def flat(value, field: str) -> dict:
    """A record's fields as a vector lists them."""
    if dataclasses.is_dataclass(value):
        out = {}
        for member in dataclasses.fields(value):
            out |= flat(getattr(value, member.name), f"{field}.{member.name}".lstrip("."))
        return out
    if isinstance(value, list):
        out = {} if value else {field: "empty"}
        for number, item in enumerate(value):
            out |= flat(item, f"{field}.{number}")
        return out
    if value is None:
        return {field: "none"}
    if isinstance(value, bytes):
        return {field: value.hex()}
    return {field: f'"{value}"' if isinstance(value, str) else str(int(value))}


def without(block: dict, *names: str) -> dict:
    return {field: value for field, value in block.items() if field not in names}


class GoldenVectors(unittest.TestCase):
    def test_config(self):
        for block in vectors("02-config"):
            config = keys.decode_config(unhexed(block, "bytes"))
            self.assertEqual(flat(config, ""), without(block, "name", "bytes"))

    def test_keys(self):
        for block in vectors("03-keys"):
            key = keys.decode_key(unhexed(block, "bytes"))
            if "passphrase" in block:
                secret = keys.passphrase(unquoted(block["passphrase"]).encode())
                wrong = keys.passphrase(b"another")
            else:
                bits = unhexed(block, "recovery_bits")
                self.assertEqual(keys.print_recovery(bits), unquoted(block["printed"]))
                secret = keys.parse_recovery(unquoted(block["printed"]).lower().replace("-", " "))
                self.assertEqual(secret.value, bits)
                wrong = keys.Secret(keys.RECOVERY, bytes(32))
            opened = keys.unwrap(key, secret)
            listed = flat(key, "") | flat(opened, "")
            names = ("name", "bytes", "passphrase", "recovery_bits", "printed", "wrapped", "head", "format")
            if key.format == 1:
                self.assertEqual(listed.pop("signing"), "none")
            self.assertEqual(key.format, int(block.get("format", 1)))
            self.assertEqual(without(listed, *names), without(block, *names))
            self.assertRaises(WrongSecret, keys.unwrap, key, wrong)

    def test_sealing(self):
        for block in vectors("04-sealing"):
            for mode, sealing in MODES.items():
                if unquoted(block["name"]) == "chunk id":
                    found = sealing.chunk_id(int(block["kind"]), unquoted(block["content"]).encode())
                    self.assertEqual(found.hex(), block[mode])
                else:
                    context = {"pack": PACK_KEY, "control object": CONTROL_KEY}[unquoted(block["context"])]
                    part = (context, unhexed(block, "salt"), int(block["number"]), int(block["role"]))
                    body = sealing.open_part(*part, unhexed(block, "associated_data"), unhexed(block, mode), "part")
                    self.assertEqual(body, unquoted(block["body"]).encode())

    def test_packs(self):
        for block in vectors("05-pack"):
            chunks = [bytes.fromhex(value) for field, value in block.items() if field.startswith("chunks.")]
            for mode, sealing in MODES.items():
                data = unhexed(block, mode)
                fetch = lambda offset, length: data[offset : offset + length]
                frames = read_frame_table(sealing, int(block["kind"]), "pack", len(data), fetch)
                self.assertEqual([open_frame(sealing, f, fetch(f.offset, f.stored_len)) for f in frames], chunks)
                self.assertEqual(data[6], int(block.get("format", 1)))
                if "format" in block:
                    kinds = [int(value) for field, value in block.items() if field.startswith("chunk_kinds.")]
                    self.assertEqual([f.kind for f in frames], kinds)
                other = MODES["plain" if mode == "encrypted" else "encrypted"]
                with self.assertRaisesRegex(Damage, "encrypted in a repository that is"):
                    read_frame_table(other, int(block["kind"]), "pack", len(data), fetch)
                newer = data[:6] + b"\x04\x00\x09" + data[9:]
                with self.assertRaises(TooNew):
                    read_frame_table(sealing, int(block["kind"]), "pack", len(data), lambda at, length: newer[at : at + length])
                if len(data) < 1000:
                    for at in range(len(data)):
                        self.damaged_pack(sealing, int(block["kind"]), data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
                        self.damaged_pack(sealing, int(block["kind"]), data[:at])

    def test_packs_with_forms(self):
        for block in vectors("19-pack-with-forms"):
            sealing, data = MODES[unquoted(block["mode"])], unhexed(block, "bytes")
            fetch = lambda offset, length: data[offset : offset + length]
            run, form = read_frame_table(sealing, 1, "pack", len(data), fetch)
            self.assertEqual((run.kind, form.kind, run.run, form.run), (3, 4, None, run.chunk))
            chunks = [open_frame(sealing, f, fetch(f.offset, f.stored_len)) for f in (run, form)]
            self.assertEqual([chunk.hex() for chunk in chunks], [block["chunks.0"], block["chunks.1"]])
            whole, held = decode_run(chunks[0], "run"), decode_form(chunks[1], run.chunk, "form")
            for at in held.kept:
                self.assertEqual((whole.keys[at], whole.values[at]), (held.keys[at], held.values[at]))
            self.assertEqual((len(whole.keys), held.has(1, 1), held.has(1, 2)), (len(held.keys), True, False))

    def damaged_pack(self, sealing, kind, data):
        fetch = lambda offset, length: data[offset : offset + length]
        with self.assertRaises((Damage, TooNew)):
            for frame in read_frame_table(sealing, kind, "pack", len(data), fetch):
                open_frame(sealing, frame, fetch(frame.offset, frame.stored_len))

    def test_control_objects(self):
        chapters = ["06-index-segment", "09-manifest", "10-session", "11-doomed", "12-verification", "13-note", "18-audit"]
        blocks = [block for chapter in chapters for block in vectors(chapter) if "object_kind" in block]
        self.assertEqual({int(block["object_kind"]) for block in blocks}, set(records.CONTROL))
        envelope = ("name", "zstd", "object_kind", "format", "place", "salt", "record", "plain", "encrypted")
        for block in blocks:
            kind, place = int(block["object_kind"]), unquoted(block["place"])
            block_format = int(block.get("format", 1))
            record = records.decode(records.CONTROL[kind], unhexed(block, "record"), "record", block_format)
            listed = flat(record, "")
            # Only forms say of which run they are.
            listed = {field: value for field, value in listed.items() if value != "none" or field.rpartition(".")[2] not in ("run", "kept")}
            if kind == records.MANIFEST:
                for field in ("sorted", "origin"):
                    self.assertEqual(listed.pop(field, "none"), "none")
            self.assertEqual(without(listed, *envelope), without(block, *envelope))
            for mode, sealing in MODES.items():
                data = unhexed(block, mode)
                self.assertEqual(open_object(sealing, kind, place, data, "object"), record)
                self.assertRaises(Damage, open_object, sealing, kind, place + "x", data, "object")
                other = MODES["plain" if mode == "encrypted" else "encrypted"]
                self.assertRaises(Damage, open_object, other, kind, place, data, "object")
                self.assertEqual(data[6], block_format)
                newer = data[:6] + bytes([newest(kind) + 1]) + data[7:]
                self.assertRaises(TooNew, open_object, sealing, kind, place, newer, "object")

    def test_tables(self):
        files, seen = vectors("07-tables")
        rows = records.decode_rows(records.FILES, records.FileRow, 10, unhexed(files, "bytes"), "files")
        self.assertEqual(flat(rows, "rows"), without(files, "name", "type", "bytes"))
        rows = records.decode_rows(records.SEEN, bytes, 32, unhexed(seen, "bytes"), "seen")
        self.assertEqual(flat(rows, "rows"), without(seen, "name", "type", "bytes"))

    def test_recipes(self):
        for block in vectors("08-recipe"):
            piece = recipe.decode_recipe(unhexed(block, "bytes"), "recipe")
            self.assertEqual(flat(piece, ""), without(block, "name", "recipe_kind", "bytes"))
            self.assertIs(type(piece), recipe.KINDS[int(block.get("recipe_kind", 1))])

    def test_engines(self):
        blocks = [block for block in vectors("09-manifest") if "object_kind" not in block]
        *engines, replicas = blocks
        for block in engines:
            engine = records.decode_engine(unhexed(block, "chunk"), "engine")
            self.assertEqual(flat(engine, ""), without(block, "name", "type", "chunk"))
        rows = records.decode_rows(records.REPLICAS, records.ReplicaRow, 22, unhexed(replicas, "bytes"), "replicas")
        self.assertEqual(flat(rows, "rows"), without(replicas, "name", "type", "bytes"))


class HostileBytes(unittest.TestCase):
    """Whatever the bytes, a decoder gives a record or a clean error."""

    def decoders(self):
        for record in records.CONTROL.values():
            yield lambda data, record=record: records.decode(record, data, "fuzz")
        yield lambda data: records.decode_rows(records.FILES, records.FileRow, 10, data, "fuzz")
        yield lambda data: records.decode_rows(records.REPLICAS, records.ReplicaRow, 22, data, "fuzz")
        yield lambda data: records.decode_engine(data, "fuzz")
        yield lambda data: recipe.decode_recipe(data, "fuzz")
        yield lambda data: decode_run(data, "fuzz")
        yield lambda data: decode_form(data, data[1:33], "fuzz")
        yield lambda data: keys.decode_config(data)
        yield lambda data: keys.decode_key(data)
        yield lambda data: keys.parse_recovery(data.decode("latin-1"))
        yield lambda data: read_frame_table(PLAIN, 1, "fuzz", len(data), lambda at, length: data[at : at + length])
        for kind in records.CONTROL:
            yield lambda data, kind=kind: open_object(PLAIN, kind, "", data, "fuzz")

    def seeds(self):
        chapters = ["02-config", "03-keys", "05-pack", "06-index-segment", "07-tables", "08-recipe", "09-manifest", "13-note", "17-run"]
        for chapter in [*chapters, "18-audit", "19-sparse-run"]:
            for block in vectors(chapter):
                yield from (
                    bytes.fromhex(block[field]) for field in ("bytes", "chunk", "record", "plain") if len(block.get(field, "")) > 20
                )

    def test_mutated_vectors(self):
        draw = random.Random(1)
        for seed in self.seeds():
            for _ in range(40):
                data = bytearray(seed)
                for _ in range(draw.randrange(1, 4)):
                    data[draw.randrange(len(data))] = draw.choice([0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)])
                data = bytes(data[: draw.randrange(len(data) + 1)] if draw.randrange(4) == 0 else data)
                for decode in self.decoders():
                    try:
                        decode(data)
                    except ReaderError:
                        pass

    def test_varints_have_one_form(self):
        for bad in (b"\x80\x00", b"\xff" * 11, b"\xff" * 9 + b"\x02", b"\x80"):
            self.assertRaises(Damage, Reader(bad, "v").varint, "v")
        self.assertEqual(Reader(b"\xff" * 9 + b"\x01", "v").varint("v"), 2**64 - 1)
        self.assertEqual([Reader(bytes([n]), "v").signed("v") for n in range(4)], [0, -1, 1, -2])

    def test_a_config_keeps_to_its_bounds(self):
        good = unhexed(vectors("02-config")[0], "bytes")

        def decode(pack_target: int, level: int):
            body = good[:38] + pack_target.to_bytes(4, "little") + bytes([level]) + good[43:51]
            return keys.decode_config(body + blake3(body).digest())

        for pack_target, level in ((64 << 10, 1), (64 << 20, 22)):
            decode(pack_target, level)
        for pack_target, level in (((64 << 10) - 1, 3), ((64 << 20) + 1, 3), (1 << 20, 0), (1 << 20, 23), (1 << 20, 255)):
            self.assertRaises(Damage, decode, pack_target, level)

    def test_lists_and_pieces_keep_to_their_limits(self):
        def note(tags: int):
            return records.decode(records.Note, bytes(41) + varint(tags) + bytes(tags) + b"\x00", "note")

        def manifest(tags: int, warnings: int, hosts: int):
            texts = varint(tags) + bytes(tags) + varint(warnings) + bytes(warnings)
            return records.decode(records.Manifest, bytes(35) + texts + varint(hosts) + bytes(6 * hosts + 18), "manifest")

        def engine(families: int):
            return records.decode_engine(b"\x04" + bytes(10) + varint(families) + bytes(families + 7), "engine")

        def byte_chunks(operations: int):
            return recipe.decode_recipe(b"\x05\x01" + varint(operations) + b"\x02\x01" * operations, "recipe")

        def seen(ids: int):
            return records.decode_rows(records.SEEN, bytes, 32, b"\x03" + varint(ids) + bytes(32 * ids), "seen")

        texts, hosts, ids = 1 << 14, 1 << 16, ((4 << 20) - 4) // 32
        for decode, most in (
            (note, (texts,)), (engine, (texts,)), (byte_chunks, (1 << 14,)), (seen, (ids,)), (manifest, (texts, texts, hosts)),
        ):  # fmt: skip
            decode(*most)
            for place in range(len(most)):
                over = [count + (number == place) for number, count in enumerate(most)]
                self.assertRaises(Damage, decode, *over)
        self.assertEqual(len(manifest(0, 0, 100).hosts), 100)

    def test_a_zstd_bomb_is_refused(self):
        import zstandard

        plain = bytes(8) + bytes(100 << 20)
        body = zstandard.ZstdCompressor(write_content_size=False).compress(plain)
        head = b"ESKER\x0e\x01\x00\x00\x01" + (100).to_bytes(4, "little") + bytes(32)
        self.assertRaises(Damage, open_object, PLAIN, records.NOTE, "", seal(PLAIN, CONTROL_KEY, bytes(32), 0, 0, head, body, head), "bomb")


# A writer, for tests only: just enough to make repositories that an honest writer would not.


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def blob(value: bytes) -> bytes:
    return varint(len(value)) + value


def counted(items) -> bytes:
    return varint(len(items)) + b"".join(items)


def seal(sealing, context, salt, number, role, aad, body, before=b"") -> bytes:
    if sealing.master is None:
        key = derive_key(CHECKSUM_KEY, salt)
        sealed = body + blake3(nonce(number, role) + len(aad).to_bytes(8, "little") + aad + body, key=key).digest(16)
    else:
        sealed = AESGCM(derive_key(context, sealing.master + salt)).encrypt(nonce(number, role), body, aad)
    return before + sealed


class Writer:
    """One host, one backup, from rows given as they are. `format` is that of its packs, segments and manifest."""

    def __init__(self, root: Path, sealing: Sealing):
        self.root, self.sealing, self.salt = root, sealing, 0
        self.format = 1
        self.chunks = {1: [], 2: []}

    def put(self, path: str, data: bytes) -> None:
        where = self.root / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(data)

    def named(self, folder: str, kind: int, record: bytes) -> bytes:
        self.salt += 1
        salt = bytes([self.salt]) * 32
        head = b"ESKER" + bytes([kind, self.format, 0, self.sealing.mode, 0]) + len(record).to_bytes(4, "little") + salt
        data = seal(self.sealing, CONTROL_KEY, salt, 0, 0, head, record, head)
        name = blake3(data).digest()
        self.put(f"{folder}/{name.hex()}", data)
        return name

    def chunk(self, kind: int, content: bytes) -> bytes:
        self.chunks[2 if kind == records.TABLE else 1].append((kind, content))
        return self.sealing.chunk_id(kind, content)

    def segment(self, pack_format: int, pack_kind: int = 2) -> None:
        """Names the pack of this kind; its frames are as `packs` writes them."""
        (path,) = (self.root / "packs" / ("data", "meta")[pack_kind - 1]).glob("*/*")
        frames = [self.entry(*chunk) for chunk in self.chunks[pack_kind]]
        name = bytes.fromhex(path.parent.name) + bytes.fromhex(path.name)
        pack = bytes([pack_kind]) + name + pack_format.to_bytes(2, "little") + bytes([0xF0 + pack_kind]) * 32 + counted(frames)
        self.named("index", records.INDEX_SEGMENT, b"\x00" + counted([pack]))

    def entry(self, kind: int, content: bytes) -> bytes:
        return bytes([kind, 0]) + self.sealing.chunk_id(kind, content) + varint(len(content) + 16) + varint(len(content))

    def packs(self) -> None:
        for pack_kind, folder in ((1, "data"), (2, "meta")):
            salt, frames, table = bytes([0xF0 + pack_kind]) * 32, b"", []
            head = b"ESKER" + bytes([2 + pack_kind, self.format, 0, self.sealing.mode]) + salt
            for number, (kind, content) in enumerate(self.chunks[pack_kind]):
                last = number == len(self.chunks[pack_kind]) - 1
                lengths = (len(content) + 16).to_bytes(4, "little") + len(content).to_bytes(4, "little")
                aad = head + number.to_bytes(4, "little") + bytes([kind, 0]) + lengths + bytes([last])
                frames += seal(self.sealing, PACK_KEY, salt, number, 0, aad, content)
                table.append(self.entry(kind, content))
            plain = counted(table)
            tail = (len(plain) + 16).to_bytes(4, "little") + len(table).to_bytes(4, "little") + b"ESKERend"
            data = head + frames + seal(self.sealing, PACK_KEY, salt, 0, 1, head + tail, plain) + tail
            self.put(f"packs/{folder}/{'1' * 32}/{blake3(data).hexdigest()}", data)

    def table(self, rows: list[bytes]) -> bytes:
        pieces = [self.chunk(2, b"\x01" + counted([row])) for row in rows]
        return varint(len(rows)) + counted(pieces)

    def file(self, path: bytes, content: bytes, size=None, digest=None, role=0, operations=None, pieces=None, chunks=None) -> bytes:
        """A row; `pieces`, each behind its type byte, and `chunks` instead of `operations`."""
        if operations is None:
            operations = [b"\x03" + blob(content)] if content else []
        if pieces is None:
            pieces = [b"\x01" + counted([operation]) for operation in operations]
            chunks = sum(operation[0] == recipe.CHUNK for operation in operations)
        pieces = [self.chunk(2, b"\x05" + piece) for piece in pieces]
        size = len(content) if size is None else size
        body = varint(size) + (digest or blake3(content).digest()) + bytes([role]) + b"\x01\x00" + varint(chunks) + counted(pieces)
        return self.row(path, 1, body)

    @staticmethod
    def row(path: bytes, node: int, body: bytes = b"", mode: int = 0o755) -> bytes:
        return blob(path) + varint(mode) + b"\x00\x00" + b"\x02" + bytes(4) + bytes([node]) + body

    def engine(self, folder: bytes, rows: list[bytes], size: int) -> bytes:
        record = b"\x04\x00" + blob(b"d") + blob(folder) + self.table(rows) + b"\x00\x00" + b"\x00\x00\x00\x00" + bytes(4)
        return self.chunk(2, record + b"\x00" + varint(len(rows)) + varint(size))

    def backup(self, rows: list[bytes], files: int, size: int, engines=(), host=b"h") -> None:
        hosts = [blob(host) + self.table(rows) + counted(engines) + varint(files) + varint(size)]
        record = blob(b"hand-made") + blob(b"c") + b"\x01" * 16 + bytes(16) + blob(b"test") + b"\x00\x00" + counted(hosts)
        record += b"\x00\x00" + b"\x00" * 4 + varint(files) + varint(size) + bytes(10)
        if self.format == 2:
            record += bytes(6)
        self.packs()
        self.named("manifests", records.MANIFEST, record)


def columns(width: int, rows: list) -> bytes:
    return varint(len(rows)) + b"".join(blob(b"".join(varint(row[at]) for row in rows)) for at in range(width))


class HandMadeTable:
    """A run of four entries, and the pieces of a table over it: a block, zeros, bytes, and an index over the block."""

    DICTIONARY, KEPT = b"the words of a dictionary, " * 9, b"kept as they are"
    KEYS = [b"apple", b"apple", b"apple pie", b"b"]
    OWN = 77 << 8 | 1

    def __init__(self, w: Writer, **changes):
        """The changes: `order` and `timestamp_size` of the run, `start` of the copy, `encoder`, `kept_length`, `hash`, `offset`,
        `filter_keys`, `numbers` of the index."""
        self.w, self.changes = w, changes
        order, size = changes.get("order", 0), changes.get("timestamp_size", 0)
        self.run = w.chunk(records.RUN, bytes([order, size]) + self.run_columns() + bytes(4 * size))
        value = b"a value of the words of a dictionary"
        sequences = [5, 0, self.OWN >> 8]
        rows = [(key + (number << 8 | 1).to_bytes(8, "little"), value) for key, number in zip(self.KEYS[1:], sequences)]
        form = recipe.BlockForm(4, 0x0401_0001, 16, 0, True, False, False)
        payload = encoder(form.encoder, self.DICTIONARY)(build_block(form, rows))
        assert len(payload) < sum(len(value) for _, value in rows)
        self.blocks = payload + block_trailer(4, 0, 0, payload, 4) + bytes(100) + self.KEPT
        handle = b"\x00" + varint(len(payload))
        index = b"\x00\x01" + varint(len(handle)) + b"b" + handle + bytes(4) + (1).to_bytes(4, "little")
        self.rest = b"end" + index + block_trailer(4, 0, len(self.blocks) + 3, index, 0)

    def run_columns(self) -> bytes:
        values = [b"", *[b"a value of the words of a dictionary"] * 3]
        lengths = (bytes([0, 5, 5, 0]), bytes([5, 0, 4, 1]), b"apple pieb", bytes(map(len, values)), b"".join(values))
        return b"\x04" + b"".join(map(blob, lengths)) + b"\x01" * 4 + b"\x04\x01" + bytes([0, 1, 2, 3])

    def use(self, content: bytes, length=None) -> bytes:
        return self.w.chunk(1, content) + varint(len(content) if length is None else length)

    def head(self, data: bytes, offset: int) -> bytes:
        return varint(len(data)) + self.changes.get("hash", blake3(data).digest()) + varint(offset)

    def blocks_piece(self) -> bytes:
        form = b"\x04" + self.changes.get("encoder", 0x0401_0001).to_bytes(4, "little") + b"\x10\x00\x01"
        kept = self.use(self.KEPT, self.changes.get("kept_length"))
        lists = counted([self.use(self.DICTIONARY)]) + counted([form]) + counted([self.run + b"\x00" + blob(self.KEYS[1])]) + counted([kept])
        blocks = columns(2, [(2, 3), (1, 100), (0, self.changes.get("kept_length", len(self.KEPT)))])
        copies, trailers = columns(3, [(0, 2 * self.changes.get("start", 1), 3)]), columns(2, [(0, 1), (1, 1), (2, 1)])
        own = b"\x01\x01" + varint(self.OWN >> 8) + b"\x00"
        return b"\x02" + self.head(self.blocks, 0) + b"\x00\x00" + b"\x04" + bytes(4) + lists + blocks + copies + trailers + own

    def rest_piece(self) -> bytes:
        numbers = self.changes.get("numbers", [0, 1, 0x100, 1, 0, 0])
        parts = [b"\x03" + blob(b"end"), b"\x04\x03" + counted([varint(number) for number in numbers])]
        offset = self.changes.get("offset", len(self.blocks))
        keys = b"\x01" + varint(self.changes.get("filter_keys", 0))
        return b"\x03" + self.head(self.rest, offset) + b"\x04" + bytes(4) + keys + counted(parts)

    def backup(self, pieces=None) -> None:
        content = self.blocks + self.rest
        pieces = pieces or [self.blocks_piece(), self.rest_piece()]
        self.w.backup([self.w.row(b"", 2), self.w.file(b"a.sst", content, pieces=pieces, chunks=3)], 1, len(content))


class Repositories(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = Path(self.folder.name)
        self.repo, self.out = self.root / "repo", self.root / "out"

    def run_reader(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = esker_reader.main([str(argument) for argument in arguments])
        return code, out.getvalue(), err.getvalue()

    def golden(self, number: int) -> dict:
        block = vectors("repository")[number]
        for field, value in block.items():
            if field.startswith("object."):
                path = self.repo / field.removeprefix("object.")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(bytes.fromhex(value))
        (self.root / "passphrase").write_text(unquoted(block["passphrase"]) + "\n")
        return block

    def secret(self, number: int) -> list:
        return ["--passphrase-file", self.root / "passphrase"] if number else []

    def test_golden_repositories_come_back_whole(self):
        for number in (0, 1):
            with self.subTest(number), tempfile.TemporaryDirectory() as folder:
                self.repo, self.out = Path(folder) / "repo", Path(folder) / "out"
                block = self.golden(number)
                code, out, err = self.run_reader("list", self.repo, *self.secret(number))
                self.assertEqual((code, err), (0, ""))
                self.assertRegex(out, "golden .*db-1, db-2.* 5 files .* valid held new")
                code, out, err = self.run_reader("restore", self.repo, "golden", self.out, *self.secret(number))
                self.assertEqual((code, err), (0, ""))
                self.check_restored(block)
                code, out, err = self.run_reader("verify", self.repo, *self.secret(number))
                self.assertEqual((code, out, err), (0, "1 backups, 5 files read, 0 faults\n", ""))
                code, _, err = self.run_reader("restore", self.repo, "golden", self.out, *self.secret(number))
                self.assertEqual((code, err.count("\n")), (1, 1))

    def check_restored(self, block: dict):
        expected = {}
        for field, value in block.items():
            node, _, path = field.partition(".")
            if node in ("file", "folder", "link"):
                expected[bytes.fromhex(path)] = (node, bytes.fromhex(value))
        root, found = os.fsencode(self.out), {}
        for folder, folders, files in os.walk(root):
            for path in [folder] + [os.path.join(folder, name) for name in folders + files]:
                if os.path.islink(path):
                    found[path[len(root) + 1 :]] = ("link", os.readlink(path))
                elif os.path.isdir(path):
                    found[path[len(root) + 1 :]] = ("folder", (os.stat(path).st_mode & 0o7777).to_bytes(2, "big"))
                else:
                    found[path[len(root) + 1 :]] = ("file", Path(os.fsdecode(path)).read_bytes())
        found.pop(b"")
        self.assertEqual(found, expected)
        sst = os.stat(root + b"/db-1/data/engine/000001.sst")
        self.assertEqual((sst.st_mode & 0o7777, sst.st_mtime_ns), (0o600, 1_000_000_000 * 10**9 + 5))
        self.assertLess(sst.st_blocks * 512, sst.st_size, "the hole was filled")
        self.assertEqual(os.stat(root + b"/db-1/data").st_mtime_ns, 1_000_000_001 * 10**9 + 6)

    def test_a_wrong_passphrase_is_one_line(self):
        self.golden(1)
        (self.root / "wrong").write_text("not it\n")
        for arguments in (["--passphrase-file", self.root / "wrong"], []):
            code, out, err = self.run_reader("list", self.repo, *arguments)
            self.assertEqual((code, out, err.count("\n")), (1, "", 1))
        (self.root / "wrong").write_text("ESKER-0000\n")
        code, _, err = self.run_reader("list", self.repo, "--recovery-key-file", self.root / "wrong")
        self.assertEqual((code, err.count("\n")), (1, 1))

    def test_a_plain_repository_is_refused_to_who_has_a_passphrase(self):
        self.golden(0)
        self.assertEqual(self.run_reader("list", self.repo, *self.secret(1))[0], 1)

    def test_the_second_config_serves_when_the_first_is_damaged(self):
        self.golden(1)
        (self.repo / "config").write_bytes(b"ESKER")
        code, out, err = self.run_reader("verify", self.repo, *self.secret(1))
        self.assertEqual((code, out), (0, "1 backups, 5 files read, 0 faults\n"))
        self.assertIn("config", err)

    def test_another_config_than_the_keys_is_refused(self):
        self.golden(1)
        config = bytearray((self.repo / "config").read_bytes())
        config[43] ^= 1
        config[51:] = blake3(bytes(config[:51])).digest()
        for name in ("config", "config.copy"):
            (self.repo / name).write_bytes(config)
        self.assertEqual(self.run_reader("list", self.repo, *self.secret(1))[0], 3)

    def test_every_lost_or_flipped_object_is_found_or_not_needed(self):
        for number in (0, 1):
            self.repo = self.root / str(number)
            block = self.golden(number)
            paths = [field.removeprefix("object.") for field in block if field.startswith("object.")]
            for path in paths:
                self.golden(number)
                data = bytearray((self.repo / path).read_bytes())
                data[len(data) // 2] ^= 0x10
                (self.repo / path).write_bytes(data)
                code, _, err = self.run_reader("verify", self.repo, *self.secret(number))
                self.assertTrue(err, path)
                allowed = (0,) if path.startswith("config") else (1, 3) if path.startswith("keys/") else (3,)
                self.assertIn(code, allowed, path)
                (self.repo / path).unlink()
                code = self.run_reader("verify", self.repo, *self.secret(number))[0]
                needed = path.startswith(("packs/", "keys/"))
                self.assertEqual(code != 0, needed, path)

    def test_unknown_objects_are_left_alone(self):
        self.golden(0)
        for path in ("new/thing", "manifests/README", f"manifests/{'A' * 64}", f"sessions/{'1' * 32}/beat-7", "packs/data/x/y"):
            (self.repo / path).parent.mkdir(parents=True, exist_ok=True)
            (self.repo / path).write_bytes(b"?")
        self.assertEqual(self.run_reader("verify", self.repo)[::2], (0, ""))

    # Repositories made by hand.

    def hand_made(self, make) -> tuple:
        block = vectors("02-config")[1]
        writer = Writer(self.repo, PLAIN)
        for name in ("config", "config.copy"):
            writer.put(name, unhexed(block, "bytes"))
        make(writer)
        return self.run_reader("restore", self.repo, "hand-made", self.out)

    def refused(self, make, why: str):
        code, _, err = self.hand_made(make)
        self.assertEqual(code, 3, err)
        self.assertIn(why, err)
        self.assertFalse(self.out.exists(), "something was written")

    def test_a_hand_made_repository_restores(self):
        def make(w: Writer):
            data = os.urandom(3000)
            chunk = b"\x01" + w.chunk(1, data) + varint(3000)
            big = w.file(b"big", data + bytes(9000) + data, operations=[chunk, b"\x02" + varint(9000), chunk])
            engine = w.engine(b"e", [w.file(b"CURRENT", b"MANIFEST-1\n", role=6)], 11)
            w.backup([w.row(b"", 2), w.row(b"e", 2), big], 2, 15011, [engine])

        self.assertEqual(self.hand_made(make)[::2], (0, ""))
        self.assertEqual((self.out / "h/e/CURRENT").read_bytes(), b"MANIFEST-1\n")
        self.assertEqual((self.out / "h/big").stat().st_size, 15000)
        self.assertEqual(self.run_reader("verify", self.repo)[0], 0)

    def test_a_segment_names_the_format_of_its_packs(self):
        for pack_format, heard in ((1, ""), (3, ""), (0, "format is 0")):
            with self.subTest(pack_format):
                self.repo, self.out = self.root / f"repo {pack_format}", self.root / f"out {pack_format}"

                def make(w: Writer):
                    w.backup([w.row(b"", 2), w.file(b"a", b"x")], 1, 1)
                    w.segment(pack_format)

                code, _, err = self.hand_made(make)
                self.assertEqual(code, 0, err)
                self.assertIn(heard, err)
                self.assertEqual((self.out / "h/a").read_bytes(), b"x")

    def test_a_pack_of_a_newer_format_is_named_as_such(self):
        def make(w: Writer):
            w.backup([w.row(b"", 2), w.file(b"a", b"x")], 1, 1)
            (path,) = (self.repo / "packs/meta").glob("*/*")
            data = path.read_bytes()
            data = data[:6] + b"\x03" + data[7:]
            path.unlink()
            (path.parent / blake3(data).hexdigest()).write_bytes(data)
            w.segment(3)

        code, _, err = self.hand_made(make)
        self.assertEqual(code, 3, err)
        self.assertIn("written in format 3, this reader knows up to 2", err)

    def test_a_repository_of_format_2_restores(self):
        def make(w: Writer):
            w.format = 2
            w.chunk(records.RUN, b"entries")
            chunk = b"\x01" + w.chunk(1, b"bytes") + varint(5)
            w.backup([w.row(b"", 2), w.file(b"a", b"bytes", operations=[chunk])], 1, 5)
            w.segment(2, 1)

        self.assertEqual(self.hand_made(make)[::2], (0, ""))
        self.assertEqual((self.out / "h/a").read_bytes(), b"bytes")
        repo = Repository(self.repo, None, self.fail)
        self.assertEqual(repo.chunk(records.RUN, PLAIN.chunk_id(records.RUN, b"entries")), b"entries")
        self.assertEqual(find(repo, "hand-made", self.fail).manifest.sorted, records.SortedTotals(0, 0, 0, 0, 0, []))
        self.assertEqual(self.run_reader("verify", self.repo)[0], 0)

    def table(self, make=lambda table: table.backup(), **changes) -> tuple:
        """Restores a table that is made by hand."""

        def write(w: Writer):
            w.format = 2
            self.made = HandMadeTable(w, **changes)
            make(self.made)

        self.repo, self.out = (self.root / f"{name} {len(list(self.root.iterdir()))}" for name in ("repo", "out"))
        return self.hand_made(write)

    def test_a_table_is_rebuilt_from_its_runs(self):
        self.assertEqual(self.table()[::2], (0, ""))
        self.assertEqual((self.out / "h/a.sst").read_bytes(), self.made.blocks + self.made.rest)
        self.assertEqual(self.run_reader("verify", self.repo)[::2], (0, ""))

    def test_a_table_whose_recipe_does_not_fit(self):
        blocks, rest, literal = HandMadeTable.blocks_piece, HandMadeTable.rest_piece, b"\x01" + counted([b"\x03" + blob(b"x")])
        for why, changes in (
            ("a piece does not make the bytes", {"hash": bytes(32)}),
            ("out of order", {"order": 1}),
            ("another order, or with other timestamps", {"timestamp_size": 8}),
            ("beyond the end of a run", {"start": 2}),
            ("of another length", {"kept_length": 15}),
            ("a piece at 5 where", {"offset": 5}),
            ("keys of an unknown kind", {"filter_keys": 3}),
            ("data blocks that are not there", {"numbers": [0, 2, 0x100, 1, 0, 0]}),
            ("the form of an index is none", {"numbers": [0, 1, 0x2000, 1, 0, 0]}),
            ("no description", {"numbers": [0, 1]}),
            ("the shape of a filter is none", {"make": self.as_filter}),
            ("a table without an end", {"make": lambda table: table.backup([blocks(table)])}),
            ("do not belong together", {"make": lambda table: table.backup([rest(table), blocks(table)]), "offset": 0}),
            ("do not belong together", {"make": lambda table: table.backup([blocks(table), literal, rest(table)])}),
        ):
            with self.subTest(why):
                code, _, err = self.table(**changes)
                self.assertEqual(code, 3, err)
                self.assertIn(why, err)

    @staticmethod
    def as_filter(table: HandMadeTable) -> None:
        """A filter where the piece says that nothing is hashed."""
        rest = table.rest_piece().replace(b"\x04\x03", b"\x04\x01", 1)
        table.backup([table.blocks_piece(), rest])

    def test_a_table_that_needs_an_unknown_encoder(self):
        code, _, err = self.table(encoder=0x0499_0001)
        self.assertEqual((code, "encoder 0x04990001 is not to be had" in err), (1, True), err)
        self.assertEqual(self.run_reader("list", self.repo)[0], 0)
        self.assertEqual(self.run_reader("verify", self.repo)[0], 1)

    def test_a_run_in_a_pack_of_format_1(self):
        def make(w: Writer):
            w.chunk(records.RUN, b"entries")
            w.backup([w.row(b"", 2), w.file(b"a", b"x")], 1, 1)

        _, _, err = self.hand_made(make)
        self.assertIn("a chunk of a kind that does not belong there", err)
        self.assertEqual(self.run_reader("verify", self.repo)[0], 3)

    def test_a_segment_that_names_a_run_and_format_1(self):
        for number, (segment_format, pack_format) in enumerate(((2, 1), (1, 2))):
            with self.subTest(number):
                self.repo, self.out = self.root / f"repo {number}", self.root / f"out {number}"

                def make(w: Writer):
                    w.format = 2
                    w.chunk(records.RUN, b"entries")
                    w.backup([w.row(b"", 2), w.file(b"a", b"x")], 1, 1)
                    w.format = segment_format
                    w.segment(pack_format, 1)

                # The pack counts as named by no segment, and its own table serves.
                code, _, err = self.hand_made(make)
                self.assertEqual(code, 0, err)
                self.assertIn("does not belong into this kind of pack", err)
                repo = Repository(self.repo, None, lambda _: None)
                self.assertEqual(repo.chunk(records.RUN, PLAIN.chunk_id(records.RUN, b"entries")), b"entries")
                self.assertEqual(self.run_reader("verify", self.repo)[0], 3)

    def test_a_path_that_leaves_its_folder(self):
        for number, path in enumerate([b"../x", b"/x", b"a/../../x", b"a//x", b"x\0"]):
            self.repo = self.root / str(number)
            self.refused(lambda w: w.backup([w.row(b"", 2), w.file(path, b"x")], 1, 1), "not a path")

    def test_a_file_below_a_link(self):
        def make(w: Writer):
            w.backup([w.row(b"", 2), w.row(b"a", 3, blob(b"/tmp")), w.file(b"a/x", b"x")], 1, 1)

        self.refused(make, "no folder")

    def test_a_path_that_stands_twice(self):
        def make(w: Writer):
            engine = w.engine(b"", [w.file(b"a", b"x")], 1)
            w.backup([w.row(b"", 2), w.row(b"a", 3, blob(b"/tmp/x"))], 1, 1, [engine])

        self.refused(make, "twice")

    def test_a_host_name_that_is_a_path(self):
        for number, name in enumerate([b"..", b"../x", b"", b"a/b", b"a\0", b"x" * 256]):
            self.repo = self.root / str(number)
            self.refused(lambda w: w.backup([w.row(b"", 2)], 0, 0, host=name), "not a name")

    def test_a_recipe_of_another_length(self):
        self.refused(lambda w: w.backup([w.row(b"", 2), w.file(b"a", b"x", size=1 << 50)], 1, 1 << 50), "recipe of 1 bytes")

    def test_a_file_that_is_not_its_hash(self):
        code, _, err = self.hand_made(lambda w: w.backup([w.row(b"", 2), w.file(b"a", b"x", digest=bytes(32))], 1, 1))
        self.assertEqual(code, 3, err)

    def test_a_chunk_that_is_nowhere(self):
        operation = b"\x01" + bytes(32) + b"\x01"
        code, _, err = self.hand_made(lambda w: w.backup([w.row(b"", 2), w.file(b"a", b"x", operations=[operation])], 1, 1))
        self.assertEqual((code, "in no pack" in err), (3, True))

    def test_counts_that_lie(self):
        self.refused(lambda w: w.backup([w.row(b"", 2), w.file(b"a", b"x")], 2, 1), "promised")

    def test_a_chunk_that_moved_meanwhile_is_found(self):
        self.golden(0)
        repo = Repository(self.repo, None, self.fail)
        backup = find(repo, "golden", self.fail)
        repo.chunk(records.TABLE, backup.manifest.hosts[0].tree.pieces[0])
        session = next((self.repo / "packs/data").iterdir())
        session.rename(session.parent / ("f" * 32))
        plan = plan_host(repo, backup.manifest.hosts[0])
        for row in plan.files:
            read_file(repo, row)

    def test_text_for_terminals_is_escaped(self):
        def make(w: Writer):
            w.backup([w.row(b"", 2)], 0, 0, host=b"\x1b[2Jevil\n")

        self.hand_made(make)
        self.assertNotIn("\x1b", self.run_reader("list", self.repo)[1])


if __name__ == "__main__":
    unittest.main()
