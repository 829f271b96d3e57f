//! Manifests: one backup each; creating it is the commit (format-spec chapter 9).

use crate::error::Result;
use crate::formats::{COPIES, FIRST, SORTED_RUNS};
use crate::ids::{ChunkId, ObjectId, RepositoryId, SessionId};
use crate::limits::{HOSTS_MAX, NAME_MAX, TEXT_MAX, TEXTS_MAX};
use crate::sorted_totals::SortedTotals;
use crate::table::TableRef;
use crate::wire::{Reader, Record, Writer};

/// One backup. Its id is the hash of the sealed object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The backup's name, not necessarily unique.
    pub label: String,
    /// The cluster it is of.
    pub cluster: String,
    /// The session that wrote it.
    pub session: SessionId,
    /// When the job began, milliseconds since 1970 by the writer's clock.
    pub started_ms: u64,
    /// When the manifest was made.
    pub finished_ms: u64,
    /// The program that wrote it, with its version.
    pub written_by: String,
    /// Free words for retention and search.
    pub tags: Vec<String>,
    /// Named warnings of the job.
    pub warnings: Vec<String>,
    /// The hosts.
    pub hosts: Vec<HostRecord>,
    /// Manifests that stood in the repository when the job began.
    pub seen: TableRef,
    /// Key objects that stood there.
    pub keys: Vec<ObjectId>,
    /// Index segments that this job wrote.
    pub segments: Vec<ObjectId>,
    /// Packs that this job wrote.
    pub packs: Vec<ObjectId>,
    /// Encoders that its recipes rely on; none for byte chunks.
    pub encoders: Vec<u32>,
    /// What the job counted.
    pub totals: Totals,
    /// What its sorted runs came to. With it the manifest is of the format that may reach runs and recipes over them, also
    /// where they come from an earlier backup; without it, of the first format, which reaches none.
    pub sorted: Option<SortedTotals>,
    /// The backup that this one is a copy of.
    pub origin: Option<Origin>,
}

/// A backup as it was made: what all copies of it have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The repository that it was made in.
    pub repository: RepositoryId,
    /// Its manifest there.
    pub manifest: ObjectId,
}

/// One host of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRecord {
    /// Its name.
    pub name: String,
    /// Everything below its folder that belongs to no engine, and all folders.
    pub tree: TableRef,
    /// Its engines, each an `EngineRecord`.
    pub engines: Vec<ChunkId>,
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Sums over a backup, from acknowledged writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// References to chunks of bytes in their recipes.
    pub chunks: u64,
    /// Files that kept their recipe unread.
    pub reused_files: u64,
    /// Their bytes.
    pub reused_bytes: u64,
    /// Bytes read from the source.
    pub read_bytes: u64,
    /// Chunks of bytes and runs that were new.
    pub new_chunks: u64,
    /// Their plain bytes.
    pub new_bytes: u64,
    /// Bytes of the data packs written.
    pub stored_data: u64,
    /// Bytes of the metadata packs and index segments written.
    pub stored_meta: u64,
    /// Entries left out by rule: locks, logs, trash.
    pub left_out_files: u64,
    /// Their bytes.
    pub left_out_bytes: u64,
}

impl Totals {
    fn fields(&self) -> [u64; 12] {
        [
            self.files,
            self.bytes,
            self.chunks,
            self.reused_files,
            self.reused_bytes,
            self.read_bytes,
            self.new_chunks,
            self.new_bytes,
            self.stored_data,
            self.stored_meta,
            self.left_out_files,
            self.left_out_bytes,
        ]
    }
}

impl Record for Totals {
    const NAME: &'static str = "totals";

    fn write(&self, out: &mut Writer) {
        self.fields().into_iter().for_each(|field| out.varint(field));
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            files: input.varint("files")?,
            bytes: input.varint("bytes")?,
            chunks: input.varint("chunks")?,
            reused_files: input.varint("reused files")?,
            reused_bytes: input.varint("reused bytes")?,
            read_bytes: input.varint("read bytes")?,
            new_chunks: input.varint("new chunks")?,
            new_bytes: input.varint("new bytes")?,
            stored_data: input.varint("stored data")?,
            stored_meta: input.varint("stored metadata")?,
            left_out_files: input.varint("left out files")?,
            left_out_bytes: input.varint("left out bytes")?,
        })
    }
}

impl Record for HostRecord {
    const NAME: &'static str = "host record";

    fn write(&self, out: &mut Writer) {
        out.text(&self.name);
        self.tree.write(out);
        out.list(&self.engines, |out, id| out.raw(&id.0));
        out.varint(self.files);
        out.varint(self.bytes);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            name: input.text("host", NAME_MAX)?,
            tree: TableRef::read(input)?,
            engines: input.list("engines", ChunkId::LEN, |input| input.array("engine").map(ChunkId))?,
            files: input.varint("files")?,
            bytes: input.varint("bytes")?,
        })
    }
}

impl Origin {
    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { repository: RepositoryId(input.array("repository of the origin")?), manifest: ObjectId(input.array("origin")?) })
    }
}

impl Record for Manifest {
    const NAME: &'static str = "manifest";

    fn format(&self) -> u16 {
        match (self.origin, &self.sorted) {
            (Some(_), _) => COPIES,
            (None, Some(_)) => SORTED_RUNS,
            (None, None) => FIRST,
        }
    }

    fn write(&self, out: &mut Writer) {
        let text = |out: &mut Writer, text: &String| out.text(text);
        let id = |out: &mut Writer, id: &ObjectId| out.raw(&id.0);
        out.text(&self.label);
        out.text(&self.cluster);
        out.raw(&self.session.0);
        out.u64(self.started_ms);
        out.u64(self.finished_ms);
        out.text(&self.written_by);
        out.list(&self.tags, text);
        out.list(&self.warnings, text);
        out.list(&self.hosts, |out, host| host.write(out));
        self.seen.write(out);
        out.list(&self.keys, id);
        out.list(&self.segments, id);
        out.list(&self.packs, id);
        out.list(&self.encoders, |out, encoder| out.u32(*encoder));
        self.totals.write(out);
        match (&self.origin, &self.sorted) {
            (Some(origin), sorted) => {
                out.option(sorted.as_ref(), |out, sorted| sorted.write(out));
                out.raw(&origin.repository.0);
                out.raw(&origin.manifest.0);
            }
            (None, Some(sorted)) => sorted.write(out),
            (None, None) => {}
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let id = |input: &mut Reader<'_>| input.array("object id").map(ObjectId);
        Ok(Self {
            label: input.text("label", NAME_MAX)?,
            cluster: input.text("cluster", NAME_MAX)?,
            session: SessionId(input.array("session")?),
            started_ms: input.u64("started")?,
            finished_ms: input.u64("finished")?,
            written_by: input.text("written by", NAME_MAX)?,
            tags: input.list_max("tags", TEXTS_MAX, 1, |input| input.text("tag", NAME_MAX))?,
            warnings: input.list_max("warnings", TEXTS_MAX, 1, |input| input.text("warning", TEXT_MAX))?,
            hosts: input.list_max("hosts", HOSTS_MAX, 6, HostRecord::read)?,
            seen: TableRef::read(input)?,
            keys: input.list("keys", 32, id)?,
            segments: input.list("segments", 32, id)?,
            packs: input.list("packs", 32, id)?,
            encoders: input.list("encoders", 4, |input| input.u32("encoder"))?,
            totals: Totals::read(input)?,
            sorted: match input.format() {
                ..SORTED_RUNS => None,
                SORTED_RUNS => Some(SortedTotals::read(input)?),
                _ => input.option("sorted", SortedTotals::read)?,
            },
            origin: if input.format() < COPIES { None } else { Some(Origin::read(input)?) },
        })
    }
}
