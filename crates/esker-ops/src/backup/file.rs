//! Taking one file: over from the base, as a table to be merged, or as bytes.

use std::collections::HashSet;
use std::num::NonZeroU64;

use esker_cluster::path::escaped;
use esker_cluster::{Attributes, Entry, FileKind, Kind, Root, SegmentKind, SourceFile};
use esker_dedup::RecipeBuilder;
use esker_format::ChunkId;
use esker_format::file_table::{FileContent, FileRole, FileRow, Node, TableIdentity};
use esker_format::recipe::Piece;
use esker_format::seal::ChunkKind;
use esker_repo::reader::ReadContext;
use esker_repo::{Claim, RepoError, Writer};
use esker_sst::{ReadAt, TableTail};

use super::Run;
use super::base::KnownFiles;
use super::sorted::known_piece;
use crate::error::Result;

/// Bytes read from a source at a time.
const READ_BYTES: usize = 4 << 20;

/// What a look at an entry came to.
pub(super) enum Taken<'h> {
    /// All there is to know.
    Row(FileRow),
    /// A table whose bytes are not known: all of its row but the content, and what reading it takes.
    Table(Box<(FileRow, NewTable<'h>)>),
}

/// A table whose bytes no backup knows.
#[derive(Clone)]
pub(super) struct NewTable<'h> {
    pub(super) root: &'h Root,
    pub(super) entry: &'h Entry,
    pub(super) tail: TableTail,
    pub(super) identity: Option<TableIdentity>,
}

/// Looks at the files of one engine, or of a host outside its engines.
pub(super) struct FileTaker<'t, 'h, 'r> {
    run: &'t mut Run<'r>,
    writer: &'t Writer,
    root: &'h Root,
    known: &'t KnownFiles,
    context: Option<ReadContext>,
    /// Tables that were taken over, by unique id.
    pub(super) taken_over: HashSet<[u8; 24]>,
    /// The highest format_version of the tables seen.
    pub(super) format_version_max: u32,
}

impl<'t, 'h, 'r> FileTaker<'t, 'h, 'r> {
    pub(super) fn new(run: &'t mut Run<'r>, writer: &'t Writer, root: &'h Root, known: &'t KnownFiles) -> Self {
        Self { run, writer, root, known, context: None, taken_over: HashSet::new(), format_version_max: 0 }
    }

    /// Looks at an entry; `path` is the one it gets in its table.
    pub(super) fn take(&mut self, entry: &'h Entry, path: &[u8], kind: FileKind) -> Result<Taken<'h>> {
        self.run.job.cancel.check()?;
        let node = match &entry.kind {
            Kind::Directory => Node::Folder,
            Kind::Symlink { target } => Node::Link(target.clone()),
            Kind::File => match self.file(entry, path, kind)? {
                Ok(content) => Node::File(content),
                Err(table) => return Ok(Taken::Table(Box::new((row(path.to_vec(), entry.attributes, Node::Folder), table)))),
            },
        };
        Ok(Taken::Row(row(path.to_vec(), entry.attributes, node)))
    }

    fn file(&mut self, entry: &'h Entry, path: &[u8], kind: FileKind) -> Result<std::result::Result<FileContent, NewTable<'h>>> {
        self.run.totals.files += 1;
        self.run.totals.bytes += entry.size;
        let source = SourceFile::open(self.root, entry)?;
        let (tail, identity) = if kind == FileKind::Table { self.identity(&source, entry)?.unzip() } else { (None, None) };
        let identity = identity.flatten();
        if let Some(mut content) = self.known_content(entry, path, identity.as_ref())? {
            content.inode = inode_of(entry, identity.as_ref());
            let is_due = self.is_due(&content);
            if !is_due || self.is_as_known(&source, entry, &content)? {
                source.finish()?;
                self.run.totals.chunks += content.chunks;
                if !is_due {
                    self.run.totals.reused_files += 1;
                    self.run.totals.reused_bytes += entry.size;
                    self.run.report.taken_over(identity.is_none());
                    self.run.job.progress.advance(entry.size);
                }
                self.taken_over.extend(identity.map(|identity| identity.unique_id));
                return Ok(Ok(content));
            }
        }
        match tail.filter(|_| !self.run.request.no_reencode) {
            Some(tail) => Ok(Err(NewTable { root: self.root, entry, tail, identity })),
            None => Ok(Ok(self.run.read_bytes(self.writer, source, entry, kind, identity)?)),
        }
    }

    /// The tail and identity of a table file; one that is no healthy table is taken as bytes, and named if it is damaged.
    fn identity(&mut self, source: &SourceFile<'_>, entry: &Entry) -> Result<Option<(TableTail, Option<TableIdentity>)>> {
        match table_identity(source)? {
            Ok((tail, identity)) => {
                self.format_version_max = self.format_version_max.max(tail.footer.format_version);
                Ok(Some((tail, identity)))
            }
            Err(fault) => {
                if !fault.is_foreign() {
                    let shown = shown(self.root, entry);
                    self.run.report.warn(format!("{shown} is no healthy table, it is kept as it is: {fault}"));
                }
                Ok(None)
            }
        }
    }

    fn known_content(&mut self, entry: &Entry, path: &[u8], identity: Option<&TableIdentity>) -> Result<Option<FileContent>> {
        let Some(content) = self.known.find(entry, path, identity).cloned() else { return Ok(None) };
        if self.run.request.no_reencode && !self.is_bytes(&content)? {
            return Ok(None);
        }
        // While a prune is at work, or after damage, what a manifest names need not exist for this writer.
        if self.run.reuse || self.is_all_there(&content)? { Ok(Some(content)) } else { Ok(None) }
    }

    /// Whether a file is stored as bytes, so that no encoder is needed to restore it.
    fn is_bytes(&mut self, content: &FileContent) -> Result<bool> {
        let Some(first) = content.recipe.first().filter(|_| content.role == FileRole::Table) else { return Ok(true) };
        Ok(matches!(known_piece(self.writer, context(&mut self.context)?, first)?, Some(Piece::Bytes(_))))
    }

    /// Whether every chunk of a file exists for this writer and, if nothing is trusted, reads whole.
    fn is_all_there(&mut self, content: &FileContent) -> Result<bool> {
        let context = context(&mut self.context)?;
        for piece in &content.recipe {
            if !self.writer.holds(piece)? {
                return Ok(false);
            }
            let Some(piece) = known_piece(self.writer, context, piece)? else { return Ok(false) };
            for chunk in piece.chunks().filter(|chunk| chunk.kind != ChunkKind::Run) {
                if !self.writer.holds(&chunk.id)? {
                    return Ok(false);
                }
            }
            let Piece::Blocks(blocks) = piece else { continue };
            for (run, entries) in blocks.runs.iter().zip(blocks.used_entries()) {
                if !self.writer.holds_entries(context, &run.id, &entries)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Whether a known file is read this time all the same.
    fn is_due(&self, content: &FileContent) -> bool {
        let request = self.run.request;
        let Some(share) = NonZeroU64::new(u64::from(request.reread_share)) else { return request.reread };
        let turn = content.hash.first_chunk().map_or(0, |head| u64::from_le_bytes(*head));
        request.reread || turn % share == self.run.report.generation % share
    }

    /// Reads a known file again: whether it has the bytes that are known, and they are whole in the repository.
    fn is_as_known(&mut self, source: &SourceFile<'_>, entry: &Entry, content: &FileContent) -> Result<bool> {
        if self.run.hash(source)? == content.hash {
            return Ok(!self.run.request.reread || self.is_all_there(content)?);
        }
        self.run.report.warn(format!(
            "{} has the same id, size and tail as in an earlier backup, but other bytes: the earlier ones were {}; \
             the file on the host may be damaged, check it with sst_dump --command=verify",
            shown(self.root, entry),
            ChunkId(content.hash).short(),
        ));
        Ok(false)
    }
}

fn context(kept: &mut Option<ReadContext>) -> Result<&mut ReadContext> {
    match kept {
        Some(context) => Ok(context),
        none => Ok(none.insert(ReadContext::new()?)),
    }
}

impl Run<'_> {
    /// Reads a file and stores it cut by content.
    pub(super) fn read_bytes(
        &mut self,
        writer: &Writer,
        source: SourceFile<'_>,
        entry: &Entry,
        kind: FileKind,
        identity: Option<TableIdentity>,
    ) -> Result<FileContent> {
        let mut recipe = RecipeBuilder::new(self.repository.config().chunker);
        let mut buffer = vec![0; READ_BYTES.min(usize::try_from(source.size()).unwrap_or(READ_BYTES))];
        for segment in source.segments() {
            let segment = segment?;
            // RocksDB's files have no holes; a file system that reports one is not believed.
            let reported = if kind == FileKind::Other { segment.kind } else { SegmentKind::Data };
            match reported {
                SegmentKind::Hole => recipe.hole(segment.length, |chunk| self.store(writer, chunk))?,
                SegmentKind::Data => {
                    let (start, end) = (segment.offset, segment.offset + segment.length);
                    self.read_range(&source, start, end, &mut buffer, |run, bytes| {
                        run.job.progress.advance(bytes.len() as u64);
                        recipe.bytes(bytes, |chunk| run.store(writer, chunk))
                    })?;
                }
            }
        }
        let built = recipe.finish(|chunk| self.store(writer, chunk))?;
        source.finish()?;
        let mut pieces = Vec::new();
        for piece in built.pieces {
            pieces.push(store_piece(writer, Piece::Bytes(piece))?);
        }
        self.totals.chunks += built.chunks;
        let inode = inode_of(entry, identity.as_ref());
        let (size, hash, chunks) = (built.size, built.hash, built.chunks);
        Ok(FileContent { size, hash, role: role_of(kind), inode, identity, chunks, recipe: pieces })
    }

    /// BLAKE3 of a source.
    fn hash(&mut self, source: &SourceFile<'_>) -> Result<[u8; 32]> {
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; READ_BYTES.min(usize::try_from(source.size()).unwrap_or(READ_BYTES))];
        self.read_range(source, 0, source.size(), &mut buffer, |run, bytes| {
            run.job.progress.advance(bytes.len() as u64);
            hasher.update(bytes);
            Ok(())
        })?;
        Ok(*hasher.finalize().as_bytes())
    }

    fn read_range(
        &mut self,
        source: &SourceFile<'_>,
        start: u64,
        end: u64,
        buffer: &mut [u8],
        mut take: impl FnMut(&mut Self, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut at = start;
        while at < end {
            self.job.cancel.check()?;
            let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            let buffer = buffer.get_mut(..length).unwrap_or_default();
            source.read_at(at, buffer)?;
            take(self, buffer)?;
            at += length as u64;
            self.totals.read_bytes += length as u64;
        }
        Ok(())
    }
}

/// Stores a piece of a recipe.
pub(super) fn store_piece(writer: &Writer, piece: Piece) -> Result<ChunkId> {
    let bytes = piece.encode().map_err(RepoError::object("recipe"))?;
    Ok(writer.store(ChunkKind::Table, bytes)?)
}

/// A path of a source, for people.
pub(super) fn shown(root: &Root, entry: &Entry) -> String {
    escaped(root.absolute(&entry.path).as_os_str().as_encoded_bytes())
}

/// The tail of a table file and its identity, if its properties give it one; or why it is no table.
fn table_identity(source: &SourceFile<'_>) -> Result<std::result::Result<(TableTail, Option<TableIdentity>), esker_sst::Error>> {
    let tail = match TableTail::read(&Source(source)) {
        Ok(tail) => tail,
        Err(fault) => return Ok(Err(fault)),
    };
    let Ok(identity) = tail.identity() else { return Ok(Ok((tail, None))) };
    let mut bytes = vec![0; usize::try_from(identity.tail_size()).unwrap_or(0)];
    source.read_at(identity.tail_offset, &mut bytes)?;
    let tail_hash = *blake3::hash(&bytes).as_bytes();
    let (unique_id, tail_offset) = (*identity.unique_id.as_bytes(), identity.tail_offset);
    Ok(Ok((tail, Some(TableIdentity { unique_id, tail_offset, tail_hash }))))
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

pub(super) fn inode_of(entry: &Entry, identity: Option<&TableIdentity>) -> u64 {
    if identity.is_some() { 0 } else { entry.stamp.inode }
}

pub(super) fn role_of(kind: FileKind) -> FileRole {
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
pub(super) struct Source<'a, 'r>(pub(super) &'a SourceFile<'r>);

impl ReadAt for Source<'_, '_> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.0.read_at(offset, buf).map_err(std::io::Error::other)
    }

    fn len(&self) -> u64 {
        self.0.size()
    }
}
