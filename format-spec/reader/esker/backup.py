"""Backups: which there are, and what is in one (chapters 07 to 10 and 13)."""

from dataclasses import dataclass, field

from . import limits
from .errors import Damage, ReaderError, TooNew
from .rebuild import chunk_of, facts_for, table_piece
from .recipe import HOLE, LITERAL, ByteChunks, decode_recipe, in_order
from .records import FILE, FILES, FOLDER, TABLE, FileRow, Manifest, decode_engine, decode_rows
from .repository import HASH, SESSION, Repository


@dataclass
class Backup:
    id: str
    manifest: Manifest
    state: str
    held: bool
    tags: list


@dataclass
class HostPlan:
    """What one host holds, every rule over its rows checked."""

    name: str
    folders: list = field(default_factory=list)
    files: list = field(default_factory=list)
    links: list = field(default_factory=list)
    stored_bytes: int = 0


def backups(repo: Repository, warn) -> list[Backup]:
    """Every backup whose manifest can be read, oldest first; `warn` is told of the others."""
    fences, notes, found = set(repo.names("fences", SESSION)), _notes(repo, warn), []
    for name in repo.names("manifests", HASH):
        try:
            manifest = repo.control("manifests", name)
        except (Damage, TooNew) as error:
            warn(error)
            continue
        standing = _standing(notes, bytes.fromhex(name))
        tags = sorted({tag for note in standing for tag in note.tags}) if standing else manifest.tags
        state = "undecided" if manifest.session.hex() in fences else "valid"
        found.append(Backup(name, manifest, state, any(note.hold for note in standing), tags))
    return sorted(found, key=lambda backup: (backup.manifest.finished_ms, backup.id))


def _notes(repo: Repository, warn) -> dict:
    notes = {}
    for name in repo.names("notes", HASH):
        try:
            notes[bytes.fromhex(name)] = repo.control("notes", name)
        except (Damage, TooNew) as error:
            warn(error)
    return notes


def _standing(notes: dict, manifest: bytes) -> list:
    of_backup = {name: note for name, note in notes.items() if note.manifest == manifest}
    superseded = {name for note in of_backup.values() for name in note.supersedes}
    return [note for name, note in of_backup.items() if name not in superseded]


def find(repo: Repository, wanted: str, warn) -> Backup:
    """The backup with this label, id, or beginning of an id (eight digits or more)."""
    known = backups(repo, warn)
    chosen = [backup for backup in known if backup.id == wanted or backup.manifest.label == wanted]
    if not chosen and len(wanted) >= 8:
        chosen = [backup for backup in known if backup.id.startswith(wanted)]
    if len(chosen) != 1:
        raise ReaderError(f"{len(chosen)} backups are called {wanted!r}" + ("; give the id" if chosen else ""))
    return chosen[0]


def table_rows(repo: Repository, ref, table: int, record, item_min: int, what: str):
    """The rows of a table, piece by piece."""
    count = 0
    for number, piece in enumerate(ref.pieces):
        rows = decode_rows(table, record, item_min, repo.chunk(TABLE, piece), f"{what}, piece {number}")
        count += len(rows)
        yield from rows
    if count != ref.rows:
        raise Damage(f"{what}: {count} rows where {ref.rows} are promised")


def recipe(repo: Repository, row: FileRow):
    """The pieces of a file's recipe, one after the other."""
    what = f"recipe of {row.path!r}"
    return in_order((decode_recipe(repo.chunk(TABLE, piece), what) for piece in row.content.recipe), what)


def content(repo: Repository, row: FileRow):
    """The file in steps: bytes, or a number for a hole of that length."""
    what = f"recipe of {row.path!r}"
    last = decode_recipe(repo.chunk(TABLE, row.content.recipe[-1]), what) if row.content.recipe else None
    facts = facts_for(last)
    for piece in recipe(repo, row):
        if not isinstance(piece, ByteChunks):
            yield from table_piece(repo, piece, facts, what)
            continue
        for operation in piece.operations:
            if operation.kind == HOLE:
                yield operation.length
            elif operation.kind == LITERAL:
                yield operation.literal
            else:
                yield chunk_of(repo, operation, what)


def check_host_names(manifest: Manifest) -> None:
    """Host names must do as names of folders that stand side by side."""
    names = [host.name for host in manifest.hosts]
    for name in names:
        if name in ("", ".", "..") or "/" in name or "\0" in name or len(name.encode()) > limits.COMPONENT_MAX:
            raise Damage(f"host {name!r}: not a name that a folder can have")
    if len(set(names)) != len(names):
        raise Damage("two hosts of the backup have one name")


def plan_host(repo: Repository, host) -> HostPlan:
    """Reads all tables of a host and checks rules T1 to T3, sums, and the length of every recipe."""
    plan, nodes = HostPlan(host.name), {}
    what = f"host {host.name!r}"
    for row in table_rows(repo, host.tree, FILES, FileRow, 10, f"{what}: tree"):
        _add(plan, nodes, row)
    engine_folders = set()
    for engine_id in host.engines:
        engine = decode_engine(repo.chunk(TABLE, engine_id), f"{what}: engine")
        label = f"{what}: engine {engine.folder!r}"
        if nodes.get(engine.folder) != FOLDER or engine.folder in engine_folders:
            raise Damage(f"{label}: its folder is no folder of the tree, or another engine's")
        engine_folders.add(engine.folder)
        count, size = 0, 0
        for row in table_rows(repo, engine.files, FILES, FileRow, 10, f"{label}: files"):
            if row.node != FILE or not row.path:
                raise Damage(f"{label}: {row.path!r} is not a file")
            if engine.folder:
                row.path = engine.folder + b"/" + row.path
            _add(plan, nodes, row)
            count, size = count + 1, size + row.content.size
        if (count, size) != (engine.file_count, engine.bytes):
            raise Damage(f"{label}: {count} files of {size} bytes where {engine.file_count} of {engine.bytes} are promised")
    _check_tree(what, plan, nodes)
    total = sum(row.content.size for row in plan.files)
    if (len(plan.files), total) != (host.files, host.bytes):
        raise Damage(f"{what}: {len(plan.files)} files of {total} bytes where {host.files} of {host.bytes} are promised")
    for row in plan.files:
        plan.stored_bytes += _check_recipe(repo, row)
    return plan


def _add(plan: HostPlan, nodes: dict, row: FileRow) -> None:
    if row.path in nodes:
        raise Damage(f"host {plan.name!r}: {row.path!r} stands there twice")
    nodes[row.path] = row.node
    {FILE: plan.files, FOLDER: plan.folders}.get(row.node, plan.links).append(row)


def _check_tree(what: str, plan: HostPlan, nodes: dict) -> None:
    if nodes and nodes.get(b"") != FOLDER:
        raise Damage(f"{what}: its root is no folder")
    for path in nodes:
        if path and nodes.get(path.rpartition(b"/")[0]) != FOLDER:
            raise Damage(f"{what}: {path!r} stands in what is no folder")
    plan.folders.sort(key=lambda row: row.path.count(b"/") + bool(row.path))


def _check_recipe(repo: Repository, row: FileRow) -> int:
    """Bytes that the file takes without its holes."""
    total = holes = chunks = 0
    for piece in recipe(repo, row):
        total, holes, chunks = total + piece.length, holes + piece.hole_bytes, chunks + len(piece.chunks())
    if total != row.content.size:
        raise Damage(f"{row.path!r}: a recipe of {total} bytes for a file of {row.content.size}")
    if chunks != row.content.chunks:
        raise Damage(f"{row.path!r}: a recipe of {chunks} chunks for a file of {row.content.chunks}")
    return total - holes
