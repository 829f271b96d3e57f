"""Reads everything a repository holds and says what is wrong with it."""

from .backup import backups, check_host_names, plan_host, table_rows
from .errors import Damage, MissingEncoder, TooNew
from .records import REPLICAS, SEEN, TABLE, ReplicaRow, decode_engine
from .repository import HASH, HASH_NAMED, Repository
from .restore import read_file


def verify(repo: Repository, found) -> tuple[int, int]:
    """Reads every object and every file of every backup; tells `found` of each fault. Backups and files read."""
    for folder in HASH_NAMED:
        if folder not in ("manifests", "notes"):
            for name in repo.names(folder, HASH):
                _guard(found, repo.control, folder, name)
    for path, kind in repo.placed_paths():
        _guard(found, repo.placed, path, kind)
    for kind, path in repo.packs():
        _guard(found, _check_pack, repo, kind, path)
    known, files = backups(repo, found), 0
    for backup in known:
        for host in backup.manifest.hosts:
            files += _guard(found, _check_host, repo, host, found) or 0
        _guard(found, _check_manifest, repo, backup.manifest)
    return len(known), files


def _guard(found, check, *arguments):
    try:
        return check(*arguments)
    except (Damage, MissingEncoder, TooNew) as error:
        found(error)
        return None


def _check_pack(repo: Repository, kind: int, path: str) -> None:
    if repo.hash_of(path) != path.rpartition("/")[2]:
        raise Damage(f"{path}: its bytes are not those it is named by")
    repo.frames(kind, path)


def _check_manifest(repo: Repository, manifest) -> None:
    check_host_names(manifest)
    for _ in table_rows(repo, manifest.seen, SEEN, bytes, 32, "seen manifests"):
        pass
    sums = (sum(host.files for host in manifest.hosts), sum(host.bytes for host in manifest.hosts))
    if sums != (manifest.totals.files, manifest.totals.bytes):
        raise Damage(f"backup {manifest.label!r}: totals are not the sums over its hosts")


def _check_host(repo: Repository, host, found) -> int:
    plan = plan_host(repo, host)
    for engine_id in host.engines:
        engine = decode_engine(repo.chunk(TABLE, engine_id), f"host {host.name!r}: engine")
        for _ in table_rows(repo, engine.replicas, REPLICAS, ReplicaRow, 22, f"engine {engine.folder!r}: replicas"):
            pass
    for row in plan.files:
        _guard(found, read_file, repo, row)
    return len(plan.files)
