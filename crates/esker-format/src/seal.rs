//! Keys derived from the master key, and how bytes are sealed with them (format-spec chapter 4).
//!
//! A repository seals in one of two modes. Encrypted: AES-256-GCM under a key derived for one object from the master
//! key and the object's salt. Plain: the same layout with a 16-byte BLAKE3 tag, so that a flipped bit is found there too.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::error::{FormatError, Result};
use crate::ids::ChunkId;

/// Bytes of an authentication tag.
pub const TAG_LEN: usize = 16;
/// Bytes of the salt an object is sealed with.
pub const SALT_LEN: usize = 32;

const CHUNK_ID_BYTES: &str = "esker 2026 v1 chunk id of bytes";
const CHUNK_ID_TABLE: &str = "esker 2026 v1 chunk id of tables";
const CHUNK_ID_RUN: &str = "esker 2026 v1 chunk id of runs";
const CHUNK_ID_SPARSE_RUN: &str = "esker 2026 v1 chunk id of sparse runs";
const PACK_KEY: &str = "esker 2026 v1 pack key";
const CONTROL_KEY: &str = "esker 2026 v1 control object key";
const CHECKSUM_KEY: &str = "esker 2026 v1 checksum of a plain object";

/// The repository's root secret; every other key is derived from it. Wiped from memory when dropped.
#[derive(Clone)]
pub struct MasterKey(pub Zeroizing<[u8; 32]>);

/// What a chunk holds (format-spec chapter 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ChunkKind {
    /// Bytes of a file.
    Bytes = 1,
    /// A piece of a table or recipe.
    Table = 2,
    /// Entries of sorted runs.
    Run = 3,
    /// Some entries of a run: a sparse form of it.
    SparseRun = 4,
}

impl ChunkKind {
    /// From its stored number.
    ///
    /// # Errors
    /// `BadValue` for a kind this version does not know.
    pub fn from_u8(value: u8) -> Result<Self> {
        match value {
            1 => Ok(Self::Bytes),
            2 => Ok(Self::Table),
            3 => Ok(Self::Run),
            4 => Ok(Self::SparseRun),
            other => Err(FormatError::BadValue { field: "chunk kind", found: other.to_string() }),
        }
    }
}

/// How the objects of one repository are sealed.
#[derive(Clone)]
pub enum Sealing {
    /// Checksummed, readable by anyone.
    Plain,
    /// Encrypted under keys derived from the master key.
    Encrypted(Secrets),
}

/// Keys derived once from the master key.
#[derive(Clone)]
pub struct Secrets {
    master: MasterKey,
    bytes_id: Zeroizing<[u8; 32]>,
    table_id: Zeroizing<[u8; 32]>,
    run_id: Zeroizing<[u8; 32]>,
    sparse_run_id: Zeroizing<[u8; 32]>,
}

impl Sealing {
    /// Sealing under this master key.
    pub fn encrypted(master: MasterKey) -> Self {
        let derive = |context| Zeroizing::new(blake3::derive_key(context, master.0.as_slice()));
        let (bytes_id, table_id) = (derive(CHUNK_ID_BYTES), derive(CHUNK_ID_TABLE));
        let (run_id, sparse_run_id) = (derive(CHUNK_ID_RUN), derive(CHUNK_ID_SPARSE_RUN));
        Self::Encrypted(Secrets { bytes_id, table_id, run_id, sparse_run_id, master })
    }

    /// The root secret, if there is one.
    pub fn master(&self) -> Option<&MasterKey> {
        match self {
            Self::Plain => None,
            Self::Encrypted(keys) => Some(&keys.master),
        }
    }

    /// The byte that stands for the mode in every sealed object.
    pub fn mode(&self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Encrypted(_) => 1,
        }
    }

    /// The mode's name, for errors.
    pub fn mode_name(mode: u8) -> &'static str {
        match mode {
            0 => "not encrypted",
            1 => "encrypted",
            _ => "sealed in an unknown way",
        }
    }

    /// The id of a chunk with this content. Each kind has ids of its own, so that a table or run is never taken from bytes of
    /// a file that happen to be the same.
    pub fn chunk_id(&self, kind: ChunkKind, plain: &[u8]) -> ChunkId {
        let hash = match (self, kind) {
            (Self::Plain, ChunkKind::Bytes) => blake3::hash(plain),
            (Self::Plain, ChunkKind::Table) => blake3::Hasher::new_derive_key(CHUNK_ID_TABLE).update(plain).finalize(),
            (Self::Plain, ChunkKind::Run) => blake3::Hasher::new_derive_key(CHUNK_ID_RUN).update(plain).finalize(),
            (Self::Plain, ChunkKind::SparseRun) => blake3::Hasher::new_derive_key(CHUNK_ID_SPARSE_RUN).update(plain).finalize(),
            (Self::Encrypted(keys), ChunkKind::Bytes) => blake3::keyed_hash(&keys.bytes_id, plain),
            (Self::Encrypted(keys), ChunkKind::Table) => blake3::keyed_hash(&keys.table_id, plain),
            (Self::Encrypted(keys), ChunkKind::Run) => blake3::keyed_hash(&keys.run_id, plain),
            (Self::Encrypted(keys), ChunkKind::SparseRun) => blake3::keyed_hash(&keys.sparse_run_id, plain),
        };
        ChunkId(*hash.as_bytes())
    }

    /// Whether chunks have the same ids under both: neither is encrypted, or both are under one master key.
    pub fn names_chunks_like(&self, other: &Self) -> bool {
        self.mode() == other.mode() && self.chunk_id(ChunkKind::Bytes, &[]) == other.chunk_id(ChunkKind::Bytes, &[])
    }

    /// The sealer of the pack with this salt.
    ///
    /// # Errors
    /// `Codec` if the cipher refuses the key, which does not happen.
    pub fn pack_sealer(&self, salt: &[u8; SALT_LEN]) -> Result<Sealer> {
        self.sealer(PACK_KEY, salt)
    }

    /// The sealer of the control object with this salt.
    ///
    /// # Errors
    /// As `pack_sealer`.
    pub fn control_sealer(&self, salt: &[u8; SALT_LEN]) -> Result<Sealer> {
        self.sealer(CONTROL_KEY, salt)
    }

    fn sealer(&self, context: &'static str, salt: &[u8; SALT_LEN]) -> Result<Sealer> {
        match self {
            Self::Plain => Ok(Sealer::Checksum(blake3::derive_key(CHECKSUM_KEY, salt))),
            Self::Encrypted(keys) => {
                let mut hasher = blake3::Hasher::new_derive_key(context);
                hasher.update(keys.master.0.as_slice()).update(salt);
                Sealer::aead(&Zeroizing::new(*hasher.finalize().as_bytes()))
            }
        }
    }
}

/// Seals and opens the parts of one object.
pub enum Sealer {
    /// AES-256-GCM.
    Aead(Box<LessSafeKey>),
    /// Keyed BLAKE3, cut to sixteen bytes.
    Checksum([u8; 32]),
}

/// Which part of an object is sealed; number and role make the nonce, so no two parts of an object share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Number of the part within its role.
    pub number: u64,
    /// 0 a frame or the whole object, 1 a frame table, 2 a wrapped master key.
    pub role: u32,
}

impl Part {
    fn nonce(self) -> [u8; 12] {
        let mut nonce = [0; 12];
        let (number, role) = nonce.split_at_mut(8);
        number.copy_from_slice(&self.number.to_le_bytes());
        role.copy_from_slice(&self.role.to_le_bytes());
        nonce
    }
}

impl Sealer {
    /// A sealer that encrypts under `key`.
    ///
    /// # Errors
    /// `Codec` if the cipher refuses the key, which does not happen.
    pub fn aead(key: &[u8; 32]) -> Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| codec("cipher set-up", "key refused"))?;
        Ok(Self::Aead(Box::new(LessSafeKey::new(key))))
    }

    /// Encrypts `bytes` in place and appends the tag.
    ///
    /// # Errors
    /// `Codec` if the cipher refuses, for example over 64 GiB.
    pub fn seal(&self, part: Part, aad: &[u8], bytes: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Aead(key) => key
                .seal_in_place_append_tag(Nonce::assume_unique_for_key(part.nonce()), Aad::from(aad), bytes)
                .map_err(|_| codec("encryption", "refused by the cipher")),
            Self::Checksum(key) => {
                let tag = checksum(key, part, aad, bytes);
                bytes.extend_from_slice(&tag);
                Ok(())
            }
        }
    }

    /// Checks and removes the tag and decrypts in place.
    ///
    /// # Errors
    /// `Damaged`, naming `what`, if the tag does not match; `bytes` then holds nothing of use.
    pub fn open<'a>(&self, part: Part, aad: &[u8], bytes: &'a mut [u8], what: &'static str) -> Result<&'a mut [u8]> {
        let damaged = FormatError::Damaged { what };
        match self {
            Self::Aead(key) => key.open_in_place(Nonce::assume_unique_for_key(part.nonce()), Aad::from(aad), bytes).map_err(|_| damaged),
            Self::Checksum(key) => {
                let split = bytes.len().checked_sub(TAG_LEN).ok_or_else(|| damaged.clone())?;
                let (plain, tag) = bytes.split_at_mut(split);
                if checksum(key, part, aad, plain) == *tag { Ok(plain) } else { Err(damaged) }
            }
        }
    }
}

fn checksum(key: &[u8; 32], part: Part, aad: &[u8], bytes: &[u8]) -> [u8; TAG_LEN] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&part.nonce()).update(&(aad.len() as u64).to_le_bytes()).update(aad).update(bytes);
    let mut tag = [0; TAG_LEN];
    hasher.finalize_xof().fill(&mut tag);
    tag
}

fn codec(what: &'static str, why: &str) -> FormatError {
    FormatError::Codec { what, why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both() -> [Sealing; 2] {
        [Sealing::Plain, Sealing::encrypted(MasterKey(Zeroizing::new([7; 32])))]
    }

    #[test]
    fn what_was_sealed_opens_and_every_flip_is_found() {
        for sealing in both() {
            let sealer = sealing.pack_sealer(&[1; 32]).unwrap();
            let part = Part { number: 3, role: 0 };
            let mut sealed = b"entries".to_vec();
            sealer.seal(part, b"aad", &mut sealed).unwrap();
            assert_eq!(sealed.len(), 7 + TAG_LEN);
            assert_eq!(sealer.open(part, b"aad", &mut sealed.clone(), "frame").unwrap(), b"entries");
            for bit in 0..sealed.len() * 8 {
                let mut flipped = sealed.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(sealer.open(part, b"aad", &mut flipped, "frame").is_err());
            }
            let moved = Part { number: 4, role: 0 };
            assert!(sealer.open(moved, b"aad", &mut sealed.clone(), "frame").is_err());
            assert!(sealer.open(part, b"other", &mut sealed.clone(), "frame").is_err());
        }
    }

    #[test]
    fn a_table_and_the_same_bytes_of_a_file_have_different_ids() {
        for sealing in both() {
            assert_ne!(sealing.chunk_id(ChunkKind::Bytes, b"x"), sealing.chunk_id(ChunkKind::Table, b"x"));
        }
        let [plain, encrypted] = both();
        assert_ne!(plain.chunk_id(ChunkKind::Bytes, b"x"), encrypted.chunk_id(ChunkKind::Bytes, b"x"));
    }
}
