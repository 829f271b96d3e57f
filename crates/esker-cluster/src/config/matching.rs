//! Applying a cluster file to the engines of a host.

use globset::{GlobBuilder, GlobMatcher};
use toml::Spanned;

use super::{ClusterFile, EngineRule, Space};
use crate::path::as_path;
use crate::{Engine, Identity, Survey};

impl ClusterFile {
    /// Names the engines of `host` as the file says: the first `[[engine]]` that fits, then `[[space]]` by id or path.
    pub fn identify(&self, host: &str, survey: &mut Survey) {
        for engine in &mut survey.engines {
            let rule = self.engines.iter().map(Spanned::get_ref).find(|rule| fits(rule, host, engine));
            let space = rule.and_then(|rule| rule.space.clone()).or_else(|| self.space_of(engine));
            let data_path = rule.and_then(|rule| rule.data_path.clone());
            let told = &engine.identity;
            engine.identity =
                Identity { space: space.or_else(|| told.space.clone()), data_path: data_path.unwrap_or_else(|| told.data_path.clone()) };
        }
        survey.tell_apart();
    }

    fn space_of(&self, engine: &Engine) -> Option<String> {
        let id = engine.identity.space.as_deref().and_then(|space| space.parse::<u32>().ok());
        let spaces = || self.spaces.iter().map(Spanned::get_ref);
        let by_id = spaces().find(|space| space.id.is_some() && space.id == id);
        let by_path = |space: &&Space| space.path.as_deref().is_some_and(|path| matches(path, &engine.path));
        by_id.or_else(|| spaces().find(by_path)).map(|space| space.name.clone())
    }
}

fn fits(rule: &EngineRule, host: &str, engine: &Engine) -> bool {
    rule.host.as_deref().is_none_or(|named| named == host) && matches(&rule.path, &engine.path)
}

fn matches(text: &str, folder: &[u8]) -> bool {
    let folder = if folder.is_empty() { b"." } else { folder };
    pattern(text).is_ok_and(|pattern| pattern.is_match(as_path(folder)))
}

/// Makes a pattern of a path in the file.
pub(super) fn pattern(text: &str) -> Result<GlobMatcher, String> {
    let glob = GlobBuilder::new(text).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| error.kind().to_string())
}
