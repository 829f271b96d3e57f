//! What stands around that which was read last from a store that is far: whoever walks tables or small files reads their
//! neighbours next, one by one, and each request would take longer than all of these bytes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use esker_format::layout::{PackKind, PackName};

/// Windows begin at multiples of this, and are as long unless more is asked for.
const WINDOW_BYTES: u64 = 256 << 10;
/// The most bytes of data that are read with what is around them; of metadata a window.
const SMALL_BYTES: u64 = 32 << 10;
/// Windows that are kept.
const WINDOWS_MAX: usize = 16;

/// The last windows that were read.
#[derive(Default)]
pub(crate) struct Windows(Mutex<VecDeque<Window>>);

struct Window {
    pack: PackName,
    start: u64,
    bytes: Bytes,
}

impl Windows {
    /// Whether a range of so many bytes is read with what is around it.
    pub(crate) fn takes(kind: PackKind, bytes: u64) -> bool {
        bytes <= if kind == PackKind::Meta { WINDOW_BYTES } else { SMALL_BYTES }
    }

    /// The range to read in place of this one.
    pub(crate) fn around(start: u64, end: u64) -> (u64, u64) {
        let window_start = start / WINDOW_BYTES * WINDOW_BYTES;
        (window_start, end.max(window_start + WINDOW_BYTES))
    }

    /// The bytes from `start` to `end` of a pack, if a window has them all.
    pub(crate) fn get(&self, pack: &PackName, start: u64, end: u64) -> Option<Bytes> {
        let windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows.iter().filter(|window| window.pack == *pack).find_map(|window| window.slice(start, end))
    }

    /// Keeps what was read of a pack from `start`.
    pub(crate) fn keep(&self, pack: PackName, start: u64, bytes: Bytes) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows.truncate(WINDOWS_MAX - 1);
        windows.push_front(Window { pack, start, bytes });
    }

    /// Gives up all of them: what stands in one is not right.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Window {
    fn slice(&self, start: u64, end: u64) -> Option<Bytes> {
        let from = usize::try_from(start.checked_sub(self.start)?).ok()?;
        let to = usize::try_from(end.checked_sub(self.start)?).ok()?;
        (to <= self.bytes.len() && from <= to).then(|| self.bytes.slice(from..to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use esker_format::{ObjectId, SessionId};

    #[test]
    fn what_a_window_has_is_given_and_nothing_else() {
        let name = |id| PackName { kind: PackKind::Meta, session: SessionId([1; 16]), id: ObjectId([id; 32]) };
        let windows = Windows::default();
        assert_eq!(Windows::around(300_000, 300_100), (262_144, 524_288));
        assert_eq!(Windows::around(500_000, 600_000), (262_144, 600_000));
        windows.keep(name(1), 100, Bytes::from_static(b"0123456789"));
        assert_eq!(windows.get(&name(1), 102, 105).unwrap(), "234");
        assert_eq!(windows.get(&name(1), 105, 110).unwrap(), "56789");
        assert!(windows.get(&name(1), 105, 111).is_none() && windows.get(&name(1), 99, 105).is_none());
        assert!(windows.get(&name(2), 102, 105).is_none());
        windows.clear();
        assert!(windows.get(&name(1), 102, 105).is_none());
    }
}
