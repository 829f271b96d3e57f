//! Writers, readers, copies, repairs, forgetting and pruning at once, in orders that a seed chooses: the shipped verbs over
//! a store in memory whose operations take turns.
//!
//! `ESKER_SEED=n` runs one seed and prints what was done; `ESKER_SEEDS=n` runs so many, from `ESKER_FIRST_SEED` on;
//! `ESKER_TORTURE_MINUTES=n` ever new ones for so long.
// A test's panic is its report.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod deeds;
mod harm;
mod roles;
mod run;
mod sabotage;
mod world;

use std::time::{Duration, Instant};

use run::run;
use sabotage::Sabotage;
use world::World;

/// Seeds of one run in CI,
const SEEDS: u64 = 2000;
/// and others that have found something once and draw the same since.
const FINDERS: [u64; 5] = [2517, 3989, 10389, 29209, 76407];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

#[track_caller]
fn check(worlds: &[World; 2], seed: u64, verbose: bool) -> u64 {
    let outcome = run(&worlds[usize::from(seed % 2 == 1)], seed, None);
    if verbose || !outcome.faults.is_empty() {
        outcome.trace.iter().for_each(|line| eprintln!("{line}"));
    }
    assert!(outcome.faults.is_empty(), "seed {seed}: {}\nrun it again with ESKER_SEED={seed}", outcome.faults.join("\n  "));
    outcome.sparse_runs
}

#[test]
fn every_committed_backup_restores_and_garbage_goes_whatever_the_order() {
    // Runs with an even number back up files, the others engines as well.
    let world = [World::new(false), World::new(true)];
    if let Some(seed) = number("ESKER_SEED") {
        check(&world, seed, true);
        return;
    }
    if let Some(minutes) = number("ESKER_TORTURE_MINUTES") {
        let first = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() << 24;
        let (until, mut seeds) = (Instant::now() + Duration::from_secs(60 * minutes), 0);
        while Instant::now() < until {
            check(&world, first + seeds, false);
            seeds += 1;
        }
        eprintln!("{seeds} seeds from {first}");
        return;
    }
    let first = number("ESKER_FIRST_SEED").unwrap_or(0);
    let seeds = (first..first + number("ESKER_SEEDS").unwrap_or(SEEDS)).chain(FINDERS);
    let sparse_runs: u64 = seeds.map(|seed| check(&world, seed, false)).sum();
    eprintln!("{sparse_runs} runs became sparse");
    assert!(sparse_runs > 0, "no prune made a sparse form");
}

/// Seeds after which a broken protocol must have been noticed.
const SABOTAGED_SEEDS: u64 = 1500;

#[test]
fn a_protocol_that_leaves_out_a_step_is_found_out() {
    let worlds = [World::new(false), World::new(true)];
    let all = [
        Sabotage::NoSecondMark,
        Sabotage::SessionsLookedAtTooEarly,
        Sabotage::NobodyIsWaitedFor,
        Sabotage::ListsIgnored,
        Sabotage::FencesIgnored,
    ];
    // Each with files alone, and again with engines whose runs become sparse.
    for (sabotage, world) in all.iter().flat_map(|sabotage| worlds.iter().map(|world| (*sabotage, world))) {
        let found =
            (0..SABOTAGED_SEEDS).find_map(|seed| run(world, seed, Some(sabotage)).faults.first().cloned().map(|fault| (seed, fault)));
        let (seed, fault) = found.unwrap_or_else(|| panic!("{sabotage:?} was not noticed in {SABOTAGED_SEEDS} runs"));
        eprintln!("{sabotage:?}: noticed at seed {seed}: {fault}");
    }
}
