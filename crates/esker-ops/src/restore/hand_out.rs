//! Cutting files into stretches for the workers of a restore.

use std::sync::Arc;

use crossbeam_channel::Sender;
use esker_cluster::Target;
use esker_cluster::path::{as_path, shown};
use esker_format::ChunkId;
use esker_format::file_table::FileContent;
use esker_format::recipe::{Operation, Piece, RecipePiece};
use esker_repo::RepoError;
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::tables::read_piece;

use super::partial::{Losses, tolerate};
use super::swept::SweptHosts;
use super::{PlannedFiles, Stretch, WrittenFile};
use crate::error::{OpsError, Result};
use crate::job::{FirstFault, Job};
use crate::rebuild::WINDOW_CHUNKS;

/// Files whose recipes' beginnings are read together.
const FILES_AT_ONCE: usize = 64;

/// Cuts the files of a host into stretches, and sets aside the tables that are made of sorted runs.
pub(super) struct HandOut<'a> {
    pub(super) reader: &'a ChunkReader,
    pub(super) send: Sender<Stretch>,
    pub(super) resume: bool,
    pub(super) losses: Option<&'a Losses>,
    pub(super) tables: SweptHosts<'a>,
}

/// The first piece of a file's recipe, as far as it decides what becomes of the file.
enum First {
    /// It has none: the file is empty.
    None,
    /// The file is a table made of sorted runs.
    OfTable,
    Bytes(RecipePiece),
}

impl<'a> HandOut<'a> {
    pub(super) fn run(&mut self, host: &'a Target, files: &PlannedFiles, fault: &FirstFault, job: &Job) -> Result<()> {
        let context = &mut ReadContext::new()?;
        for files in files.chunks(FILES_AT_ONCE) {
            for ((path, content, space), first) in files.iter().zip(first_pieces(self.reader, context, files)?) {
                job.cancel.check()?;
                if fault.is_set() {
                    return Ok(());
                }
                let name = shown(&host.path().join(as_path(path)));
                let handed_out = match first {
                    Ok(First::OfTable) => {
                        self.tables.add(host, path, name.clone(), content.clone(), space.clone());
                        Ok(())
                    }
                    Ok(First::Bytes(first)) => self.file(context, host, path, content, Some(first)),
                    Ok(First::None) => self.file(context, host, path, content, None),
                    Err(error) => Err(error.into()),
                };
                handed_out.or_else(|error| tolerate(self.losses, &name, error))?;
            }
        }
        Ok(())
    }

    /// Hands out a file that is made of bytes. Its recipe's first piece was read.
    fn file(
        &mut self,
        context: &mut ReadContext,
        host: &Target,
        path: &[u8],
        content: &FileContent,
        first: Option<RecipePiece>,
    ) -> Result<()> {
        let (file, existed) = WrittenFile::create(host, path, self.resume)?;
        let file = Arc::new(file);
        let mut offset = 0;
        let mut piece = first;
        for next in content.recipe.iter().skip(1).map(Some).chain([None]) {
            let operations = piece.take().map(|piece| piece.operations).unwrap_or_default();
            for operations in operations.chunks(WINDOW_CHUNKS) {
                let stretch = Stretch { file: Arc::clone(&file), offset, operations: operations.to_vec(), existed };
                offset = operations.iter().map(Operation::len).fold(offset, u64::saturating_add);
                if offset > content.size {
                    break;
                }
                if self.send.send(stretch).is_err() {
                    return Err(OpsError::Cancelled);
                }
            }
            let Some(next) = next else { break };
            piece = match read_piece(self.reader, context, next)? {
                Piece::Bytes(piece) => Some(piece),
                _ => return Err(OpsError::Damage("its recipe mixes blocks and bytes".into())),
            };
        }
        match offset == content.size {
            true => Ok(()),
            false => Err(OpsError::Damage(format!("its recipe makes {offset} bytes, the file had {}", content.size))),
        }
    }
}

/// Reads the first piece of each file's recipe.
fn first_pieces(reader: &ChunkReader, context: &mut ReadContext, files: &PlannedFiles) -> Result<Vec<esker_repo::Result<First>>> {
    let mut firsts: Vec<esker_repo::Result<First>> = files.iter().map(|_| Ok(First::None)).collect();
    let (positions, pieces): (Vec<usize>, Vec<ChunkId>) =
        files.iter().enumerate().filter_map(|(position, (_, content, _))| Some((position, *content.recipe.first()?))).unzip();
    reader.read_scattered::<OpsError, _>(context, &pieces, |number, bytes| {
        let first = bytes.and_then(|bytes| match Piece::is_of_table(bytes) {
            true => Ok(First::OfTable),
            false => match Piece::decode(bytes) {
                Ok(Piece::Bytes(piece)) => Ok(First::Bytes(piece)),
                Ok(_) => Ok(First::OfTable),
                Err(source) => {
                    Err(RepoError::Object { path: pieces.get(number).map_or_else(String::new, |id| format!("recipe piece {id}")), source })
                }
            },
        });
        if let Some(slot) = positions.get(number).and_then(|position| firsts.get_mut(*position)) {
            *slot = first;
        }
        Ok(())
    })?;
    Ok(firsts)
}
