#!/usr/bin/env python3
"""Reads Esker repositories on a local path: list, restore, verify, audit. Written from format-spec/ alone.

Exit codes: 0 done, 1 cannot do it (wrong passphrase, no such backup, written by a newer version), 2 usage, 3 damage.
"""

import argparse
import sys
from datetime import UTC, datetime, timedelta

from esker import keys
from esker.audit import EVENTS, audit
from esker.backup import backups, find
from esker.encoders import is_missing
from esker.errors import Damage, ReaderError
from esker.repository import Repository
from esker.restore import restore
from esker.verify import verify


def shown(text) -> str:
    """Text from a repository, safe for a terminal."""
    return "".join(char if char.isprintable() else f"\\u{{{ord(char):x}}}" for char in str(text))


def say(text) -> None:
    print(shown(text), file=sys.stderr)


def time_of(ms: int) -> str:
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).strftime("%Y-%m-%d %H:%M:%S")
    except OverflowError:
        return f"{ms} ms"


def secret_of(options) -> keys.Secret | None:
    path = options.passphrase_file or options.recovery_key_file
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            data = file.read(1 << 16)
    except OSError as error:
        raise ReaderError(f"{path}: {error.strerror}") from None
    return keys.passphrase(data) if options.passphrase_file else keys.parse_recovery(data.decode("latin-1"))


def run_list(repo: Repository, options) -> int:
    faults = []
    for backup in backups(repo, faults.append):
        manifest = backup.manifest
        states = [backup.state] + ["held"] * backup.held + backup.tags
        files, size = sum(host.files for host in manifest.hosts), sum(host.bytes for host in manifest.hosts)
        hosts = ", ".join(host.name for host in manifest.hosts)
        print(shown(f"{backup.id[:16]}  {time_of(manifest.finished_ms)}  {manifest.label}  {manifest.cluster}  [{hosts}]  "
                    f"{files} files  {size} bytes  {' '.join(states)}"))  # fmt: skip
    for fault in faults:
        say(fault)
    return faults[0].exit_code if faults else 0


def run_restore(repo: Repository, options) -> int:
    backup = find(repo, options.backup, say)
    if missing := list(filter(None, map(is_missing, backup.manifest.encoders))):
        raise ReaderError("; ".join(missing))
    restore(repo, backup.manifest, options.target, options.owners)
    print(shown(f"restored {backup.manifest.label} into {options.target}"))
    return 0


def run_verify(repo: Repository, options) -> int:
    faults = []

    def found(fault):
        faults.append(fault)
        say(fault)

    count, files = verify(repo, found)
    print(f"{count} backups, {files} files read, {len(faults)} faults")
    return max((fault.exit_code for fault in faults), default=0)


def run_audit(repo: Repository, options) -> int:
    faults = []

    def found(fault):
        faults.append(fault)
        say(fault)

    for name, record, worth in audit(repo, found):
        event = EVENTS[record.event - 1] + " (intended)" * record.intended
        what = ", ".join(f"{item.label} ({item.id.hex()[:8]})" for item in record.objects[:3])
        print(shown(f"{time_of(record.at_ms)}  {record.user}@{record.host}  {event}  {what}  {name.hex()[:8]}  {worth}"))
    return max((fault.exit_code for fault in faults), default=0)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="esker_reader.py", description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, run, text in [
        ("list", run_list, "the backups"),
        ("restore", run_restore, "one backup, whole, into TARGET/<host>"),
        ("verify", run_verify, "read all backups"),
        ("audit", run_audit, "what was done to the repository, proved"),
    ]:
        verb = verbs.add_parser(name, help=text)
        verb.set_defaults(run=run)
        verb.add_argument("repo", metavar="REPO")
        if name == "restore":
            verb.add_argument("backup", metavar="BACKUP", help="label, id, or the first eight or more digits of the id")
            verb.add_argument("target", metavar="TARGET")
            verb.add_argument("--owners", action="store_true", help="set owners and groups as well")
        secret = verb.add_mutually_exclusive_group()
        secret.add_argument("--passphrase-file", metavar="F")
        secret.add_argument("--recovery-key-file", metavar="F")
    return parser


def main(argv=None) -> int:
    options = arguments().parse_args(argv)
    try:
        return options.run(Repository(options.repo, secret_of(options), say), options)
    except Damage as error:
        say(f"damage: {error}")
        return error.exit_code
    except ReaderError as error:
        say(error)
        return error.exit_code
    except (MemoryError, RecursionError):
        say("damage: an object needs more memory than there is")
        return 3
    except OSError as error:
        say(f"failed: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    sys.exit(main())
