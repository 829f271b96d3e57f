//! `CURRENT`: exactly `MANIFEST-n` and a newline.

use crate::engine::kind::FileKind;
use crate::path::{escaped, join};
use crate::{Error, Result, Root};

/// Longer than any real `CURRENT`: 9 bytes of prefix, 20 digits, a newline.
const CURRENT_LIMIT_BYTES: u64 = 64;

/// Reads an engine's `CURRENT` and gives the MANIFEST's name in it; whether that file is there is not checked.
///
/// # Errors
/// [`Error::BadCurrent`] if it does not read `MANIFEST-n\n`; [`Error::Io`] if it cannot be read.
pub(crate) fn manifest_named_in(root: &Root, folder: &[u8]) -> Result<Vec<u8>> {
    let path = join(folder, b"CURRENT");
    let text = root.read_small(&path, CURRENT_LIMIT_BYTES)?;
    match text.strip_suffix(b"\n") {
        Some(name) if FileKind::of(name) == FileKind::Manifest => Ok(name.to_vec()),
        _ => {
            let cause = format!("it reads `{}` instead of `MANIFEST-n` and a newline", escaped(&text));
            Err(Error::BadCurrent { path: root.absolute(&path), cause })
        }
    }
}
