//! Taking one file: over from the base, or by reading it.

use esker_cluster::path::escaped;
use esker_cluster::{Attributes, Entry, FileKind, Kind, Root, SegmentKind, SourceFile};
use esker_dedup::RecipeBuilder;
use esker_format::ChunkId;
use esker_format::file_table::{FileContent, FileRole, FileRow, Node, TableIdentity};
use esker_format::recipe::Operation;
use esker_format::seal::ChunkKind;
use esker_repo::reader::ReadContext;
use esker_repo::tables::read_recipe_piece;
use esker_repo::{Claim, RepoError, Writer};
use esker_sst::{ReadAt, TableTail};

use super::Run;
use super::base::KnownFiles;
use crate::error::Result;

/// Bytes read from a source at a time.
const READ_BYTES: usize = 4 << 20;

/// Takes the files of one engine, or of a host outside its engines.
pub(super) struct FileTaker<'t, 'r> {
    run: &'t mut Run<'r>,
    writer: &'t Writer,
    root: &'t Root,
    known: KnownFiles,
    buffer: Vec<u8>,
    context: Option<ReadContext>,
    /// The highest format_version of the tables seen.
    pub(super) format_version_max: u32,
}

impl<'t, 'r> FileTaker<'t, 'r> {
    pub(super) fn new(run: &'t mut Run<'r>, writer: &'t Writer, root: &'t Root, known: KnownFiles) -> Self {
        Self { run, writer, root, known, buffer: Vec::new(), context: None, format_version_max: 0 }
    }

    /// The row of an entry; `path` is the one it gets in its table.
    pub(super) fn take(&mut self, entry: &Entry, path: &[u8], kind: FileKind) -> Result<FileRow> {
        self.run.job.cancel.check()?;
        let node = match &entry.kind {
            Kind::Directory => Node::Folder,
            Kind::Symlink { target } => Node::Link(target.clone()),
            Kind::File => Node::File(self.file(entry, path, kind)?),
        };
        Ok(row(path.to_vec(), entry.attributes, node))
    }

    fn file(&mut self, entry: &Entry, path: &[u8], kind: FileKind) -> Result<FileContent> {
        self.run.totals.files += 1;
        self.run.totals.bytes += entry.size;
        let source = SourceFile::open(self.root, entry)?;
        let identity = if kind == FileKind::Table { self.identity(&source, entry)? } else { None };
        let known = self.known_content(entry, path, identity.as_ref())?;
        let read_again = known.as_ref().is_some_and(|content| self.is_due(content));
        match known {
            Some(mut content) if !read_again => {
                source.finish()?;
                content.inode = inode_of(entry, identity.as_ref());
                self.run.totals.reused_files += 1;
                self.run.totals.reused_bytes += entry.size;
                self.run.totals.chunks += content.chunks;
                self.run.report.taken_over(identity.is_none());
                self.run.job.progress.advance(entry.size);
                Ok(content)
            }
            known => {
                let content = self.read(source, entry, kind, identity)?;
                if let Some(known) = known.filter(|known| known.hash != content.hash) {
                    self.run.report.warn(format!(
                        "{} has the same id, size and tail as in an earlier backup, but other bytes: the earlier ones were {}; \
                         the file on the host may be damaged, check it with sst_dump --command=verify",
                        self.shown(entry),
                        ChunkId(known.hash).short(),
                    ));
                }
                Ok(content)
            }
        }
    }

    /// The identity of a table file; one that is no healthy table is taken as bytes, and named if it is damaged.
    fn identity(&mut self, source: &SourceFile<'_>, entry: &Entry) -> Result<Option<TableIdentity>> {
        match table_identity(source)? {
            Ok((format_version, identity)) => {
                self.format_version_max = self.format_version_max.max(format_version);
                Ok(identity)
            }
            Err(fault) => {
                if !fault.is_foreign() {
                    self.run.report.warn(format!("{} is no healthy table, it is kept as it is: {fault}", self.shown(entry)));
                }
                Ok(None)
            }
        }
    }

    fn known_content(&mut self, entry: &Entry, path: &[u8], identity: Option<&TableIdentity>) -> Result<Option<FileContent>> {
        let Some(content) = self.known.find(entry, path, identity).cloned() else { return Ok(None) };
        // While a prune is at work, or after damage, what a manifest names need not exist for this writer.
        if self.run.reuse || self.is_all_there(&content)? { Ok(Some(content)) } else { Ok(None) }
    }

    fn is_all_there(&mut self, content: &FileContent) -> Result<bool> {
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(ReadContext::new()?),
        };
        for piece in &content.recipe {
            if self.writer.exists(piece)?.is_none() {
                return Ok(false);
            }
            let operations = match read_recipe_piece(self.writer.reader(), context, piece) {
                Ok(piece) => piece.operations,
                Err(error) if error.is_damage() => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            for operation in operations {
                if let Operation::Chunk { id, .. } = operation
                    && self.writer.exists(&id)?.is_none()
                {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Whether a known file is read this time all the same.
    fn is_due(&self, content: &FileContent) -> bool {
        let request = self.run.request;
        let Some(share) = std::num::NonZeroU64::new(u64::from(request.reread_share)) else { return request.reread };
        let turn = content.hash.first_chunk().map_or(0, |head| u64::from_le_bytes(*head));
        request.reread || turn % share == self.run.report.generation % share
    }

    fn read(&mut self, source: SourceFile<'_>, entry: &Entry, kind: FileKind, identity: Option<TableIdentity>) -> Result<FileContent> {
        self.buffer.resize(READ_BYTES, 0);
        let mut recipe = RecipeBuilder::new(self.run.repository.config().chunker);
        for segment in source.segments() {
            let segment = segment?;
            // RocksDB's files have no holes; a file system that reports one is not believed.
            let reported = if kind == FileKind::Other { segment.kind } else { SegmentKind::Data };
            match reported {
                SegmentKind::Hole => recipe.hole(segment.length, |chunk| self.run.store(self.writer, chunk))?,
                SegmentKind::Data => {
                    let (mut at, end) = (segment.offset, segment.offset + segment.length);
                    while at < end {
                        self.run.job.cancel.check()?;
                        let length = usize::try_from((end - at).min(READ_BYTES as u64)).unwrap_or(READ_BYTES);
                        let buffer = self.buffer.get_mut(..length).unwrap_or_default();
                        source.read_at(at, buffer)?;
                        recipe.bytes(buffer, |chunk| self.run.store(self.writer, chunk))?;
                        at += length as u64;
                        self.run.totals.read_bytes += length as u64;
                        self.run.job.progress.advance(length as u64);
                    }
                }
            }
        }
        let built = recipe.finish(|chunk| self.run.store(self.writer, chunk))?;
        source.finish()?;
        let mut pieces = Vec::new();
        for piece in &built.pieces {
            let bytes = piece.encode().map_err(RepoError::object("recipe"))?;
            pieces.push(self.writer.store(ChunkKind::Table, bytes)?);
        }
        self.run.totals.chunks += built.chunks;
        let inode = inode_of(entry, identity.as_ref());
        let (size, hash, chunks) = (built.size, built.hash, built.chunks);
        Ok(FileContent { size, hash, role: role_of(kind), inode, identity, chunks, recipe: pieces })
    }

    fn shown(&self, entry: &Entry) -> String {
        escaped(self.root.absolute(&entry.path).as_os_str().as_encoded_bytes())
    }
}

/// The format_version of a table file and its identity, if its properties give it one; or why it is no table.
fn table_identity(source: &SourceFile<'_>) -> Result<std::result::Result<(u32, Option<TableIdentity>), esker_sst::Error>> {
    let tail = match TableTail::read(&Source(source)) {
        Ok(tail) => tail,
        Err(fault) => return Ok(Err(fault)),
    };
    let format_version = tail.footer.format_version;
    let Ok(identity) = tail.identity() else { return Ok(Ok((format_version, None))) };
    let mut bytes = vec![0; usize::try_from(identity.tail_size()).unwrap_or(0)];
    source.read_at(identity.tail_offset, &mut bytes)?;
    let tail_hash = *blake3::hash(&bytes).as_bytes();
    let (unique_id, tail_offset) = (*identity.unique_id.as_bytes(), identity.tail_offset);
    Ok(Ok((format_version, Some(TableIdentity { unique_id, tail_offset, tail_hash }))))
}

impl Run<'_> {
    /// Counts what a backup would do with an entry.
    pub(super) fn would_take(&mut self, root: &Root, entry: &Entry, path: &[u8], kind: FileKind, known: &KnownFiles) -> Result<()> {
        if entry.kind != Kind::File {
            return Ok(());
        }
        let source = SourceFile::open(root, entry)?;
        let identity = if kind == FileKind::Table { table_identity(&source)?.ok().and_then(|(_, identity)| identity) } else { None };
        let is_known = known.find(entry, path, identity.as_ref()).is_some() && !self.request.reread;
        self.totals.files += 1;
        self.totals.bytes += entry.size;
        if is_known {
            self.totals.reused_files += 1;
            self.totals.reused_bytes += entry.size;
        } else {
            self.totals.read_bytes += entry.size;
        }
        Ok(())
    }

    /// Names a chunk and stores it if it is new, counting what happened.
    fn store(&mut self, writer: &Writer, chunk: &[u8]) -> Result<ChunkId> {
        let id = self.repository.sealing().chunk_id(ChunkKind::Bytes, chunk);
        match writer.claim(&id)? {
            Claim::New => {
                self.totals.new_chunks += 1;
                self.totals.new_bytes += chunk.len() as u64;
                writer.submit(ChunkKind::Bytes, id, chunk.to_vec())?;
            }
            Claim::Known { left_over: true } => self.report.left_over_bytes += chunk.len() as u64,
            Claim::Known { left_over: false } | Claim::Mine => {}
        }
        Ok(id)
    }
}

fn inode_of(entry: &Entry, identity: Option<&TableIdentity>) -> u64 {
    if identity.is_some() { 0 } else { entry.stamp.inode }
}

fn role_of(kind: FileKind) -> FileRole {
    match kind {
        FileKind::Current => FileRole::Current,
        FileKind::Manifest => FileRole::Manifest,
        FileKind::Options => FileRole::Options,
        FileKind::Table => FileRole::Table,
        FileKind::Blob => FileRole::Blob,
        FileKind::Wal => FileRole::Wal,
        FileKind::Identity | FileKind::Other => FileRole::Other,
    }
}

/// The row of a host's own folder.
pub(super) fn root_row(root: &Root) -> FileRow {
    row(Vec::new(), root.attributes(), Node::Folder)
}

fn row(path: Vec<u8>, attributes: Attributes, node: Node) -> FileRow {
    let Attributes { mode, uid, gid, mtime } = attributes;
    FileRow { path, mode, uid, gid, mtime_s: mtime.seconds, mtime_ns: mtime.nanoseconds, node }
}

/// A source as the table parser reads it.
struct Source<'a, 'r>(&'a SourceFile<'r>);

impl ReadAt for Source<'_, '_> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.0.read_at(offset, buf).map_err(std::io::Error::other)
    }

    fn len(&self) -> u64 {
        self.0.size()
    }
}
