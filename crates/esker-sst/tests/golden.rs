//! Files and ids of RocksDB 7.8.3, kept so that nobody needs that version.
//!
//! The tables in `golden/` were written by Debian's `db_bench` 7.8.3 (`--benchmarks=fillseq,flush --num=40
//! --value_size=24`, with the format named in the file; `fv5_partitioned` with 90 entries in small blocks). Each id's first
//! two thirds stand in that database's MANIFEST (`ldb manifest_dump --verbose`, also the internal form) and in `sst_dump
//! --show_properties`; all of it came from `GetExtendedUniqueIdFromTableProperties` of librocksdb 7.8.3, over the file read
//! with `SstFileReader`.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[allow(dead_code)]
mod common;

use common::{tail, text};
use esker_sst::session_id::SessionId;
use esker_sst::{ChecksumType, Error, InternalUniqueId, NoUniqueId, OtherTable, identify};

struct Golden {
    name: &'static str,
    bytes: &'static [u8],
    format_version: u32,
    checksum_type: ChecksumType,
    compression: &'static str,
    entries: u64,
    db_id: &'static str,
    db_session_id: &'static str,
    creation_time_s: u64,
    internal_id: [u64; 2],
    unique_id: &'static str,
}

const GOLDEN: [Golden; 6] = [
    Golden {
        name: "fv2_crc32c",
        bytes: include_bytes!("golden/fv2_crc32c.sst"),
        format_version: 2,
        checksum_type: ChecksumType::Crc32c,
        compression: "NoCompression",
        entries: 40,
        db_id: "b2fdfe10-557d-482b-a830-e816fead9cf1",
        db_session_id: "60CDANESGWRQOT2JMYEK",
        creation_time_s: 1_795_172_045,
        internal_id: [2_225_761_743_266_472_620, 9_715_430_688_842_641_245],
        unique_id: "E9D131DE09EF6B00-B544A5FE97EA0549-6C7F67920A802429",
    },
    Golden {
        name: "fv3_xxhash",
        bytes: include_bytes!("golden/fv3_xxhash.sst"),
        format_version: 3,
        checksum_type: ChecksumType::XxHash,
        compression: "Snappy",
        entries: 40,
        db_id: "58af3654-796f-4e10-9d78-546733a7c847",
        db_session_id: "CC9ZWT7JSFQJEWCR7HZ6",
        creation_time_s: 1_795_172_045,
        internal_id: [17_578_003_466_954_834_370, 10_205_234_995_511_424_793],
        unique_id: "F2569B23F280C52E-CE45AAD5692E8EBC-8FEC24452C8C4A3A",
    },
    Golden {
        name: "fv4_xxhash64",
        bytes: include_bytes!("golden/fv4_xxhash64.sst"),
        format_version: 4,
        checksum_type: ChecksumType::XxHash64,
        compression: "ZSTD",
        entries: 40,
        db_id: "c287cb31-8b97-4d08-a3f9-4bd187697167",
        db_session_id: "T8V00W8GHG6RHMC6YXWB",
        creation_time_s: 1_795_172_045,
        internal_id: [2_296_754_410_884_363_803, 7_064_848_656_813_311_918],
        unique_id: "918544AE41AD8F71-4A9EFAB474387ED4-5DD1B7FF5CB69B4D",
    },
    Golden {
        name: "fv5_xxh3",
        bytes: include_bytes!("golden/fv5_xxh3.sst"),
        format_version: 5,
        checksum_type: ChecksumType::Xxh3,
        compression: "LZ4",
        entries: 40,
        db_id: "f1c76c1a-5bc5-4551-8bc8-5f49413d1b5f",
        db_session_id: "9D8RWRW9U8L7YFVF1S4Q",
        creation_time_s: 1_795_172_046,
        internal_id: [8_591_741_607_008_337_834, 767_403_929_876_760_983],
        unique_id: "89D27ED7C4E4CA33-CD89C8203EAD6E74-52A2B3A93BC8F4A9",
    },
    Golden {
        name: "fv5_none",
        bytes: include_bytes!("golden/fv5_none.sst"),
        format_version: 5,
        checksum_type: ChecksumType::None,
        compression: "NoCompression",
        entries: 40,
        db_id: "1fcac23e-2745-4336-b94c-0c0c2a6f18f9",
        db_session_id: "6U5ARQAOWFPQC6PJQ9AM",
        creation_time_s: 1_795_172_046,
        internal_id: [4_269_350_202_303_252_622, 11_724_100_709_423_405_865],
        unique_id: "744671336A40B8D3-59FD5670806900B5-0BE978564840C163",
    },
    Golden {
        name: "fv5_partitioned",
        bytes: include_bytes!("golden/fv5_partitioned.sst"),
        format_version: 5,
        checksum_type: ChecksumType::Xxh3,
        compression: "NoCompression",
        entries: 90,
        db_id: "247c97ad-53f7-41b3-8faf-3b008dc0446d",
        db_session_id: "ZW8PTXHYOK21YWP627SZ",
        creation_time_s: 1_795_172_063,
        internal_id: [12_455_624_774_454_140_419, 6_184_064_999_388_924_307],
        unique_id: "B0DE964C6C7AAFA9-E9D75E0891C0FEDD-18E18E4FA17209F6",
    },
];

#[test]
fn tables_of_rocksdb_7_8_have_the_ids_that_it_gave_them() {
    for golden in GOLDEN {
        let tail = tail(golden.bytes);
        let name = golden.name;
        let internal = InternalUniqueId::from_properties(&tail.properties).unwrap();
        assert_eq!(internal.words()[..2], golden.internal_id, "{name}");
        let identity = identify(golden.bytes).unwrap();
        assert_eq!(identity.unique_id.to_string(), golden.unique_id, "{name}");
        assert_eq!(identity.size, golden.bytes.len() as u64);
        assert_eq!(identity.tail_offset, tail.properties_block.offset);
    }
}

#[test]
fn tables_of_rocksdb_7_8_have_the_properties_that_sst_dump_shows() {
    for golden in GOLDEN {
        let tail = tail(golden.bytes);
        assert_eq!(tail.footer.format_version, golden.format_version);
        assert_eq!(tail.footer.checksum_type, golden.checksum_type);
        let properties = tail.properties;
        assert_eq!(properties.entries, golden.entries);
        assert_eq!(properties.raw_key_size, golden.entries * 24);
        assert_eq!(properties.raw_value_size, golden.entries * 24);
        assert_eq!((properties.deletions, properties.range_deletions), (0, 0));
        assert_eq!(properties.merge_operands, 0);
        assert_eq!(properties.merge_operator, None);
        assert_eq!(text(properties.comparator.as_ref()), "leveldb.BytewiseComparator");
        assert_eq!(text(properties.compression.as_ref()), golden.compression);
        assert_eq!(text(properties.column_family_name.as_ref()), "default");
        assert_eq!(properties.column_family_id, Some(0));
        assert_eq!(text(properties.db_id.as_ref()), golden.db_id);
        assert_eq!(text(properties.db_session_id.as_ref()), golden.db_session_id);
        assert_eq!(text(properties.host_id.as_ref()), "vm");
        assert_eq!(properties.original_file_number, 9);
        assert_eq!(properties.creation_time_s, golden.creation_time_s);
        assert_eq!(properties.file_creation_time_s, golden.creation_time_s);
    }
}

#[test]
fn tables_of_rocksdb_7_8_end_in_properties_metaindex_footer() {
    for golden in GOLDEN {
        let tail = tail(golden.bytes);
        assert!(tail.index.end().unwrap() <= tail.properties_block.offset);
        assert_eq!(tail.properties_block.end().unwrap(), tail.footer.metaindex.offset);
        assert_eq!(tail.footer.metaindex.end().unwrap(), tail.footer.offset);
    }
}

/// Written by `SstFileWriter` of librocksdb 7.8.3 and ingested with `write_global_seqno`, over older versions of its keys.
#[test]
fn a_table_that_rocksdb_changed_in_place_is_read_and_keeps_its_id() {
    let table = include_bytes!("golden/fv5_global_seqno_written.sst");
    let properties = tail(table).properties;
    assert_eq!(properties.global_seqno, Some(301));
    assert_eq!(properties.entries, 20);
    let id = identify(&table[..]).unwrap().unique_id;
    assert_eq!(id.to_string(), "59C83CFB919FE32D-21FA8D5DCF1E7E91-843D472694D4B8FB");
}

#[test]
fn other_files_of_rocksdb_are_known_by_name() {
    for (bytes, kind) in [
        (&include_bytes!("golden/other_legacy_block_based_fv0.sst")[..], OtherTable::OldBlockBased),
        (include_bytes!("golden/other_block_based_fv1.sst"), OtherTable::OldBlockBased),
        (include_bytes!("golden/other_plain.sst"), OtherTable::Plain),
        (include_bytes!("golden/other_cuckoo.sst"), OtherTable::Cuckoo),
        (include_bytes!("golden/other_blob.blob"), OtherTable::Blob),
    ] {
        let error = identify(bytes).unwrap_err();
        assert!(matches!(error, Error::OtherTable(found) if found == kind), "{error}");
        assert!(error.is_foreign());
    }
}

const SESSION: &str = "6UV5L6GQ5V6FPV9GM465";

/// Database id, session id, file number, and what librocksdb 7.8.3 and the sources of 11.8.1 make of them. The two long
/// database ids go through the other branches of XXH3, for inputs over 128 and over 240 bytes.
const IDS: [(&str, &str, u64, &str); 10] = [
    ("33b371f9-5630-4fdc-9f62-d9869420dc58", SESSION, 9, "2E66F920AD64FB26-836872F1DA6CD8D7-7F8FAD7DEEBDEE75"),
    ("SST Writer", SESSION, 1, "2FBB7EA696FC0BDD-EB6F569480BBBF2D-D01828258C8A8B03"),
    ("a", "0000000000001", 1, "8640C43DFF1DEA2A-C056A6D88C2DE465-65E50035427E9477"),
    ("x", "ZZZZZZZZZZZZZZZZZZZZ", u64::MAX, "A534653FF021C1F4-958D324B4EEE0054-ED9741B080E4D114"),
    ("x", "zzzzzzzzzzzzzzzzzzzzzzzz", 7, "292E1163C39FEEFD-7765D387D284A747-F21BD87EDCDE934D"),
    ("x", "abcdefghijklm", 7, "2A9EDF372575527E-C54D1369FABC483E-3106E1A6223EE6DB"),
    ("x", "ABCDEFGHIJKLM", 7, "2A9EDF372575527E-C54D1369FABC483E-3106E1A6223EE6DB"),
    ("x", "000000000000000000000000", 7, "5EEABDCE6E91B4C5-7D337666C540F5D7-ECEAE6B5983E9A88"),
    (
        "a long identity of one hundred and fifty bytes, which takes XXH3 128 through its middle branch instead of the \
         short one, as a foreign engine might choose it",
        SESSION,
        123_456_789,
        "EA0D441417F0E7E6-BA411E7E2318C10A-A8334DEE3B739E35",
    ),
    (
        "a still longer identity, over two hundred and forty bytes, which takes XXH3 128 through its long branch with \
         stripes and accumulators; nobody has such a thing, but a function that is said to be exact for all input has to \
         be tried on all its branches, so here it is.",
        SESSION,
        4,
        "3CA859969AD043D0-5A8842D022FEF1C1-6E94745B6CF6406B",
    ),
];

#[test]
fn ids_are_those_that_rocksdb_computes() {
    for (db_id, session, number, expected) in IDS {
        let id = InternalUniqueId::new(db_id.as_bytes(), session.as_bytes(), number).unwrap();
        assert_eq!(id.to_public().to_string(), expected, "{db_id} {session} {number}");
    }
}

#[test]
fn missing_or_malformed_parts_give_no_id_where_rocksdb_gives_none() {
    for (db_id, session, number, expected) in [
        ("", SESSION, 9, NoUniqueId::NoDbId),
        ("x", "", 9, NoUniqueId::NoSessionId),
        ("x", SESSION, 0, NoUniqueId::NoFileNumber),
        ("x", "ABCDEFGHIJKL", 7, NoUniqueId::MalformedSessionId),
        ("x", "ABCDEFGHIJKLMNOPQRSTUVWXY", 7, NoUniqueId::MalformedSessionId),
        ("x", "ABCDEFGHIJKL-OPQRSTU", 7, NoUniqueId::MalformedSessionId),
    ] {
        assert_eq!(InternalUniqueId::new(db_id.as_bytes(), session.as_bytes(), number), Err(expected));
    }
}

#[test]
fn a_session_id_keeps_all_bits_of_its_lower_half() {
    let id = SessionId::decode(SESSION.as_bytes()).unwrap();
    assert_eq!(id.lower, 9_995_475_171_253_142_173, "the first internal word of the first id above, from its MANIFEST");
}
