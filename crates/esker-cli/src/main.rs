//! The `esker` binary: arguments, progress, tables, exit codes. The work is done in `esker-ops`.

mod args;
mod exit;
mod human;
mod open;
mod output;
mod progress;
mod secret;
mod verbs;

use clap::Parser;

fn main() -> std::process::ExitCode {
    let arguments = args::Arguments::parse();
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
