//! Refusing an engine that a database is writing to.
//!
//! A live engine's files are not those of one moment: its MANIFEST grows while they are listed. Two signs are looked
//! for, at the begin and at the end of the engine's backup: a held `LOCK`, and a `CURRENT` or MANIFEST that changed.

mod lock;

use rustix::fs::FileType;

use crate::attributes::size_of;
use crate::engine::manifest_named_in;
use crate::path::{escaped, join};
use crate::{Engine, Error, Result, Root, Stamp};

/// The state of an engine at the begin of its backup, to be compared with the one at its end.
#[derive(Debug)]
pub struct Freeze<'r> {
    root: &'r Root,
    folder: Vec<u8>,
    manifest: Vec<u8>,
    state: ManifestState,
}

/// Which file the MANIFEST is and how long.
#[derive(Debug, PartialEq, Eq)]
struct ManifestState {
    device: u64,
    inode: u64,
    size: u64,
}

impl<'r> Freeze<'r> {
    /// Refuses a live engine and remembers the state of a quiet one.
    ///
    /// # Errors
    /// [`Error::LiveEngine`] if any process holds its `LOCK`, or if `CURRENT` or the MANIFEST is not the one of the
    /// survey any more; [`Error::Io`] if they cannot be read.
    pub fn begin(root: &'r Root, engine: &Engine) -> Result<Self> {
        let listed = engine.files.iter().find(|file| file.entry.path == join(&engine.path, &engine.manifest));
        let state = match listed {
            Some(file) => ManifestState { device: file.entry.stamp.device, inode: file.entry.stamp.inode, size: file.entry.size },
            None => examine(root, &engine.path, &engine.manifest)?,
        };
        let freeze = Self { root, folder: engine.path.clone(), manifest: engine.manifest.clone(), state };
        freeze.check()?;
        Ok(freeze)
    }

    /// Proves that the engine is still the one of [`Freeze::begin`]; call it after the engine's last file was read.
    ///
    /// # Errors
    /// As [`Freeze::begin`].
    pub fn check(&self) -> Result<()> {
        lock::refuse_held(self.root, &self.folder)?;
        let current = manifest_named_in(self.root, &self.folder)?;
        if current != self.manifest {
            let (was, is) = (escaped(&self.manifest), escaped(&current));
            return Err(self.live(format!("its CURRENT went from {was} to {is} during the backup")));
        }
        let now = examine(self.root, &self.folder, &self.manifest)?;
        if now == self.state {
            return Ok(());
        }
        let (name, was, is) = (escaped(&self.manifest), self.state.size, now.size);
        Err(self.live(format!("its {name} changed during the backup, from {was} to {is} bytes")))
    }

    fn live(&self, sign: String) -> Error {
        Error::LiveEngine { path: self.root.absolute(&self.folder), sign }
    }
}

fn examine(root: &Root, folder: &[u8], manifest: &[u8]) -> Result<ManifestState> {
    let path = join(folder, manifest);
    let stat = root.stat(&path).map_err(|errno| Error::io("examine", root.absolute(&path), errno))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        let cause = "the MANIFEST is no regular file any more".to_owned();
        return Err(Error::Changed { path: root.absolute(&path), cause });
    }
    let stamp = Stamp::of(&stat);
    Ok(ManifestState { device: stamp.device, inode: stamp.inode, size: size_of(&stat) })
}
