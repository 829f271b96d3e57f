//! Packs: many chunks in one object (format-spec chapter 5).
//!
//! `header 8 | mode 1 | salt 32 | frames | sealed frame table | tail 16`. A frame is one chunk, compressed, then sealed, and
//! decodes on its own. The table names every frame's chunk and lengths; it is sealed too, so that a pack can be listed
//! without trusting it. `PackBuilder` writes, `FrameTable` and `FrameOpener` read.

mod builder;
mod codec;
mod frame;
mod opener;
mod table;

use crate::limits::PACK_MAX;
use crate::seal::SALT_LEN;
use crate::sealed_object::HEADER_LEN;

pub use builder::{BuiltPack, PackBuilder};
pub use codec::{Codec, FrameDecoder, FrameEncoder};
pub use frame::{FormOf, Frame, FrameEntry, PackHead, pack_kind_of};
pub(crate) use frame::{check_kinds, read_frames};
pub use opener::{FrameOpener, slice_of};
pub use table::{FrameTable, Tail};

/// Bytes before the first frame: header, mode and salt.
pub const HEAD_LEN: usize = HEADER_LEN + 1 + SALT_LEN;
/// Bytes of the tail: table length, frame count, closing magic.
pub const TAIL_LEN: usize = 16;
const TAIL_MAGIC: &[u8; 8] = b"ESKERend";

const _: () = assert!(PACK_MAX < u32::MAX as u64);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{FIRST, SORTED_RUNS};
    use crate::layout::PackKind;
    use crate::seal::{ChunkKind, MasterKey, Sealing};
    use zeroize::Zeroizing;

    /// A pack of the first format with bytes alone, or of the second with runs among them.
    fn built(sealing: &Sealing, format: u16) -> BuiltPack {
        let mut builder = PackBuilder::new(sealing, PackKind::Data, format, [3; 32]).unwrap();
        let mut encoder = FrameEncoder::new(3).unwrap();
        let other = if format == FIRST { ChunkKind::Bytes } else { ChunkKind::Run };
        let long = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        for (kind, text) in [(other, long), (ChunkKind::Bytes, "b"), (other, "")] {
            let id = sealing.chunk_id(kind, text.as_bytes());
            let (codec, body) = encoder.encode(text.as_bytes()).unwrap();
            builder.add(id, kind, codec, text.len() as u32, body).unwrap();
        }
        builder.finish().unwrap()
    }

    #[test]
    fn fast_frames_hold_less_than_the_chunk_though_nothing_in_it_repeats() {
        let mut state = 1u32;
        let skewed = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 28) as u8
        });
        let plain: Vec<u8> = skewed.take(100_000).collect();
        let (codec, body) = FrameEncoder::fast().unwrap().encode(&plain).unwrap();
        assert_eq!(codec, Codec::Zstd);
        assert!(body.len() < plain.len() * 6 / 10, "{}", body.len());
        assert_eq!(FrameDecoder::new().unwrap().decode(codec, &body, plain.len()).unwrap(), plain);
    }

    #[test]
    fn every_flip_and_every_cut_of_a_pack_is_found() {
        let modes = [Sealing::Plain, Sealing::encrypted(MasterKey(Zeroizing::new([7; 32])))];
        for (sealing, format) in modes.iter().flat_map(|sealing| [(sealing, FIRST), (sealing, SORTED_RUNS)]) {
            let pack = built(sealing, format);
            assert_eq!((pack.bytes[6], pack.table.format), (format as u8, format));
            pack.verify(sealing).unwrap();
            let again = |bytes: Vec<u8>| BuiltPack { bytes, id: pack.id, kind: pack.kind, table: pack.table.clone() }.verify(sealing);
            for bit in 0..pack.bytes.len() * 8 {
                let mut bytes = pack.bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(again(bytes).is_err(), "bit {bit}");
            }
            for len in 0..pack.bytes.len() {
                assert!(again(pack.bytes[..len].to_vec()).is_err(), "cut at {len}");
            }
        }
    }

    #[test]
    fn a_data_pack_does_not_pass_for_a_metadata_pack() {
        let pack = built(&Sealing::Plain, FIRST);
        assert!(FrameTable::of_pack(&Sealing::Plain, PackKind::Meta, &pack.bytes).is_err());
    }
}
