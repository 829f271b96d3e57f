//! Ids as types (format-spec chapter 1): which kind of name a value is can then not be confused.

use std::fmt;

use crate::error::{FormatError, Result};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// From lower-case hexadecimal, exactly two digits a byte.
            ///
            /// # Errors
            /// `BadValue` for any other text.
            pub fn from_hex(text: &str) -> Result<Self> {
                let mut bytes = [0u8; $len];
                if hex_decode(text.as_bytes(), &mut bytes) {
                    Ok(Self(bytes))
                } else {
                    Err(FormatError::BadValue { field: stringify!($name), found: format!("{text:?}") })
                }
            }

            /// The first eight hexadecimal digits, for people.
            pub fn short(&self) -> String {
                self.to_string().chars().take(8).collect()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

id!(
    /// Name of a chunk: BLAKE3 of its plain bytes, keyed when the repository is encrypted (chapter 4).
    ChunkId,
    32
);
id!(
    /// Name of a hash-named object: BLAKE3 of the object's bytes, which hold a random salt.
    ObjectId,
    32
);
id!(
    /// Name of a writer at work, drawn at random.
    SessionId,
    16
);
id!(
    /// Name of a repository, drawn at random by `init`.
    RepositoryId,
    16
);

impl ObjectId {
    /// The name of an object with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

fn hex_decode(text: &[u8], out: &mut [u8]) -> bool {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != out.len() * 2 {
        return false;
    }
    for (pair, slot) in text.chunks_exact(2).zip(out.iter_mut()) {
        let [high, low] = pair else { return false };
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else { return false };
        *slot = high << 4 | low;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_goes_both_ways_and_refuses_everything_else() {
        let id = SessionId([0x0f; 16]);
        assert_eq!(SessionId::from_hex(&id.to_string()).unwrap(), id);
        for bad in ["", "0f", "0F0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f", "zz0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"] {
            assert!(SessionId::from_hex(bad).is_err(), "{bad}");
        }
    }
}
