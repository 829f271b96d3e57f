//! What is broken in the store when a run begins.

use esker_ops::fsck::Finding;
use esker_testkit::seeded::SplitMix64;
use futures::executor::block_on;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::world::objects_of;

/// One object.
#[derive(Debug)]
pub enum Harm {
    /// An index segment, by its path, that nobody can read. It costs nobody anything.
    Torn(String),
    /// A pack that is gone. Who needs what it held fails, until it is brought back; whoever writes does not build on it.
    Lost,
}

impl Harm {
    /// Breaks something, in one run of two.
    pub fn inflict(store: &dyn ObjectStore, random: &mut SplitMix64) -> Option<Self> {
        let tears = [None, None, Some(true), Some(false)][random.below(4) as usize]?;
        let folder = if tears { "index/" } else { "packs/" };
        let paths: Vec<String> = objects_of(store).into_keys().filter(|path| path.starts_with(folder)).collect();
        let path = paths[random.below(paths.len() as u64) as usize].clone();
        let object = ObjectPath::from(path.as_str());
        if tears {
            block_on(store.put(&object, "torn".into())).unwrap();
            return Some(Self::Torn(path));
        }
        block_on(store.delete(&object)).unwrap();
        Some(Self::Lost)
    }

    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Lost)
    }

    /// Whether this is why `fsck` says so.
    pub fn explains(&self, finding: &Finding) -> bool {
        match self {
            Self::Torn(path) => *path == finding.object || finding.what.ends_with("a segment is lost"),
            Self::Lost => true,
        }
    }
}
