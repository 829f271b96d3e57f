//! Missing and damaged packs that nothing needs any more: what they held that backups need stands whole in others.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use esker_format::layout::PackName;
use esker_format::verification::Level;
use esker_repo::index::Location;
use esker_repo::manifests::{walk_chunks, walk_uses};
use esker_repo::reader::ReadContext;

use super::Check;
use super::finding::Severity;
use crate::error::Result;

impl Check<'_> {
    /// Whether every chunk that any backup needs stands somewhere, and those whole of which a damaged frame is known.
    pub(super) fn all_stand_somewhere(&self) -> Result<bool> {
        let context = &mut ReadContext::new()?;
        for chunk in self.bad_chunks.keys() {
            match self.reader.prove(context, chunk) {
                Ok(_) => {}
                Err(error) if error.is_damage() => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        // The structure level has looked at every chunk of all backups already.
        if self.request.level >= Level::Structure && self.request.backup.is_none() {
            return Ok(true);
        }
        let mut all = true;
        for backup in &self.backups.found {
            self.job.cancel.check()?;
            let walked = walk_chunks(&self.reader, &backup.manifest, |chunk| {
                all &= !self.index.locate_readable(&chunk)?.is_empty();
                Ok(())
            });
            match walked {
                Ok(()) => {}
                Err(error) if error.is_damage() => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(all)
    }

    /// Makes a notice of the damage to a pack if every chunk that any backup needs stands in a pack without damage.
    pub(super) fn settle_damaged_packs(&mut self) -> Result<()> {
        let is_known = self.request.level >= Level::Structure && !self.is_lossy && !self.tables_damaged;
        let settled = if is_known { self.packs_not_needed()? } else { BTreeSet::new() };
        self.complete &= self.unread_packs.is_subset(&settled);
        let paths: BTreeSet<String> = settled.iter().map(PackName::path).collect();
        for finding in self.findings.iter_mut().filter(|finding| finding.severity == Severity::Damage && paths.contains(&finding.object)) {
            finding.severity = Severity::Notice;
            finding.what.push_str("; nothing needs it any more: all that backups need stands whole in other packs");
            finding.help = "nothing to do; the object may be deleted".into();
        }
        Ok(())
    }

    /// Damaged packs none of which is the only place of a chunk that a backup needs.
    fn packs_not_needed(&self) -> Result<BTreeSet<PackName>> {
        let mut settled = self.damaged_packs.clone();
        if settled.is_empty() {
            return Ok(settled);
        }
        let (packs, context) = (self.index.packs()?, RefCell::new(ReadContext::new()?));
        let damaged: BTreeMap<u32, PackName> =
            packs.iter().filter(|pack| settled.contains(&pack.name)).map(|pack| (pack.number, pack.name)).collect();
        for backup in &self.backups.found {
            self.job.cancel.check()?;
            let walked = walk_uses(&self.reader, &backup.manifest, |chunk, entries| {
                let (mut places, forms) = self.index.locate_with_forms(&chunk)?;
                places.extend(forms);
                let is_damaged = |place: &Location| damaged.contains_key(&place.pack);
                let is_needed = match entries {
                    _ if !places.iter().any(is_damaged) => false,
                    None => places.iter().all(is_damaged),
                    // Of a run those places count that together hold what is copied from it.
                    Some(entries) => {
                        let context = &mut *context.borrow_mut();
                        !self.reader.holds_entries(&self.index, context, (&chunk, entries), |place| !is_damaged(place))?
                    }
                };
                if is_needed {
                    for name in places.iter().filter_map(|place| damaged.get(&place.pack)) {
                        settled.remove(name);
                    }
                }
                Ok(())
            });
            match walked {
                Ok(()) => {}
                Err(error) if error.is_damage() => return Ok(BTreeSet::new()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(settled)
    }
}
