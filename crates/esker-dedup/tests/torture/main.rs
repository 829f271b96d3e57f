//! Tables that RocksDB wrote with options drawn at random, stored as sorted runs and rebuilt.
//!
//! `ESKER_TORTURE_MINUTES` makes the random part go on with ever new seeds for so long (`make torture`);
//! `ESKER_TORTURE_SEED` repeats the engine of one seed.

#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test")]

mod corners;
mod drawn;
mod engine;
mod vault;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use esker_dedup::sorted::{Rebuilder, Refusal};
use esker_testkit::seeded::SplitMix64;

use drawn::Keys;
use engine::{Engine, Table};
use vault::{Stored, Vault};

/// Engines of one ordinary run.
const ENGINES: u64 = 400;
const THREADS: usize = 2;

/// What many engines came to.
#[derive(Debug, Default)]
struct Counts {
    engines: u64,
    tables: u64,
    bytes: u64,
    kept_bytes: u64,
    rest_kept_bytes: u64,
    entry_bytes: u64,
    literal_bytes: u64,
    /// Tables that are stored as bytes, by reason.
    refused: BTreeMap<String, u64>,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.engines += other.engines;
        self.tables += other.tables;
        self.bytes += other.bytes;
        self.kept_bytes += other.kept_bytes;
        self.rest_kept_bytes += other.rest_kept_bytes;
        self.entry_bytes += other.entry_bytes;
        self.literal_bytes += other.literal_bytes;
        for (reason, count) in other.refused {
            *self.refused.entry(reason).or_default() += count;
        }
    }
}

/// A folder in memory if there is one.
fn folder() -> tempfile::TempDir {
    let make = |folder: &std::path::Path| tempfile::Builder::new().prefix("esker-torture-").tempdir_in(folder);
    make(std::path::Path::new("/dev/shm")).or_else(|_| make(&std::env::temp_dir())).unwrap()
}

/// Generations of an engine, each stored against those before, and every table rebuilt.
fn engine(seed: u64) -> Counts {
    let random = &mut SplitMix64::new(seed);
    let engine = Engine::create(random, folder());
    let (mut vault, mut rebuilder, mut counts) = (Vault::default(), Rebuilder::default(), Counts { engines: 1, ..Counts::default() });
    let mut known: BTreeMap<String, Stored> = BTreeMap::new();
    for generation in 0..3 {
        engine.advance(random);
        let tables = engine.tables();
        let (mut gone, mut kept) = (Vec::new(), BTreeMap::new());
        for (name, stored) in known {
            if tables.contains_key(&name) {
                kept.insert(name, stored);
            } else {
                gone.push(stored);
            }
        }
        let new: Vec<(&String, &Table)> = tables.iter().filter(|(name, _)| !kept.contains_key(*name)).collect();
        let bytes: Vec<Vec<u8>> = new.iter().map(|(_, table)| table.bytes.clone()).collect();
        let outcome = vault.store(&bytes, &gone.iter().collect::<Vec<_>>(), random);
        counts.entry_bytes += outcome.entry_bytes;
        counts.literal_bytes += outcome.literal_bytes;
        for ((name, table), fate) in new.into_iter().zip(outcome.fates) {
            counts.tables += 1;
            counts.bytes += table.bytes.len() as u64;
            let drawn = &table.drawn;
            match fate {
                Ok(stored) => {
                    let rebuilt = vault.rebuild(&stored, &mut rebuilder);
                    assert!(rebuilt == table.bytes, "seed {seed}, generation {generation}, {name}: {drawn:?}");
                    if drawn.is_exact {
                        assert_eq!(stored.kept_bytes, 0, "seed {seed}, generation {generation}, {name}: {drawn:?}");
                    }
                    counts.kept_bytes += stored.kept_bytes;
                    counts.rest_kept_bytes += stored.kept_rest_bytes;
                    kept.insert(name.clone(), stored);
                }
                Err(refusal) => {
                    let is_good = match refusal {
                        Refusal::Empty => true,
                        Refusal::Order => drawn.keys == Keys::ByLength,
                        Refusal::Encoder => !drawn.is_exact,
                        _ => false,
                    };
                    assert!(is_good, "seed {seed}, generation {generation}, {name} of {} bytes: {refusal}: {drawn:?}", table.bytes.len());
                    *counts.refused.entry(refusal.to_string()).or_default() += 1;
                }
            }
        }
        known = kept;
    }
    counts
}

/// Engines of these seeds, on a few threads, until the time is over.
fn engines(seeds: std::ops::Range<u64>, time: Duration) -> Counts {
    let (next, counts, start) = (AtomicU64::new(seeds.start), Mutex::new(Counts::default()), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while start.elapsed() < time {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let of_engine = engine(seed);
                    counts.lock().unwrap().add(of_engine);
                }
            });
        }
    });
    counts.into_inner().unwrap()
}

#[test]
fn every_table_of_engines_with_random_options_is_rebuilt_to_the_byte() {
    if let Ok(seed) = std::env::var("ESKER_TORTURE_SEED") {
        println!("{:#?}", engine(seed.parse().expect("a seed")));
        return;
    }
    let minutes = std::env::var("ESKER_TORTURE_MINUTES").ok().map(|minutes| minutes.parse::<f64>().expect("a number of minutes"));
    let counts = match minutes {
        None => engines(0..ENGINES, Duration::MAX),
        Some(minutes) => {
            let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() << 24;
            engines(seed..u64::MAX, Duration::from_secs_f64(60.0 * minutes))
        }
    };
    println!("{counts:#?}");
    assert!(counts.tables > counts.engines * 3, "{counts:?}");
    assert!(counts.literal_bytes < counts.entry_bytes, "{counts:?}");
}
