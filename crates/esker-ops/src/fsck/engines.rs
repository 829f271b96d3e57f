//! The engine level: every engine of the chosen backups opens from a scratch restore and stands where the manifest says.

use std::collections::BTreeMap;

use esker_cluster::{PartitionScheme, verify};
use esker_format::engine::PartitionScheme as StoredScheme;
use esker_repo::manifests::{Backup, read_engine};
use esker_repo::reader::ReadContext;

use super::finding::help_for;
use super::{Check, split_damage};
use crate::error::{OpsError, Result};
use crate::restore::{RestoreRequest, restore};
use crate::rows::replicas_of;
use crate::select::Selection;

impl Check<'_> {
    pub(super) fn engines(&mut self) -> Result<()> {
        for backup in self.chosen.clone() {
            self.job.cancel.check()?;
            let scratch = match &self.request.scratch {
                Some(folder) => tempfile::tempdir_in(folder),
                None => tempfile::tempdir(),
            };
            let scratch = scratch.map_err(|source| OpsError::Local { action: "make a scratch folder for", path: "fsck".into(), source })?;
            let request = RestoreRequest {
                backup: backup.id.to_string(),
                target: scratch.path().join("restore"),
                selection: Selection::default(),
                dry_run: false,
            };
            match restore(self.repository, &request, self.job) {
                Ok(_) => self.open_engines(&backup, &request)?,
                Err(error) => {
                    let error = split_damage(error)?;
                    *self.touched.entry(backup.id).or_default() += 1;
                    self.damage(format!("backup {}", backup.manifest.label), format!("cannot be restored: {error}"), help_for("packs"));
                }
            }
        }
        Ok(())
    }

    fn open_engines(&mut self, backup: &Backup, restored: &RestoreRequest) -> Result<()> {
        let context = &mut ReadContext::new()?;
        self.job.progress.phase("engines", 0);
        for host in &backup.manifest.hosts {
            for id in &host.engines {
                self.job.cancel.check()?;
                let engine = read_engine(&self.reader, context, id)?;
                let expected: BTreeMap<u32, (u64, u64)> = replicas_of(&self.reader, context, &engine)?
                    .into_iter()
                    .map(|replica| (replica.partition, (replica.commit_id, replica.commit_term)))
                    .collect();
                let scheme = match engine.scheme {
                    StoredScheme::None => PartitionScheme::None,
                    StoredScheme::Nebula => PartitionScheme::Nebula,
                };
                let folder = restored.target.join(&host.name).join(esker_cluster::path::as_path(&engine.folder));
                let name = format!("engine {} of {} in {}", esker_cluster::path::escaped(&engine.folder), host.name, backup.manifest.label);
                match verify(&folder, scheme) {
                    Ok(found) => {
                        self.engines += 1;
                        let found: BTreeMap<u32, (u64, u64)> =
                            found.positions.into_iter().map(|replica| (replica.partition, (replica.commit_id, replica.term))).collect();
                        if found != expected {
                            *self.touched.entry(backup.id).or_default() += 1;
                            self.damage(name, "its commit positions are not those that the backup recorded", help_for("file"));
                        }
                    }
                    Err(error @ (esker_cluster::Error::NeedsComparator { .. } | esker_cluster::Error::NeedsMergeOperator(_))) => {
                        self.complete = false;
                        self.notice(name, format!("was not opened: {error}"), "open it with the application that wrote it");
                    }
                    Err(error) => {
                        *self.touched.entry(backup.id).or_default() += 1;
                        let help = "if level files is clean the engine was like this on the host: check it there (ldb, sst_dump)";
                        self.damage(name, error.to_string(), help);
                    }
                }
            }
        }
        self.job.progress.finish();
        Ok(())
    }
}
