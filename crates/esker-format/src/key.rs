//! Key objects: the master key wrapped under a passphrase or a recovery key (format-spec chapter 3).

use argon2::{Algorithm, Argon2, Block, Params, Version};
use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

use crate::config::{check_hash, seal_with_hash};
use crate::error::{FormatError, Result};
use crate::formats;
use crate::layout::ObjectKind;
use crate::limits;
use crate::seal::{MasterKey, Part, Sealer};
use crate::sealed_object::{read_header, write_header};
use crate::signing::SigningKey;
use crate::wire::{Reader, Record, Writer};

const WRAPPED: Part = Part { number: 0, role: 2 };
const RECOVERY_CONTEXT: &str = "esker 2026 v1 recovery key";
const WRAPPED_MAX: usize = 2048;
const NO_COST: Argon2Cost = Argon2Cost { memory_kib: 0, passes: 0, lanes: 0 };

/// How a key object is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// argon2id of a passphrase.
    Passphrase(Argon2Cost),
    /// A printed key of 256 random bits.
    Recovery,
}

/// The cost of one argon2id derivation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Argon2Cost {
    /// 64 MiB, 3 passes, 4 lanes: the second recommended setting of RFC 9106.
    pub const DEFAULT: Self = Self { memory_kib: 64 << 10, passes: 3, lanes: 4 };
    /// As cheap as argon2 allows, for tests only.
    pub const CHEAP: Self = Self { memory_kib: 8, passes: 1, lanes: 1 };

    fn check(self) -> Result<Self> {
        let over = |field, found: u32, limit: u32| {
            if found > limit { Err(FormatError::OverLimit { field, found: u64::from(found), limit: u64::from(limit) }) } else { Ok(()) }
        };
        over("argon2 memory in KiB", self.memory_kib, limits::ARGON2_MEMORY_KIB_MAX)?;
        over("argon2 passes", self.passes, limits::ARGON2_PASSES_MAX)?;
        over("argon2 lanes", self.lanes, limits::ARGON2_LANES_MAX)?;
        if self.passes == 0 || self.lanes == 0 || self.memory_kib < 8 * self.lanes {
            return Err(FormatError::BadValue { field: "argon2 cost", found: format!("{self:?}") });
        }
        Ok(self)
    }
}

/// What the wrapped part of a key object says.
#[derive(Clone)]
pub struct Unwrapped {
    /// The repository's root secret.
    pub master: MasterKey,
    /// BLAKE3 of the `config` object: a config that was swapped is refused.
    pub config_hash: [u8; 32],
    /// When the key was added, milliseconds since 1970.
    pub created_ms: u64,
    /// Whose key it is, in the words of who added it.
    pub label: String,
    /// What signs the audit records of who opens the repository with it; a key object of the first format has none.
    pub signing: Option<SigningKey>,
}

/// A key object that was read but not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyObject {
    /// How it is opened.
    pub kind: KeyKind,
    format: u16,
    salt: [u8; 32],
    wrapped: Vec<u8>,
}

/// A secret that a person holds.
#[derive(Clone)]
pub enum Secret {
    /// A passphrase, as bytes.
    Passphrase(Zeroizing<Vec<u8>>),
    /// The bits of a recovery key.
    Recovery(Zeroizing<[u8; 32]>),
}

impl KeyObject {
    /// Wraps `content` under `secret`; `cost` is used for a passphrase.
    ///
    /// # Errors
    /// `OverLimit` for a cost over the limits, `Codec` if a library refuses.
    pub fn wrap(secret: &Secret, cost: Argon2Cost, salt: [u8; 32], content: &Unwrapped) -> Result<Self> {
        let kind = match secret {
            Secret::Passphrase(_) => KeyKind::Passphrase(cost.check()?),
            Secret::Recovery(_) => KeyKind::Recovery,
        };
        let (found, limit) = (content.label.len() as u64, limits::NAME_MAX as u64);
        if found > limit {
            return Err(FormatError::OverLimit { field: "label", found, limit });
        }
        let mut key = Self { format: content.format(), kind, salt, wrapped: content.to_bytes() };
        let sealer = Sealer::aead(&*key.derive(secret)?)?;
        let aad = key.head();
        sealer.seal(WRAPPED, &aad, &mut key.wrapped)?;
        Ok(key)
    }

    /// Unwraps the master key.
    ///
    /// # Errors
    /// `WrongPassphrase` if the secret is of another kind or does not open it.
    pub fn unwrap_with(&self, secret: &Secret) -> Result<Unwrapped> {
        let sealer = Sealer::aead(&*self.derive(secret)?)?;
        let mut wrapped = Zeroizing::new(self.wrapped.clone());
        let opened = sealer.open(WRAPPED, &self.head(), &mut wrapped, "key object").map_err(|_| FormatError::WrongPassphrase)?;
        Unwrapped::from_bytes_in(self.format, opened)
    }

    /// Whether it holds a key that signs: who made it kept a log.
    pub fn has_signing_key(&self) -> bool {
        self.format >= formats::SIGNING_KEYS
    }

    /// Whether this kind of secret could open it.
    pub fn fits(&self, secret: &Secret) -> bool {
        matches!((self.kind, secret), (KeyKind::Passphrase(_), Secret::Passphrase(_)) | (KeyKind::Recovery, Secret::Recovery(_)))
    }

    /// The object's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.raw(&self.head());
        out.bytes(&self.wrapped);
        seal_with_hash(out.into_bytes())
    }

    /// Reads a key object; every bound is checked here, before any derivation.
    ///
    /// # Errors
    /// `TooNew`, `Damaged`, `OverLimit` for a cost no honest writer asks for.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        read_header(&mut Reader::new(bytes), ObjectKind::Key)?;
        let mut input = Reader::new(check_hash(bytes, "key object")?);
        let format = read_header(&mut input, ObjectKind::Key)?;
        let kind = input.u8("key kind")?;
        let cost = Argon2Cost { memory_kib: input.u32("memory")?, passes: input.u32("passes")?, lanes: input.u32("lanes")? };
        let kind = match kind {
            1 => KeyKind::Passphrase(cost.check()?),
            2 if cost == NO_COST => KeyKind::Recovery,
            2 => return Err(FormatError::BadValue { field: "cost of a recovery key", found: format!("{cost:?}") }),
            other => return Err(FormatError::BadValue { field: "key kind", found: other.to_string() }),
        };
        let salt = input.array("salt")?;
        let wrapped = input.bytes("wrapped key", WRAPPED_MAX)?.to_vec();
        input.finish("key object")?;
        Ok(Self { format, kind, salt, wrapped })
    }

    fn head(&self) -> Vec<u8> {
        let (kind, cost) = match self.kind {
            KeyKind::Passphrase(cost) => (1, cost),
            KeyKind::Recovery => (2, NO_COST),
        };
        let mut out = Writer::default();
        write_header(&mut out, ObjectKind::Key, self.format);
        out.u8(kind);
        out.u32(cost.memory_kib);
        out.u32(cost.passes);
        out.u32(cost.lanes);
        out.raw(&self.salt);
        out.into_bytes()
    }

    fn derive(&self, secret: &Secret) -> Result<Zeroizing<[u8; 32]>> {
        match (self.kind, secret) {
            (KeyKind::Passphrase(cost), Secret::Passphrase(passphrase)) => argon2id(passphrase, &self.salt, cost),
            (KeyKind::Recovery, Secret::Recovery(bits)) => {
                let mut hasher = blake3::Hasher::new_derive_key(RECOVERY_CONTEXT);
                hasher.update(bits.as_slice()).update(&self.salt);
                Ok(Zeroizing::new(*hasher.finalize().as_bytes()))
            }
            _ => Err(FormatError::WrongPassphrase),
        }
    }
}

fn argon2id(passphrase: &[u8], salt: &[u8], cost: Argon2Cost) -> Result<Zeroizing<[u8; 32]>> {
    let failed = |why: String| FormatError::Codec { what: "argon2id", why };
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(|error| failed(error.to_string()))?;
    // To make and to wipe so much memory takes as long as one pass over it: on all cores, like the passes.
    let mut blocks: Vec<Block> = (0..params.block_count()).into_par_iter().map(|_| Block::default()).collect();
    let mut key = Zeroizing::new([0; 32]);
    let outcome = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
        passphrase,
        salt,
        key.as_mut_slice(),
        &mut blocks,
    );
    blocks.par_iter_mut().for_each(|block| block.as_mut().zeroize());
    outcome.map_err(|error| failed(error.to_string()))?;
    Ok(key)
}

impl Record for Unwrapped {
    const NAME: &'static str = "wrapped key";

    fn format(&self) -> u16 {
        if self.signing.is_some() { formats::SIGNING_KEYS } else { formats::FIRST }
    }

    fn write(&self, out: &mut Writer) {
        out.raw(self.master.0.as_slice());
        out.raw(&self.config_hash);
        out.u64(self.created_ms);
        out.text(&self.label);
        if let Some(signing) = &self.signing {
            out.raw(signing.0.as_slice());
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            master: MasterKey(Zeroizing::new(input.array("master key")?)),
            config_hash: input.array("config hash")?,
            created_ms: input.u64("created")?,
            label: input.text("label", limits::NAME_MAX)?,
            signing: match input.format() {
                ..formats::SIGNING_KEYS => None,
                _ => Some(SigningKey(Zeroizing::new(input.array("signing key")?))),
            },
        })
    }
}

/// Digits of a printed recovery key: Crockford's base 32, which has no I, L, O, U to misread.
const BASE32: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const RECOVERY_DIGITS: usize = 56;

/// A recovery key as people print and type it: 56 digits in groups of four, the last four being a checksum.
pub fn print_recovery(bits: &[u8; 32]) -> String {
    let check = blake3::hash(bits);
    let bytes: Vec<u8> = bits.iter().chain(check.as_bytes().iter().take(3)).copied().collect();
    let mut text = String::from("ESKER");
    for (number, digit) in base32(&bytes).into_iter().enumerate() {
        if number % 4 == 0 {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

/// Reads a printed recovery key; case, spaces and hyphens do not matter. `None` if it is not one.
pub fn parse_recovery(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let upper = text.trim().to_ascii_uppercase();
    let digits = upper.strip_prefix("ESKER")?;
    let mut bits = Zeroizing::new(Vec::with_capacity(RECOVERY_DIGITS * 5));
    for byte in digits.bytes().filter(|byte| !matches!(byte, b'-' | b' ')) {
        let value = BASE32.iter().position(|digit| *digit == byte)?;
        (0..5).rev().for_each(|bit| bits.push(value >> bit & 1 == 1));
    }
    if bits.len() != RECOVERY_DIGITS * 5 {
        return None;
    }
    let bytes: Zeroizing<Vec<u8>> =
        Zeroizing::new(bits.chunks_exact(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit))).collect());
    let (key, check) = bytes.split_at_checked(32)?;
    let key: Zeroizing<[u8; 32]> = Zeroizing::new(key.try_into().ok()?);
    blake3::hash(key.as_slice()).as_bytes().starts_with(check).then_some(key)
}

fn base32(bytes: &[u8]) -> Vec<char> {
    let bits: Vec<bool> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect();
    bits.chunks(5)
        .map(|bits| bits.iter().fold(0usize, |value, bit| value << 1 | usize::from(*bit)))
        .map(|value| char::from(BASE32.get(value).copied().unwrap_or(b'0')))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Unwrapped {
        Unwrapped { master: MasterKey(Zeroizing::new([9; 32])), config_hash: [8; 32], created_ms: 1, label: "ops".into(), signing: None }
    }

    fn passphrase(text: &str) -> Secret {
        Secret::Passphrase(Zeroizing::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn the_right_passphrase_opens_and_a_wrong_one_says_so() {
        let key = KeyObject::wrap(&passphrase("right"), Argon2Cost::CHEAP, [1; 32], &content()).unwrap();
        let key = KeyObject::decode(&key.encode()).unwrap();
        assert_eq!(*key.unwrap_with(&passphrase("right")).unwrap().master.0, [9; 32]);
        assert!(matches!(key.unwrap_with(&passphrase("wrong")), Err(FormatError::WrongPassphrase)));
    }

    #[test]
    fn a_recovery_key_survives_paper() {
        let bits = [0x5a; 32];
        let printed = print_recovery(&bits);
        let typed = printed.to_lowercase().replace('-', " ");
        assert_eq!(*parse_recovery(&typed).unwrap(), bits);
        assert!(parse_recovery(&printed.replacen("ESKER-B", "ESKER-C", 1)).is_none());
        assert!(parse_recovery("correct horse battery staple").is_none());
        let secret = Secret::Recovery(Zeroizing::new(bits));
        let key = KeyObject::wrap(&secret, Argon2Cost::CHEAP, [1; 32], &content()).unwrap();
        assert_eq!(key.unwrap_with(&secret).unwrap().label, "ops");
        assert!(key.unwrap_with(&passphrase("x")).is_err());
    }

    #[test]
    fn a_key_object_that_asks_for_64_gib_is_refused_before_derivation() {
        let honest = KeyObject::wrap(&passphrase("p"), Argon2Cost::CHEAP, [1; 32], &content()).unwrap();
        let greedy = KeyObject { kind: KeyKind::Passphrase(Argon2Cost { memory_kib: 64 << 20, passes: 1, lanes: 1 }), ..honest };
        assert!(matches!(KeyObject::decode(&greedy.encode()), Err(FormatError::OverLimit { .. })));
    }

    #[test]
    fn every_flip_of_a_key_object_is_refused() {
        let bytes = KeyObject::wrap(&passphrase("p"), Argon2Cost::CHEAP, [1; 32], &content()).unwrap().encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(KeyObject::decode(&flipped).is_err());
        }
    }
}
