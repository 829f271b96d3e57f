//! The `esker` binary: arguments, progress, tables, exit codes. The work is done in `esker-ops`.

mod args;
mod config;
mod exit;
mod human;
mod open;
mod output;
mod progress;
mod secret;
mod verbs;

use clap::Parser;

/// A merge fills and empties buffers of a megabyte by the hundred, and a page fault costs more than filling a page: huge pages
/// (docs/development.md). How it is set up: .cargo/config.toml.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    let arguments = match args::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
                let text = error.to_string();
                let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
                output::Output::new(true, true).json_line(&serde_json::json!({ "error": line, "exit": exit::Exit::Usage as u8 }));
            }
            error.exit()
        }
    };
    let output = output::Output::new(arguments.global.json, arguments.global.quiet);
    match verbs::run(&arguments, &output) {
        Ok(exit) => exit.into(),
        Err(error) => {
            let exit = exit::Exit::of(&error);
            output.error(&error.to_string(), exit);
            exit.into()
        }
    }
}
