//! The areas of a data block, found from its end.

use crate::block_fault::BlockFault;

/// `kHashIndexBit`: there is a hash index.
pub(super) const HASH_INDEX: u32 = 1 << 31;
/// `kUniformKeysBit`: keys are spread evenly.
pub(super) const UNIFORM_KEYS: u32 = 1 << 29;
/// `kSeparatedKVBit`: values stand apart from keys.
pub(super) const SEPARATE_VALUES: u32 = 1 << 28;
/// `DataBlockFooter::kMaxNumRestarts`: what is left of the footer word.
pub(super) const MAX_RESTARTS: u32 = (1 << 28) - 1;

/// A data block's bytes by area. Bit 30 is refused: RocksDB 11.8 keeps it for a new format_version.
pub(super) struct Layout<'a> {
    /// The entries; without values if those stand apart.
    pub entries: &'a [u8],
    /// The values, if they stand apart.
    pub values: Option<&'a [u8]>,
    /// Offset of every restart.
    pub restarts: &'a [[u8; 4]],
    /// Buckets of the hash index; 0 if there is none.
    pub hash_buckets: u16,
    /// Flag 29.
    pub uniform_keys: bool,
}

impl<'a> Layout<'a> {
    pub(super) fn of(content: &'a [u8]) -> Result<Self, BlockFault> {
        let (rest, word) = split_u32(content, "no footer")?;
        if word & !(HASH_INDEX | UNIFORM_KEYS | SEPARATE_VALUES | MAX_RESTARTS) != 0 {
            return Err(BlockFault::UnknownFlag { found: word });
        }
        let (rest, values_offset) = if word & SEPARATE_VALUES == 0 {
            (rest, None)
        } else {
            let (rest, offset) = split_u32(rest, "no offset of the values")?;
            (rest, Some(offset))
        };
        let (rest, hash_buckets) = if word & HASH_INDEX == 0 { (rest, 0) } else { without_hash_index(rest)? };
        let (rest, restarts) = without_restarts(rest, word & MAX_RESTARTS)?;
        let (entries, values) = match values_offset {
            None => (rest, None),
            Some(offset) => {
                let offset = usize::try_from(offset).unwrap_or(usize::MAX);
                let (keys, values) = rest.split_at_checked(offset).ok_or(BlockFault::corrupt("values start behind the block"))?;
                (keys, Some(values))
            }
        };
        Ok(Self { entries, values, restarts, hash_buckets, uniform_keys: word & UNIFORM_KEYS != 0 })
    }
}

fn split_u32<'a>(bytes: &'a [u8], what: &'static str) -> Result<(&'a [u8], u32), BlockFault> {
    let (rest, word) = bytes.split_last_chunk::<4>().ok_or(BlockFault::corrupt(what))?;
    Ok((rest, u32::from_le_bytes(*word)))
}

/// Takes the hash index off. Its buckets are not looked at: they follow from the keys.
fn without_hash_index(bytes: &[u8]) -> Result<(&[u8], u16), BlockFault> {
    let (rest, buckets) = bytes.split_last_chunk::<2>().ok_or(BlockFault::corrupt("no hash index"))?;
    let buckets = u16::from_le_bytes(*buckets);
    let rest = rest.len().checked_sub(usize::from(buckets)).and_then(|len| rest.get(..len));
    match rest {
        Some(rest) if buckets > 0 => Ok((rest, buckets)),
        _ => Err(BlockFault::corrupt("the hash index does not fit")),
    }
}

fn without_restarts(bytes: &[u8], count: u32) -> Result<(&[u8], &[[u8; 4]]), BlockFault> {
    let (entries, restarts) = usize::try_from(u64::from(count) * 4)
        .ok()
        .and_then(|len| bytes.len().checked_sub(len))
        .and_then(|at| bytes.split_at_checked(at))
        .ok_or(BlockFault::corrupt("the restarts do not fit"))?;
    Ok((entries, restarts.as_chunks().0))
}
