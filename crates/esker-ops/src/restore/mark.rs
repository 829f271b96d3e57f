//! The mark of a restore at work, in its target.

use std::path::{Path, PathBuf};

use esker_format::ObjectId;
use esker_repo::manifests::Backup;

use crate::error::{OpsError, Result};
use crate::select::Selection;

/// Says in the target which restore is at work there; gone when it is done.
const MARK: &str = ".esker-restore";

/// The mark of a restore at work.
pub(super) struct Mark {
    path: PathBuf,
    /// Whether an interrupted run left it.
    pub(super) resumed: bool,
}

impl Mark {
    /// Marks the target, or recognises the mark of the same restore.
    pub(super) fn set(target: &Path, backup: &Backup, selection: &Selection) -> Result<Self> {
        let local = |action: &'static str, path: &Path| {
            let path = path.display().to_string();
            move |source| OpsError::Local { action, path, source }
        };
        std::fs::create_dir_all(target).map_err(local("create", target))?;
        let path = target.join(MARK);
        let text = mark_text(&backup.id, selection);
        let entries: Vec<_> = std::fs::read_dir(target).and_then(Iterator::collect::<std::io::Result<_>>).map_err(local("list", target))?;
        if entries.iter().all(|entry: &std::fs::DirEntry| entry.path() == path) {
            // Nothing but perhaps a mark that a crash cut short.
            std::fs::write(&path, text).map_err(local("write", &path))?;
            return Ok(Self { path, resumed: false });
        }
        match std::fs::read_to_string(&path) {
            Ok(found) if found == text => Ok(Self { path, resumed: true }),
            Ok(_) => {
                Err(OpsError::usage(format!("{} holds another restore that was not finished: choose an empty folder", target.display())))
            }
            Err(_) => Err(OpsError::usage(format!("{} is not empty: restore into an empty or new folder", target.display()))),
        }
    }

    /// Removes the mark: the restore is complete.
    pub(super) fn clear(self) -> Result<()> {
        let shown = self.path.display().to_string();
        std::fs::remove_file(&self.path).map_err(|source| OpsError::Local { action: "remove", path: shown, source })
    }
}

fn mark_text(backup: &ObjectId, selection: &Selection) -> String {
    format!(
        "esker restore of {backup}\n{}\nThis file goes when the restore is complete; the same command goes on with it.\n",
        selection.text()
    )
}
