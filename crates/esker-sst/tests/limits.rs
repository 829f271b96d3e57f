//! Files made by hand to claim too much: refused before a byte of the claim is read or reserved.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::cell::Cell;
use std::io;

use esker_sst::{Error, MAX_METAINDEX_SIZE, MAX_PROPERTIES_SIZE, MAX_TAIL_SIZE, MetaBlock, ReadAt, identify};

/// A file of any length: zeros, then `end`. Counts what is read of it.
struct HugeFile {
    len: u64,
    end: Vec<u8>,
    bytes_read: Cell<u64>,
}

impl HugeFile {
    fn new(len: u64, end: Vec<u8>) -> Self {
        Self { len, end, bytes_read: Cell::new(0) }
    }
}

impl ReadAt for HugeFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.bytes_read.set(self.bytes_read.get() + buf.len() as u64);
        let end_offset = self.len - self.end.len() as u64;
        for (byte, at) in buf.iter_mut().zip(offset..) {
            if at >= self.len {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            *byte = at.checked_sub(end_offset).map_or(0, |place| self.end[place as usize]);
        }
        Ok(())
    }

    fn len(&self) -> u64 {
        self.len
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn handle((offset, size): (u64, u64)) -> Vec<u8> {
    [varint(offset), varint(size)].concat()
}

/// A block of one entry without checksum, trailer included.
fn block(key: &[u8], value: &[u8]) -> Vec<u8> {
    let lengths = [0, key.len() as u8, value.len() as u8];
    [&lengths[..], key, value, &[0; 4], &1u32.to_le_bytes(), &[0; 5]].concat()
}

/// A footer of format_version 5 without checksums.
fn footer(metaindex: (u64, u64), index: (u64, u64)) -> Vec<u8> {
    let mut bytes = [vec![0], handle(metaindex), handle(index)].concat();
    bytes.resize(41, 0);
    bytes.extend(5u32.to_le_bytes());
    bytes.extend(0x88e2_41b7_85f4_cff7_u64.to_le_bytes());
    bytes
}

const TERABYTE: u64 = 1 << 40;

/// A file of a terabyte whose metaindex says where its properties are.
fn with_properties_at(properties: (u64, u64)) -> HugeFile {
    let metaindex = block(b"rocksdb.properties", &handle(properties));
    let offset = TERABYTE - 53 - metaindex.len() as u64;
    let footer = footer((offset, metaindex.len() as u64 - 5), (0, 1));
    HugeFile::new(TERABYTE, [metaindex, footer].concat())
}

#[test]
fn a_metaindex_beyond_its_limit_is_not_read() {
    for size in [MAX_METAINDEX_SIZE + 1, TERABYTE / 2] {
        let file = HugeFile::new(TERABYTE, footer((0, size), (0, 1)));
        assert!(matches!(identify(&file), Err(Error::BlockTooLarge { block: MetaBlock::MetaIndex, .. })));
        assert_eq!(file.bytes_read.get(), 53);
    }
}

#[test]
fn a_block_beyond_the_file_is_not_read() {
    for (offset, size) in [(TERABYTE - 57, 0), (u64::MAX, 1), (1, u64::MAX), (u64::MAX - 5, 1), (0, TERABYTE)] {
        let file = HugeFile::new(TERABYTE, footer((offset, size), (0, 1)));
        assert!(matches!(
            identify(&file),
            Err(Error::BlockOutOfBounds {
                block: MetaBlock::MetaIndex,
                limit,
                ..
            }) if limit == TERABYTE - 53
        ));
        assert_eq!(file.bytes_read.get(), 53);
    }
}

#[test]
fn properties_beyond_their_limit_or_behind_the_metaindex_are_not_read() {
    let file = with_properties_at((0, MAX_PROPERTIES_SIZE + 1));
    assert!(matches!(identify(&file), Err(Error::BlockTooLarge { block: MetaBlock::Properties, .. })));
    assert!(file.bytes_read.get() < 200);

    let file = with_properties_at((TERABYTE - 60, 1));
    assert!(matches!(identify(&file), Err(Error::BlockOutOfBounds { block: MetaBlock::Properties, .. })));
    assert!(file.bytes_read.get() < 200);
}

#[test]
fn a_properties_block_far_from_the_end_gives_no_identity() {
    let properties = [
        &[0, 28, 1][..],
        b"rocksdb.original.file.number",
        &[9],
        &[8, 20, 1],
        b"zzz.not.known.to.us.",
        &[0],
        &[0; 4],
        &1u32.to_le_bytes(),
        &[0; 5],
    ]
    .concat();
    let metaindex = block(b"rocksdb.properties", &handle((0, properties.len() as u64 - 5)));
    let gap = vec![0; MAX_TAIL_SIZE as usize];
    let metaindex_offset = (properties.len() + gap.len()) as u64;
    let footer = footer((metaindex_offset, metaindex.len() as u64 - 5), (0, 1));
    let file = [properties, gap, metaindex, footer].concat();
    // It lacks an id as well, so give it one.
    let mut tail = esker_sst::TableTail::read(&file[..]).unwrap();
    assert_eq!(tail.properties.original_file_number, 9);
    tail.properties.db_id = Some(b"db".to_vec());
    tail.properties.db_session_id = Some(b"0123456789ABCDEFGHIJ".to_vec());
    assert!(matches!(tail.identity(), Err(Error::TailTooLarge { .. })));
}

#[test]
fn an_index_beyond_the_file_is_refused() {
    let metaindex = block(b"rocksdb.properties", &handle((0, 0)));
    let offset = TERABYTE - 53 - metaindex.len() as u64;
    for index in [(TERABYTE - 57, 0), (u64::MAX, 1)] {
        let footer = footer((offset, metaindex.len() as u64 - 5), index);
        let file = HugeFile::new(TERABYTE, [&metaindex[..], &footer].concat());
        assert!(matches!(identify(&file), Err(Error::BlockOutOfBounds { block: MetaBlock::Index, .. })));
    }
}

#[test]
fn a_table_without_properties_is_refused() {
    let metaindex = block(b"rocksdb.propertied", &handle((0, 0)));
    let footer = footer((0, metaindex.len() as u64 - 5), (0, 1));
    let file = [metaindex, footer].concat();
    assert!(matches!(identify(&file[..]), Err(Error::MissingMetaBlock { block: MetaBlock::Properties })));
}

#[test]
fn a_reader_that_fails_is_reported_with_its_offset() {
    struct Broken;
    impl ReadAt for Broken {
        fn read_exact_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
            Err(io::Error::other("the disk is gone"))
        }
        fn len(&self) -> u64 {
            1000
        }
    }
    assert_eq!(identify(&Broken).unwrap_err().to_string(), "reading 53 bytes at offset 947: the disk is gone");
}
