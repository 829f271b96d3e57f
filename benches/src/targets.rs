//! Where Esker must stand against the best of its peers, verb by verb.

use crate::contest::{Score, Verb};
use crate::report::best_peer;
use crate::tools::ToolName;
use crate::work::Reading;

/// Peak memory of any verb, less than this.
pub const PEAK_TARGET_MIB: u64 = 512;

/// What one way of backing up must reach against the best of the peers.
struct Demands {
    tool: ToolName,
    /// Times as fast as the fastest peer, at least.
    speeds: &'static [(Verb, f64)],
    /// Share of the bytes that the best peer stores for the first backup, at most.
    first_backup_share: f64,
}

const DEMANDS: [Demands; 2] = [
    Demands {
        tool: ToolName::Esker,
        speeds: &[
            (Verb::FirstBackup, 1.2),
            (Verb::Incrementals, 2.0),
            (Verb::RestoreToDisk, 1.2),
            (Verb::DataCheck, 2.0),
            (Verb::FilesCheck, 1.0),
        ],
        first_backup_share: 0.87,
    },
    Demands { tool: ToolName::EskerFast, speeds: &[(Verb::FirstBackup, 1.5)], first_backup_share: 0.93 },
];

/// Prints a line for each target; whether all were reached.
pub fn print_targets(scores: &[Score]) -> bool {
    let mut reached = true;
    for demands in &DEMANDS {
        if let Some(score) = scores.iter().find(|score| score.name == demands.tool) {
            reached &= print_demands(demands, score, scores);
        }
    }
    reached
}

fn print_demands(demands: &Demands, score: &Score, scores: &[Score]) -> bool {
    let (tool, mut reached) = (demands.tool, true);
    for &(verb, at_least) in demands.speeds {
        if let Some((fastest, peer)) = best_peer(scores, verb) {
            let speed = peer.seconds / score.median(verb).seconds;
            let what = format!("{tool}, {}: at least {at_least} times as fast as the best peer ({fastest})", verb.words());
            reached &= print_target(&what, speed >= at_least, &format!("{speed:.2}"));
        }
    }
    let stored = |reading: Reading| reading.stored_bytes.map(|bytes| bytes as f64);
    let first = stored(score.median(Verb::FirstBackup));
    if let Some((bytes, peer)) = first.zip(best_peer(scores, Verb::FirstBackup).and_then(|(_, peer)| stored(peer))) {
        let (at_most, share) = (demands.first_backup_share, bytes / peer);
        let what = format!("{tool}, first backup: at most {at_most} of the best peer's bytes");
        reached &= print_target(&what, share <= at_most, &format!("{share:.3}"));
    }
    let peak_mib = Verb::ALL.iter().map(|&verb| score.median(verb).peak_bytes >> 20).max().unwrap_or(0);
    let what = format!("{tool}, memory: under {PEAK_TARGET_MIB} MiB for every verb");
    print_target(&what, peak_mib < PEAK_TARGET_MIB, &format!("{peak_mib} MiB")) && reached
}

/// Prints one line and passes `reached` on.
pub fn print_target(what: &str, reached: bool, measured: &str) -> bool {
    println!("{}  {what}: {measured}", if reached { "pass  " } else { "MISSED" });
    reached
}
