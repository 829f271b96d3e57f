//! Servers that tests talk to: real ones, each a process that ends with its test, and small ones made here where no real one
//! can be had, or where it must fail in a certain way.

pub mod azurite;
pub mod bucket;
pub mod garage;
pub mod http;
mod leash;
pub mod link;
pub mod tls;
pub mod troubled;

use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// A port that nobody listens on now.
#[must_use]
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A program or folder that `scripts/setup` puts into the cache.
fn installed(name: &str) -> PathBuf {
    let home = std::env::var_os("HOME").expect("HOME is set");
    Path::new(&home).join(".cache/esker/peers").join(name)
}
