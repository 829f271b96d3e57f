//! A second repository: its chunks by their ids, if it has the same keys, and its files, whatever its keys are.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use esker_format::ChunkId;
use esker_format::file_table::{FileContent, FileRow, Node};
use esker_format::recipe::{Operation, Piece};
use esker_format::seal::ChunkKind;
use esker_repo::manifests::Backup;
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::tables::read_piece;
use esker_repo::{RepoError, Repository};
use esker_sst::ReadAt;

use super::files::{Candidate, Files, Stretch};
use super::loss::LossyFile;
use super::sink::Sink;
use super::translate::{Translator, is_same};
use crate::error::{OpsError, Result};
use crate::job::Job;
use crate::rebuild::rebuild;
use crate::rows::Place;
use crate::select::Selection;
use crate::walk_left::{Visit, walk_left};

/// BLAKE3 and size of a file.
type FileKey = ([u8; 32], u64);

type LastFile = (FileKey, Arc<RebuiltFile>);

/// A repository that is read only.
pub(super) struct Second {
    reader: ChunkReader,
    job: Job,
    /// Its files by hash and size, once somebody asked.
    files: RefCell<Option<HashMap<FileKey, FileContent>>>,
    /// The file that was rebuilt last.
    last: RefCell<Option<LastFile>>,
}

impl Second {
    /// Opens its index.
    ///
    /// # Errors
    /// `Store`, `Cache`.
    pub(super) fn open(repository: &Arc<Repository>, job: &Job) -> Result<Self> {
        let reader = ChunkReader::open(repository)?;
        Ok(Self { reader, job: job.clone(), files: RefCell::default(), last: RefCell::default() })
    }

    /// Takes every wanted chunk that it has under the same id.
    ///
    /// # Errors
    /// `Store`, `Cache`, `Cancelled`.
    pub(super) fn by_id(&self, sink: &mut Sink<'_>) -> Result<()> {
        let context = &mut ReadContext::new()?;
        let index = self.reader.index();
        let mut wanted: Vec<(ChunkId, ChunkKind)> = Vec::new();
        for (id, kind) in sink.wanted() {
            if !index.locate(&id)?.is_empty() {
                wanted.push((id, kind));
            }
        }
        for (id, kind) in wanted {
            self.job.cancel.check()?;
            match self.reader.read(context, &id) {
                Ok(plain) => drop(sink.give(kind, &plain)?),
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Takes what is lost from the same backups of a repository with other keys.
    ///
    /// # Errors
    /// `Store`, `Cache`, `Cancelled`.
    pub(super) fn translated(&self, repository: &Repository, ours: &ChunkReader, lossy: &[&Backup], sink: &mut Sink<'_>) -> Result<()> {
        let backups = self.reader.repository().backups()?.found;
        let (theirs, job, context) = (&self.reader, &self.job, ReadContext::new()?);
        let mut translator = Translator { repository, ours, theirs, sink, job, context, known: HashMap::new() };
        for backup in lossy {
            if let Some(same) = backups.iter().find(|other| is_same(&backup.manifest, &other.manifest)) {
                translator.backup(backup, same)?;
            }
        }
        Ok(())
    }

    fn content(&self, key: &FileKey) -> Result<Option<FileContent>> {
        let mut files = self.files.borrow_mut();
        if files.is_none() {
            let mut collect = Collect(HashMap::new());
            for backup in self.reader.repository().backups()?.found {
                self.job.cancel.check()?;
                walk_left(&self.reader, &mut ReadContext::new()?, &backup.manifest, &Selection::default(), &mut collect)?;
            }
            *files = Some(collect.0);
        }
        Ok(files.as_ref().and_then(|files| files.get(key)).cloned())
    }

    /// The file rebuilt in a scratch file that nobody else sees, its hash compared.
    fn rebuilt(&self, key: FileKey, content: &FileContent) -> Result<Option<Arc<RebuiltFile>>> {
        if let Some((known, file)) = &*self.last.borrow()
            && *known == key
        {
            return Ok(Some(Arc::clone(file)));
        }
        let failed = |source| OpsError::Local { action: "write", path: "a scratch file".into(), source };
        let mut file = tempfile::tempfile().map_err(failed)?;
        let context = &mut ReadContext::new()?;
        let stretches = self.stretches(context, content)?;
        let done = rebuild(&self.reader, context, content, "a file of the second repository", &self.job.cancel, |bytes| {
            file.write_all(bytes).map_err(failed)
        });
        match done {
            Ok(()) => {
                let rebuilt = Arc::new(RebuiltFile { file, size: content.size, stretches });
                *self.last.borrow_mut() = Some((key, Arc::clone(&rebuilt)));
                Ok(Some(rebuilt))
            }
            Err(error) if error.is_damage() || matches!(error, OpsError::Encoder(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Data and holes, as its recipe has them.
    fn stretches(&self, context: &mut ReadContext, content: &FileContent) -> Result<Vec<Stretch>> {
        let mut stretches: Vec<Stretch> = Vec::new();
        let mut offset = 0u64;
        for id in &content.recipe {
            let Ok(piece) = read_piece(&self.reader, context, id) else { return Ok(Vec::new()) };
            let Piece::Bytes(piece) = piece else { return Ok(Vec::new()) };
            for operation in &piece.operations {
                let (len, is_hole) = (operation.len(), matches!(operation, Operation::Hole { .. }));
                match stretches.last_mut() {
                    Some(last) if last.is_hole == is_hole => last.len += len,
                    _ => stretches.push(Stretch { offset, len, is_hole }),
                }
                offset = offset.saturating_add(len);
            }
        }
        Ok(stretches)
    }
}

struct Collect(HashMap<FileKey, FileContent>);

impl Visit for Collect {
    fn table(&mut self, _: Place<'_>, _: &ChunkId, _: bool, _: Option<RepoError>) -> Result<bool> {
        Ok(true)
    }

    fn row(&mut self, _: Place<'_>, row: FileRow) -> Result<()> {
        if let Node::File(content) = row.node {
            self.0.entry((content.hash, content.size)).or_insert(content);
        }
        Ok(())
    }
}

impl Files for Second {
    fn each(&self, file: &LossyFile, look: &mut dyn FnMut(&dyn Candidate) -> Result<bool>) -> Result<()> {
        let key = (file.content.hash, file.content.size);
        let Some(content) = self.content(&key)? else { return Ok(()) };
        if let Some(rebuilt) = self.rebuilt(key, &content)? {
            look(&*rebuilt)?;
        }
        Ok(())
    }
}

struct RebuiltFile {
    file: File,
    size: u64,
    stretches: Vec<Stretch>,
}

impl ReadAt for RebuiltFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn len(&self) -> u64 {
        self.size
    }
}

impl Candidate for RebuiltFile {
    fn stretches(&self) -> Vec<Stretch> {
        self.stretches.clone()
    }
}
