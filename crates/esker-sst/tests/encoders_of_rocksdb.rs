//! The encoders against the RocksDB that this build links: every data block of its tables is compressed again byte for byte.

#![allow(clippy::unwrap_used)]

use esker_sst::compression::{NONE, decompress};
use esker_sst::encoder::{Encoder, EncoderId, candidates};
use esker_sst::footer::{FOOTER_SIZE, Footer};
use esker_sst::meta_entries::MetaEntries;
use esker_sst::{BlockHandle, MetaBlock};
use rocksdb::{BlockBasedOptions, DBCompressionType, Options, SstFileWriter};

const ENTRIES: u32 = 20_000;

struct Written {
    compression: DBCompressionType,
    level: Option<i32>,
    dictionary_len: i32,
    block_size: usize,
}

/// A table of entries whose values repeat words, hold counters and some noise.
fn table(how: &Written) -> Vec<u8> {
    let mut block_options = BlockBasedOptions::default();
    block_options.set_block_size(how.block_size);
    // The last version whose index names each block in full.
    block_options.set_format_version(3);
    let mut options = Options::default();
    options.set_block_based_table_factory(&block_options);
    options.set_compression_type(how.compression);
    // 32,767 is RocksDB's default level.
    options.set_compression_options(-14, how.level.unwrap_or(32_767), 0, how.dictionary_len);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.sst");
    let mut writer = SstFileWriter::create(&options);
    writer.open(&path).unwrap();
    let mut noise = 1u32;
    for entry in 0..ENTRIES {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let words = ["vertex", "follows", "since 2026", "name", "weight"];
        let mut value = words[noise as usize >> 8 & 3].repeat(noise as usize >> 16 & 3).into_bytes();
        value.extend_from_slice(&(entry / 3).to_le_bytes());
        value.extend_from_slice(&noise.to_le_bytes()[..noise as usize >> 20 & 3]);
        value.extend_from_slice(words[entry as usize % 5].as_bytes());
        writer.put([&b"\x01\x01\x00\x00"[..], &entry.to_be_bytes(), &[0; 16]].concat(), &value).unwrap();
    }
    writer.finish().unwrap();
    std::fs::read(path).unwrap()
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

fn handle(mut value: &[u8]) -> BlockHandle {
    BlockHandle { offset: varint(&mut value), size: varint(&mut value) }
}

fn stored(file: &[u8], handle: BlockHandle) -> (u8, &[u8]) {
    let payload = &file[handle.offset as usize..][..handle.size as usize];
    (file[(handle.offset + handle.size) as usize], payload)
}

/// The table's dictionary and its data blocks with their compression types.
fn blocks(file: &[u8]) -> (Vec<u8>, Vec<(u8, &[u8])>) {
    let footer = Footer::decode(&file[file.len() - FOOTER_SIZE..], file.len() as u64).unwrap();
    let mut dictionary = Vec::new();
    let mut metaindex = MetaEntries::new(MetaBlock::MetaIndex, stored(file, footer.metaindex).1).unwrap();
    while let Some(entry) = metaindex.next_entry().unwrap() {
        if entry.key == b"rocksdb.compression_dict" {
            dictionary = stored(file, handle(entry.value)).1.to_vec();
        }
    }
    let (compression_type, payload) = stored(file, footer.index.unwrap());
    let mut index = Vec::new();
    decompress(compression_type, &[], payload, 1 << 24, &mut index).unwrap();
    let restarts = u32::from_le_bytes(*index.last_chunk().unwrap()) as usize;
    let mut entries = &index[..index.len() - 4 - 4 * restarts];
    let mut blocks = Vec::new();
    while !entries.is_empty() {
        let [_shared, key_len, value_len] = [(); 3].map(|()| varint(&mut entries) as usize);
        let value = &entries[key_len..][..value_len];
        blocks.push(stored(file, handle(value)));
        entries = &entries[key_len + value_len..];
    }
    (dictionary, blocks)
}

/// Asserts that every compressed block is what the encoder makes of its plain block, and that it is among those to try.
fn assert_all_equal(id: u32, how: &Written) {
    let file = table(how);
    let (dictionary, blocks) = blocks(&file);
    assert_eq!(dictionary.is_empty(), how.dictionary_len == 0);
    let mut encoder = Encoder::new(EncoderId(id), &dictionary).unwrap();
    let (mut plain, mut payload) = (Vec::new(), Vec::new());
    let mut compared = 0;
    for (compression_type, stored) in blocks {
        if compression_type == NONE {
            continue;
        }
        assert_eq!(compression_type, encoder.compression_type());
        decompress(compression_type, &dictionary, stored, 1 << 24, &mut plain).unwrap();
        payload.clear();
        encoder.compress(&plain, &mut payload).unwrap();
        assert!(payload == stored, "block {compared} of {} bytes", plain.len());
        compared += 1;
    }
    assert!(compared > 3, "{compared} compressed blocks");
    if how.level.is_none() {
        assert!(candidates(encoder.compression_type(), how.dictionary_len > 0).contains(&encoder.id()));
    }
}

fn plainly(compression: DBCompressionType) -> Written {
    Written { compression, level: None, dictionary_len: 0, block_size: 4096 }
}

#[test]
fn snappy_blocks_of_any_size_are_those_of_the_bundled_library() {
    for block_size in [1024, 4096, 20_000, 150_000] {
        assert_all_equal(0x010a_0001, &Written { block_size, ..plainly(DBCompressionType::Snappy) });
    }
}

#[test]
fn lz4_blocks_without_dictionary_come_from_a_single_call() {
    for block_size in [1024, 4096, 64_000, 150_000] {
        assert_all_equal(0x0402_0001, &Written { block_size, ..plainly(DBCompressionType::Lz4) });
    }
    assert_all_equal(0x0402_0005, &Written { level: Some(-5), ..plainly(DBCompressionType::Lz4) });
}

#[test]
fn lz4_blocks_with_dictionary_come_from_a_stream() {
    for dictionary_len in [100, 16_384, 100_000] {
        assert_all_equal(0x0401_0001, &Written { dictionary_len, ..plainly(DBCompressionType::Lz4) });
    }
}

#[test]
fn lz4hc_blocks_follow_the_level() {
    assert_all_equal(0x050a_0009, &plainly(DBCompressionType::Lz4hc));
    assert_all_equal(0x050a_0003, &Written { level: Some(3), ..plainly(DBCompressionType::Lz4hc) });
}

#[test]
fn zstd_blocks_follow_level_and_dictionary() {
    assert_all_equal(0x0757_0003, &plainly(DBCompressionType::Zstd));
    assert_all_equal(0x0757_0003, &Written { block_size: 150_000, ..plainly(DBCompressionType::Zstd) });
    for block_size in [4096, 100_000, 180_000] {
        for dictionary_len in [1000, 16_384] {
            assert_all_equal(0x0757_0003, &Written { dictionary_len, block_size, ..plainly(DBCompressionType::Zstd) });
        }
    }
    for (id, level) in [(0x0757_fffd, -3), (0x0757_0001, 1), (0x0757_0006, 6), (0x0757_0009, 9)] {
        assert_all_equal(id, &Written { level: Some(level), block_size: 30_000, ..plainly(DBCompressionType::Zstd) });
    }
}
