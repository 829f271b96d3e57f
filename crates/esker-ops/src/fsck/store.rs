//! What the store can do: whoever configured it may have changed it since `init`.

use esker_repo::store::probe::Support;

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
        // Where nothing can be deleted each trial would leave an object behind.
        if let Some(known) = self.repository.known().abilities(&location).filter(|known| known.delete == Support::Refused) {
            self.abilities = Some(known);
            return Ok(());
        }
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
