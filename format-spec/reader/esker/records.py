"""Records of chapters 06 to 13 and 18: what stands in control objects and in table pieces."""

from dataclasses import dataclass

from . import limits
from .errors import Damage
from .wire import Reader

# Object kinds (chapter 01).
CONFIG, KEY, DATA_PACK, META_PACK, INDEX_SEGMENT, MANIFEST = range(1, 7)
SESSION_OPEN, SESSION_BEAT, SESSION_END, FENCE, DOOMED, FORGOTTEN, VERIFICATION, NOTE, AUDIT = range(7, 16)
# Chunk kinds (chapter 04).
BYTES, TABLE, RUN, SPARSE_RUN = 1, 2, 3, 4
# Table types (chapter 07).
FILES, REPLICAS, SEEN, ENGINE, RECIPE = range(1, 6)
# Nodes and the one role that a reader must know (chapter 07).
FILE, FOLDER, LINK = 1, 2, 3
ROLE_CURRENT = 6


def chunk_kinds(pack_kind: int, pack_format: int) -> tuple:
    """The kinds of chunk that a data (1) or metadata (2) pack of this format may hold (chapter 05)."""
    if pack_kind == 2:
        return (TABLE,)
    return (BYTES, RUN, SPARSE_RUN)[:pack_format]


@dataclass
class FrameEntry:
    kind: int
    codec: int
    chunk: bytes
    stored_len: int
    plain_len: int
    run: bytes | None = None
    kept: int | None = None

    @classmethod
    def read(cls, r: Reader):
        entry = cls(
            r.one_of("chunk kind", (BYTES, TABLE, RUN, SPARSE_RUN)),
            r.one_of("codec", (0, 1)),
            r.raw(32, "chunk id"),
            r.varint("stored length", limits.CHUNK_PLAIN_MAX + limits.FRAME_OVERHEAD_MAX),
            r.varint("plain length", limits.CHUNK_PLAIN_MAX),
        )
        if entry.stored_len < 16:
            raise r.damage("stored length", "is below that of a tag")
        if entry.kind == SPARSE_RUN:
            entry.run, entry.kept = r.raw(32, "run"), r.varint("kept entries", limits.RUN_ENTRIES_MAX)
            if entry.kept == 0:
                raise r.damage("kept entries", "are none")
        return entry

    @staticmethod
    def read_list(r: Reader) -> list:
        return r.items("frames", 36, lambda: FrameEntry.read(r), limits.PACK_FRAMES_MAX)


@dataclass
class IndexedPack:
    kind: int
    session: bytes
    id: bytes
    format: int
    salt: bytes
    frames: list

    @classmethod
    def read(cls, r: Reader):
        kind, session, name = r.one_of("pack kind", (1, 2)), r.raw(16, "session"), r.raw(32, "pack id")
        pack = cls(kind, session, name, r.u16("format"), r.raw(32, "salt"), FrameEntry.read_list(r))
        if pack.format == 0:
            raise r.damage("format", "is 0")
        kinds = chunk_kinds(kind, min(pack.format, r.format))
        if any(entry.kind not in kinds for entry in pack.frames):
            raise r.damage("chunk kind", "does not belong into this kind of pack")
        if 57 + sum(entry.stored_len for entry in pack.frames) > limits.PACK_MAX:
            raise r.damage("frames", "make a pack over its limit")
        return pack


@dataclass
class IndexSegment:
    replaces: list
    packs: list

    @classmethod
    def read(cls, r: Reader):
        return cls(r.ids("replaced segments"), r.items("packs", 84, lambda: IndexedPack.read(r)))


@dataclass
class TableRef:
    rows: int
    pieces: list

    @classmethod
    def read(cls, r: Reader):
        return cls(r.varint("rows"), r.ids("pieces", limits.TABLE_PIECES_MAX))


@dataclass
class Identity:
    unique_id: bytes
    tail_offset: int
    tail_hash: bytes

    @classmethod
    def read(cls, r: Reader, size: int):
        return cls(r.raw(24, "unique id"), r.varint("tail offset", size), r.raw(32, "tail hash"))


@dataclass
class FileContent:
    size: int
    hash: bytes
    role: int
    inode: int
    identity: Identity | None
    chunks: int
    recipe: list

    @classmethod
    def read(cls, r: Reader):
        size = r.varint("file size", limits.FILE_MAX)
        return cls(
            size,
            r.raw(32, "file hash"),
            r.one_of("file role", range(7)),
            r.varint("inode"),
            r.option("identity", lambda: Identity.read(r, size)),
            r.varint("chunks"),
            r.ids("recipe pieces", limits.RECIPE_PIECES_MAX),
        )


@dataclass
class FileRow:
    path: bytes
    mode: int
    uid: int
    gid: int
    mtime_s: int
    mtime_ns: int
    node: int
    content: FileContent | None = None
    target: bytes | None = None

    @classmethod
    def read(cls, r: Reader):
        row = cls(
            read_path(r, "path"),
            r.varint("mode", 0o7777),
            r.varint("uid", 2**32 - 1),
            r.varint("gid", 2**32 - 1),
            r.signed("mtime"),
            r.u32("mtime nanoseconds"),
            r.one_of("node", (FILE, FOLDER, LINK)),
        )
        if row.mtime_ns > 999_999_999:
            raise r.damage("mtime nanoseconds", f"are {row.mtime_ns}")
        if row.node == FILE:
            row.content = FileContent.read(r)
        if row.node == LINK:
            row.target = r.blob("link target", limits.LINK_TARGET_MAX)
        return row


def read_path(r: Reader, field: str) -> bytes:
    """A path that stays below the folder it is joined to."""
    path = r.blob(field, limits.PATH_MAX)
    parts = path.split(b"/") if path else []
    if b"\0" in path or any(part in (b"", b".", b"..") or len(part) > limits.COMPONENT_MAX for part in parts):
        raise r.damage(field, f"{path!r} is not a path below its folder")
    return path


@dataclass
class ReplicaRow:
    partition: int
    commit_id: int
    commit_term: int
    cut: int | None
    wal_last_id: int | None

    @classmethod
    def read(cls, r: Reader):
        return cls(
            r.u32("partition"),
            r.u64("commit id"),
            r.u64("commit term"),
            r.option("cut", lambda: r.u64("cut")),
            r.option("last WAL id", lambda: r.u64("last WAL id")),
        )


@dataclass
class EngineRecord:
    space: str | None
    data_path: str
    folder: bytes
    files: TableRef
    replicas: TableRef
    scheme: int
    comparator: str | None
    merge_operator: str | None
    column_families: list
    format_version_max: int
    database_id: str | None
    file_count: int
    bytes: int

    @classmethod
    def read(cls, r: Reader):
        return cls(
            r.option("space", lambda: r.text("space", limits.NAME_MAX)),
            r.text("data path", limits.PATH_MAX),
            read_path(r, "folder"),
            TableRef.read(r),
            TableRef.read(r),
            r.one_of("partition scheme", (0, 1)),
            r.option("comparator", lambda: r.text("comparator", limits.TEXT_MAX)),
            r.option("merge operator", lambda: r.text("merge operator", limits.TEXT_MAX)),
            r.items("column families", 1, lambda: r.text("column family", limits.TEXT_MAX), limits.TEXTS_MAX),
            r.u32("format version"),
            r.option("database id", lambda: r.text("database id", limits.TEXT_MAX)),
            r.varint("file count"),
            r.varint("bytes"),
        )


@dataclass
class HostRecord:
    name: str
    tree: TableRef
    engines: list
    files: int
    bytes: int

    @classmethod
    def read(cls, r: Reader):
        name = r.text("host", limits.NAME_MAX)
        return cls(name, TableRef.read(r), r.ids("engines"), r.varint("files"), r.varint("bytes"))


@dataclass
class Totals:
    files: int
    bytes: int
    chunks: int
    reused_files: int
    reused_bytes: int
    read_bytes: int
    new_chunks: int
    new_bytes: int
    stored_data: int
    stored_meta: int
    left_out_files: int
    left_out_bytes: int

    @classmethod
    def read(cls, r: Reader):
        return cls(*(r.varint(field) for field in cls.__dataclass_fields__))


@dataclass
class Fallback:
    reason: str
    files: int
    bytes: int

    @classmethod
    def read(cls, r: Reader):
        return cls(r.text("reason", limits.NAME_MAX), r.varint("files"), r.varint("bytes"))


@dataclass
class SortedTotals:
    files: int
    bytes: int
    copied_bytes: int
    literal_bytes: int
    kept_bytes: int
    fallbacks: list

    @classmethod
    def read(cls, r: Reader):
        sums = [r.varint(field) for field in list(cls.__dataclass_fields__)[:-1]]
        return cls(*sums, r.items("fallbacks", 3, lambda: Fallback.read(r), limits.TEXTS_MAX))


@dataclass
class Origin:
    """The backup that a copy is of."""

    repository: bytes
    manifest: bytes

    @classmethod
    def read(cls, r: Reader):
        return cls(r.raw(16, "repository of the origin"), r.raw(32, "origin"))


@dataclass
class Manifest:
    label: str
    cluster: str
    session: bytes
    started_ms: int
    finished_ms: int
    written_by: str
    tags: list
    warnings: list
    hosts: list
    seen: TableRef
    keys: list
    segments: list
    packs: list
    encoders: list
    totals: Totals
    sorted: SortedTotals | None
    origin: Origin | None

    @classmethod
    def read(cls, r: Reader):
        return cls(
            r.text("label", limits.NAME_MAX),
            r.text("cluster", limits.NAME_MAX),
            r.raw(16, "session"),
            r.u64("started"),
            r.u64("finished"),
            r.text("written by", limits.NAME_MAX),
            r.items("tags", 1, lambda: r.text("tag", limits.NAME_MAX), limits.TEXTS_MAX),
            r.items("warnings", 1, lambda: r.text("warning", limits.TEXT_MAX), limits.TEXTS_MAX),
            r.items("hosts", 6, lambda: HostRecord.read(r), limits.HOSTS_MAX),
            TableRef.read(r),
            r.ids("keys"),
            r.ids("segments"),
            r.ids("packs"),
            r.items("encoders", 4, lambda: r.u32("encoder")),
            Totals.read(r),
            cls._sorted(r),
            Origin.read(r) if r.format >= 3 else None,
        )

    @staticmethod
    def _sorted(r: Reader) -> SortedTotals | None:
        if r.format == 1:
            return None
        return SortedTotals.read(r) if r.format == 2 else r.option("sorted", lambda: SortedTotals.read(r))


@dataclass
class SessionOpen:
    job: str
    host: str
    process: int
    written_by: str
    started_ms: int

    @classmethod
    def read(cls, r: Reader):
        job, host = r.text("job", limits.NAME_MAX), r.text("host", limits.NAME_MAX)
        return cls(job, host, r.u32("process"), r.text("written by", limits.NAME_MAX), r.u64("started"))


@dataclass
class SessionBeat:
    at_ms: int

    @classmethod
    def read(cls, r: Reader):
        return cls(r.u64("time"))


@dataclass
class SessionEnd:
    at_ms: int
    beats: int
    manifest: bytes | None

    @classmethod
    def read(cls, r: Reader):
        return cls(r.u64("time"), r.u32("beats"), r.option("manifest", lambda: r.raw(32, "manifest")))


@dataclass
class Fence:
    by: bytes
    at_ms: int

    @classmethod
    def read(cls, r: Reader):
        return cls(r.raw(16, "session"), r.u64("time"))


@dataclass
class DoomedList:
    session: bytes
    at_ms: int
    packs: list

    @classmethod
    def read(cls, r: Reader):
        return cls(r.raw(16, "session"), r.u64("time"), r.ids("packs"))


@dataclass
class ForgottenObject:
    id: bytes
    label: str

    @classmethod
    def read(cls, r: Reader):
        return cls(r.raw(32, "object"), r.text("label", limits.NAME_MAX))


@dataclass
class Forgotten:
    session: bytes
    at_ms: int
    kind: int
    objects: list
    reason: str

    @classmethod
    def read(cls, r: Reader):
        return cls(
            r.raw(16, "session"),
            r.u64("time"),
            r.one_of("forgotten kind", (1, 2) if r.format < 2 else (1, 2, 3)),
            r.items("objects", 33, lambda: ForgottenObject.read(r)),
            r.text("reason", limits.TEXT_MAX),
        )


@dataclass
class Verdict:
    manifest: bytes
    level: int
    complete: bool
    findings: int

    @classmethod
    def read(cls, r: Reader):
        return cls(r.raw(32, "manifest"), r.one_of("level", range(1, 6)), r.flag("complete"), r.varint("findings"))


@dataclass
class Loss:
    manifest: bytes
    files: int
    bytes: int

    @classmethod
    def read(cls, r: Reader):
        return cls(r.raw(32, "manifest"), r.varint("files"), r.varint("bytes"))


@dataclass
class Verification:
    at_ms: int
    written_by: str
    backups: list
    packs: list
    losses: list

    @classmethod
    def read(cls, r: Reader):
        at_ms, written_by = r.u64("time"), r.text("written by", limits.NAME_MAX)
        backups, packs = r.items("backups", 35, lambda: Verdict.read(r)), r.ids("packs")
        losses = r.items("losses", 34, lambda: Loss.read(r)) if r.format >= 2 else []
        if r.format >= 2 and not losses:
            raise r.damage("losses", "are none")
        return cls(at_ms, written_by, backups, packs, losses)


@dataclass
class Note:
    manifest: bytes
    at_ms: int
    hold: bool
    tags: list
    supersedes: list

    @classmethod
    def read(cls, r: Reader):
        return cls(
            r.raw(32, "manifest"),
            r.u64("time"),
            r.flag("hold"),
            r.items("tags", 1, lambda: r.text("tag", limits.NAME_MAX), limits.TEXTS_MAX),
            r.ids("supersedes"),
        )


@dataclass
class KeyFact:
    id: bytes
    public: bytes | None

    @classmethod
    def read(cls, r: Reader):
        return cls(r.raw(32, "key"), r.option("public key", lambda: r.raw(32, "public key")))


@dataclass
class AuditRecord:
    repository: bytes
    heads: list
    at_ms: int
    user: str
    host: str
    written_by: str
    session: bytes | None
    key: bytes | None
    event: int
    intended: bool
    keys: list
    objects: list
    count: int
    bytes: int
    detail: str
    signature: bytes | None

    @classmethod
    def read(cls, r: Reader):
        repository, heads = r.raw(16, "repository"), r.ids("heads", limits.AUDIT_HEADS_MAX)
        if any(first >= second for first, second in zip(heads, heads[1:])):
            raise r.damage("heads", "do not ascend")
        at_ms, *names = r.u64("time"), *(r.text(name, limits.NAME_MAX) for name in ("user", "host", "written by"))
        session, key = r.option("session", lambda: r.raw(16, "session")), r.option("key", lambda: r.raw(32, "key"))
        event, intended = r.one_of("event", range(1, 13)), r.flag("intended")
        keys, objects = r.items("keys", 33, lambda: KeyFact.read(r)), r.items("objects", 33, lambda: ForgottenObject.read(r))
        count, size, detail = r.varint("count"), r.varint("bytes"), r.text("detail", limits.TEXT_MAX)
        signed = r.data[: r.at]
        signature = r.option("signature", lambda: r.raw(64, "signature"))
        record = cls(repository, heads, at_ms, *names, session, key, event, intended, keys, objects, count, size, detail, signature)
        record.signed = signed
        return record


# The record in each kind of control object.
CONTROL = {
    INDEX_SEGMENT: IndexSegment,
    MANIFEST: Manifest,
    SESSION_OPEN: SessionOpen,
    SESSION_BEAT: SessionBeat,
    SESSION_END: SessionEnd,
    FENCE: Fence,
    DOOMED: DoomedList,
    FORGOTTEN: Forgotten,
    VERIFICATION: Verification,
    NOTE: Note,
    AUDIT: AuditRecord,
}


def decode(record, data: bytes, what: str, format: int = 1):
    """The record that these bytes, in an object of this format, hold, all of them."""
    reader = Reader(data, what, format)
    value = record.read(reader)
    reader.finish()
    return value


def decode_rows(table: int, record, item_min: int, data: bytes, what: str) -> list:
    """The rows of a piece of table type `table`."""
    reader = typed_piece(table, data, what)
    if record is bytes:
        rows = reader.ids("rows")
    else:
        rows = reader.items("rows", item_min, lambda: record.read(reader))
    reader.finish()
    return rows


def decode_engine(data: bytes, what: str) -> EngineRecord:
    reader = typed_piece(ENGINE, data, what)
    engine = EngineRecord.read(reader)
    reader.finish()
    return engine


def typed_piece(table: int, data: bytes, what: str) -> Reader:
    """A reader behind the type byte of a piece of table type `table`."""
    reader = Reader(data, what)
    if len(data) > limits.TABLE_PIECE_MAX:
        raise Damage(f"{what}: a piece of {len(data)} bytes, over the limit of {limits.TABLE_PIECE_MAX}")
    if reader.u8("table type") != table:
        raise Damage(f"{what}: not a piece of table type {table}")
    return reader
