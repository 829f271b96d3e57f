//! Who takes part in a run, as a seed draws them.

use std::time::Duration;

use esker_ops::prune::PruneRequest;
use esker_testkit::seeded::SplitMix64;

use crate::world::{SOURCES, TWIN};

#[derive(Debug, Clone)]
pub enum Role {
    Writer {
        name: String,
        source: usize,
    },
    Forgetter {
        standing: usize,
    },
    Pruner(PruneRequest),
    Restorer {
        standing: usize,
    },
    Checker,
    Lister,
    /// Copies what another repository holds into this one.
    Importer,
    /// Copies what this one holds into another.
    Exporter,
    Mender,
    /// Compares the keys of two backups that stay, without a session.
    Comparer,
}

pub fn draw_roles(random: &mut SplitMix64) -> Vec<Role> {
    let writers = 1 + random.below(3);
    let mut roles: Vec<Role> = (0..writers)
        .map(|number| Role::Writer { name: format!("new{number}"), source: random.below(SOURCES.len() as u64) as usize })
        .collect();
    for _ in 0..1 + random.below(2) {
        // Ten seconds to some hours: how often a prune looks before it takes a session for dead.
        let fence_after = Duration::from_secs([10, 100, 1000, 5000][random.below(4) as usize]);
        let max_repack = [0, 1 << 20][random.below(2) as usize];
        roles.push(Role::Pruner(PruneRequest { fence_after, max_repack, repack_percent: 20, ..PruneRequest::default() }));
    }
    // The first backup and the last always stay.
    roles.push(Role::Forgetter { standing: [1, TWIN][random.below(2) as usize] });
    let others =
        [Role::Forgetter { standing: 2 }, Role::Restorer { standing: 4 }, Role::Restorer { standing: 1 }, Role::Checker, Role::Lister];
    for role in others {
        if random.below(3) == 0 {
            roles.push(role);
        }
    }
    roles
}

/// Who is there beside the others, in one run of three: then something may be broken, too.
pub fn draw_guests(random: &mut SplitMix64) -> Option<Vec<Role>> {
    if random.below(3) > 0 {
        return None;
    }
    let mut guests = Vec::new();
    for guest in [Role::Importer, Role::Exporter, Role::Mender, Role::Comparer] {
        if random.below(2) == 0 {
            guests.push(guest);
        }
    }
    Some(guests)
}

impl Role {
    /// Whether it makes backups.
    pub fn is_writer(&self) -> bool {
        matches!(self, Self::Writer { .. } | Self::Importer)
    }

    /// What a trace calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Writer { .. } => "writer",
            Self::Forgetter { .. } => "forget",
            Self::Pruner(_) => "prune",
            Self::Restorer { .. } => "restore",
            Self::Checker => "fsck",
            Self::Lister => "list",
            Self::Importer => "copy in",
            Self::Exporter => "copy out",
            Self::Mender => "repair",
            Self::Comparer => "diff keys",
        }
    }
}
