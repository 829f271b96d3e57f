//! What should not happen from one backup to the next: a host that shrank, a backup of which nothing was known.

use esker_format::manifest::{HostRecord, Totals};

/// Bytes below which a host or backup is too small to tell anything.
const BYTES_MIN: u64 = 1 << 20;
/// A host that has less than one in so many of its bytes has shrunk.
const SHRUNK: u64 = 2;
/// Percent of a backup's bytes that are new when nothing of it seems known.
const NEW_PERCENT: u64 = 90;

/// Names what is odd about a backup of these hosts, measured by the one before it, which has this label.
pub(super) fn alarms(label: &str, before: &[HostRecord], hosts: &[HostRecord], totals: &Totals) -> Vec<String> {
    let mut alarms = Vec::new();
    let mut known_bytes = 0u64;
    for host in hosts {
        let Some(earlier) = before.iter().find(|earlier| earlier.name == host.name) else { continue };
        known_bytes = known_bytes.saturating_add(earlier.bytes);
        if earlier.bytes >= BYTES_MIN && host.bytes < earlier.bytes / SHRUNK {
            alarms.push(format!(
                "host {} has {} bytes where backup {} had {}: was data dropped, or another folder given? Keep that backup",
                host.name, host.bytes, label, earlier.bytes
            ));
        }
    }
    let is_new = totals.new_bytes.saturating_mul(100) >= totals.bytes.saturating_mul(NEW_PERCENT);
    if known_bytes >= BYTES_MIN && totals.bytes >= BYTES_MIN && is_new {
        alarms.push(format!(
            "almost nothing of this backup was known, although backup {} holds the same hosts: were the files encrypted or replaced? Keep that backup",
            label
        ));
    }
    alarms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, bytes: u64) -> HostRecord {
        HostRecord { name: name.into(), tree: Default::default(), engines: Vec::new(), files: 1, bytes }
    }

    fn told(before: u64, now: u64, new: u64) -> usize {
        let hosts = [host("h", now)];
        let earlier = [host("h", before), host("other", 1 << 40)];
        alarms("before", &earlier, &hosts, &Totals { bytes: now, new_bytes: new, ..Totals::default() }).len()
    }

    #[test]
    fn what_shrank_or_is_all_new_is_named_and_daily_change_is_not() {
        const MIB: u64 = 1 << 20;
        assert_eq!(told(10 * MIB, 10 * MIB, MIB), 0);
        assert_eq!(told(10 * MIB, 6 * MIB, MIB), 0);
        assert_eq!(told(10 * MIB, 4 * MIB, MIB), 1, "it shrank");
        assert_eq!(told(10 * MIB, 10 * MIB, 10 * MIB), 1, "all of it is new");
        assert_eq!(told(10 * MIB, 4 * MIB, 4 * MIB), 2);
        assert_eq!(told(MIB / 2, 10, 10), 0, "too small to tell");
    }
}
