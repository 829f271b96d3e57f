//! How much memory the decoders take for the least friendly bytes that the limits let through. One test, because the
//! allocator counts for the whole process. `--nocapture` prints the figures.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(unsafe_code, reason = "counting what is allocated takes an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use esker_format::engine::ReplicaRow;
use esker_format::file_table::FileRow;
use esker_format::index_segment::IndexSegment;
use esker_format::limits::{CONTROL_PLAIN_MAX, HOSTS_MAX, RECIPE_OPS_MAX, RUN_ENTRIES_MAX, RUN_KEYS_MAX, TABLE_PIECE_MAX, TEXTS_MAX};
use esker_format::manifest::Manifest;
use esker_format::note::Note;
use esker_format::recipe::{Piece, RecipePiece};
use esker_format::run::Run;
use esker_format::table::{SeenManifest, decode_piece};
use esker_format::wire::{Record, Writer};

const MIB: usize = 1 << 20;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(bytes: usize) {
    PEAK.fetch_max(LIVE.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Decodes and gives the most bytes that were allocated at once meanwhile, and whether a record came of it.
fn peak<T, E>(what: &str, len: usize, decode: impl FnOnce() -> Result<T, E>) -> (usize, bool) {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let outcome = decode();
    let taken = PEAK.load(Relaxed) - before;
    println!(
        "{what:<44} {:>9.2} MiB of input, {:>9.3} MiB taken, {}",
        mib(len),
        mib(taken),
        if outcome.is_ok() { "read" } else { "refused" }
    );
    (taken, outcome.is_ok())
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn mib(bytes: usize) -> f64 {
    bytes as f64 / MIB as f64
}

/// A table piece of `count` rows.
fn piece(kind: &[u8], count: usize, row: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    out.raw(kind);
    out.varint(count as u64);
    out.raw(&row.repeat(count));
    out.into_bytes()
}

/// As many rows as fit in a piece of `len` bytes.
fn full(kind: &[u8], len: usize, row: &[u8]) -> Vec<u8> {
    piece(kind, (len - 8) / row.len(), row)
}

/// A manifest up to its tags, `tags` of no letters, then `hosts` of nothing, then nothing.
fn manifest(tags: usize, hosts: usize) -> Vec<u8> {
    let mut out = Writer::default();
    out.raw(&[0; 2 + 16 + 16 + 1]);
    out.varint(tags as u64);
    out.raw(&vec![0; tags]);
    out.varint(0);
    out.varint(hosts as u64);
    out.raw(&vec![0; hosts * 6]);
    out.raw(&[0; 2 + 4 + 12]);
    out.into_bytes()
}

/// A run of `entries` with these columns, and trailers without sequence numbers.
fn run(entries: usize, columns: [&[u8]; 5]) -> Vec<u8> {
    let mut out = Writer::default();
    out.raw(&[0, 0]);
    out.varint(entries as u64);
    columns.iter().for_each(|column| out.bytes(column));
    out.raw(&vec![0; entries + 2]);
    out.into_bytes()
}

/// Lengths: `first`, then `rest` for all others.
fn lens(entries: usize, first: u64, rest: u64) -> Vec<u8> {
    let mut out = Writer::default();
    (0..entries).for_each(|number| out.varint(if number == 0 { first } else { rest }));
    out.into_bytes()
}

/// A piece over runs without runs or blocks, up to and without its list of forms; then `after`.
fn blocks(after: &[u8]) -> Vec<u8> {
    [&[5, 2, 0][..], &[0; 32], &[0, 0, 0, 0, 0, 0, 0, 0, 0], after].concat()
}

#[test]
fn decoders_refuse_before_they_allocate_and_take_memory_in_proportion() {
    let refused = |what: &str, bytes: &[u8], decode: &dyn Fn(&[u8]) -> bool| {
        let (taken, read) = peak(what, bytes.len(), || if decode(bytes) { Ok(()) } else { Err(()) });
        assert!(!read && taken < MIB, "{what}");
    };
    refused("manifest of 2^26 empty tags", &manifest(1 << 26, 0), &|bytes| Manifest::from_bytes(bytes).is_ok());
    refused("manifest of 2^24 empty hosts", &manifest(0, 1 << 24), &|bytes| Manifest::from_bytes(bytes).is_ok());
    refused("note of 2^26 empty tags", &[vec![0; 41], vec![0x80, 0x80, 0x80, 0x20], vec![0; (1 << 26) + 1]].concat(), &|bytes| {
        Note::from_bytes(bytes).is_ok()
    });
    refused("recipe piece of 16 MiB", &full(&[5, 1], 16 * MIB, &[2, 1]), &|bytes| RecipePiece::decode(bytes).is_ok());
    refused("recipe piece of 4 MiB", &full(&[5, 1], TABLE_PIECE_MAX, &[2, 1]), &|bytes| RecipePiece::decode(bytes).is_ok());
    let folder = [0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
    refused("file rows, 16 MiB", &full(&[1], 16 * MIB, &folder), &|bytes| decode_piece::<FileRow>(bytes).is_ok());

    let decode_run = |bytes: &[u8]| Run::decode(bytes).is_ok();
    refused("run of 2^20 entries without bytes", &run(1 << 20, [b"", b"", b"", b"", b""])[..64], &decode_run);
    let many = 1 << 14;
    // Refused while they are written out.
    let alike = run(many, [&lens(many, 0, 8192), &lens(many, 8192, 0), &[b'k'; 8192], &vec![0; many], b""]);
    let (taken, is_read) = peak("run of keys over 64 MiB in 8 KiB", alike.len(), || Run::decode(&alike));
    assert!(!is_read && taken < 200 * MIB);
    let decode_blocks = |bytes: &[u8]| Piece::decode(bytes).is_ok();
    refused("piece of 2^26 own trailers", &blocks(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x80, 0x80, 0x20]), &decode_blocks);
    refused("piece of 2^26 blocks", &blocks(&[0, 0, 0, 0x80, 0x80, 0x80, 0x20, 0, 0]), &decode_blocks);

    let read = |what: &str, limit: usize, bytes: &[u8], decode: &dyn Fn(&[u8]) -> bool| {
        let (taken, read) = peak(what, bytes.len(), || if decode(bytes) { Ok(()) } else { Err(()) });
        assert!(read && taken <= limit, "{what}: {taken} bytes");
    };
    let decode_manifest = |bytes: &[u8]| Manifest::from_bytes(bytes).is_ok();
    read("manifest of TEXTS_MAX tags", 2 * MIB, &manifest(TEXTS_MAX as usize, 0), &decode_manifest);
    read("manifest of HOSTS_MAX hosts", 32 * MIB, &manifest(0, HOSTS_MAX as usize), &decode_manifest);
    read("recipe piece of RECIPE_OPS_MAX holes", 2 * MIB, &piece(&[5, 1], RECIPE_OPS_MAX, &[2, 1]), &|bytes| {
        RecipePiece::decode(bytes).is_ok()
    });
    let file_rows = full(&[1], TABLE_PIECE_MAX, &folder);
    read("file rows, a whole piece of folders", 256 * MIB, &file_rows, &|bytes| decode_piece::<FileRow>(bytes).is_ok());
    let files = full(&[1], TABLE_PIECE_MAX, &[&[0; 9][..], &[1, 0], &[0; 32], &[0; 5]].concat());
    read("file rows, a whole piece of empty files", 64 * MIB, &files, &|bytes| decode_piece::<FileRow>(bytes).is_ok());
    let replicas = full(&[2], TABLE_PIECE_MAX, &[0; 22]);
    read("replica rows, a whole piece", 32 * MIB, &replicas, &|bytes| decode_piece::<ReplicaRow>(bytes).is_ok());
    let seen = full(&[3], TABLE_PIECE_MAX, &[0; 32]);
    read("seen manifests, a whole piece", 16 * MIB, &seen, &|bytes| decode_piece::<SeenManifest>(bytes).is_ok());
    let most = RUN_ENTRIES_MAX;
    let full_run = run(most, [&vec![0; most], &vec![0; most], b"", &vec![0; most], b""]);
    read("run of RUN_ENTRIES_MAX entries", 32 * MIB, &full_run, &decode_run);
    let most = (RUN_KEYS_MAX >> 13) - 1;
    let long_keys = run(most, [&lens(most, 0, 8192), &lens(most, 8192, 0), &[b'k'; 8192], &vec![0; most], b""]);
    read("run of RUN_KEYS_MAX bytes of keys", 200 * MIB, &long_keys, &decode_run);
    // A form, and 2^20 blocks of it without entries.
    let mut out = Writer::default();
    out.raw(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.varint(1 << 20);
    out.bytes(&[2].repeat(1 << 20));
    out.bytes(&[0].repeat(1 << 20));
    out.raw(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    read("piece of 2^20 blocks without entries", 32 * MIB, &blocks(&out.into_bytes()), &decode_blocks);
    let pack = [&[1][..], &[0; 48], &[1, 0], &[0; 33]].concat();
    let segment = full(&[0], CONTROL_PLAIN_MAX, &pack);
    read("index segment of 128 MiB, packs without frames", 4 * CONTROL_PLAIN_MAX, &segment, &|bytes| {
        IndexSegment::from_bytes(bytes).is_ok()
    });
}
