"""Writes a backup below a folder, or reads it to see that it could be written (README: how a restore puts files down)."""

import os
import shutil

from blake3 import blake3

from .backup import check_host_names, content, plan_host
from .errors import Damage, ReaderError
from .records import ROLE_CURRENT, FileRow, Manifest
from .repository import Repository

ZEROS = bytes(1 << 20)


def read_file(repo: Repository, row: FileRow, write=lambda data: None, skip=lambda length: None) -> None:
    """Runs a file's recipe and compares its hash."""
    hasher = blake3()
    for step in content(repo, row):
        if isinstance(step, int):
            skip(step)
            for start in range(0, step, len(ZEROS)):
                hasher.update(ZEROS[: min(len(ZEROS), step - start)])
        else:
            write(step)
            hasher.update(step)
    if hasher.digest() != row.content.hash:
        raise Damage(f"{row.path!r}: the rebuilt file does not have its hash")


def restore(repo: Repository, manifest: Manifest, target: str, owners: bool) -> None:
    """Restores every host into `target/<host>`, none of which may be there."""
    check_host_names(manifest)
    plans = [plan_host(repo, host) for host in manifest.hosts]
    os.makedirs(target, exist_ok=True)
    roots = [os.path.join(os.fsencode(target), os.fsencode(plan.name)) for plan in plans]
    for root in roots:
        if os.path.lexists(root):
            raise ReaderError(f"{os.fsdecode(root)} is there already")
    needed, free = sum(plan.stored_bytes for plan in plans), shutil.disk_usage(target).free
    if needed > free:
        raise ReaderError(f"the backup needs {needed} bytes, {target} has {free}")
    for root, plan in zip(roots, plans):
        os.mkdir(root, 0o700)
        for row in plan.folders:
            if row.path:
                os.mkdir(_join(root, row.path), 0o700)
        for row in plan.files:
            if row.content.role != ROLE_CURRENT:
                _write_file(repo, row, _join(root, row.path), owners)
        for row in plan.links:
            path = _join(root, row.path)
            os.symlink(row.target, path)
            _stamp(path, row, owners)
    for root, plan in zip(roots, plans):
        for row in plan.files:
            if row.content.role == ROLE_CURRENT:
                path = _join(root, row.path)
                part = os.path.join(os.path.dirname(path), b".esker-" + os.urandom(8).hex().encode())
                _write_file(repo, row, part, owners)
                os.rename(part, path)
        for row in reversed(plan.folders):
            path = _join(root, row.path)
            _stamp(path, row, owners)
            _sync_folder(path)
    _sync_folder(os.fsencode(target))


def _join(root: bytes, path: bytes) -> bytes:
    return root + b"/" + path if path else root


def _write_file(repo: Repository, row: FileRow, path: bytes, owners: bool) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb", buffering=0) as file:
        read_file(repo, row, lambda data: _write_all(file, data), lambda length: file.seek(length, os.SEEK_CUR))
        file.truncate(row.content.size)
        _stamp(path, row, owners)
        os.fsync(file.fileno())


def _write_all(file, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _stamp(path: bytes, row: FileRow, owners: bool) -> None:
    """Owner, mode and time; nothing is followed, and links have no mode of their own."""
    if owners:
        os.chown(path, row.uid, row.gid, follow_symlinks=False)
    if row.target is None:
        os.chmod(path, row.mode)
    time_ns = row.mtime_s * 10**9 + row.mtime_ns
    try:
        os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)
    except (OverflowError, OSError) as error:
        raise Damage(f"{row.path!r}: its time cannot be set: {error}") from None


def _sync_folder(path: bytes) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
