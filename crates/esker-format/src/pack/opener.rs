//! Opening frames.

use super::{Frame, FrameDecoder, PackHead};
use crate::error::{FormatError, Result};
use crate::layout::PackKind;
use crate::seal::{SALT_LEN, Sealer, Sealing};
use crate::sparse_run::form_of;

/// Opens the frames of one pack.
pub struct FrameOpener {
    pub(super) head: PackHead,
    pub(super) sealer: Sealer,
}

impl FrameOpener {
    /// For the pack of this kind, format and salt.
    ///
    /// # Errors
    /// `Codec` if the cipher refuses the key.
    pub fn new(sealing: &Sealing, kind: PackKind, format: u16, salt: [u8; SALT_LEN]) -> Result<Self> {
        let head = PackHead { kind, format, mode: sealing.mode(), salt };
        Ok(Self { head, sealer: sealing.pack_sealer(&salt)? })
    }

    /// The plain bytes of a frame, checked against its chunk's id; they stand in `sealed`, which is overwritten, or in the
    /// decoder.
    ///
    /// # Errors
    /// `Damaged`, `Codec`, `WrongContent`.
    pub fn open<'a>(&self, sealing: &Sealing, frame: &Frame, sealed: &'a mut [u8], decoder: &'a mut FrameDecoder) -> Result<&'a [u8]> {
        self.open_both(sealing, frame, sealed, decoder).map(|(_, plain)| plain)
    }

    /// The body of a frame as it was compressed, for another pack; checked as `open` does.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_body(&self, sealing: &Sealing, frame: &Frame, sealed: &mut [u8], decoder: &mut FrameDecoder) -> Result<Vec<u8>> {
        self.open_both(sealing, frame, sealed, decoder).map(|(body, _)| body.to_vec())
    }

    /// The body of a frame, and what it is of: the chunk of that id, and of a sparse form what the frame says that it holds.
    fn open_both<'a>(
        &self,
        sealing: &Sealing,
        frame: &Frame,
        sealed: &'a mut [u8],
        decoder: &'a mut FrameDecoder,
    ) -> Result<(&'a [u8], &'a [u8])> {
        let body: &[u8] = self.sealer.open(frame.part(), &frame.aad(&self.head), sealed, "frame")?;
        let plain = decoder.decode(frame.entry.codec, body, frame.entry.plain_len as usize)?;
        let is_the_form = |form| form_of(plain).is_ok_and(|found| found == form);
        if sealing.chunk_id(frame.entry.kind, plain) == frame.entry.chunk && frame.entry.form.is_none_or(is_the_form) {
            Ok((body, plain))
        } else {
            Err(FormatError::WrongContent { id: frame.entry.chunk })
        }
    }
}

/// The sealed bytes of a frame in a pack that is all in memory.
///
/// # Errors
/// `CutShort`.
pub fn slice_of<'a>(pack: &'a [u8], frame: &Frame) -> Result<&'a [u8]> {
    let start = frame.offset as usize;
    let end = start.saturating_add(frame.entry.stored_len as usize);
    pack.get(start..end).ok_or(FormatError::CutShort {
        field: "frame",
        offset: start,
        needed: u64::from(frame.entry.stored_len),
        left: pack.len().saturating_sub(start),
    })
}
