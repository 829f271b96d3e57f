//! Signatures of audit records (format-spec chapter 18): Ed25519, which has no choices to make and one signature for one
//! message.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

use crate::error::{FormatError, Result};

/// Bytes of a signature.
pub const SIGNATURE_LEN: usize = 64;

const CONTEXT: &[u8] = b"esker 2026 v1 audit record";

/// The private key that a key object holds.
#[derive(Clone)]
pub struct SigningKey(pub Zeroizing<[u8; 32]>);

/// What its signatures are verified with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

impl SigningKey {
    /// The public key that belongs to it.
    ///
    /// # Errors
    /// `Codec` if the library refuses the key, which does not happen.
    pub fn public(&self) -> Result<PublicKey> {
        let pair = self.pair()?;
        pair.public_key().as_ref().try_into().map(PublicKey).map_err(|_| refused("a public key of another length"))
    }

    /// Signs the bytes of a record.
    ///
    /// # Errors
    /// As `public`.
    pub fn sign(&self, record: &[u8]) -> Result<[u8; SIGNATURE_LEN]> {
        let signature = self.pair()?.sign(&[CONTEXT, record].concat());
        signature.as_ref().try_into().map_err(|_| refused("a signature of another length"))
    }

    fn pair(&self) -> Result<Ed25519KeyPair> {
        Ed25519KeyPair::from_seed_unchecked(self.0.as_slice()).map_err(|_| refused("key refused"))
    }
}

impl PublicKey {
    /// Whether this is a signature of these bytes.
    pub fn verifies(&self, record: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(&[CONTEXT, record].concat(), signature).is_ok()
    }
}

fn refused(why: &str) -> FormatError {
    FormatError::Codec { what: "signature", why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_key_and_one_message() {
        let [key, other] = [1, 2].map(|byte| SigningKey(Zeroizing::new([byte; 32])));
        let signature = key.sign(b"record").unwrap();
        assert_eq!(signature, key.sign(b"record").unwrap());
        assert!(key.public().unwrap().verifies(b"record", &signature));
        assert!(!key.public().unwrap().verifies(b"Record", &signature));
        assert!(!other.public().unwrap().verifies(b"record", &signature));
    }
}
