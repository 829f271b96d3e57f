//! Ids of encoders: numbers that recipes name, and what each means.
//!
//! An id never changes meaning and is never given up (format-spec/15-encoders.md). Its bits: 31 to 24 the compression type byte,
//! 23 to 16 the variant of the algorithm, 15 to 0 its parameter.

use super::snappy::Version;
use super::zstd_library::Release;
use crate::compression::{LZ4, LZ4HC, SNAPPY, ZSTD};

/// The number of an encoder, never 0. Not every number is assigned: see [`EncoderId::is_assigned`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EncoderId(pub u32);

/// What an assigned id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// See [`super::snappy`].
    Snappy(Version),
    /// See [`super::lz4`].
    Lz4Continue { acceleration: u16 },
    /// See [`super::lz4`].
    Lz4Fast { acceleration: u16 },
    /// See [`super::lz4_high`].
    Lz4High { level: u16 },
    /// See [`super::zstd_library`].
    Zstd { release: Release, level: i16, frame_checksum: bool },
}

const SNAPPY_1_1_8: u8 = 8;
const SNAPPY_1_1_9: u8 = 9;
const SNAPPY_1_1_10: u8 = 10;
const SNAPPY_1_1_10_CRC: u8 = 11;
const SNAPPY_LEVEL: u16 = 1;
const LZ4_CONTINUE: u8 = 1;
const LZ4_FAST: u8 = 2;
const LZ4HC_1_10_0: u8 = 10;
const ZSTD_1_5_4: u8 = 0x54;
const ZSTD_1_5_7: u8 = 0x57;
const FRAME_CHECKSUM: u8 = 0x80;

/// Levels of ZSTD that have ids. RocksDB takes lower ones too; their blocks are stored as they are.
const ZSTD_LEVELS: std::ops::RangeInclusive<i16> = -7..=22;
/// Levels of LZ4HC that have ids, all there are; RocksDB's default is 9.
const LZ4HC_LEVELS: std::ops::RangeInclusive<u16> = 1..=12;
/// Accelerations of LZ4 that have ids: RocksDB's levels 0 to -16.
const LZ4_ACCELERATIONS: std::ops::RangeInclusive<u16> = 1..=16;

impl EncoderId {
    const fn new(compression_type: u8, variant: u8, parameter: u16) -> Self {
        Self((compression_type as u32) << 24 | (variant as u32) << 16 | parameter as u32)
    }

    const fn snappy(variant: u8) -> Self {
        Self::new(SNAPPY, variant, SNAPPY_LEVEL)
    }

    const fn lz4_continue(acceleration: u16) -> Self {
        Self::new(LZ4, LZ4_CONTINUE, acceleration)
    }

    const fn lz4_fast(acceleration: u16) -> Self {
        Self::new(LZ4, LZ4_FAST, acceleration)
    }

    const fn lz4hc(level: u16) -> Self {
        Self::new(LZ4HC, LZ4HC_1_10_0, level)
    }

    const fn zstd(variant: u8, level: i16) -> Self {
        Self::new(ZSTD, variant, level as u16)
    }

    /// Whether this version of Esker has an encoder of this id.
    pub fn is_assigned(self) -> bool {
        self.meaning().is_some()
    }

    /// The compression type byte of the blocks that the encoder writes.
    pub fn compression_type(self) -> u8 {
        (self.0 >> 24) as u8
    }

    pub(super) fn meaning(self) -> Option<Meaning> {
        let variant = (self.0 >> 16) as u8;
        let parameter = self.0 as u16;
        let level = parameter as i16;
        let frame_checksum = variant & FRAME_CHECKSUM != 0;
        match (self.compression_type(), variant) {
            (SNAPPY, _) if parameter == SNAPPY_LEVEL => match variant {
                SNAPPY_1_1_8 => Some(Meaning::Snappy(Version::V1_1_8)),
                SNAPPY_1_1_9 => Some(Meaning::Snappy(Version::V1_1_9)),
                SNAPPY_1_1_10 => Some(Meaning::Snappy(Version::V1_1_10)),
                SNAPPY_1_1_10_CRC => Some(Meaning::Snappy(Version::V1_1_10Crc)),
                _ => None,
            },
            (LZ4, LZ4_CONTINUE) if LZ4_ACCELERATIONS.contains(&parameter) => Some(Meaning::Lz4Continue { acceleration: parameter }),
            (LZ4, LZ4_FAST) if LZ4_ACCELERATIONS.contains(&parameter) => Some(Meaning::Lz4Fast { acceleration: parameter }),
            (LZ4HC, LZ4HC_1_10_0) if LZ4HC_LEVELS.contains(&parameter) => Some(Meaning::Lz4High { level: parameter }),
            (ZSTD, _) if level != 0 && ZSTD_LEVELS.contains(&level) => {
                let release = match variant & !FRAME_CHECKSUM {
                    ZSTD_1_5_4 => Release::V1_5_4,
                    ZSTD_1_5_7 => Release::V1_5_7,
                    _ => return None,
                };
                Some(Meaning::Zstd { release, level, frame_checksum })
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for EncoderId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// The encoders that may have written blocks of a type, the most likely first. Empty for type 0, which needs none, and for types
/// that no encoder here writes.
pub fn candidates(compression_type: u8, has_dictionary: bool) -> &'static [EncoderId] {
    const SNAPPY_IDS: [EncoderId; 4] = [
        EncoderId::snappy(SNAPPY_1_1_8),
        EncoderId::snappy(SNAPPY_1_1_10),
        EncoderId::snappy(SNAPPY_1_1_9),
        EncoderId::snappy(SNAPPY_1_1_10_CRC),
    ];
    const ZSTD_IDS: [EncoderId; 35] = [
        EncoderId::zstd(ZSTD_1_5_7, 3),
        EncoderId::zstd(ZSTD_1_5_4, 3),
        EncoderId::zstd(ZSTD_1_5_7, 1),
        EncoderId::zstd(ZSTD_1_5_4, 6),
        EncoderId::zstd(ZSTD_1_5_7, 6),
        EncoderId::zstd(ZSTD_1_5_7, 2),
        EncoderId::zstd(ZSTD_1_5_7, 5),
        EncoderId::zstd(ZSTD_1_5_7, 4),
        EncoderId::zstd(ZSTD_1_5_7, 9),
        EncoderId::zstd(ZSTD_1_5_7, -1),
        EncoderId::zstd(ZSTD_1_5_7, 7),
        EncoderId::zstd(ZSTD_1_5_7, 8),
        EncoderId::zstd(ZSTD_1_5_7, 10),
        EncoderId::zstd(ZSTD_1_5_7, 12),
        EncoderId::zstd(ZSTD_1_5_7, 15),
        EncoderId::zstd(ZSTD_1_5_7, 19),
        EncoderId::zstd(ZSTD_1_5_7, 22),
        EncoderId::zstd(ZSTD_1_5_7, -3),
        EncoderId::zstd(ZSTD_1_5_7, -5),
        EncoderId::zstd(ZSTD_1_5_7, -7),
        EncoderId::zstd(ZSTD_1_5_4, 2),
        EncoderId::zstd(ZSTD_1_5_4, 5),
        EncoderId::zstd(ZSTD_1_5_4, 4),
        EncoderId::zstd(ZSTD_1_5_4, 9),
        EncoderId::zstd(ZSTD_1_5_4, -1),
        EncoderId::zstd(ZSTD_1_5_4, 7),
        EncoderId::zstd(ZSTD_1_5_4, 8),
        EncoderId::zstd(ZSTD_1_5_4, 10),
        EncoderId::zstd(ZSTD_1_5_4, 12),
        EncoderId::zstd(ZSTD_1_5_4, 15),
        EncoderId::zstd(ZSTD_1_5_4, 19),
        EncoderId::zstd(ZSTD_1_5_4, 22),
        EncoderId::zstd(ZSTD_1_5_4, -3),
        EncoderId::zstd(ZSTD_1_5_4, -5),
        EncoderId::zstd(ZSTD_1_5_4, -7),
    ];
    const LZ4HC_IDS: [EncoderId; 5] =
        [EncoderId::lz4hc(9), EncoderId::lz4hc(4), EncoderId::lz4hc(3), EncoderId::lz4hc(6), EncoderId::lz4hc(12)];
    const WITHOUT: [EncoderId; 2] = [EncoderId::lz4_continue(1), EncoderId::lz4_fast(1)];
    const WITH: [EncoderId; 1] = [EncoderId::lz4_continue(1)];
    match (compression_type, has_dictionary) {
        (LZ4, false) => &WITHOUT,
        (LZ4, true) => &WITH,
        (LZ4HC, false) => &LZ4HC_IDS,
        (SNAPPY, _) => &SNAPPY_IDS,
        (ZSTD, _) => &ZSTD_IDS,
        _ => &[],
    }
}
