//! Time and randomness, injected so that a whole run can be replayed from a seed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{RepoError, Result};

/// What a repository takes from the world apart from its store.
pub trait Environment: Send + Sync {
    /// Milliseconds since 1970. Nothing that keeps data safe depends on it.
    fn now_ms(&self) -> u64;

    /// Fills `bytes` with random ones fit for keys.
    ///
    /// # Errors
    /// `Randomness` if there are none.
    fn fill_random(&self, bytes: &mut [u8]) -> Result<()>;

    /// Lets at least so much time pass. Who waits counts its pauses and asks no clock, which may be set.
    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// The machine's clock and the operating system's random bytes.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn fill_random(&self, bytes: &mut [u8]) -> Result<()> {
        getrandom::fill(bytes).map_err(|error| RepoError::Randomness(error.to_string()))
    }
}

/// `N` random bytes.
///
/// # Errors
/// As `Environment::fill_random`.
pub fn random<const N: usize>(environment: &dyn Environment) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    environment.fill_random(&mut bytes)?;
    Ok(bytes)
}
