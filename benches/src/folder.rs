//! Folders of the benchmark: making, removing, and getting their content into the page cache.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use esker_testkit::tree::{NodeKind, inventory};

use crate::fault::Fault;

/// Makes `dir` an empty folder.
pub fn make_empty(dir: &Path) -> Result<(), Fault> {
    remove(dir)?;
    fs::create_dir_all(dir).map_err(Fault::at(dir))
}

/// Removes `dir` and everything in it; nothing happens if it is not there.
pub fn remove(dir: &Path) -> Result<(), Fault> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Fault::at(dir)(error)),
        _ => Ok(()),
    }
}

/// Makes `to` a folder with the same files as `from`, none of which is copied. Whoever deletes or replaces one leaves the
/// other's alone; whoever writes into one does not.
pub fn link_all(from: &Path, to: &Path) -> Result<(), Fault> {
    make_empty(to)?;
    for entry in fs::read_dir(from).map_err(Fault::at(from))? {
        let entry = entry.map_err(Fault::at(from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(Fault::at(&path))?.is_dir() {
            link_all(&path, &target)?;
        } else {
            fs::hard_link(&path, &target).map_err(Fault::at(&target))?;
        }
    }
    Ok(())
}

/// How many files stand at or below `dir`.
pub fn count_files(dir: &Path) -> Result<u64, Fault> {
    let mut count = 0;
    for entry in fs::read_dir(dir).map_err(Fault::at(dir))? {
        let entry = entry.map_err(Fault::at(dir))?;
        let path = entry.path();
        count += if entry.file_type().map_err(Fault::at(&path))?.is_dir() { count_files(&path)? } else { 1 };
    }
    Ok(count)
}

/// Reads every file below `dir` once.
pub fn warm(dir: &Path) -> Result<(), Fault> {
    for (name, node) in inventory(dir) {
        if node.kind == NodeKind::File {
            let path = dir.join(name);
            (File::open(&path).and_then(|mut file| io::copy(&mut file, &mut io::sink()))).map_err(Fault::at(&path))?;
        }
    }
    Ok(())
}

/// The folder at or below `dir` that holds a file `name`, if there is one: tools restore below the
/// target folder at different depths.
pub fn folder_of(dir: &Path, name: &str) -> Option<PathBuf> {
    let nodes = inventory(dir);
    let found = nodes.into_keys().find(|path| path.file_name().is_some_and(|last| last == name))?;
    dir.join(found).parent().map(Path::to_path_buf)
}
