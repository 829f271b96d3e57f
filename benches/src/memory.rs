//! Esker's peak memory as its repository grows: it should not grow along.

use std::fs;
use std::path::Path;
use std::process::Command;

use esker_testkit::seeded::SplitMix64;
use esker_testkit::workload::{Engine, Workload};
use serde_json::Value;

use crate::fault::Fault;
use crate::folder;
use crate::measure::{Cost, measure};
use crate::targets::{PEAK_TARGET_MIB, print_target};
use crate::tools::{Esker, Host, Place, Program, Tool, find_esker};

/// Small chunks make a repository of many from little data.
const CHUNK_MIN_BYTES: u64 = 512;
const CHUNK_AVG_BYTES: u64 = 1024;
const CHUNK_MAX_BYTES: u64 = 4096;
/// What FastCDC makes of random bytes with these limits: its average is above the nominal one.
const BYTES_PER_CHUNK: u64 = 1360;
const FILE_BYTES: u64 = 1 << 20;
/// Peak memory against that of the first repository, at most.
const GROWTH_TARGET: f64 = 1.2;
const VERBS: [&str; 3] = ["backup", "restore", "fsck"];

/// A repository and what each verb took on it.
struct Measured {
    chunks: u64,
    costs: [Cost; VERBS.len()],
}

/// Measures a repository of each of the numbers of `chunks` and prints a table; whether all targets were reached.
pub fn measure_memory(dir: &Path, chunks: &[u64], keep: bool) -> Result<bool, Fault> {
    let dir = dir.join("memory");
    let esker = find_esker()?;
    let repositories = (chunks.iter().map(|&chunks| measure_one(&esker, &dir, chunks))).collect::<Result<Vec<_>, Fault>>()?;
    if !keep {
        folder::remove(&dir)?;
    }
    println!("\nPeak memory of esker in MiB, and seconds; random files, chunks of about {BYTES_PER_CHUNK} bytes.\n");
    print_row("", repositories.iter().map(|repository| format!("{} chunks", repository.chunks)));
    for (verb, name) in VERBS.iter().enumerate() {
        let costs = repositories.iter().map(|repository| repository.costs[verb]);
        print_row(name, costs.map(|cost| format!("{} ({:.1} s)", cost.peak_bytes >> 20, cost.seconds)));
    }
    println!();
    Ok(print_targets(&repositories))
}

fn print_row(name: &str, cells: impl Iterator<Item = String>) {
    let cells: String = cells.map(|cell| format!("{cell:>20}")).collect();
    println!("{name:<10}{cells}");
}

fn print_targets(repositories: &[Measured]) -> bool {
    let mut reached = true;
    for (verb, name) in VERBS.iter().enumerate() {
        let peaks = || repositories.iter().map(|repository| repository.costs[verb].peak_bytes);
        let (first, highest) = (peaks().next().unwrap_or(0), peaks().max().unwrap_or(0));
        let growth = highest as f64 / first as f64;
        let what = format!("{name}: at most {GROWTH_TARGET} times the memory of the first repository");
        reached &= print_target(&what, growth <= GROWTH_TARGET, &format!("{growth:.2}"));
        let what = format!("{name}: under {PEAK_TARGET_MIB} MiB");
        reached &= print_target(&what, highest >> 20 < PEAK_TARGET_MIB, &format!("{} MiB", highest >> 20));
    }
    reached
}

fn measure_one(esker: &Program, dir: &Path, chunks: u64) -> Result<Measured, Fault> {
    let source = dir.join(format!("random-{chunks}"));
    eprintln!("{chunks} chunks: {} MB in {}", chunks * BYTES_PER_CHUNK / 1_000_000, source.display());
    write_random_files(&source, chunks * BYTES_PER_CHUNK)?;
    write_small_engine(&source.join("engine"), &dir.join("live"))?;
    let place = Place::prepare(&esker.path, &dir.join(format!("esker-{chunks}")))?;
    let tool = Esker::with_chunk_sizes(place.clone(), CHUNK_MIN_BYTES, CHUNK_AVG_BYTES, CHUNK_MAX_BYTES);
    folder::make_empty(&place.target())?;
    measure(&tool.init(), place.dir())?;
    let host = Host { name: "h".to_owned(), dir: source };
    let backup = measure(&tool.backup(&[host], "random"), place.dir())?;
    let restore = measure(&tool.restore("random", &place.target()), place.dir())?;
    let fsck = measure(&tool.fsck("files"), place.dir())?;
    Ok(Measured { chunks: count_chunks(&mut tool.stats())?, costs: [backup, restore, fsck] })
}

/// The chunks that the repository holds, by what `stats` says.
fn count_chunks(stats: &mut Command) -> Result<u64, Fault> {
    let output = stats.output().map_err(Fault::at(Path::new(stats.get_program())))?;
    let said: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    (said.and_then(|said| said.get("chunks")?.as_u64())).ok_or_else(|| Fault::Failed {
        command: format!("{stats:?}"),
        status: output.status.to_string(),
        log_end: format!("no number `chunks` in {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
    })
}

/// A host without an engine is a warning, and `esker backup` would not exit with 0.
fn write_small_engine(checkpoint: &Path, live: &Path) -> Result<(), Fault> {
    folder::remove(live)?;
    Engine::create(live, &Workload { entries: 1_000, ..Workload::default() }).checkpoint(checkpoint);
    folder::remove(live)
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
