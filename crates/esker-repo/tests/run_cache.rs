//! The cache of run frames: what it saves, and that it can be lost, damaged, shared and full without a wrong byte.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::path::PathBuf;
use std::sync::Arc;

use esker_format::key::{Argon2Cost, Secret};
use esker_format::seal::ChunkKind;
use esker_format::table::TableRef;
use esker_format::{ChunkId, SessionId, manifest::Manifest, manifest::Totals};
use esker_repo::listing::Listing;
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::{Claim, InitOptions, OpenOptions, RepoError, Repository, Store, SystemEnvironment, Writer, WriterOptions};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use zeroize::Zeroizing;

/// Bytes of a run here: nothing compresses them.
const RUN_BYTES: usize = 30_000;
/// What its frame takes on disk.
const ON_DISK: u64 = 32 << 10;
const PLENTY: Option<u64> = Some(64 << 20);

/// A repository far away, with a folder for the caches of its clients.
struct Far {
    store: Arc<dyn ObjectStore>,
    scratch: tempfile::TempDir,
    secret: Option<Secret>,
}

impl Far {
    fn new() -> Self {
        Self::with(None)
    }

    fn with(secret: Option<Secret>) -> Self {
        let far = Self { store: Arc::new(InMemory::new()), scratch: tempfile::tempdir().unwrap(), secret };
        let init = InitOptions { argon2: Argon2Cost::CHEAP, ..InitOptions::new(far.secret.clone()) };
        Repository::init(far.connect(), &init, far.options("init", None)).unwrap();
        far
    }

    fn connect(&self) -> Store {
        Store::new(Arc::clone(&self.store), "far").unwrap()
    }

    fn options(&self, client: &str, run_cache_bytes: Option<u64>) -> OpenOptions {
        let cache = self.scratch.path().join(client);
        let index_cache_bytes = esker_repo::INDEX_CACHE_BYTES;
        OpenOptions { secret: self.secret.clone(), cache, run_cache_bytes, index_cache_bytes, environment: Arc::new(SystemEnvironment) }
    }

    fn open(&self, client: &str, run_cache_bytes: Option<u64>) -> Arc<Repository> {
        Arc::new(Repository::open(self.connect(), self.options(client, run_cache_bytes)).unwrap())
    }

    /// A session of a client, which has just looked at the store.
    fn begin(&self, client: &str, run_cache_bytes: Option<u64>) -> Client {
        self.begin_with(client, run_cache_bytes, WriterOptions { sorted_runs: true, ..WriterOptions::default() })
    }

    fn begin_with(&self, client: &str, run_cache_bytes: Option<u64>, options: WriterOptions) -> Client {
        let repository = self.open(client, run_cache_bytes);
        let writer = Writer::begin(&repository, "test", &WriterOptions { workers: 1, ..options }).unwrap();
        Client { repository, writer, context: ReadContext::new().unwrap() }
    }

    /// Runs that another machine stored, each in a pack of its own.
    fn stored_elsewhere(&self, seeds: std::ops::Range<u8>) -> Vec<ChunkId> {
        let client = self.begin("elsewhere", None);
        let store = |seed| {
            let id = client.writer.store(ChunkKind::Run, noise(seed)).unwrap();
            client.writer.flush().unwrap();
            id
        };
        let runs = seeds.map(store).collect();
        client.writer.commit(manifest()).unwrap();
        runs
    }

    /// The files that a client keeps of runs, and what they take.
    fn kept(&self, client: &str) -> Vec<(PathBuf, u64)> {
        let folders = std::fs::read_dir(self.scratch.path().join(client)).unwrap().flatten();
        let runs = folders.filter(|folder| folder.file_name().to_string_lossy().starts_with("runs-1-"));
        let files = runs.flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten());
        // One that a client removes meanwhile is not there.
        files.filter_map(|file| Some((file.path(), file.metadata().ok()?.len()))).collect()
    }

    fn kept_on_disk(&self, client: &str) -> u64 {
        self.kept(client).iter().map(|(_, bytes)| bytes.next_multiple_of(4096)).sum()
    }
}

struct Client {
    repository: Arc<Repository>,
    writer: Writer,
    context: ReadContext,
}

impl Client {
    /// Reads a run of this seed; gives the requests that it took.
    #[track_caller]
    fn read(&mut self, run: &ChunkId, seed: u8) -> u64 {
        let before = self.repository.store().requests();
        assert_eq!(self.writer.reader().read(&mut self.context, run).unwrap(), noise(seed));
        self.repository.store().requests() - before
    }

    /// Reads runs of the seeds 0, 1 …; gives those that took requests.
    fn fetched(&mut self, runs: &[ChunkId]) -> Vec<u8> {
        let seeds = 0..u8::try_from(runs.len()).unwrap();
        seeds.zip(runs).filter(|(seed, run)| self.read(run, *seed) > 0).map(|(seed, _)| seed).collect()
    }
}

fn noise(seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; RUN_BYTES];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
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

fn requests(far: &Far, client: &str, runs: &[ChunkId]) -> Vec<u8> {
    far.begin(client, PLENTY).fetched(runs)
}

#[test]
fn a_run_that_this_machine_stored_is_never_fetched() {
    for secret in [None, Some(Secret::Passphrase(Zeroizing::new("secret".into())))] {
        let far = Far::with(secret);
        let client = far.begin("me", PLENTY);
        let store = |kind| client.writer.store(kind, noise(0)).unwrap();
        let (run, bytes, table) = (store(ChunkKind::Run), store(ChunkKind::Bytes), store(ChunkKind::Table));
        client.writer.commit(manifest()).unwrap();

        let mut next = far.begin("me", PLENTY);
        assert_eq!(next.read(&run, 0), 0);
        assert_eq!([next.read(&bytes, 0), next.read(&table, 0)], [1, 1], "only runs are kept");
        let [(file, _)] = &far.kept("me")[..] else { unreachable!("one frame of a run: {:?}", far.kept("me")) };
        let sealed = std::fs::read(file).unwrap();
        let place = next.writer.reader().index().locate(&run).unwrap()[0];
        let pack = next.writer.reader().index().pack(place.pack).unwrap().name.path();
        let (from, len) = (u64::from(place.frame.offset), u64::from(place.frame.entry.stored_len));
        let in_store = next.repository.store().get_range(&pack, from, from + len).unwrap();
        assert_eq!(sealed, in_store, "it stands there as it stands in its pack");
    }
}

#[test]
fn a_run_of_another_machine_is_fetched_once() {
    let far = Far::new();
    let runs = far.stored_elsewhere(0..3);
    assert_eq!(requests(&far, "me", &runs), [0, 1, 2]);
    assert_eq!(requests(&far, "me", &runs), [0_u8; 0]);
    let others = far.stored_elsewhere(3..5);
    assert_eq!(requests(&far, "me", &[runs, others].concat()), [3, 4]);
}

#[test]
fn many_chunks_at_once_are_fetched_but_for_those_that_are_kept() {
    let far = Far::new();
    let client = far.begin("elsewhere", None);
    let runs: Vec<ChunkId> = (0..5).map(|seed| client.writer.store(ChunkKind::Run, noise(seed)).unwrap()).collect();
    client.writer.commit(manifest()).unwrap();
    far.begin("me", PLENTY).read(&runs[2], 2);

    let mut client = far.begin("me", PLENTY);
    let before = client.repository.store().requests();
    let mut seen = Vec::new();
    let reader = client.writer.reader();
    reader
        .read_each::<RepoError, _>(&mut client.context, &runs, |position, place, bytes| {
            assert_eq!(bytes, noise(u8::try_from(position).unwrap()));
            seen.push((position, place.is_some()));
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, [(0, true), (1, true), (2, false), (3, true), (4, true)]);
    assert_eq!(client.repository.store().requests() - before, 2, "the two before it together, and the two behind it");
    assert_eq!(far.kept("me").len(), 5);
}

#[test]
fn a_damaged_file_is_fetched_again_and_mended() {
    let far = Far::with(Some(Secret::Passphrase(Zeroizing::new("secret".into()))));
    let runs = far.stored_elsewhere(0..1);
    assert_eq!(requests(&far, "me", &runs), [0]);
    let (file, _) = far.kept("me").remove(0);
    let whole = std::fs::read(&file).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let longer = [&whole[..], b"x"].concat();
    let zeros = vec![0; whole.len()];
    let cut = whole[..whole.len() - 1].to_vec();
    for damaged in [flipped(0), flipped(whole.len() / 2), flipped(whole.len() - 1), cut, Vec::new(), longer, zeros] {
        std::fs::write(&file, &damaged).unwrap();
        assert_eq!(requests(&far, "me", &runs), [0]);
        assert_eq!(std::fs::read(&file).unwrap(), whole);
        assert_eq!(requests(&far, "me", &runs), [0_u8; 0]);
    }
    std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
    assert_eq!(requests(&far, "me", &runs), [0], "and so is one that was deleted");
}

#[test]
fn a_cache_that_cannot_be_made_costs_downloads_alone() {
    let far = Far::new();
    let runs = far.stored_elsewhere(0..1);
    assert_eq!(requests(&far, "me", &runs), [0]);
    let folder = far.kept("me")[0].0.parent().unwrap().to_path_buf();
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "a file").unwrap();
    assert_eq!(requests(&far, "me", &runs), [0]);
    std::fs::remove_file(&folder).unwrap();
    // It goes while it is in use.
    let mut client = far.begin("me", PLENTY);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!([client.read(&runs[0], 0), client.read(&runs[0], 0)], [1, 1]);
    // A disk that was full once is not filled to its brim again and again.
    std::fs::create_dir(&folder).unwrap();
    assert_eq!(client.read(&runs[0], 0), 1);
    assert!(far.kept("me").is_empty());
    client.writer.store(ChunkKind::Run, noise(9)).unwrap();
    client.writer.commit(manifest()).unwrap();
    assert_eq!(requests(&far, "me", &runs), [0]);
}

#[test]
fn what_the_store_has_lost_is_lost_though_it_is_kept_here() {
    let far = Far::new();
    let runs = far.stored_elsewhere(0..2);
    assert_eq!(requests(&far, "me", &runs), [0, 1]);
    let client = far.begin("me", PLENTY);
    let place = client.writer.reader().index().locate(&runs[0]).unwrap()[0];
    let pack = client.writer.reader().index().pack(place.pack).unwrap().name.path();
    client.repository.store().delete(&pack).unwrap();

    let mut client = far.begin("me", PLENTY);
    assert!(!client.writer.holds(&runs[0]).unwrap());
    assert_eq!(client.writer.claim(&runs[0]).unwrap(), Claim::New);
    let error = client.writer.reader().read(&mut client.context, &runs[0]).unwrap_err();
    assert!(matches!(error, RepoError::ChunkLost { .. }), "{error}");
    assert_eq!(client.read(&runs[1], 1), 0);
}

#[test]
fn a_writer_that_trusts_nothing_asks_the_store() {
    let far = Far::new();
    let runs = far.stored_elsewhere(0..1);
    assert_eq!(requests(&far, "me", &runs), [0]);
    let listing = Listing::read(far.open("me", PLENTY).store()).unwrap();
    let path = ObjectPath::from(listing.packs.keys().next().unwrap().path());
    let mut bytes =
        futures::executor::block_on(async { far.store.get_opts(&path, Default::default()).await?.bytes().await }).unwrap().to_vec();
    bytes[1000] ^= 1;
    futures::executor::block_on(far.store.put_opts(&path, bytes.into(), Default::default())).unwrap();

    let trusting = far.begin("me", PLENTY);
    assert_eq!(trusting.writer.claim(&runs[0]).unwrap(), Claim::Known { left_over: false });
    let options = WriterOptions { sorted_runs: true, distrust: true, ..WriterOptions::default() };
    let mut distrusting = far.begin_with("me", PLENTY, options);
    assert!(!distrusting.writer.holds(&runs[0]).unwrap());
    assert_eq!(distrusting.writer.claim(&runs[0]).unwrap(), Claim::New);
    distrusting.writer.reader().read(&mut distrusting.context, &runs[0]).unwrap_err();
    distrusting.writer.submit(ChunkKind::Run, runs[0], noise(0)).unwrap();
    distrusting.writer.commit(manifest()).unwrap();
    let reader = ChunkReader::open(&far.open("other", None)).unwrap();
    assert_eq!(reader.read(&mut ReadContext::new().unwrap(), &runs[0]).unwrap(), noise(0), "it stands there whole again");
}

#[test]
fn only_writers_of_runs_far_away_keep_them_unless_told_to() {
    let far = Far::new();
    let runs = far.stored_elsewhere(0..1);
    let reader = ChunkReader::open(&far.open("reader", PLENTY)).unwrap();
    reader.read(&mut ReadContext::new().unwrap(), &runs[0]).unwrap();
    assert!(far.kept("reader").is_empty(), "who restores reads each run once");
    far.begin_with("bytes", PLENTY, WriterOptions::default()).read(&runs[0], 0);
    assert!(far.kept("bytes").is_empty());
    far.begin("default", None).read(&runs[0], 0);
    assert_eq!(far.kept("default").len(), 1);
    far.begin("default", Some(0)).read(&runs[0], 0);
    assert!(far.kept("default").is_empty(), "a size of nothing empties it");

    for (run_cache_bytes, kept) in [(None, 0), (PLENTY, 1)] {
        let client = format!("near {kept}");
        let folder = far.scratch.path().join(format!("repository {kept}"));
        let near = Store::open_local(folder.to_str().unwrap(), true).unwrap();
        let repository = Arc::new(Repository::init(near, &InitOptions::new(None), far.options(&client, run_cache_bytes)).unwrap());
        let options = WriterOptions { sorted_runs: true, ..WriterOptions::default() };
        let writer = Writer::begin(&repository, "test", &options).unwrap();
        writer.store(ChunkKind::Run, noise(0)).unwrap();
        writer.commit(manifest()).unwrap();
        assert_eq!(far.kept(&client).len(), kept);
    }
}

#[test]
fn it_never_takes_more_than_its_size_and_lets_go_of_the_longest_unused_first() {
    let far = Far::new();
    let runs = far.stored_elsewhere(0..12);
    let room_for = |frames: u64| Some(frames * ON_DISK + 100);
    assert_eq!(far.begin("me", room_for(4)).fetched(&runs[..4]).len(), 4);
    assert_eq!(far.kept("me").len(), 4);
    // The second night uses 1 and 3, and then two that are new.
    let mut second = far.begin("me", room_for(4));
    assert_eq!([second.read(&runs[3], 3), second.read(&runs[1], 1)], [0, 0]);
    assert_eq!([second.read(&runs[4], 4), second.read(&runs[5], 5)], [1, 1]);
    assert!(far.kept_on_disk("me") <= 4 * ON_DISK);
    let mut third = far.begin("me", room_for(4));
    let kept = [1, 3, 4, 5].map(|seed: u8| third.read(&runs[usize::from(seed)], seed));
    assert_eq!(kept, [0; 4]);
    assert_eq!(third.read(&runs[0], 0), 1);
    // A smaller size holds at once, and of what is left the last used stay.
    let mut fourth = far.begin("me", room_for(2));
    assert_eq!(far.kept("me").len(), 2);
    assert_eq!([fourth.read(&runs[5], 5), fourth.read(&runs[4], 4)], [0, 0]);
    assert_eq!(far.begin("me", Some(ON_DISK / 2)).read(&runs[0], 0), 1);
    assert!(far.kept("me").is_empty(), "there is not even room for one");
}

#[test]
fn a_job_that_reads_more_than_fits_finds_as_much_of_it_the_next_time() {
    let far = Far::new();
    let runs = far.stored_elsewhere(0..12);
    let room = Some(5 * ON_DISK);
    assert_eq!(far.begin("me", room).fetched(&runs).len(), 12);
    for _ in 0..3 {
        assert_eq!(far.begin("me", room).fetched(&runs).len(), 7);
        assert_eq!(far.kept("me").len(), 5);
    }
    // What is no longer read goes.
    assert_eq!(far.begin("me", room).fetched(&runs[..3]).len(), 0);
    let others = far.stored_elsewhere(12..14);
    let mut client = far.begin("me", room);
    assert_eq!([client.read(&others[0], 12), client.read(&others[1], 13)], [1, 1]);
    let mut client = far.begin("me", room);
    assert_eq!([client.read(&others[0], 12), client.read(&others[1], 13)], [0, 0]);
    assert_eq!(far.kept("me").len(), 5);
}

#[test]
fn a_clock_that_was_wrong_once_keeps_nothing_for_good() {
    let far = Far::new();
    let runs = far.stored_elsewhere(0..4);
    let room = Some(2 * ON_DISK);
    far.begin("me", room).fetched(&runs[..2]);
    let next_year = std::time::SystemTime::now() + std::time::Duration::from_secs(365 * 86_400);
    for (file, _) in far.kept("me") {
        std::fs::File::open(file).unwrap().set_modified(next_year).unwrap();
    }
    far.begin("me", room).read(&runs[2], 2);
    let mut client = far.begin("me", room);
    assert_eq!(client.read(&runs[2], 2), 0);
}

#[test]
fn clients_at_once_share_one_folder_and_nearly_its_size() {
    let far = Far::new();
    let runs = far.stored_elsewhere(0..40);
    let room = 24 * ON_DISK;
    let clients: Vec<Client> = (0..4).map(|_| far.begin("me", Some(room))).collect();
    std::thread::scope(|scope| {
        for (number, mut client) in clients.into_iter().enumerate() {
            let (runs, far) = (&runs, &far);
            scope.spawn(move || {
                // Each reads in an order of its own, stores, and meets damage that is not its own.
                for step in 0..120 {
                    let seed = (step * [1, 3, 7, 9][number] + number * 10) % runs.len();
                    client.read(&runs[seed], u8::try_from(seed).unwrap());
                    if step % 40 == 0 {
                        client.writer.store(ChunkKind::Run, noise(u8::try_from(100 + 3 * number + step / 40).unwrap())).unwrap();
                        client.writer.flush().unwrap();
                        if let Some((file, _)) = far.kept("me").pop() {
                            let _ = std::fs::write(file, "damaged");
                        }
                    }
                }
                client.writer.commit(manifest()).unwrap();
            });
        }
    });
    assert!(far.kept_on_disk("me") <= room + 3 * (room / 16 + 2 * ON_DISK), "{}", far.kept_on_disk("me"));
    let mut next = far.begin("me", Some(room));
    assert!(far.kept_on_disk("me") <= room, "the next one brings it down");
    let fetched = next.fetched(&runs).len();
    // The twelve that they stored themselves may have stayed, damaged or not.
    assert!((16..40).contains(&fetched), "{fetched} of 40 were fetched though 24 fit");
    assert!(far.kept("me").iter().all(|(file, _)| !file.file_name().unwrap().to_string_lossy().starts_with("new-")));
}
