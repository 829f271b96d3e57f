//! Where the programs are.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use super::ToolName;
use crate::fault::Fault;

/// An installed tool.
#[derive(Debug)]
pub struct Program {
    /// Which tool it is.
    pub name: ToolName,
    /// Its program.
    pub path: PathBuf,
    /// What it says its version is.
    pub version: String,
}

/// Finds the programs of `names`.
///
/// # Errors
/// If one is missing, or does not tell its version.
pub fn find_programs(names: &[ToolName]) -> Result<Vec<Program>, Fault> {
    names.iter().map(|&name| find_program(name)).collect()
}

/// The `esker` that was built together with this program.
pub fn find_esker() -> Result<Program, Fault> {
    find_program(ToolName::Esker)
}

fn find_program(name: ToolName) -> Result<Program, Fault> {
    let path = (candidate_dirs(name).into_iter().map(|dir| dir.join(name.program())))
        .find(|path| path.is_file())
        .ok_or_else(|| Fault::MissingProgram(name.to_string()))?;
    let output = Command::new(&path).arg(version_argument(name)).output().map_err(Fault::at(&path))?;
    // "restic 0.14.0 compiled with go1.19.8 on linux/amd64": the first two words are enough.
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = said.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    Ok(Program { name, path, version })
}

const fn version_argument(name: ToolName) -> &'static str {
    match name {
        ToolName::Restic => "version",
        _ => "--version",
    }
}

/// Esker stands beside this program, rustic where `scripts/setup bench` puts it, anything else in PATH.
fn candidate_dirs(name: ToolName) -> Vec<PathBuf> {
    let in_path = || env::var_os("PATH").map(|path| env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    match name {
        ToolName::Esker | ToolName::EskerFast => {
            env::current_exe().ok().and_then(|exe| exe.parent().map(PathBuf::from)).into_iter().collect()
        }
        ToolName::Rustic => {
            let installed = env::home_dir().unwrap_or_default().join(".cache/esker/peers/bin");
            [vec![installed], in_path()].concat()
        }
        ToolName::Restic | ToolName::Borg => in_path(),
    }
}
