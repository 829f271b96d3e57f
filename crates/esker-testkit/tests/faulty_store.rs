//! A faulty store fails exactly as planned, and otherwise behaves as the store it wraps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests report by panicking.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use esker_testkit::faulty_store::{Alteration, Effect, FaultPlan, FaultyStore, Operation};
use futures::TryStreamExt;
use futures::executor::block_on;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, Result};

fn store() -> (FaultyStore, FaultPlan) {
    let store = FaultyStore::new(Arc::new(InMemory::new()));
    let plan = store.plan();
    (store, plan)
}

fn path(name: &str) -> Path {
    Path::from(name)
}

fn put(store: &FaultyStore, name: &str, bytes: &'static str) -> Result<()> {
    block_on(store.put(&path(name), bytes.into())).map(drop)
}

fn get(store: &FaultyStore, name: &str) -> Result<Bytes> {
    block_on(async { store.get(&path(name)).await?.bytes().await })
}

fn list(store: &FaultyStore) -> Result<Vec<(String, u64)>> {
    let metas: Vec<_> = block_on(store.list(None).try_collect())?;
    let mut names: Vec<_> = metas.into_iter().map(|meta| (meta.location.to_string(), meta.size)).collect();
    names.sort();
    Ok(names)
}

#[track_caller]
fn assert_io<T: std::fmt::Debug>(outcome: Result<T>, expected: io::ErrorKind) {
    let Err(Error::Generic { source, .. }) = outcome else {
        panic!("not a planned failure: {outcome:?}");
    };
    let kind = source.downcast_ref::<io::Error>().unwrap().kind();
    assert_eq!(kind, expected);
}

#[test]
fn without_faults_it_is_the_store_it_wraps() {
    let (store, _) = store();
    put(&store, "a", "content").unwrap();
    assert_eq!(get(&store, "a").unwrap(), "content");
    assert_eq!(list(&store).unwrap(), [("a".to_owned(), 7)]);
    block_on(store.rename(&path("a"), &path("b"))).unwrap();
    assert!(matches!(get(&store, "a"), Err(Error::NotFound { .. })));
    block_on(store.delete(&path("b"))).unwrap();
    assert!(list(&store).unwrap().is_empty());
}

#[test]
fn operations_are_counted_and_recorded_in_order() {
    let (store, plan) = store();
    put(&store, "a", "1").unwrap();
    get(&store, "a").unwrap();
    block_on(store.head(&path("a"))).unwrap();
    block_on(store.delete(&path("a"))).unwrap();
    let expected = [(Operation::Put, path("a")), (Operation::Get, path("a")), (Operation::Head, path("a")), (Operation::Delete, path("a"))];
    assert_eq!(plan.journal(), expected);
    assert_eq!(plan.operations(), 4);
    plan.restart_count();
    assert_eq!(plan.operations(), 0);
}

#[test]
fn a_failure_before_the_effect_leaves_nothing() {
    let (store, plan) = store();
    plan.fail_nth(2, Effect::NotDone);
    put(&store, "a", "1").unwrap();
    assert_io(put(&store, "b", "1"), io::ErrorKind::ConnectionReset);
    put(&store, "c", "1").unwrap();
    assert!(matches!(get(&store, "b"), Err(Error::NotFound { .. })));
}

#[test]
fn a_failure_after_the_effect_leaves_the_object() {
    let (store, plan) = store();
    plan.fail_nth_of(Operation::Put, 1, Effect::Done);
    assert_io(put(&store, "a", "1"), io::ErrorKind::ConnectionReset);
    assert_eq!(get(&store, "a").unwrap(), "1");
    plan.fail_nth_of(Operation::Delete, 1, Effect::Done);
    assert_io(block_on(store.delete(&path("a"))), io::ErrorKind::ConnectionReset);
    assert!(matches!(get(&store, "a"), Err(Error::NotFound { .. })));
}

#[test]
fn a_store_that_is_gone_stays_gone_until_healed() {
    let (store, plan) = store();
    put(&store, "a", "1").unwrap();
    plan.fail_all_from(2);
    assert_io(get(&store, "a"), io::ErrorKind::NotConnected);
    assert_io(list(&store), io::ErrorKind::NotConnected);
    plan.heal();
    assert_eq!(get(&store, "a").unwrap(), "1");
}

#[test]
fn a_full_disk_fails_writes_and_still_serves_reads() {
    let (store, plan) = store();
    put(&store, "a", "1").unwrap();
    plan.disk_full_from(1);
    assert_io(put(&store, "b", "1"), io::ErrorKind::StorageFull);
    assert_eq!(get(&store, "a").unwrap(), "1");
    block_on(store.delete(&path("a"))).unwrap();
}

#[test]
fn append_only_refuses_deletes_and_overwrites() {
    let (store, plan) = store();
    put(&store, "a", "1").unwrap();
    put(&store, "b", "1").unwrap();
    plan.append_only();
    let is_refusal = |error| matches!(error, Error::PermissionDenied { .. });
    assert!(is_refusal(block_on(store.delete(&path("a"))).unwrap_err()));
    assert!(is_refusal(put(&store, "a", "2").unwrap_err()));
    assert!(is_refusal(block_on(store.copy(&path("b"), &path("a"))).unwrap_err()));
    let create = block_on(store.put_opts(&path("a"), "2".into(), PutMode::Create.into()));
    assert!(matches!(create, Err(Error::AlreadyExists { .. })));
    put(&store, "c", "3").unwrap();
    assert_eq!(get(&store, "a").unwrap(), "1");
}

#[test]
fn hidden_objects_are_missing_from_lists_or_from_reads() {
    let (store, plan) = store();
    put(&store, "a", "1").unwrap();
    put(&store, "b", "1").unwrap();
    plan.hide_from_list(&path("a"));
    plan.hide_from_get(&path("b"));
    assert_eq!(list(&store).unwrap(), [("b".to_owned(), 1)]);
    let by_folder = block_on(store.list_with_delimiter(None)).unwrap();
    assert_eq!(by_folder.objects.len(), 1);
    assert_eq!(get(&store, "a").unwrap(), "1");
    assert!(matches!(get(&store, "b"), Err(Error::NotFound { .. })));
}

#[test]
fn altered_objects_serve_other_bytes_and_sizes() {
    let (store, plan) = store();
    put(&store, "a", "content").unwrap();
    put(&store, "b", "other").unwrap();
    plan.alter(&path("a"), Alteration::Truncated { bytes: 3 });
    assert_eq!(get(&store, "a").unwrap(), "con");
    assert_eq!(block_on(store.head(&path("a"))).unwrap().size, 3);
    assert_eq!(list(&store).unwrap()[0], ("a".to_owned(), 3));
    assert!(block_on(store.get_range(&path("a"), 4..6)).is_err());
    plan.alter(&path("a"), Alteration::FlippedBit { bit: 8 });
    assert_eq!(get(&store, "a").unwrap(), "cnntent");
    assert_eq!(block_on(store.get_range(&path("a"), 1..3)).unwrap(), "nn");
    plan.alter(&path("a"), Alteration::Other(path("b")));
    assert_eq!(get(&store, "a").unwrap(), "other");
    plan.heal();
    assert_eq!(get(&store, "a").unwrap(), "content");
}

#[test]
fn a_listing_may_break_off_after_its_last_object() {
    let (store, plan) = store();
    put(&store, "a", "1").unwrap();
    plan.fail_nth_of(Operation::List, 1, Effect::Done);
    let mut listing = store.list(None);
    assert!(block_on(listing.try_next()).unwrap().is_some());
    assert_io(block_on(listing.try_next()), io::ErrorKind::ConnectionReset);
}

#[test]
fn each_step_of_an_upload_is_an_operation() {
    let (store, plan) = store();
    let mut upload = block_on(store.put_multipart(&path("a"))).unwrap();
    plan.fail_nth_of(Operation::PutPart, 2, Effect::NotDone);
    block_on(upload.put_part("one".into())).unwrap();
    assert_io(block_on(upload.put_part("two".into())), io::ErrorKind::ConnectionReset);
    plan.fail_nth_of(Operation::CompleteMultipart, 1, Effect::Done);
    assert_io(block_on(upload.complete()), io::ErrorKind::ConnectionReset);
    assert_eq!(get(&store, "a").unwrap(), "one");
    plan.append_only();
    let mut upload = block_on(store.put_multipart(&path("a"))).unwrap();
    block_on(upload.put_part("again".into())).unwrap();
    let refusal = block_on(upload.complete());
    assert!(matches!(refusal, Err(Error::PermissionDenied { .. })));
}

#[test]
fn something_happens_once_before_the_nth_operation_of_a_kind() {
    let (store, plan) = store();
    let inner = Arc::clone(store.inner());
    plan.before_nth(Operation::List, "", 2, move || drop(block_on(inner.put(&path("late"), "x".into())).unwrap()));
    put(&store, "early", "x").unwrap();
    assert_eq!(list(&store).unwrap().len(), 1);
    assert_eq!(list(&store).unwrap().len(), 2);
    block_on(store.delete(&path("late"))).unwrap();
    assert_eq!(list(&store).unwrap().len(), 1);
}
