//! Restoring a host: byte for byte, in the right order, and nowhere else.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use esker_cluster::{
    Attributes, Entry, Error, Kind, Node, PartitionScheme, Root, SegmentKind, SourceFile, Target, TargetOptions, Timestamp, verify, walk,
};

use crate::samples::small_checkpoint;

const PLAIN: Attributes = Attributes { mode: 0o644, uid: 0, gid: 0, mtime: Timestamp { seconds: 1_000_000_000, nanoseconds: 42 } };

fn options(resume: bool) -> TargetOptions {
    TargetOptions { resume, ..TargetOptions::default() }
}

fn node(path: &[u8], kind: Kind, size: u64) -> Node {
    Node { path: path.to_vec(), kind, attributes: PLAIN, size }
}

fn file(path: &[u8]) -> Node {
    node(path, Kind::File, 1)
}

/// Copies every byte of a source into a target.
fn copy(root: &Root, entries: &[Entry], target: &Target) {
    for entry in entries.iter().filter(|entry| entry.kind == Kind::File) {
        let source = SourceFile::open(root, entry).unwrap();
        let out = target.create_file(&entry.path).unwrap();
        for segment in source.segments() {
            let segment = segment.unwrap();
            match segment.kind {
                SegmentKind::Hole => out.hole(segment.offset, segment.length).unwrap(),
                SegmentKind::Data => {
                    let mut bytes = vec![0; usize::try_from(segment.length).unwrap()];
                    source.read_at(segment.offset, &mut bytes).unwrap();
                    out.write_at(segment.offset, &bytes).unwrap();
                }
            }
        }
        source.finish().unwrap();
    }
}

fn nodes(entries: &[Entry]) -> Vec<Node> {
    entries.iter().cloned().map(Node::from).collect()
}

/// What must be equal of two listings.
fn comparable(folder: &Path) -> Vec<(Vec<u8>, Kind, Attributes, u64)> {
    let entries = walk(&Root::open(folder).unwrap()).unwrap();
    entries.into_iter().map(|entry| (entry.path, entry.kind, entry.attributes, entry.size)).collect()
}

fn host_with_everything() -> tempfile::TempDir {
    let host = tempfile::tempdir().unwrap();
    let root = rustix::process::geteuid().is_root();
    small_checkpoint(&host.path().join("data0/nebula/1/data"));
    let odd = host.path().join("odd names\n");
    std::fs::create_dir(&odd).unwrap();
    std::fs::write(odd.join("x".repeat(250)), b"long").unwrap();
    std::fs::write(odd.join("empty"), b"").unwrap();
    std::fs::File::create(odd.join("sparse")).unwrap().set_len(3 << 30).unwrap();
    std::fs::write(odd.join("tool"), b"#!/bin/sh\n").unwrap();
    std::fs::set_permissions(odd.join("tool"), std::fs::Permissions::from_mode(0o4755)).unwrap();
    std::fs::create_dir(odd.join("closed")).unwrap();
    std::fs::write(odd.join("closed/secret"), b"s").unwrap();
    std::fs::set_permissions(odd.join("closed/secret"), std::fs::Permissions::from_mode(if root { 0o000 } else { 0o400 })).unwrap();
    std::fs::set_permissions(odd.join("closed"), std::fs::Permissions::from_mode(0o1555)).unwrap();
    symlink("../../outside", odd.join("link")).unwrap();
    symlink("closed", odd.join("link to folder")).unwrap();
    if root {
        std::os::unix::fs::lchown(odd.join("tool"), Some(1234), Some(4321)).unwrap();
        std::fs::set_permissions(odd.join("tool"), std::fs::Permissions::from_mode(0o4755)).unwrap();
        std::os::unix::fs::lchown(odd.join("link"), Some(77), Some(88)).unwrap();
    }
    host
}

#[test]
fn a_host_is_restored_with_all_that_is_kept_and_its_engine_opens() {
    let host = host_with_everything();
    let out = tempfile::tempdir().unwrap();
    let root = Root::open(host.path()).unwrap();
    let entries = walk(&root).unwrap();
    let target = Target::prepare(out.path(), "h1", Some(root.attributes()), nodes(&entries), options(false)).unwrap();
    copy(&root, &entries, &target);
    let engine = out.path().join("h1/data0/nebula/1/data");
    assert!(!engine.join("CURRENT").exists() && engine.join("CURRENT.dbtmp").exists());
    let finished = target.finish().unwrap();
    assert_eq!((finished.links, finished.folders), (2, 6));
    assert_eq!(comparable(&out.path().join("h1")), comparable(host.path()));
    assert_eq!(std::fs::metadata(out.path().join("h1")).unwrap().mtime(), host.path().metadata().unwrap().mtime());
    assert!(out.path().join("h1/odd names\n/sparse").metadata().unwrap().blocks() < 100);
    for entry in entries.iter().filter(|entry| entry.kind == Kind::File && entry.size < 1 << 20) {
        let path = esker_cluster::path::as_path(&entry.path);
        assert_eq!(std::fs::read(host.path().join(path)).unwrap(), std::fs::read(out.path().join("h1").join(path)).unwrap());
    }
    assert_eq!(verify(&engine, PartitionScheme::Nebula).unwrap().entries, 104);
}

#[test]
fn restore_resumes_after_power_loss_between_two_files() {
    let host = host_with_everything();
    let out = tempfile::tempdir().unwrap();
    let root = Root::open(host.path()).unwrap();
    let entries = walk(&root).unwrap();
    let prepare = |resume| Target::prepare(out.path(), "h", None, nodes(&entries), options(resume));
    let target = prepare(false).unwrap();
    let (half, _) = entries.split_at(entries.len() / 2);
    copy(&root, half, &target);
    let error = target.finish().unwrap_err();
    assert!(matches!(error, Error::Incomplete { .. }), "{error}");
    assert!(matches!(prepare(false), Err(Error::TargetNotEmpty(_))));
    assert!(walk(&Root::open(out.path()).unwrap()).unwrap().iter().all(|entry| !entry.path.ends_with(b"/CURRENT")));

    let target = prepare(true).unwrap();
    copy(&root, &entries, &target);
    target.finish().unwrap();
    assert_eq!(comparable(&out.path().join("h")), comparable(host.path()));
    // And once more over a finished one, which has its CURRENT already.
    let target = prepare(true).unwrap();
    let current = b"data0/nebula/1/data/CURRENT";
    assert_eq!(target.existing_size(current).unwrap(), Some(16));
    target.finish().unwrap();
    assert_eq!(comparable(&out.path().join("h")), comparable(host.path()));
}

#[test]
fn a_hole_clears_what_an_interrupted_restore_left() {
    let out = tempfile::tempdir().unwrap();
    let plan = || vec![node(b"f", Kind::File, 100_000)];
    let target = Target::prepare(out.path(), "h", None, plan(), options(false)).unwrap();
    target.create_file(b"f").unwrap().write_at(0, &[7; 100_000]).unwrap();
    drop(target);
    let target = Target::prepare(out.path(), "h", None, plan(), options(true)).unwrap();
    let file = target.create_file(b"f").unwrap();
    file.hole(10, 90_000).unwrap();
    let mut bytes = vec![1; 100_000];
    file.read_at(0, &mut bytes).unwrap();
    assert!(bytes[..10] == [7; 10] && bytes[10..90_010].iter().all(|&byte| byte == 0) && bytes[90_010] == 7);
    assert!(matches!(file.write_at(99_999, b"ab"), Err(Error::OutOfBounds { .. })));
    assert!(matches!(file.write_at(u64::MAX, b"ab"), Err(Error::OutOfBounds { .. })));
}

#[test]
fn many_threads_write_one_file() {
    let out = tempfile::tempdir().unwrap();
    let plan = vec![node(b"f", Kind::File, 8 << 20)];
    let target = Target::prepare(out.path(), "h", None, plan, options(false)).unwrap();
    let file = target.create_file(b"f").unwrap();
    std::thread::scope(|scope| {
        for part in 0..8_u8 {
            let file = &file;
            scope.spawn(move || file.write_at(u64::from(part) << 20, &vec![part; 1 << 20]).unwrap());
        }
    });
    drop(file);
    target.finish().unwrap();
    let bytes = std::fs::read(out.path().join("h/f")).unwrap();
    assert!(bytes.iter().enumerate().all(|(at, &byte)| usize::from(byte) == at >> 20));
}

#[test]
fn hostile_paths_are_refused_before_anything_is_created() {
    let out = tempfile::tempdir().unwrap();
    let link = |path: &[u8], target: &[u8]| node(path, Kind::Symlink { target: target.to_vec() }, 0);
    let hostile: Vec<Vec<Node>> = vec![
        vec![file(b"/etc/x")],
        vec![file(b"../x")],
        vec![file(b"a/../../x")],
        vec![file(b"a//x")],
        vec![file(b"a/")],
        vec![file(b"./x")],
        vec![file(b"")],
        vec![file(b"a\0b")],
        vec![file(b"a"), file(b"a")],
        vec![file(b"a"), file(b"a/b")],
        vec![link(b"l", b"/etc"), file(b"l/x")],
        vec![link(b"l", b"/etc"), file(b"l/x/y/z")],
        vec![link(b"l", b"")],
        vec![link(b"l", b"a\0b")],
        vec![file(b"CURRENT"), file(b"CURRENT.dbtmp")],
        vec![node(b"huge", Kind::File, u64::MAX)],
    ];
    for nodes in hostile {
        let shown = format!("{nodes:?}");
        let error = Target::prepare(out.path(), "h", None, nodes, options(false)).unwrap_err();
        assert!(matches!(error, Error::RefusedPath { .. }), "{shown}: {error}");
    }
    for host in ["", "..", ".", "a/b", "/a", "a\0"] {
        let error = Target::prepare(out.path(), host, None, vec![], options(false)).unwrap_err();
        assert!(matches!(error, Error::RefusedPath { .. }), "{host}: {error}");
    }
    assert_eq!(out.path().read_dir().unwrap().count(), 0);
}

#[test]
fn links_planted_in_a_target_are_not_passed() {
    let (out, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let victim = outside.path().join("victim");
    std::fs::write(&victim, b"precious").unwrap();
    let plan = || vec![node(b"d", Kind::Directory, 0), file(b"d/f")];
    let base = out.path().join("h");
    std::fs::create_dir(&base).unwrap();

    symlink(outside.path(), base.join("d")).unwrap();
    let error = Target::prepare(out.path(), "h", None, plan(), options(true)).unwrap_err();
    assert!(matches!(error, Error::RefusedPath { .. }), "{error}");

    std::fs::remove_file(base.join("d")).unwrap();
    let target = Target::prepare(out.path(), "h", None, plan(), options(true)).unwrap();
    symlink(&victim, base.join("d/f")).unwrap();
    assert!(target.create_file(b"d/f").is_err());
    std::fs::remove_file(base.join("d/f")).unwrap();
    std::fs::hard_link(&victim, base.join("d/f")).unwrap();
    assert!(matches!(target.create_file(b"d/f"), Err(Error::RefusedPath { .. })));
    std::fs::remove_dir_all(base.join("d")).unwrap();
    symlink(outside.path(), base.join("d")).unwrap();
    assert!(target.create_file(b"d/f").is_err());
    assert!(target.finish().is_err());
    assert_eq!(std::fs::read(&victim).unwrap(), b"precious");

    std::fs::remove_dir_all(&base).unwrap();
    symlink(outside.path(), &base).unwrap();
    assert!(Target::prepare(out.path(), "h", None, plan(), options(true)).is_err());
    assert_eq!(outside.path().read_dir().unwrap().count(), 1);
}

#[test]
fn only_planned_files_are_written_and_space_is_asked_for() {
    let out = tempfile::tempdir().unwrap();
    let target = Target::prepare(out.path(), "h", None, vec![file(b"deep/er/f")], options(false)).unwrap();
    assert!(matches!(target.create_file(b"other"), Err(Error::RefusedPath { .. })));
    assert!(matches!(target.create_file(b"deep"), Err(Error::RefusedPath { .. })));
    target.check_space(1).unwrap();
    assert!(matches!(target.check_space(u64::MAX), Err(Error::NotEnoughSpace { .. })));
    target.create_file(b"deep/er/f").unwrap().write_at(0, b"1").unwrap();
    assert!(target.create_file(b"deep/er/f").is_err(), "a new restore never writes a file twice");
    target.finish().unwrap();
    assert_eq!(std::fs::read(out.path().join("h/deep/er/f")).unwrap(), b"1");
}

#[test]
fn a_target_that_cannot_be_made_is_named() {
    let error = Target::prepare(Path::new("/proc/esker"), "h", None, vec![], options(false)).unwrap_err();
    assert!(error.to_string().starts_with("cannot create /proc/esker: "), "{error}");
}
