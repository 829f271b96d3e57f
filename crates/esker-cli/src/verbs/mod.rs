//! One file a verb: from arguments to a request, from a report to text.

mod audit;
mod backup;
mod copy;
mod forget;
mod fsck;
mod init;
mod key;
mod keys;
mod list;
mod ls;
mod prune;
mod repo;
mod restore;
mod show;
mod sizes;

use std::sync::OnceLock;

use clap::CommandFactory;
use esker_ops::select::Selection;
use esker_ops::{Cancel, Job, OpsError};

use crate::args::{Arguments, Global, Key, Select, Verb};
use crate::exit::Exit;
use crate::open;
use crate::output::Output;
use crate::progress;

/// The result of a verb.
pub type Outcome = Result<Exit, OpsError>;

/// Runs the verb that the arguments name.
///
/// # Errors
/// Whatever ended the verb.
pub fn run(arguments: &Arguments, output: &Output) -> Outcome {
    let global = &arguments.global;
    if writes(&arguments.verb) {
        open::place(global)?.check_writable()?;
    }
    match dispatch(arguments, output) {
        Err(error) if error.is_damaged_cache() && !is_streamed(&arguments.verb) => {
            output.say("note: the local cache was damaged and is made anew");
            dispatch(arguments, output)
        }
        outcome => outcome,
    }
}

/// Whether the verb may have printed a part of its result before it fails.
fn is_streamed(verb: &Verb) -> bool {
    match verb {
        Verb::Ls(_) | Verb::Dump(_) => true,
        Verb::Diff(args) => args.list || args.limit.is_some(),
        _ => false,
    }
}

fn dispatch(arguments: &Arguments, output: &Output) -> Outcome {
    let global = &arguments.global;
    match &arguments.verb {
        Verb::Init(args) => init::run(global, args, output),
        Verb::Backup(args) => backup::run(global, args, output),
        Verb::List => list::run(global, output),
        Verb::Show(args) => show::run(global, args, output),
        Verb::Ls(args) => ls::list(global, args, output),
        Verb::Dump(args) => ls::dump(global, args, output),
        Verb::Restore(args) => restore::run(global, args, output),
        Verb::Fsck(args) if args.replicas => keys::replicas(global, args, output),
        Verb::Fsck(args) => fsck::run(global, args, output),
        Verb::Forget(args) => forget::run(global, args, output),
        Verb::Prune(args) => prune::run(global, args, output),
        Verb::Stats(args) => sizes::stats(global, args, output),
        Verb::Diff(args) if args.keys => keys::diff(global, args, output),
        Verb::Diff(args) => sizes::diff(global, args, output),
        Verb::Copy(args) => copy::run(global, args, output),
        Verb::Audit(args) => audit::run(global, args, output),
        Verb::Key(args) => key::run(global, args, output),
        Verb::Repo(args) => repo::run(global, args, output),
        Verb::Version => version(output),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "esker", &mut script);
            output.print(&String::from_utf8_lossy(&script));
            Ok(Exit::Done)
        }
    }
}

/// Whether the verb writes to the repository beyond what it remembers of its own work.
fn writes(verb: &Verb) -> bool {
    match verb {
        Verb::Init(_) | Verb::Backup(_) | Verb::Forget(_) => true,
        Verb::Prune(prune) => !prune.dry_run && prune.explain.is_none(),
        Verb::Key(verb) => !matches!(verb, Key::List),
        Verb::Fsck(args) => args.repair,
        Verb::Audit(args) => !args.acknowledge.is_empty(),
        Verb::List | Verb::Show(_) | Verb::Ls(_) | Verb::Dump(_) | Verb::Restore(_) | Verb::Stats(_) | Verb::Diff(_) => false,
        // It knows best which of its two repositories it writes.
        Verb::Copy(_) => false,
        Verb::Repo(_) | Verb::Version | Verb::Completions { .. } => false,
    }
}

fn version(output: &Output) -> Outcome {
    let format = esker_format::formats::NEWEST;
    let version = env!("CARGO_PKG_VERSION");
    output.result(&serde_json::json!({ "version": version, "format": format }), || format!("esker {version} (repository format {format})"));
    Ok(Exit::Done)
}

/// A job that Ctrl-C stops at its next safe point; a second Ctrl-C stops it at once.
fn job(global: &Global, output: &Output) -> Job {
    static CANCEL: OnceLock<Cancel> = OnceLock::new();
    let cancel = CANCEL.get_or_init(|| {
        let cancel = Cancel::default();
        let handler = cancel.clone();
        let installed = ctrlc::set_handler(move || {
            if handler.is_cancelled() {
                std::process::exit(Exit::Cancelled as i32);
            }
            handler.cancel();
        });
        if installed.is_err() {
            output.say("note: Ctrl-C ends this run at once; what was done stays and is reused");
        }
        cancel
    });
    let cancel = cancel.clone();
    let default = Job::default();
    let threads = global.threads.map_or(default.threads, |threads| threads as usize);
    Job { cancel, progress: progress::display(output.is_quiet()), threads }
}

fn selection(select: &Select) -> Result<Selection, OpsError> {
    Selection::new(select.hosts.clone(), select.spaces.clone(), &select.paths)
}
