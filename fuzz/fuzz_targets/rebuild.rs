//! Pieces and runs of an honest table with some bytes changed: an error, or the very bytes that the pieces promise; never a
//! panic, nor more memory than a block may take. Of each three bytes of the input two say which byte becomes the third.
#![no_main]

use std::sync::OnceLock;

use esker_format::recipe::Piece;
use esker_fuzz::tables::Chunks;
use libfuzzer_sys::fuzz_target;

const TABLES: [&[u8]; 4] = [
    include_bytes!("../../crates/esker-sst/tests/golden/rest_lz4.sst"),
    include_bytes!("../../crates/esker-sst/tests/golden/rest_partitions.sst"),
    include_bytes!("../../crates/esker-sst/tests/golden/rest_snappy.sst"),
    include_bytes!("../../crates/esker-sst/tests/golden/rest_descending.sst"),
];
/// Entries of changed pieces that are rebuilt: copies say in a few bytes that a run is to be copied a million times.
const ENTRIES_MAX: u64 = 1 << 20;

fn stored(number: usize) -> &'static (Chunks, Vec<Vec<u8>>) {
    static STORED: [OnceLock<(Chunks, Vec<Vec<u8>>)>; 4] = [const { OnceLock::new() }; 4];
    STORED[number].get_or_init(|| {
        let mut chunks = Chunks::default();
        let pieces = chunks.store(TABLES[number], &[]).unwrap();
        (chunks, pieces)
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((table, changes)) = data.split_first() else { return };
    let number = usize::from(*table) % TABLES.len();
    let (honest, pieces) = stored(number);
    let (mut chunks, mut pieces) = (Chunks(honest.0.clone()), pieces.clone());
    for change in changes.chunks_exact(3) {
        let mut at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        for bytes in pieces.iter_mut().chain(chunks.0.values_mut()) {
            if at < bytes.len() {
                bytes[at] = change[2];
                break;
            }
            at -= bytes.len();
        }
    }
    let entries = pieces.iter().map(|piece| match Piece::decode(piece) {
        Ok(Piece::Blocks(piece)) => piece.entries(),
        _ => 0,
    });
    if entries.sum::<u64>() > ENTRIES_MAX {
        return;
    }
    if let Ok(bytes) = chunks.rebuild(&pieces) {
        let mut at = 0;
        for piece in &pieces {
            let (len, hash) = match Piece::decode(piece).unwrap() {
                Piece::Blocks(piece) => (piece.len, piece.hash),
                Piece::Rest(piece) => (piece.len, piece.hash),
                Piece::Bytes(_) => unreachable!("they are not rebuilt"),
            };
            let end = at + usize::try_from(len).unwrap();
            assert_eq!(*blake3::hash(&bytes[at..end]).as_bytes(), hash);
            at = end;
        }
        assert_eq!(at, bytes.len());
    }
});
