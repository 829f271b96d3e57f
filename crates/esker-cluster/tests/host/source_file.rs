//! Reading files that stay, and files that change.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use esker_cluster::{Error, Root, Segment, SegmentKind, SourceFile};

use crate::samples::entry_of;

struct Sample {
    folder: tempfile::TempDir,
    root: Root,
}

impl Sample {
    fn with(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("f"), bytes).unwrap();
        let root = Root::open(folder.path()).unwrap();
        Self { folder, root }
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("f")
    }

    fn open(&self) -> SourceFile<'_> {
        SourceFile::open(&self.root, &entry_of(&self.root, b"f")).unwrap()
    }
}

fn assert_changed(result: Result<(), Error>) {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Changed { .. }), "{error}");
    assert!(error.to_string().starts_with("changed while it was read: /"), "{error}");
    assert!(error.to_string().contains("/f ("), "{error}");
}

#[test]
fn a_file_is_read_from_several_threads_and_proved_unchanged() {
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
    let sample = Sample::with(&bytes);
    let file = sample.open();
    std::thread::scope(|scope| {
        for part in 0..4_usize {
            let (file, bytes) = (&file, &bytes);
            scope.spawn(move || {
                let mut buffer = vec![0; 250_000];
                file.read_at(part as u64 * 250_000, &mut buffer).unwrap();
                assert_eq!(buffer, &bytes[part * 250_000..(part + 1) * 250_000]);
            });
        }
    });
    assert!(matches!(file.read_at(999_999, &mut [0; 2]), Err(Error::OutOfBounds { .. })));
    file.finish().unwrap();
}

#[test]
fn a_file_that_grows_shrinks_or_is_rewritten_fails_by_name() {
    let grown = Sample::with(b"12345");
    let file = grown.open();
    OpenOptions::new().append(true).open(grown.file()).unwrap().write_all(b"6").unwrap();
    file.read_at(0, &mut [0; 5]).unwrap();
    assert_changed(file.finish());

    let cut = Sample::with(b"12345");
    let file = cut.open();
    OpenOptions::new().write(true).open(cut.file()).unwrap().set_len(2).unwrap();
    assert_changed(file.read_at(0, &mut [0; 5]));

    let rewritten = Sample::with(b"12345");
    let mtime = std::fs::metadata(rewritten.file()).unwrap().modified().unwrap();
    let file = rewritten.open();
    let writer = OpenOptions::new().write(true).open(rewritten.file()).unwrap();
    writer.write_all_at(b"x", 0).unwrap();
    writer.set_modified(mtime).unwrap();
    assert_changed(file.finish());
}

#[test]
fn a_file_that_is_replaced_or_removed_fails_by_name() {
    let replaced = Sample::with(b"12345");
    let file = replaced.open();
    std::fs::write(replaced.folder.path().join("g"), b"12345").unwrap();
    std::fs::rename(replaced.folder.path().join("g"), replaced.file()).unwrap();
    assert_changed(file.finish());

    let removed = Sample::with(b"12345");
    let entry = entry_of(&removed.root, b"f");
    let file = removed.open();
    std::fs::remove_file(removed.file()).unwrap();
    assert_changed(file.finish());
    assert_changed(SourceFile::open(&removed.root, &entry).map(drop));
    std::os::unix::fs::symlink("/etc/passwd", removed.file()).unwrap();
    assert_changed(SourceFile::open(&removed.root, &entry).map(drop));
}

#[test]
fn a_file_that_changed_since_the_walk_fails_by_name() {
    let sample = Sample::with(b"12345");
    let entry = entry_of(&sample.root, b"f");
    std::fs::write(sample.file(), b"1234567").unwrap();
    assert_changed(SourceFile::open(&sample.root, &entry).map(drop));
}

#[test]
fn a_database_dropping_its_hard_link_of_a_checkpoint_is_no_change() {
    let sample = Sample::with(b"12345");
    let live = sample.folder.path().join("live.sst");
    std::fs::hard_link(sample.file(), &live).unwrap();
    let entry = entry_of(&sample.root, b"f");
    std::fs::hard_link(sample.file(), sample.folder.path().join("next-checkpoint.sst")).unwrap();
    let file = SourceFile::open(&sample.root, &entry).unwrap();
    std::fs::remove_file(live).unwrap();
    file.finish().unwrap();
}

#[test]
fn empty_files_have_no_segments() {
    let sample = Sample::with(b"");
    let file = sample.open();
    assert_eq!(file.segments().count(), 0);
    file.read_at(0, &mut []).unwrap();
    file.finish().unwrap();
}

#[test]
fn five_gibibytes_of_hole_take_no_time() {
    const SIZE: u64 = 5 << 30;
    let sample = Sample::with(b"");
    let writer = OpenOptions::new().write(true).open(sample.file()).unwrap();
    writer.set_len(SIZE).unwrap();
    writer.write_all_at(&[1; 4096], 1 << 30).unwrap();
    let started = Instant::now();
    let file = sample.open();
    let segments: Vec<Segment> = file.segments().map(Result::unwrap).collect();
    assert!(started.elapsed().as_millis() < 500);
    let covered: u64 = segments.iter().map(|segment| segment.length).sum();
    assert_eq!(covered, SIZE);
    let data: Vec<&Segment> = segments.iter().filter(|segment| segment.kind == SegmentKind::Data).collect();
    assert!(matches!(data.as_slice(), [data] if data.offset == 1 << 30 && data.length < 1 << 20), "{segments:?}");
    let mut at = 0;
    for segment in &segments {
        assert_eq!(segment.offset, at);
        at += segment.length;
    }
    file.finish().unwrap();
}
