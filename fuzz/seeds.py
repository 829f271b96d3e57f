"""Writes the golden vectors as seeds: seeds.py VECTORS CORPUS makes CORPUS/<target>/<seed>."""

import hashlib
import sys
from pathlib import Path

RECORDS = {5: "index_segment", 6: "manifest", 7: "session", 8: "session", 9: "session", 10: "session"}
RECORDS |= {11: "doomed", 12: "doomed", 13: "verification", 14: "note", 15: "audit"}
BYTES = {"02-config": "config", "03-keys": "key_object", "07-tables": "file_table", "08-recipe": "recipe", "09-manifest": "engine"}
BYTES |= {"17-run": "run", "19-sparse-run": "sparse_run", "19-pack-with-forms": "pack"}


def targets(chapter: str, block: dict):
    """The target of each field that is a seed."""
    if chapter in BYTES:
        encoding = block.get("chunk", block.get("bytes"))
        if encoding and "object_kind" not in block:
            yield BYTES[chapter], bytes.fromhex(encoding)
    if "printed" in block:
        yield "recovery_key", block["printed"].strip('"').encode()
    if "object_kind" in block:
        yield RECORDS[int(block["object_kind"])], bytes.fromhex(block["record"])
        yield "sealed_object", bytes.fromhex(block["plain"])
    if chapter == "14-table-blocks":
        yield "sst_data_block", bytes.fromhex(block["bytes"])[:-5]
    if chapter == "05-pack":
        yield "pack", bytes.fromhex(block["plain"])


def main(vectors: Path, corpus: Path) -> None:
    for file in vectors.glob("[0-9]*.txt"):
        for text in file.read_text("utf-8").split("\n\n"):
            lines = [line for line in text.split("\n") if line and not line.startswith("#")]
            if not lines:
                continue
            for target, seed in targets(file.stem, dict(line.split(" = ", 1) for line in lines)):
                folder = corpus / target
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"golden-{hashlib.sha256(seed).hexdigest()[:16]}").write_bytes(seed)
    # Whole tables.
    folder = corpus / "merge"
    folder.mkdir(parents=True, exist_ok=True)
    for table in Path(__file__).parent.parent.glob("crates/esker-sst/tests/golden/*.sst"):
        (folder / table.stem).write_bytes(table.read_bytes())


main(Path(sys.argv[1]), Path(sys.argv[2]))
