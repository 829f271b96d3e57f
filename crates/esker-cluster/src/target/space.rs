//! Whether a restore fits.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::fstatvfs;

use crate::{Error, Result};

/// Refuses if the file system of `handle` has less than `needed_bytes` free for this user.
pub(super) fn check(handle: &impl AsFd, path: &Path, needed_bytes: u64) -> Result<()> {
    let state = fstatvfs(handle).map_err(|errno| Error::io("ask for the free space of", path, errno))?;
    let free_bytes = state.f_bavail.saturating_mul(state.f_frsize);
    if free_bytes < needed_bytes {
        return Err(Error::NotEnoughSpace { path: path.to_path_buf(), free_bytes, needed_bytes });
    }
    Ok(())
}
