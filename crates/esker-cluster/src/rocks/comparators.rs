//! The comparators that RocksDB has built in, by the names it writes into a MANIFEST (`util/comparator.cc`).

use std::cmp::Ordering;

use rocksdb::Options;

const BYTEWISE: &str = "leveldb.BytewiseComparator";
const REVERSE_BYTEWISE: &str = "rocksdb.ReverseBytewiseComparator";
const BYTEWISE_U64_TIMESTAMP: &str = "leveldb.BytewiseComparator.u64ts";
const REVERSE_BYTEWISE_U64_TIMESTAMP: &str = "rocksdb.ReverseBytewiseComparator.u64ts";
/// Bytes of the timestamp at the end of a key: little-endian.
const TIMESTAMP_BYTES: usize = 8;

/// A comparator that can be had without the application's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    reverse: bool,
    timestamp: bool,
}

impl Known {
    /// `None` if only the application has that comparator.
    pub(super) fn named(name: &str) -> Option<Self> {
        let (reverse, timestamp) = match name {
            BYTEWISE => (false, false),
            REVERSE_BYTEWISE => (true, false),
            BYTEWISE_U64_TIMESTAMP => (false, true),
            REVERSE_BYTEWISE_U64_TIMESTAMP => (true, true),
            _ => return None,
        };
        Some(Self { reverse, timestamp })
    }

    /// Whether keys are in plain byte order.
    pub(super) fn is_bytewise(self) -> bool {
        !self.reverse && !self.timestamp
    }

    /// What a read must ask for to see every key: the newest timestamp there can be.
    pub(super) fn newest_timestamp(self) -> Option<[u8; TIMESTAMP_BYTES]> {
        self.timestamp.then_some([0xff; TIMESTAMP_BYTES])
    }

    /// Sets it; plain bytewise is RocksDB's default and set as nothing.
    pub(super) fn set(self, options: &mut Options) {
        let Self { reverse, timestamp } = self;
        let keys = move |left: &[u8], right: &[u8]| if reverse { right.cmp(left) } else { left.cmp(right) };
        if !timestamp {
            if reverse {
                options.set_comparator(REVERSE_BYTEWISE, Box::new(keys));
            }
            return;
        }
        let name = if reverse { REVERSE_BYTEWISE_U64_TIMESTAMP } else { BYTEWISE_U64_TIMESTAMP };
        let whole = move |left: &[u8], right: &[u8]| {
            let ((left, left_time), (right, right_time)) = (cut(left, true), cut(right, true));
            // Of one key the newest version comes first.
            keys(left, right).then_with(|| times(right_time, left_time))
        };
        let without =
            move |left: &[u8], left_has: bool, right: &[u8], right_has: bool| keys(cut(left, left_has).0, cut(right, right_has).0);
        options.set_comparator_with_ts(name, TIMESTAMP_BYTES, Box::new(whole), Box::new(times), Box::new(without));
    }
}

fn times(left: &[u8], right: &[u8]) -> Ordering {
    left.iter().rev().cmp(right.iter().rev())
}

/// Cuts a key into itself and its timestamp.
fn cut(key: &[u8], has_timestamp: bool) -> (&[u8], &[u8]) {
    let length = if has_timestamp { key.len().saturating_sub(TIMESTAMP_BYTES) } else { key.len() };
    key.split_at_checked(length).unwrap_or((key, b""))
}
