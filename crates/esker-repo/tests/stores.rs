//! One suite for every store: what the layers above rely on holds for a folder, memory, Garage, Azurite and the protocol of
//! Google Cloud Storage alike.
// A test's panic is its report.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use esker_repo::store::Listed;
use esker_repo::store::probe::Support;
use esker_repo::{RepoError, Store, StoreOpening, StoreOptions, Variables};
use esker_testkit::seeded::SplitMix64;
use esker_testkit::server::azurite::{self, Azurite};
use esker_testkit::server::bucket::{Bucket, BucketRules};
use esker_testkit::server::garage::{BUCKET, Garage};
use object_store::memory::InMemory;

/// More than one piece of everything: connection buffers, Garage's blocks.
const LARGE: usize = 20 << 20;

fn open(location: &str, options: StoreOptions, variables: Vec<(String, String)>) -> Store {
    let opening = StoreOpening { options, variables: Variables::from_iter(variables), create: true, tell: Arc::new(|_: &str| {}) };
    Store::open(location, &opening).unwrap()
}

fn listed(path: &str, size: u64) -> Listed {
    Listed { path: path.to_owned(), size }
}

/// What every store does; `other` is another place in the same bucket whose name begins with the first one's.
fn conforms(store: &Store, other: &Store) {
    assert_eq!(store.list("").unwrap(), []);
    assert_eq!(store.first_but("none").unwrap(), None);
    objects_are_written_read_and_replaced(store);
    ranges_are_cut_at_the_end(store);
    listings_keep_to_their_folder(store, other);
    what_is_missing_is_called_so(store);
    many_threads_share_it(store);
    let abilities = store.probe("suite").unwrap();
    assert_eq!(abilities.lacks(), None, "{abilities:?}");
    assert_eq!((abilities.overwrite, abilities.delete), (Support::Yes, Support::Yes));
    for object in store.list("").unwrap() {
        store.delete(&object.path).unwrap();
    }
    assert_eq!(store.list("").unwrap(), []);
}

fn objects_are_written_read_and_replaced(store: &Store) {
    store.put("folder/object", &b"one"[..]).unwrap();
    assert_eq!(store.get("folder/object", 3).unwrap(), "one");
    store.put("folder/object", &b"another"[..]).unwrap();
    assert_eq!(store.get("folder/object", 100).unwrap(), "another");
    assert!(matches!(store.get("folder/object", 6), Err(RepoError::Store { .. })));
    store.put("empty", Vec::new()).unwrap();
    assert_eq!((store.get("empty", 0).unwrap().len(), store.size("empty").unwrap()), (0, Some(0)));
    let mut large = vec![0; LARGE];
    SplitMix64::new(1).fill(&mut large);
    store.put("large", large.clone()).unwrap();
    assert_eq!(store.size("large").unwrap(), Some(LARGE as u64));
    assert!(store.get("large", LARGE as u64).unwrap() == large, "20 MiB come back as they were");
    let middle = store.get_range("large", 12_345_678, 12_445_678).unwrap();
    assert!(middle == large[12_345_678..12_445_678], "and so does a part");
    store.delete("large").unwrap();
}

fn ranges_are_cut_at_the_end(store: &Store) {
    store.put("short", &b"0123456789"[..]).unwrap();
    assert_eq!(store.get_range("short", 3, 6).unwrap(), "345");
    assert_eq!(store.get_range("short", 7, 100).unwrap(), "789");
    assert_eq!(store.get_range("short", 10, 20).unwrap(), "");
    assert_eq!(store.get_range("short", 50, 60).unwrap(), "");
}

fn listings_keep_to_their_folder(store: &Store, other: &Store) {
    other.put("packs/foreign", &b"x"[..]).unwrap();
    for number in 0..120 {
        store.put(&format!("packs/{number:03}"), &b"12345"[..]).unwrap();
    }
    store.put("packs2/other", &b"1"[..]).unwrap();
    let packs = store.list("packs").unwrap();
    let expected: Vec<_> = (0..120).map(|number| listed(&format!("packs/{number:03}"), 5)).collect();
    assert_eq!(packs, expected);
    assert_eq!(store.list("pack").unwrap(), []);
    assert_eq!(store.list("").unwrap().len(), 120 + 4);
    assert_eq!(other.list("").unwrap(), [listed("packs/foreign", 1)]);
    assert!(store.first_but("packs").unwrap().is_some_and(|path| !path.starts_with("packs/")));
    other.delete("packs/foreign").unwrap();
}

fn what_is_missing_is_called_so(store: &Store) {
    let is_missing = |error: RepoError| matches!(error, RepoError::Missing { path } if path == "packs/none");
    assert!(is_missing(store.get("packs/none", 10).unwrap_err()));
    assert!(is_missing(store.get_range("packs/none", 0, 10).unwrap_err()));
    assert_eq!(store.size("packs/none").unwrap(), None);
    store.delete("packs/none").unwrap();
    store.delete("packs/000").unwrap();
    assert_eq!(store.size("packs/000").unwrap(), None);
}

fn many_threads_share_it(store: &Store) {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for number in 0..8 {
                    let (path, text) = (format!("threads/{thread}/{number}"), format!("{thread}.{number}"));
                    store.put(&path, text.clone()).unwrap();
                    assert_eq!(store.get(&path, 10).unwrap(), text);
                }
            });
        }
    });
    assert_eq!(store.list("threads").unwrap().len(), 64);
}

#[test]
fn a_folder_conforms() {
    let folder = std::env::temp_dir().join(format!("esker-conform-{}", std::process::id()));
    let at = |name: &str| open(folder.join(name).to_str().unwrap(), StoreOptions::default(), Vec::new());
    conforms(&at("a"), &at("ab"));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn memory_conforms() {
    let place = || Store::new(Arc::new(InMemory::new()), "memory").unwrap();
    conforms(&place(), &place());
}

#[test]
fn garage_conforms() {
    let garage = Garage::shared();
    let at = |name: &str| open(&format!("s3://{BUCKET}/conform/{name}"), StoreOptions::default(), garage.variables());
    conforms(&at("a"), &at("ab"));
    assert_eq!(at("a").probe("again").unwrap().conditional_create, Support::Ignored, "Garage takes If-None-Match and overwrites");
}

#[test]
fn azurite_conforms() {
    let Some(azurite) = Azurite::start() else { return };
    azurite.make_container("conform");
    let options = StoreOptions { endpoint: Some(azurite.endpoint()), account: Some(azurite::ACCOUNT.into()), ..StoreOptions::default() };
    let variables = vec![("AZURE_STORAGE_ACCOUNT_KEY".to_owned(), azurite::KEY.to_owned())];
    let at = |name: &str| open(&format!("az://conform/{name}"), options.clone(), variables.clone());
    conforms(&at("a"), &at("ab"));
    assert_eq!(at("a").probe("again").unwrap().conditional_create, Support::Yes);
}

#[test]
fn the_protocol_of_google_cloud_storage_conforms() {
    let bucket = Bucket::start(BucketRules { authorization: "Bearer token".into(), ..BucketRules::default() });
    let options = StoreOptions { endpoint: Some(bucket.endpoint()), ..StoreOptions::default() };
    let variables = vec![("GOOGLE_BEARER_TOKEN".to_owned(), "token".to_owned())];
    let at = |name: &str| open(&format!("gs://conform/{name}"), options.clone(), variables.clone());
    conforms(&at("a"), &at("ab"));
}

#[test]
fn requests_are_counted_by_kind_where_they_are_sent() {
    let bucket = Bucket::start(BucketRules::default());
    let store = open("s3://b", StoreOptions::default(), bucket.s3_variables());
    for number in 0..60 {
        store.put(&format!("a/{number}"), &b"x"[..]).unwrap();
    }
    store.list("a").unwrap();
    store.get("a/1", 10).unwrap();
    store.size("a/1").unwrap();
    store.delete("a/1").unwrap();
    let counts = store.request_counts().now();
    assert_eq!((counts.put, counts.list, counts.get, counts.head, counts.delete), (60, 2, 1, 1, 1), "two pages of fifty");
    assert_eq!((counts.other, counts.failed), (0, 0));
}
