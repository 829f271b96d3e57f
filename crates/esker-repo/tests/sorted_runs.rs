//! Sessions that may store sorted runs: what they write is of the second format, and everybody reads it.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use esker_format::SessionId;
use esker_format::index_segment::IndexSegment;
use esker_format::layout::ObjectKind;
use esker_format::manifest::{Manifest, Totals};
use esker_format::seal::ChunkKind;
use esker_format::sorted_totals::SortedTotals;
use esker_format::table::TableRef;
use esker_repo::listing::Listing;
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::{Claim, InitOptions, OpenOptions, Repository, Store, SystemEnvironment, Writer, WriterOptions};

const RUN: &[u8] = b"entries of a run, entries of a run, entries of a run";

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> (Self, Arc<Repository>) {
        let place = Self(tempfile::tempdir().unwrap());
        let store = Store::open_local(place.folder("repository").to_str().unwrap(), true).unwrap();
        let repository = Repository::init(store, &InitOptions::new(None), place.options("first")).unwrap();
        (place, Arc::new(repository))
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Opens it as a process with a cache of its own does.
    fn open(&self, cache: &str) -> Arc<Repository> {
        let store = Store::open_local(self.folder("repository").to_str().unwrap(), false).unwrap();
        Arc::new(Repository::open(store, self.options(cache)).unwrap())
    }

    fn options(&self, cache: &str) -> OpenOptions {
        OpenOptions {
            secret: None,
            cache: self.folder(cache),
            run_cache_bytes: None,
            index_cache_bytes: esker_repo::INDEX_CACHE_BYTES,
            environment: Arc::new(SystemEnvironment),
        }
    }

    /// The formats in the headers of all objects below a folder.
    fn formats(&self, folder: &str) -> BTreeSet<u8> {
        fn collect(folder: &Path, formats: &mut BTreeSet<u8>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.path() {
                    path if path.is_dir() => collect(&path, formats),
                    path => drop(formats.insert(std::fs::read(path).unwrap()[6])),
                }
            }
        }
        let mut formats = BTreeSet::new();
        collect(&self.folder("repository").join(folder), &mut formats);
        formats
    }
}

fn begin(repository: &Arc<Repository>, sorted_runs: bool) -> Writer {
    Writer::begin(repository, "test", &WriterOptions { workers: 2, sorted_runs, ..WriterOptions::default() }).unwrap()
}

fn manifest() -> Manifest {
    Manifest {
        label: "one".into(),
        cluster: String::new(),
        session: SessionId([0; 16]),
        started_ms: 1,
        finished_ms: 2,
        written_by: String::new(),
        tags: Vec::new(),
        warnings: Vec::new(),
        hosts: Vec::new(),
        seen: TableRef::default(),
        keys: Vec::new(),
        segments: Vec::new(),
        packs: Vec::new(),
        encoders: Vec::new(),
        totals: Totals::default(),
        sorted: None,
        origin: None,
    }
}

#[test]
fn a_run_that_one_process_stored_is_read_by_another() {
    let (place, repository) = Place::new();
    let writer = begin(&repository, true);
    let run = writer.store(ChunkKind::Run, RUN.to_vec()).unwrap();
    let bytes = writer.store(ChunkKind::Bytes, RUN.to_vec()).unwrap();
    let table = writer.store(ChunkKind::Table, RUN.to_vec()).unwrap();
    assert_eq!(BTreeSet::from([run, bytes, table]).len(), 3, "each kind has ids of its own");
    let sorted = SortedTotals { files: 1, literal_bytes: RUN.len() as u64, ..SortedTotals::default() };
    let id = writer.commit(Manifest { sorted: Some(sorted.clone()), ..manifest() }).unwrap();

    let formats = ["packs/data", "packs/meta", "index", "manifests", "sessions"].map(|folder| place.formats(folder));
    assert_eq!(formats, [2, 2, 2, 2, 1].map(|format| BTreeSet::from([format])));
    let other = place.open("second");
    let reader = ChunkReader::open(&other).unwrap();
    let places = reader.index().locate(&run).unwrap();
    assert_eq!(places.iter().map(|place| place.frame.entry.kind).collect::<Vec<_>>(), [ChunkKind::Run]);
    let mut context = ReadContext::new().unwrap();
    for chunk in [run, bytes, table] {
        assert_eq!(reader.read(&mut context, &chunk).unwrap(), RUN);
    }
    assert_eq!(other.read_object::<Manifest>(ObjectKind::Manifest, &id).unwrap().sorted, Some(sorted));
    assert!(matches!(begin(&other, true).claim(&run).unwrap(), Claim::Known { left_over: false }));
}

#[test]
fn the_manifest_of_a_session_with_runs_is_of_their_format_though_it_stored_none() {
    let (place, repository) = Place::new();
    let id = begin(&repository, true).commit(manifest()).unwrap();
    assert_eq!(place.formats("manifests"), BTreeSet::from([2]));
    assert_eq!(repository.read_object::<Manifest>(ObjectKind::Manifest, &id).unwrap().sorted, Some(SortedTotals::default()));
}

#[test]
fn a_session_without_runs_writes_the_first_format_and_refuses_a_run() {
    let (place, repository) = Place::new();
    let writer = begin(&repository, false);
    writer.store(ChunkKind::Bytes, RUN.to_vec()).unwrap();
    writer.store(ChunkKind::Table, RUN.to_vec()).unwrap();
    writer.commit(manifest()).unwrap();
    for folder in ["packs/data", "packs/meta", "index", "manifests"] {
        assert_eq!(place.formats(folder), BTreeSet::from([1]), "{folder}");
    }
    let writer = begin(&repository, false);
    writer.store(ChunkKind::Run, RUN.to_vec()).unwrap();
    let error = writer.flush().unwrap_err();
    assert!(error.to_string().contains("Run in a Data pack of format 1"), "{error}");
}

#[test]
fn runs_that_an_interrupted_session_left_are_indexed_by_the_next_whatever_its_own_format() {
    let (place, repository) = Place::new();
    let writer = begin(&repository, true);
    let run = writer.store(ChunkKind::Run, RUN.to_vec()).unwrap();
    writer.flush().unwrap();
    drop(writer);
    std::fs::remove_dir_all(place.folder("repository/index")).unwrap();

    let next = begin(&repository, false);
    assert!(matches!(next.claim(&run).unwrap(), Claim::Known { left_over: true }));
    next.store(ChunkKind::Bytes, RUN.to_vec()).unwrap();
    next.commit(manifest()).unwrap();
    // One segment names the run's pack, the other what the session wrote.
    assert_eq!(place.formats("index"), BTreeSet::from([1, 2]));
    for id in Listing::read(repository.store()).unwrap().segments.keys() {
        let segment: IndexSegment = repository.read_object(ObjectKind::IndexSegment, id).unwrap();
        assert_eq!(segment.packs.len(), 1);
    }
    assert_eq!(place.formats("manifests"), BTreeSet::from([1]));
    let reader = ChunkReader::open(&place.open("second")).unwrap();
    assert_eq!(reader.read(&mut ReadContext::new().unwrap(), &run).unwrap(), RUN);
}
