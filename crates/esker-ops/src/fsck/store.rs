//! What the store can do: whoever configured it may have changed it since `init`.

use super::Check;
use crate::error::Result;

impl Check<'_> {
    /// Tries the store, at every level, unless nothing may be written. A folder of this machine needs no trial.
    pub(super) fn store(&mut self) -> Result<()> {
        let store = self.repository.store();
        if store.is_local() || !self.request.remember {
            return Ok(());
        }
        let location = store.location().to_owned();
        match self.repository.probe() {
            Ok(abilities) => {
                if let Some(lack) = abilities.lacks() {
                    self.damage(location, format!("the store is not fit for a repository: {lack}"), "ask whoever runs the store");
                }
                self.abilities = Some(abilities);
            }
            Err(error) => self.notice(location, format!("the store could not be tried: {error}"), ""),
        }
        Ok(())
    }
}
