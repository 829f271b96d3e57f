//! Paths as raw bytes: how they are joined, shown, and refused when hostile.
//!
//! Inside Esker a path is relative to a host's root, has `/` between its components, and is any bytes but NUL. The
//! empty path is the root itself.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Joins a folder and a name; the empty folder is the root.
pub fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() {
        return name.to_vec();
    }
    [folder, name].join(&b'/')
}

/// The folder a path stands in and its last component; the root's parent is the root.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => match path.split_at_checked(slash) {
            Some((folder, rest)) => (folder, rest.strip_prefix(b"/").unwrap_or(rest)),
            None => (b"", path),
        },
        None => (b"", path),
    }
}

/// The components of a path, none for the root.
pub fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(move |_| !path.is_empty())
}

/// Says why a relative path must not be written below a restore folder, if it must not.
///
/// # Errors
/// The reason, as the end of a sentence: absolute, empty component, `.` or `..`, NUL byte.
pub fn check_relative(path: &[u8]) -> Result<(), &'static str> {
    if path.contains(&0) {
        return Err("its name holds a NUL byte");
    }
    if path.starts_with(b"/") {
        return Err("it is absolute");
    }
    for component in components(path) {
        match component {
            b"" => return Err("it has an empty component"),
            b"." | b".." => return Err("it has a component `.` or `..`"),
            _ => {}
        }
    }
    Ok(())
}

/// A path as text that is unambiguous and cannot break a line: `\n`, `\\`, `\xNN` for what is not printable UTF-8.
pub fn escaped(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                // Bidirectional overrides reorder what a terminal shows; they are as bad as a newline.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    let _ = write!(text, "\\u{{{:x}}}", u32::from(character));
                }
                other if other.is_control() => {
                    let _ = write!(text, "\\x{:02x}", u32::from(other));
                }
                other => text.push(other),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// A file system path as [`escaped`] text.
pub fn shown(path: &Path) -> String {
    escaped(path.as_os_str().as_bytes())
}

/// Bytes as a file system path.
pub fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_paths_are_refused_and_odd_ones_are_not() {
        for bad in [&b"/etc"[..], b"..", b"a/../b", b"a//b", b"a/", b"./a", b"a\0b"] {
            assert!(check_relative(bad).is_err(), "{bad:?}");
        }
        for good in [&b""[..], b"a", b"...", b"a\nb/ c", b"..a/b..", b"\xff\xfe"] {
            assert!(check_relative(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_path_splits_into_folder_and_name() {
        assert_eq!(split(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(split(b"c"), (&b""[..], &b"c"[..]));
        assert_eq!(components(b"").count(), 0);
        assert_eq!(join(b"", b"x"), b"x");
        assert_eq!(join(b"a", b"x"), b"a/x");
    }

    #[test]
    fn shown_names_cannot_forge_lines() {
        assert_eq!(escaped(b"a\nb\\\xff\x1b[1m"), "a\\nb\\\\\\xff\\x1b[1m");
    }
}
