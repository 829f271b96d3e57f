//! Esker's peak memory as its repository grows: it should not grow along.

use std::fs;
use std::path::Path;

use esker_testkit::seeded::SplitMix64;

use crate::fault::Fault;
use crate::folder;
use crate::measure::{Cost, measure};
use crate::targets::{PEAK_TARGET_MIB, print_target};
use crate::tools::{Esker, Place, Program, Tool, find_esker};

/// Small chunks make a repository of many from little data.
const CHUNK_MIN_BYTES: u64 = 512;
const CHUNK_AVG_BYTES: u64 = 1024;
const CHUNK_MAX_BYTES: u64 = 4096;
const FILE_BYTES: u64 = 1 << 20;
/// Peak memory against that of the first repository, at most.
const GROWTH_TARGET: f64 = 1.2;
const VERBS: [&str; 3] = ["backup", "restore", "fsck"];

/// What each verb took.
type Costs = [Cost; VERBS.len()];

/// Measures a repository of each of the numbers of `chunks` and prints a table; whether all targets were reached.
pub fn measure_memory(dir: &Path, chunks: &[u64], keep: bool) -> Result<bool, Fault> {
    let dir = dir.join("memory");
    let esker = find_esker()?;
    let costs = (chunks.iter().map(|&chunks| costs_at(&esker, &dir, chunks))).collect::<Result<Vec<_>, Fault>>()?;
    if !keep {
        folder::remove(&dir)?;
    }
    println!("\nPeak memory of esker in MiB; random files, chunks of {CHUNK_AVG_BYTES} bytes on average.\n");
    print_row("", &chunks.iter().map(|count| format!("{count} chunks")).collect::<Vec<_>>());
    for (verb, name) in VERBS.iter().enumerate() {
        let cell = |costs: &Costs| format!("{} ({:.1} s)", costs[verb].peak_bytes >> 20, costs[verb].seconds);
        print_row(name, &costs.iter().map(cell).collect::<Vec<_>>());
    }
    println!();
    Ok(print_targets(&costs))
}

fn print_row(name: &str, cells: &[String]) {
    let cells: String = cells.iter().map(|cell| format!("{cell:>20}")).collect();
    println!("{name:<10}{cells}");
}

fn print_targets(costs: &[Costs]) -> bool {
    let mut reached = true;
    for (verb, name) in VERBS.iter().enumerate() {
        let peaks = || costs.iter().map(|costs| costs[verb].peak_bytes);
        let (first, highest) = (peaks().next().unwrap_or(0), peaks().max().unwrap_or(0));
        let growth = highest as f64 / first as f64;
        let what = format!("{name}: at most {GROWTH_TARGET} times the memory of the first repository");
        reached &= print_target(&what, growth <= GROWTH_TARGET, &format!("{growth:.2}"));
        let what = format!("{name}: under {PEAK_TARGET_MIB} MiB");
        reached &= print_target(&what, highest >> 20 < PEAK_TARGET_MIB, &format!("{} MiB", highest >> 20));
    }
    reached
}

fn costs_at(esker: &Program, dir: &Path, chunks: u64) -> Result<Costs, Fault> {
    let source = dir.join(format!("random-{chunks}"));
    eprintln!("{chunks} chunks: {} MB in {}", chunks * CHUNK_AVG_BYTES / 1_000_000, source.display());
    write_random_files(&source, chunks * CHUNK_AVG_BYTES)?;
    let place = Place::prepare(&esker.path, &dir.join(format!("esker-{chunks}")))?;
    let tool = Esker::with_chunk_sizes(place.clone(), CHUNK_MIN_BYTES, CHUNK_AVG_BYTES, CHUNK_MAX_BYTES);
    folder::make_empty(&place.target())?;
    measure(&tool.init(), place.dir())?;
    let backup = measure(&tool.backup(&source, "random"), place.dir())?;
    let restore = measure(&tool.restore("random", &place.target()), place.dir())?;
    let fsck = measure(&tool.verify(), place.dir())?;
    Ok([backup, restore, fsck])
}

/// Files of random bytes, `total_bytes` together but for less than a file.
fn write_random_files(dir: &Path, total_bytes: u64) -> Result<(), Fault> {
    folder::make_empty(dir)?;
    let mut bytes = vec![0; FILE_BYTES as usize];
    for number in 0..total_bytes.div_ceil(FILE_BYTES) {
        SplitMix64::new(number).fill(&mut bytes);
        let path = dir.join(format!("{number:05}"));
        fs::write(&path, &bytes).map_err(Fault::at(&path))?;
    }
    Ok(())
}
