//! The demo: a sample cluster is backed up three times with the real `esker`, checked, restored, partly forgotten, and
//! damaged on purpose.
//!
//! Every command is printed as a user would type it. Every promise is checked here, by other means than `esker`'s own
//! where there are any: restored trees are compared with the ones that were backed up, commit positions with those of the
//! engines. The first promise that does not hold ends the demo with exit code 1.

mod console;
mod folder;
mod place;
mod sample;
mod shell;
mod story;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use folder::WorkFolder;
use place::{Place, StoreKind};
use story::Story;

/// What went other than promised, or why the demo could not go on.
type Outcome<T> = Result<T, String>;

/// Back up a sample cluster, check it, restore it, damage it on purpose.
#[derive(Parser)]
struct Arguments {
    /// The esker binary; without it, the one beside this program
    esker: Option<PathBuf>,
    /// Entries of each space on each host, about 105 bytes each
    #[arg(long, default_value_t = 150_000, value_parser = clap::value_parser!(u64).range(2_000..))]
    entries: u64,
    /// Where the repository stands
    #[arg(long, value_enum, default_value_t = StoreKind::Folder)]
    store: StoreKind,
    /// Keep the folder that everything happened in
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nesker-demo: NOT AS PROMISED: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let started = Instant::now();
    let esker = find_esker(arguments.esker.as_deref())?;
    let folder = WorkFolder::make(arguments.keep)?;
    let mut story = Story::begin(&esker, folder.path(), Place::open(arguments.store, folder.path())?, arguments.entries)?;
    story.back_up_three_times()?;
    story.look()?;
    story.verify()?;
    story.restore_all()?;
    story.forget_one()?;
    story.damage()?;
    story.sum_up()?;
    println!("\nAll as promised, in {:.0} s.", started.elapsed().as_secs_f64());
    if arguments.keep {
        println!("Everything is kept in {}", folder.path().display());
    }
    Ok(())
}

fn find_esker(given: Option<&std::path::Path>) -> Outcome<PathBuf> {
    let own = std::env::current_exe().map_err(|error| format!("cannot tell where this program is: {error}"))?;
    let path = given.map_or_else(|| own.with_file_name("esker"), PathBuf::from);
    path.canonicalize().map_err(|error| format!("no esker at {}: {error}; give its path as argument", path.display()))
}
