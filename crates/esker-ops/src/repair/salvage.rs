//! What is left of damaged packs: frames that are whole in a pack that was cut short or grew, and chunks that stand in
//! damaged packs only.

use esker_format::ChunkId;
use esker_format::layout::PackName;
use esker_format::pack::{FrameDecoder, FrameOpener};
use esker_format::seal::ChunkKind;
use esker_format::sparse_run::is_form;
use esker_repo::index::{Location, SharedIndex};
use esker_repo::listing::Listing;
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::{RepoError, Repository};

use super::sink::Sink;
use crate::error::Result;

/// Looks for lost chunks at every place that the index ever knew, also in packs that do not count any more.
///
/// # Errors
/// `Store`, `Cache`.
pub(super) fn from_broken_packs(repository: &Repository, index: &SharedIndex, listing: &Listing, sink: &mut Sink<'_>) -> Result<()> {
    let wanted: Vec<(ChunkId, ChunkKind)> = sink.wanted().collect();
    for (chunk, kind) in wanted {
        for place in index.locate_anywhere(&chunk)? {
            let pack = index.pack(place.pack)?;
            if !listing.packs.contains_key(&pack.name) {
                continue;
            }
            let opener = FrameOpener::new(repository.sealing(), pack.name.kind, pack.format, pack.salt);
            let Ok(opener) = opener else { continue };
            if let Some(plain) = open_frame(repository, &pack.name, &place, &opener)?
                && sink.give(kind, &plain)?
            {
                break;
            }
        }
    }
    Ok(())
}

fn open_frame(repository: &Repository, pack: &PackName, place: &Location, opener: &FrameOpener) -> Result<Option<Vec<u8>>> {
    let start = u64::from(place.frame.offset);
    let end = start + u64::from(place.frame.entry.stored_len);
    let bytes = match repository.store().get_range(&pack.path(), start, end) {
        Ok(bytes) => bytes,
        Err(RepoError::Missing { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut sealed = bytes.to_vec();
    let Ok(mut decoder) = FrameDecoder::new() else { return Ok(None) };
    let opened = opener.open(repository.sealing(), &place.frame, &mut sealed, &mut decoder);
    Ok(opened.ok().map(<[u8]>::to_vec))
}

/// Copies chunks that can be read and stand in damaged packs only.
///
/// # Errors
/// `Store`, `Cache`.
pub(super) fn copy_at_risk(reader: &ChunkReader, context: &mut ReadContext, sink: &mut Sink<'_>) -> Result<()> {
    let wanted: Vec<(ChunkId, ChunkKind)> = sink.wanted().collect();
    for (chunk, kind) in wanted {
        match reader.read(context, &chunk) {
            // Of a run that stands nowhere whole, what its forms hold.
            Ok(plain) if kind == ChunkKind::Run && is_form(&plain) => sink.give_form(&chunk, &plain)?,
            Ok(plain) => drop(sink.give(kind, &plain)?),
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
