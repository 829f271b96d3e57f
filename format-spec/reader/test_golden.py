#!/usr/bin/env python3
"""Restores what the real Esker wrote: the repositories of ../golden, and one written afresh if there is a binary."""

import io
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"
sys.path[:0] = [str(HERE), str(GOLDEN)]

import esker_reader
from esker import encoders
from esker.backup import backups, plan_host, recipe
from esker.recipe import TableBlocks, TableRest
from esker.records import SPARSE_RUN
from esker.repository import Repository
from esker.table_rest import FILTER_OF_BLOCKS, FILTER_TOP, INDEX, INDEX_TOP
from listing import listing

SECRETS = GOLDEN / "secrets"
WAYS = [
    ("plain", []),
    ("encrypted", ["--passphrase-file", SECRETS / "passphrase.txt"]),
    ("encrypted", ["--passphrase-file", SECRETS / "second-passphrase.txt"]),
    ("encrypted", ["--recovery-key-file", SECRETS / "recovery-key.txt"]),
]
SORTED_WAYS = [("sorted-plain", []), ("sorted-encrypted", ["--passphrase-file", SECRETS / "passphrase.txt"])]
SPARSE_WAYS = [("sparse-plain", []), ("sparse-encrypted", ["--passphrase-file", SECRETS / "passphrase.txt"])]
IS_ROOT = os.geteuid() == 0


def run_reader(*arguments) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = esker_reader.main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


def comparable(lines: list[str]) -> list[str]:
    """The lines as this user can restore them: nobody but root gives files away."""
    return lines if IS_ROOT else [" ".join(line.split(" ")[:2] + line.split(" ")[3:]) for line in lines]


class Folders(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def restore(self, repo: Path, backup: str, secret: list) -> list[str]:
        """Restores into `out` and gives its listing."""
        target = self.root / "out"
        shutil.rmtree(target, ignore_errors=True)
        code, _, err = run_reader("restore", repo, backup, target, *secret, *["--owners"] * IS_ROOT)
        self.assertEqual((code, err), (0, ""))
        return comparable(listing(str(target)))

    def expected(self, folder: Path) -> dict[str, list[str]]:
        return {file.stem: comparable(file.read_text("ascii").splitlines()) for file in sorted(folder.glob("*.txt"))}

    def each_way(self, check, ways=WAYS):
        for name, secret in ways:
            with self.subTest(repository=name, secret=[getattr(part, "name", part) for part in secret]):
                check(GOLDEN / name, secret)


class GoldenRepositories(Folders):
    def test_every_backup_comes_back_by_every_secret(self):
        expected = self.expected(GOLDEN / "expected")
        self.assertEqual(list(expected), ["day00", "day02", "day03"])

        def check(repo: Path, secret: list):
            for backup, lines in expected.items():
                self.assertEqual(self.restore(repo, backup, secret), lines)
                sparse = os.stat(self.root / "out/host0/odd/sparse")
                self.assertLess(sparse.st_blocks * 512, sparse.st_size, "the holes were filled")

        self.each_way(check)

    def test_what_people_decided_is_listed(self):
        def check(repo: Path, secret: list):
            code, out, err = run_reader("list", repo, *secret)
            self.assertEqual((code, err), (0, ""))
            first, *others = out.splitlines()
            self.assertRegex(first, r" day00 .*\[host0, host1, host2\].* valid held day0 kept$")
            self.assertEqual([line.rpartition("  ")[2] for line in others], ["valid day2", "valid day3"])

        self.each_way(check)

    def test_every_object_is_read_and_found_whole(self):
        def check(repo: Path, secret: list):
            code, out, err = run_reader("verify", repo, *secret)
            self.assertEqual((code, err), (0, ""))
            self.assertRegex(out, r"^3 backups, \d+ files read, 0 faults$")
            for folder in ("forgotten", "notes", "verified"):
                self.assertTrue(any((repo / folder).iterdir()), folder)

        self.each_way(check)

    def test_another_passphrase_is_refused(self):
        wrong = self.root / "wrong"
        wrong.write_text("Golden\n")
        self.assertEqual(run_reader("list", GOLDEN / "encrypted", "--passphrase-file", wrong)[0], 1)


class GoldenSortedRuns(Folders):
    """Repositories of format 2: tables as entries, by RocksDB 7.8 and 11.8, with all checksums and compressions."""

    def all_come_back(self, expected: dict, ways):
        """Each of three backups is restored as expected, in each of these ways, and verified."""

        def check(repo: Path, secret: list):
            for backup, lines in expected.items():
                self.assertEqual(self.restore(repo, backup, secret), lines)
            code, out, err = run_reader("verify", repo, *secret)
            self.assertEqual((code, err), (0, ""))
            self.assertRegex(out, r"^3 backups, \d+ files read, 0 faults$")

        self.each_way(check, ways)

    def test_every_table_is_rebuilt_byte_for_byte(self):
        expected = self.expected(GOLDEN / "expected/sorted")
        self.assertEqual(list(expected), ["day00", "day01", "day02"])

        self.all_come_back(expected, SORTED_WAYS)

    def test_runs_that_stand_as_sparse_forms_alone_are_read(self):
        expected = self.expected(GOLDEN / "expected/sparse")
        self.assertEqual(list(expected), ["day18", "day19", "day20"])

        self.all_come_back(expected, SPARSE_WAYS)
        repo = Repository(str(GOLDEN / "sparse-plain"), None, self.fail)
        kinds = {frame.kind for kind, path in repo.packs() for frame in repo.frames(kind, path)}
        self.assertIn(SPARSE_RUN, kinds)

    def test_the_backups_are_of_sorted_runs_and_name_their_encoders(self):
        repo = Repository(str(GOLDEN / "sorted-plain"), None, self.fail)
        sources, kinds = set(), set()
        for backup in backups(repo, self.fail):
            self.assertEqual({number >> 24 for number in backup.manifest.encoders}, {1, 4, 7})
            self.assertEqual(backup.manifest.sorted.fallbacks, [])
            used = {0}
            for host in backup.manifest.hosts:
                for row in plan_host(repo, host).files:
                    for piece in recipe(repo, row):
                        if isinstance(piece, TableBlocks):
                            sources |= {row.source for row in piece.trailers}
                            used |= {form.encoder for form in piece.forms}
                        if isinstance(piece, TableRest):
                            kinds |= {part.kind for part in piece.parts}
                            used |= {part.numbers[-1] for part in piece.parts if part.kind in (INDEX, INDEX_TOP, FILTER_TOP)}
            self.assertEqual({0, *backup.manifest.encoders}, used)
        # Trailers of all sources; blocks of all kinds but filters of keys, and bytes.
        self.assertEqual((sources, kinds), ({0, 1, 2}, {FILTER_OF_BLOCKS, INDEX, INDEX_TOP, FILTER_TOP, None}))

    def test_a_backup_whose_encoder_is_missing_is_not_begun(self):
        with unittest.mock.patch.object(encoders, "SNAPPY", {}):
            target = self.root / "out"
            code, _, err = run_reader("restore", GOLDEN / "sorted-plain", "day00", target)
            self.assertEqual((code, target.exists()), (1, False))
            self.assertRegex(err, "encoder 0x010[9a]0001 is not to be had")
            self.assertEqual(run_reader("verify", GOLDEN / "sorted-plain")[0], 1)
            self.assertEqual(run_reader("list", GOLDEN / "sorted-plain")[0], 0)


def binary() -> Path:
    return Path(os.environ.get("ESKER_BINARY") or Path.home() / ".cache/esker/target/release/esker")


@unittest.skipUnless(os.access(binary(), os.X_OK), f"no esker at {binary()}: build it or set ESKER_BINARY")
class FreshRepositories(Folders):
    """What the esker at hand writes today is read as well."""

    def esker(self, repo: Path, *arguments, codes=(0,)):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ESKER_")}
        environment |= {"ESKER_REPO": str(repo), "ESKER_CACHE_DIR": str(self.root / "cache"), "ESKER_TEST_CHEAP_KEYS": "1"}
        command = [str(argument) for argument in (binary(), "--quiet", *arguments)]
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        self.assertIn(done.returncode, codes, done.stderr)

    def host(self, folder: Path, day: int):
        (folder / "a b/empty").mkdir(parents=True, exist_ok=True)
        (folder / "zero-length").touch()
        (folder / f"new\nline {day}").write_bytes(os.urandom(50_000))
        (folder / "kept").write_bytes(bytes(range(256)) * 400)
        with open(folder / "sparse", "wb") as file:
            file.seek(1 << 20)
            file.write(b"end")
        if day == 0:
            (folder / "a b/link").symlink_to("../nowhere")
        os.utime(folder / "a b/empty", ns=(5, -1_500_000_001))

    def test_a_repository_written_now_comes_back(self):
        (self.root / "passphrase").write_text("fresh\n")
        (self.root / "passphrase").chmod(0o600)
        for mode, secret in (("plain", []), ("encrypted", ["--passphrase-file", self.root / "passphrase"])):
            with self.subTest(mode):
                repo = self.root / mode
                self.esker(repo, *secret, "init", *([] if secret else ["--no-encryption"]))
                for day in (0, 1):
                    hosts = self.root / f"hosts {mode}"
                    for name in ("one", "two"):
                        self.host(hosts / name, day)
                    # Engines, with tables of many kinds.
                    self.restore(GOLDEN / "sorted-plain", f"day0{day}", [])
                    for name in ("host0", "host2"):
                        shutil.rmtree(hosts / name, ignore_errors=True)
                        (self.root / "out" / name).rename(hosts / name)
                    sources = [part for name in ("one", "two", "host0", "host2") for part in ("--host", f"{name}={hosts / name}")]
                    # 4: done, with the warning that there is no engine in these folders.
                    self.esker(repo, *secret, "backup", *sources, "--label", f"day {day}", codes=(0, 4))
                    lines = comparable(listing(str(hosts)))
                    self.assertEqual(self.restore(repo, f"day {day}", secret), lines)
                code, out, err = run_reader("verify", repo, *secret)
                self.assertEqual((code, err), (0, ""))
                self.audit(repo, secret)

    def audit(self, repo: Path, secret: list):
        """The log is read and proved, and a record that is taken out is missed."""
        code, out, err = run_reader("audit", repo, *secret)
        self.assertEqual((code, err), (0, ""))
        proof = "signed" if secret else "unsigned"
        events = [line.split("  ")[2] for line in out.splitlines()]
        self.assertEqual(events, ["init", "backup", "backup"])
        self.assertTrue(all(line.endswith(f"  {proof}") for line in out.splitlines()), out)
        second = out.splitlines()[1].split("  ")[-2]
        next((repo / "audit").glob(f"{second}*")).unlink()
        code, out, err = run_reader("audit", repo, *secret)
        self.assertEqual(code, 3)
        self.assertRegex(err, f"audit/{second}[0-9a-f]+: missing")


if __name__ == "__main__":
    unittest.main()
