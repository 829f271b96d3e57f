//! Whether two directory trees are the same: names, kinds, contents, modes, times and owners.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::inventory::{NodeKind, TreeNode, inventory};

const DIFFERENCES_SHOWN: usize = 20;
const BUFFER_BYTES: usize = 256 << 10;

/// Panics with the first differences unless [`diff_trees`] finds none.
#[track_caller]
pub fn assert_same_tree(a: &Path, b: &Path, ignored_names: &[&str]) {
    let differences = diff_trees(a, b, ignored_names);
    assert!(
        differences.is_empty(),
        "{} differences between {} and {}:\n{}",
        differences.len(),
        a.display(),
        b.display(),
        differences[..differences.len().min(DIFFERENCES_SHOWN)].join("\n"),
    );
}

/// The differences between what is below `a` and below `b`, one sentence each: names (as raw
/// bytes), kinds, sizes, contents, symlink targets, modes, mtimes to the nanosecond, owners.
///
/// Names in `ignored_names` (such as `LOCK`, `LOG`) are skipped wherever they stand, and so is the
/// mtime of a directory that holds one, because making it moved that.
#[must_use]
pub fn diff_trees(a: &Path, b: &Path, ignored_names: &[&str]) -> Vec<String> {
    let is_ignored = |path: &Path| {
        let name = path.file_name();
        ignored_names.iter().any(|ignored| name == Some(OsStr::new(ignored)))
    };
    let (nodes_a, nodes_b) = (inventory(a), inventory(b));
    let names: BTreeSet<&PathBuf> = nodes_a.keys().chain(nodes_b.keys()).collect();
    let disturbed: BTreeSet<&Path> = (names.iter()).filter(|name| is_ignored(name)).filter_map(|name| name.parent()).collect();
    let mut differences = Vec::new();
    for name in names.into_iter().filter(|name| !is_below_ignored(name, &is_ignored)) {
        diff_name((a, &nodes_a), (b, &nodes_b), name, disturbed.contains(name.as_path()))
            .into_iter()
            .for_each(|difference| differences.push(format!("{name:?}: {difference}")));
    }
    differences
}

fn is_below_ignored(name: &Path, is_ignored: &impl Fn(&Path) -> bool) -> bool {
    name.ancestors().any(is_ignored)
}

type Tree<'a> = (&'a Path, &'a BTreeMap<PathBuf, TreeNode>);

fn diff_name(a: Tree, b: Tree, name: &Path, skip_mtime: bool) -> Vec<String> {
    match (a.1.get(name), b.1.get(name)) {
        (Some(_), None) => vec!["only in the first tree".to_owned()],
        (None, Some(_)) => vec!["only in the second tree".to_owned()],
        (None, None) => Vec::new(),
        (Some(node_a), Some(node_b)) => {
            let mut differences = diff_nodes(node_a, node_b, skip_mtime);
            let both_files = node_a.kind == NodeKind::File && node_b.kind == NodeKind::File;
            if both_files && node_a.size_bytes == node_b.size_bytes {
                differences.extend(diff_contents(&a.0.join(name), &b.0.join(name)));
            }
            differences
        }
    }
}

fn diff_nodes(a: &TreeNode, b: &TreeNode, skip_mtime: bool) -> Vec<String> {
    if a.kind != b.kind {
        return vec![format!("kind {:?} against {:?}", a.kind, b.kind)];
    }
    let mut differences = Vec::new();
    let mut compare = |what: &str, same: bool, a: String, b: String| {
        if !same {
            differences.push(format!("{what} {a} against {b}"));
        }
    };
    let octal = |mode: u32| format!("{mode:04o}");
    compare("size", a.size_bytes == b.size_bytes, a.size_bytes.to_string(), b.size_bytes.to_string());
    compare("mode", a.mode == b.mode, octal(a.mode), octal(b.mode));
    compare("mtime (ns)", skip_mtime || a.mtime_ns == b.mtime_ns, a.mtime_ns.to_string(), b.mtime_ns.to_string());
    compare("owner", (a.uid, a.gid) == (b.uid, b.gid), format!("{}:{}", a.uid, a.gid), format!("{}:{}", b.uid, b.gid));
    differences
}

fn diff_contents(a: &Path, b: &Path) -> Option<String> {
    match first_difference(a, b) {
        Ok(None) => None,
        Ok(Some(offset)) => Some(format!("contents differ from byte {offset}")),
        Err(error) => Some(format!("unreadable: {error}")),
    }
}

fn first_difference(a: &Path, b: &Path) -> io::Result<Option<u64>> {
    let mut a = BufReader::with_capacity(BUFFER_BYTES, File::open(a)?);
    let mut b = BufReader::with_capacity(BUFFER_BYTES, File::open(b)?);
    let mut offset = 0;
    loop {
        let (from_a, from_b) = (a.fill_buf()?, b.fill_buf()?);
        let length = from_a.len().min(from_b.len());
        if let Some(at) = (from_a.iter().zip(from_b)).position(|(x, y)| x != y) {
            return Ok(Some(offset + at as u64));
        }
        if length == 0 {
            return Ok((from_a.len() != from_b.len()).then_some(offset));
        }
        a.consume(length);
        b.consume(length);
        offset += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::copy_tree;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::{Duration, SystemTime};

    fn sample(root: &Path) {
        fs::create_dir_all(root.join("folder")).unwrap();
        fs::write(root.join("folder/file"), b"content").unwrap();
        fs::write(root.join(OsStr::from_bytes(b"not utf-8 \xff")), b"x").unwrap();
        symlink("nowhere", root.join("link")).unwrap();
    }

    fn pair() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        sample(&a);
        copy_tree(&a, &b);
        (folder, a, b)
    }

    #[track_caller]
    fn assert_one_difference(change: impl FnOnce(&Path), expected: &str) {
        let (_folder, a, b) = pair();
        change(&b);
        let differences = diff_trees(&a, &b, &[]);
        assert!(differences.iter().any(|found| found.contains(expected)), "{differences:?}");
    }

    #[test]
    fn a_copy_is_the_same_tree() {
        let (_folder, a, b) = pair();
        assert_same_tree(&a, &b, &[]);
    }

    #[test]
    fn every_kind_of_change_is_found() {
        assert_one_difference(|b| fs::remove_file(b.join("link")).unwrap(), "only in the first");
        assert_one_difference(|b| fs::write(b.join("new"), b"").unwrap(), "only in the second");
        assert_one_difference(|b| fs::write(b.join("folder/file"), b"cOntent").unwrap(), "contents differ from byte 1");
        assert_one_difference(|b| fs::write(b.join("folder/file"), b"longer content").unwrap(), "size 7 against 14");
        assert_one_difference(
            |b| {
                fs::remove_file(b.join("link")).unwrap();
                symlink("elsewhere", b.join("link")).unwrap();
            },
            "kind",
        );
        assert_one_difference(|b| fs::set_permissions(b.join("folder"), PermissionsExt::from_mode(0o700)).unwrap(), "mode");
    }

    #[test]
    fn one_nanosecond_of_mtime_is_found() {
        assert_one_difference(
            |b| {
                let path = b.join("folder/file");
                let mtime: SystemTime = fs::metadata(&path).unwrap().modified().unwrap();
                let file = File::options().write(true).open(path).unwrap();
                file.set_modified(mtime + Duration::from_nanos(1)).unwrap();
            },
            "mtime",
        );
    }

    #[test]
    fn ignored_names_and_the_mtime_they_moved_do_not_count() {
        let (_folder, a, b) = pair();
        fs::write(b.join("folder/LOCK"), b"").unwrap();
        assert_eq!(diff_trees(&a, &b, &["LOCK"]), Vec::<String>::new());
        assert_eq!(diff_trees(&a, &b, &[]).len(), 2);
    }
}
