//! What the fuzz targets share: the rule that a record has one encoding, and an allocator that refuses large requests.

pub mod tables;

use std::alloc::{GlobalAlloc, Layout, System};

use esker_format::formats::{FIRST, NEWEST};
use esker_format::limits::CONTROL_PLAIN_MAX;
use esker_format::wire::Record;

/// Whatever decodes, in whichever format, encodes to the same bytes again.
pub fn one_encoding<R: Record>(bytes: &[u8]) {
    for format in FIRST..=NEWEST {
        if let Ok(record) = R::from_bytes_in(format, bytes) {
            assert_eq!(record.to_bytes(), bytes);
        }
    }
}

/// Ends the process on an allocation that no limit of the format asks for.
struct Bounded;

const ALLOCATION_MAX: usize = CONTROL_PLAIN_MAX + (1 << 20);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        bound(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        bound(size);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn bound(size: usize) {
    if size > ALLOCATION_MAX {
        eprintln!("an allocation of {size} bytes");
        std::process::abort();
    }
}

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;
