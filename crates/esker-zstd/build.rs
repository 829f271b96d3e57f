//! Compiles the encoder of ZSTD 1.5.4 from the sources that the crate zstd-sys 2.0.7 carries.
//!
//! That release cannot be a dependency (see pinned/Cargo.toml), so cargo is asked to fetch it by pinned/Cargo.lock, which holds
//! its checksum, and where it lies. Then every identifier of the sources that a linker could see gets a prefix, so that
//! nothing of it meets the newer ZSTD in the same program.

#![allow(clippy::expect_used, clippy::panic, reason = "a build script reports a fault by its panic")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Goes before every identifier that begins with one of [`RENAMED`].
const PREFIX: &str = "esker_1_5_4_";

/// What names of the library begin with: functions and variables, and types and macros along with them.
const RENAMED: [&str; 8] = ["ZSTD_", "ZSTDMT_", "HUF_", "FSE_", "HIST_", "POOL_", "ERR_", "g_"];

/// Folders of the library that its encoder needs.
const FOLDERS: [&str; 3] = ["", "common", "compress"];

fn main() {
    for file in ["build.rs", "pinned/Cargo.toml", "pinned/Cargo.lock"] {
        println!("cargo::rerun-if-changed={file}");
    }
    let renamed = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names OUT_DIR")).join("zstd");
    let sources = copy_renamed(&pinned_package().join("zstd/lib"), &renamed);
    cc::Build::new()
        .files(sources)
        .include(&renamed)
        .include(renamed.join("common"))
        .define("XXH_PRIVATE_API", None)
        .define("NDEBUG", None)
        .flag_if_supported("-fvisibility=hidden")
        .opt_level(3)
        .warnings(false)
        .compile("esker_zstd_1_5_4");
}

/// The folder of the pinned zstd-sys, fetched if this machine has not got it yet.
fn pinned_package() -> PathBuf {
    let metadata = metadata(&["--offline"]).or_else(|_| metadata(&[]));
    let metadata =
        metadata.unwrap_or_else(|error| panic!("cargo could not fetch zstd-sys 2.0.7, whose sources are compiled here: {error}"));
    let packages = metadata["packages"].as_array().expect("cargo metadata lists packages");
    let zstd = packages.iter().find(|package| package["name"] == "zstd-sys").expect("pinned/Cargo.lock has zstd-sys");
    assert_eq!(zstd["version"], "2.0.7+zstd.1.5.4");
    let manifest = Path::new(zstd["manifest_path"].as_str().expect("cargo metadata names manifests"));
    manifest.parent().expect("a manifest is in a folder").to_path_buf()
}

fn metadata(options: &[&str]) -> Result<serde_json::Value, String> {
    let cargo = env::var_os("CARGO").expect("cargo names itself");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--manifest-path", "pinned/Cargo.toml"])
        .args(options)
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// Copies headers and sources, identifiers renamed, and returns the sources to compile.
fn copy_renamed(from: &Path, to: &Path) -> Vec<PathBuf> {
    let mut sources = Vec::new();
    for folder in FOLDERS {
        fs::create_dir_all(to.join(folder)).expect("OUT_DIR is writable");
        let entries = fs::read_dir(from.join(folder)).expect("zstd-sys has the sources of ZSTD");
        for path in entries.map(|entry| entry.expect("a folder can be read").path()) {
            let (Some(name), Some(extension)) = (path.file_name(), path.extension()) else { continue };
            if extension != "c" && extension != "h" {
                continue;
            }
            let copy = to.join(folder).join(name);
            let text = fs::read_to_string(&path).expect("a source of ZSTD is text");
            fs::write(&copy, rename(&text)).expect("OUT_DIR is writable");
            // XXH_PRIVATE_API puts xxhash into every source that uses it.
            if extension == "c" && name != "xxhash.c" {
                sources.push(copy);
            }
        }
    }
    sources.sort();
    sources
}

/// The text with [`PREFIX`] before every identifier that begins with one of [`RENAMED`].
fn rename(text: &str) -> String {
    let mut renamed = String::with_capacity(text.len() + text.len() / 4);
    let mut rest = text;
    while let Some(at) = rest.find(|symbol: char| symbol.is_ascii_alphanumeric() || symbol == '_') {
        let (between, from_word) = rest.split_at(at);
        let end = from_word.find(|symbol: char| !symbol.is_ascii_alphanumeric() && symbol != '_').unwrap_or(from_word.len());
        let (word, after) = from_word.split_at(end);
        renamed.push_str(between);
        if RENAMED.iter().any(|start| word.starts_with(start)) {
            renamed.push_str(PREFIX);
        }
        renamed.push_str(word);
        rest = after;
    }
    renamed + rest
}
