//! Why a pack stays, or goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use esker_format::entry_set::EntrySet;
use esker_format::layout::PackName;

use super::uses::Use;
use super::watch::{SessionLine, line};
use super::{Observer, sessions_over};
use crate::error::{RepoError, Result};
use crate::index::Location;
use crate::manifests::{Standing, walk_uses};
use crate::reader::ChunkReader;
use crate::repository::Repository;
use crate::view::Viewer;

/// Hexadecimal digits of a pack's id that name it, at least.
const ID_DIGITS_MIN: usize = 8;

/// What speaks for a pack and against it.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// Which pack.
    pub name: PackName,
    /// Its bytes.
    pub bytes: u64,
    /// Bytes of it that any backup needs.
    pub needed_bytes: u64,
    /// Of those, bytes that stand in no other pack that counts.
    pub only_here_bytes: u64,
    /// Backups that need something of it.
    pub needed_by: Vec<NeededBy>,
    /// Who wrote it.
    pub session: SessionLine,
    /// Whether that session may still be at work.
    pub is_at_work: bool,
    /// How many doomed lists name it.
    pub lists: u64,
}

/// A backup that needs a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeededBy {
    /// Its id.
    pub id: esker_format::ObjectId,
    /// Its label.
    pub label: String,
    /// Whether its writer was fenced and it is not decided whether it counts.
    pub is_undecided: bool,
    /// Bytes of the pack that it needs.
    pub bytes: u64,
    /// Chunks of the pack that it needs.
    pub chunks: u64,
}

/// Explains the pack with this path, or whose id begins so. `None` if there is none or several.
///
/// # Errors
/// `Store`, `Cache`; `ChunkLost`, `Object` if a backup cannot be walked.
pub fn explain(repository: &Arc<Repository>, name: &str, observer: &dyn Observer) -> Result<Option<Explanation>> {
    let over = sessions_over(repository)?;
    let view = repository.view(Viewer::Reader)?;
    let matches = |pack: &PackName| pack.path() == name || (name.len() >= ID_DIGITS_MIN && pack.id.to_string().starts_with(name));
    let found: Vec<(PackName, u64)> =
        view.listing.packs.iter().filter(|(pack, _)| matches(pack)).map(|(pack, size)| (*pack, *size)).collect();
    let [(name, bytes)] = found.as_slice() else { return Ok(None) };
    let lists = view.lists.values().filter(|list| list.packs.contains(&name.id)).count() as u64;
    let index = Arc::clone(&view.synced.index);
    let entry = index.packs()?.into_iter().find(|pack| pack.name == *name);
    let reader = ChunkReader::new(repository, Arc::clone(&index));
    let mut explanation = Explanation {
        name: *name,
        bytes: *bytes,
        needed_bytes: 0,
        only_here_bytes: 0,
        needed_by: Vec::new(),
        session: line(repository, &name.session)?,
        is_at_work: !over.contains(&name.session),
        lists,
    };
    let (mut of_any, doomed): (BTreeMap<u32, Needed>, _) = (BTreeMap::new(), view.doomed());
    for backup in repository.backups_of(&view.listing.manifests)?.found {
        observer.check()?;
        let mut needed = NeededBy {
            id: backup.id,
            label: backup.manifest.label.clone(),
            is_undecided: backup.standing == Standing::Undecided,
            bytes: 0,
            chunks: 0,
        };
        let mut of_this: BTreeMap<u32, Needed> = BTreeMap::new();
        let walked = walk_uses(&reader, &backup.manifest, |chunk, entries| {
            let (places, forms) = index.locate_with_forms(&chunk)?;
            let mut of_run = forms.iter().filter(|_| entries.is_some());
            let is_here = |place: &&Location| entry.is_some_and(|entry| entry.number == place.pack);
            let Some(place) = places.iter().find(is_here).or_else(|| of_run.find(is_here)) else { return Ok(()) };
            let counts =
                |other: &Location| other.pack != place.pack && index.pack(other.pack).is_ok_and(|pack| !doomed.contains(&pack.name.id));
            let is_only = !places.iter().any(counts);
            for found in [&mut of_this, &mut of_any] {
                let needed = found.entry(place.frame.number).or_insert_with(|| Needed::nothing(*place, is_only));
                needed.add(entries);
            }
            Ok(())
        });
        needed.bytes = of_this.values().map(Needed::bytes).sum();
        needed.chunks = of_this.len() as u64;
        match walked {
            Err(error) if error.is_damage() && needed.is_undecided => {}
            Err(error) if error.is_damage() => {
                return Err(RepoError::PruneStopped(format!("backup {} is not whole: {error}; run esker fsck", needed.label)));
            }
            outcome => outcome?,
        }
        if needed.chunks > 0 {
            explanation.needed_by.push(needed);
        }
    }
    explanation.needed_bytes = of_any.values().map(Needed::bytes).sum();
    explanation.only_here_bytes = of_any.values().filter(|needed| needed.is_only).map(Needed::bytes).sum();
    Ok(Some(explanation))
}

/// What is needed of a frame.
struct Needed {
    place: Location,
    /// Whether the chunk stands in no other pack that counts.
    is_only: bool,
    /// Of a run, the entries.
    of_run: Option<Use>,
}

impl Needed {
    fn nothing(place: Location, is_only: bool) -> Self {
        Self { place, is_only, of_run: None }
    }

    fn add(&mut self, entries: Option<&EntrySet>) {
        if let Some(entries) = entries {
            let of_run = self.of_run.get_or_insert_default();
            of_run.entries.unite(entries);
        }
    }

    /// Bytes, about.
    fn bytes(&self) -> u64 {
        let stored = u64::from(self.place.frame.entry.stored_len);
        stored - self.of_run.as_ref().map_or(0, |of_run| of_run.unneeded_bytes(&self.place))
    }
}
