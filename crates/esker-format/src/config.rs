//! `config`: what every reader and writer of a repository must know first (format-spec chapter 2).

use crate::error::{FormatError, Result};
use crate::formats;
use crate::ids::RepositoryId;
use crate::layout::ObjectKind;
use crate::limits::{PACK_TARGET_MAX, PACK_TARGET_MIN};
use crate::sealed_object::{read_header, write_header};
use crate::wire::{Reader, Writer};

/// The config of a repository. Stored twice (`config`, `config.copy`), never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The repository's name.
    pub repository: RepositoryId,
    /// Whether every object is encrypted.
    pub encrypted: bool,
    /// How bytes are cut; writers of one repository must agree or they find nothing in common.
    pub chunker: ChunkerParameters,
    /// Bytes at which a writer closes a pack.
    pub pack_target: u32,
    /// Level of zstd that writers use unless told otherwise.
    pub zstd_level: i8,
    /// When `init` ran, milliseconds since 1970 by its clock.
    pub created_ms: u64,
}

/// FastCDC's bounds in bytes (2020 version, normalization level 1, seed 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkerParameters {
    /// No chunk but a file's last is shorter.
    pub min: u32,
    /// What chunk lengths gather around.
    pub avg: u32,
    /// No chunk is longer.
    pub max: u32,
}

impl ChunkerParameters {
    /// 256 KiB, 1 MiB, 4 MiB.
    pub const DEFAULT: Self = Self { min: 256 << 10, avg: 1 << 20, max: 4 << 20 };

    /// Checks the bounds that the chunker needs: even, ordered, and within its own limits.
    ///
    /// # Errors
    /// `BadValue` naming what is wrong.
    pub fn check(self) -> Result<Self> {
        let Self { min, avg, max } = self;
        let ordered = min <= avg && avg <= max;
        let even = min % 2 == 0 && avg % 2 == 0 && max % 2 == 0;
        let bounded = (64..=1 << 20).contains(&min) && (256..=4 << 20).contains(&avg) && (1 << 10..=16 << 20).contains(&max);
        if ordered && even && bounded {
            Ok(self)
        } else {
            Err(FormatError::BadValue { field: "chunker bounds", found: format!("{min}/{avg}/{max}") })
        }
    }
}

const FASTCDC_2020: u8 = 1;

impl Config {
    /// The object's bytes: header, fields, BLAKE3 of everything before.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        write_header(&mut out, ObjectKind::Config, formats::FIRST);
        out.raw(&self.repository.0);
        out.u8(u8::from(self.encrypted));
        out.u8(FASTCDC_2020);
        out.u32(self.chunker.min);
        out.u32(self.chunker.avg);
        out.u32(self.chunker.max);
        out.u32(self.pack_target);
        out.u8(self.zstd_level.cast_unsigned());
        out.u64(self.created_ms);
        seal_with_hash(out.into_bytes())
    }

    /// Reads a config.
    ///
    /// # Errors
    /// `TooNew` before anything else is looked at; then `Damaged`, `BadValue`, `CutShort`.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        read_header(&mut Reader::new(bytes), ObjectKind::Config)?;
        let mut input = Reader::new(check_hash(bytes, "config")?);
        read_header(&mut input, ObjectKind::Config)?;
        let repository = RepositoryId(input.array("repository id")?);
        let encrypted = match input.u8("encrypted")? {
            0 => false,
            1 => true,
            other => return Err(FormatError::BadValue { field: "encrypted", found: other.to_string() }),
        };
        match input.u8("chunker")? {
            FASTCDC_2020 => {}
            other => return Err(FormatError::BadValue { field: "chunker", found: other.to_string() }),
        }
        let chunker = ChunkerParameters { min: input.u32("min")?, avg: input.u32("avg")?, max: input.u32("max")? }.check()?;
        let pack_target = input.u32("pack target")?;
        let zstd_level = input.u8("zstd level")?.cast_signed();
        if !(PACK_TARGET_MIN..=PACK_TARGET_MAX).contains(&pack_target) {
            return Err(FormatError::BadValue { field: "pack target", found: pack_target.to_string() });
        }
        if !(1..=22).contains(&zstd_level) {
            return Err(FormatError::BadValue { field: "zstd level", found: zstd_level.to_string() });
        }
        let created_ms = input.u64("created")?;
        input.finish("config")?;
        Ok(Self { repository, encrypted, chunker, pack_target, zstd_level, created_ms })
    }
}

/// Appends BLAKE3 of `bytes` to them; the form of the two objects that are readable without a key.
pub(crate) fn seal_with_hash(mut bytes: Vec<u8>) -> Vec<u8> {
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    bytes
}

/// The bytes before the trailing hash, if it matches.
pub(crate) fn check_hash<'a>(bytes: &'a [u8], what: &'static str) -> Result<&'a [u8]> {
    let damaged = FormatError::Damaged { what };
    let (body, hash) = bytes.len().checked_sub(32).and_then(|at| bytes.split_at_checked(at)).ok_or_else(|| damaged.clone())?;
    if blake3::hash(body).as_bytes() == hash { Ok(body) } else { Err(damaged) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Config {
        Config {
            repository: RepositoryId([5; 16]),
            encrypted: true,
            chunker: ChunkerParameters::DEFAULT,
            pack_target: 32 << 20,
            zstd_level: 3,
            created_ms: 1_790_000_000_000,
        }
    }

    #[test]
    fn comes_back_and_every_flip_is_refused() {
        let bytes = sample().encode();
        assert_eq!(Config::decode(&bytes).unwrap(), sample());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Config::decode(&flipped).is_err(), "bit {bit}");
        }
        assert!((0..bytes.len()).all(|len| Config::decode(&bytes[..len]).is_err()));
    }

    #[test]
    fn a_newer_format_is_named_before_its_content_is_looked_at() {
        let mut bytes = sample().encode();
        bytes[6] = 2;
        assert!(matches!(Config::decode(&bytes), Err(FormatError::TooNew { found: 2, known: 1, .. })));
    }
}
