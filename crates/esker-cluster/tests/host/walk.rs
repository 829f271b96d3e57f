//! The listing of a host's folder.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use esker_cluster::{Error, Kind, Root, walk};

#[test]
fn names_of_any_bytes_come_in_the_order_of_their_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let long = vec![b'x'; 250];
    let names: [&[u8]; 7] = [b"a b", b"a\nb", b"a.b", b"a", b"\xff\xfe", b"-rf", &long];
    for name in names {
        std::fs::create_dir(folder.path().join(OsStr::from_bytes(name))).unwrap();
    }
    std::fs::write(folder.path().join("a/file"), b"12345").unwrap();
    let root = Root::open(folder.path()).unwrap();
    let paths: Vec<Vec<u8>> = walk(&root).unwrap().into_iter().map(|entry| entry.path).collect();
    let mut sorted = paths.clone();
    sorted.sort();
    assert_eq!(paths, sorted);
    assert_eq!(paths.len(), 8);
    for name in names {
        assert!(paths.iter().any(|path| path == name));
    }
}

#[test]
fn links_are_listed_and_never_followed_but_the_root_is_resolved() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("real");
    std::fs::create_dir(&real).unwrap();
    symlink("/etc", real.join("link")).unwrap();
    symlink("nowhere", real.join("broken")).unwrap();
    symlink("real", folder.path().join("root")).unwrap();
    let root = Root::open(&folder.path().join("root")).unwrap();
    assert_eq!(root.path(), real.canonicalize().unwrap());
    let entries = walk(&root).unwrap();
    let targets: Vec<_> = entries.iter().map(|entry| entry.kind.clone()).collect();
    let link = |target: &[u8]| Kind::Symlink { target: target.to_vec() };
    assert_eq!(targets, [link(b"nowhere"), link(b"/etc")]);
}

#[test]
fn modes_and_mtimes_are_listed_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tool");
    std::fs::write(&path, b"abc").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o4751)).unwrap();
    let before = std::time::UNIX_EPOCH - std::time::Duration::new(5, 250_000_000);
    std::fs::File::open(&path).unwrap().set_modified(before).unwrap();
    let root = Root::open(folder.path()).unwrap();
    let entry = walk(&root).unwrap().remove(0);
    assert_eq!(entry.attributes.mode, 0o4751);
    assert_eq!((entry.attributes.mtime.seconds, entry.attributes.mtime.nanoseconds), (-6, 750_000_000));
    assert_eq!((entry.size, entry.stamp.links), (3, 1));
}

#[test]
fn special_files_and_missing_roots_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let fifo = folder.path().join("sub/pipe\n1");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
    let error = walk(&Root::open(folder.path()).unwrap()).unwrap_err();
    assert!(matches!(&error, Error::SpecialFile { kind: "fifo", .. }));
    assert!(error.to_string().contains("sub/pipe\\n1 is a fifo"), "{error}");
    std::fs::remove_file(&fifo).unwrap();

    let _socket = UnixListener::bind(folder.path().join("sock")).unwrap();
    let error = walk(&Root::open(folder.path()).unwrap()).unwrap_err();
    assert!(error.to_string().contains("sock is a socket"), "{error}");

    let error = Root::open(&folder.path().join("absent")).unwrap_err();
    assert!(error.to_string().contains("absent"), "{error}");
    std::fs::write(folder.path().join("plain"), b"").unwrap();
    assert!(matches!(Root::open(&folder.path().join("plain")), Err(Error::NotAFolder(_))));
}

#[test]
fn folders_deeper_than_a_path_may_be_long_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let name = "d".repeat(200);
    let mut at = rustix::fs::open(folder.path(), rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
    for _ in 0..30 {
        rustix::fs::mkdirat(&at, name.as_str(), rustix::fs::Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, name.as_str(), rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
    }
    assert_eq!(walk(&Root::open(folder.path()).unwrap()).unwrap().len(), 30);
}
