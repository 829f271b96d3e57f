//! Naming engines beyond what their folders tell.

use std::collections::BTreeMap;

use crate::engine::{Identity, Survey, Warning};

impl Survey {
    /// Gives a space to the engines whose path does not tell one (`--space NAME`).
    pub fn name_space(&mut self, name: &str) {
        for engine in self.engines.iter_mut().filter(|engine| engine.identity.space.is_none()) {
            engine.identity.space = Some(name.to_owned());
        }
        self.tell_apart();
    }

    /// Gives engines that share an identity the one of their whole path, and warns.
    pub(crate) fn tell_apart(&mut self) {
        let mut same: BTreeMap<Identity, Vec<Vec<u8>>> = BTreeMap::new();
        for engine in &self.engines {
            same.entry(engine.identity.clone()).or_default().push(engine.path.clone());
        }
        same.retain(|_, paths| paths.len() > 1);
        for engine in &mut self.engines {
            if same.contains_key(&engine.identity) {
                engine.identity = Identity::of_whole_path(engine.identity.space.take(), &engine.path);
            }
        }
        self.warnings.extend(same.into_values().map(|paths| Warning::SameEngine { paths }));
    }
}
