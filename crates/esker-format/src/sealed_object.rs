//! The envelope of every control object: manifest, index segment, session records and the like (format-spec chapter 4).
//!
//! `header 8 | mode 1 | codec 1 | plain length 4 | salt 32 | sealed payload | tag 16`. All that stands before the payload
//! is authenticated with it, and so is the object's place when its name is not a hash.

use crate::error::{FormatError, Result};
use crate::formats;
use crate::layout::ObjectKind;
use crate::limits;
use crate::seal::{Part, SALT_LEN, Sealing, TAG_LEN};
use crate::wire::{Reader, Record, Writer};

/// The first bytes of every object.
pub const MAGIC: &[u8; 5] = b"ESKER";
/// Bytes of magic, kind and format.
pub const HEADER_LEN: usize = 8;

const ENVELOPE_LEN: usize = HEADER_LEN + 1 + 1 + 4 + SALT_LEN;
const WHOLE: Part = Part { number: 0, role: 0 };
const RAW: u8 = 0;
const ZSTD: u8 = 1;
/// What a zstd frame begins with (RFC 8878); a skippable frame, which decodes to nothing, does not.
const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// Appends magic, kind and the format that an object is in: what authenticates an old object stays its own.
pub fn write_header(out: &mut Writer, kind: ObjectKind, format: u16) {
    out.raw(MAGIC);
    out.u8(kind as u8);
    out.u16(format);
}

/// Reads magic and kind, and gives the format.
///
/// # Errors
/// `WrongKind` for foreign bytes or another kind, `TooNew` for a format this version does not know.
pub fn read_header(input: &mut Reader<'_>, kind: ObjectKind) -> Result<u16> {
    let expected = kind.name();
    if input.left() < HEADER_LEN {
        return Err(FormatError::WrongKind { expected, found: format!("{} bytes", input.left()) });
    }
    if input.raw(MAGIC.len(), "magic")? != MAGIC {
        return Err(FormatError::WrongKind { expected, found: "foreign bytes".into() });
    }
    let found = input.u8("kind")?;
    if found != kind as u8 {
        return Err(FormatError::WrongKind { expected, found: format!("an object of kind {found}") });
    }
    formats::check(kind, input.u16("format")?)
}

/// Seals a record in the lowest format that can express it. `place` is the object's path if the path is not the hash of its
/// bytes, else empty.
///
/// # Errors
/// `OverLimit` for a payload over `CONTROL_PLAIN_MAX`; whatever would keep a reader from decoding the record; `Codec`.
pub fn seal_object<R: Record>(sealing: &Sealing, kind: ObjectKind, place: &str, salt: [u8; SALT_LEN], record: &R) -> Result<Vec<u8>> {
    let plain = record.to_bytes();
    let plain_len = check_len(plain.len() as u64)?;
    let format = formats::check(kind, record.format())?;
    R::from_bytes_in(format, &plain)?;
    let packed = zstd::bulk::compress(&plain, 3).map_err(|error| FormatError::Codec { what: "compression", why: error.to_string() })?;
    let (codec, mut body) = if packed.len() < plain.len() { (ZSTD, packed) } else { (RAW, plain) };
    let mut out = Writer::default();
    write_header(&mut out, kind, format);
    out.u8(sealing.mode());
    out.u8(codec);
    out.u32(plain_len);
    out.raw(&salt);
    let mut object = out.into_bytes();
    sealing.control_sealer(&salt)?.seal(WHOLE, &aad(&object, place), &mut body)?;
    object.extend_from_slice(&body);
    Ok(object)
}

/// Opens what `seal_object` sealed.
///
/// # Errors
/// `TooNew`, `WrongKind`, `WrongMode`, `Damaged`, and whatever is wrong with the record inside.
pub fn open_object<R: Record>(sealing: &Sealing, kind: ObjectKind, place: &str, object: &[u8]) -> Result<R> {
    let mut input = Reader::new(object);
    let format = read_header(&mut input, kind)?;
    let mode = input.u8("mode")?;
    if mode != sealing.mode() {
        let (found, expected) = (Sealing::mode_name(mode), Sealing::mode_name(sealing.mode()));
        return Err(FormatError::WrongMode { what: kind.name(), found, expected });
    }
    let codec = input.u8("codec")?;
    let plain_len = check_len(u64::from(input.u32("plain length")?))?;
    let salt = input.array("salt")?;
    let mut body = input.raw(input.left(), "payload")?.to_vec();
    let (envelope, _) = object.split_at_checked(ENVELOPE_LEN).unwrap_or((object, &[]));
    let opened = sealing.control_sealer(&salt)?.open(WHOLE, &aad(envelope, place), &mut body, kind.name())?;
    match codec {
        RAW if opened.len() == plain_len as usize => R::from_bytes_in(format, opened),
        ZSTD => {
            check_one_frame(opened)?;
            let plain = zstd::bulk::decompress(opened, plain_len as usize)
                .map_err(|error| FormatError::Codec { what: "decompression", why: error.to_string() })?;
            match plain.len() == plain_len as usize {
                true => R::from_bytes_in(format, &plain),
                false => Err(FormatError::Damaged { what: kind.name() }),
            }
        }
        _ => Err(FormatError::BadValue { field: "codec", found: codec.to_string() }),
    }
}

/// Compressed bytes are one zstd frame and nothing else, so that there is one reading of them.
pub(crate) fn check_one_frame(bytes: &[u8]) -> Result<()> {
    let is_frame = bytes.starts_with(&ZSTD_MAGIC);
    match zstd::zstd_safe::find_frame_compressed_size(bytes) {
        Ok(len) if is_frame && len == bytes.len() => Ok(()),
        _ => Err(FormatError::Codec { what: "decompression", why: "not exactly one zstd frame".into() }),
    }
}

/// How many bytes an envelope adds to its payload.
pub const OVERHEAD: usize = ENVELOPE_LEN + TAG_LEN;

fn aad(envelope: &[u8], place: &str) -> Vec<u8> {
    [envelope, place.as_bytes()].concat()
}

fn check_len(found: u64) -> Result<u32> {
    let limit = limits::CONTROL_PLAIN_MAX as u64;
    match u32::try_from(found) {
        Ok(len) if found <= limit => Ok(len),
        _ => Err(FormatError::OverLimit { field: "plain length", found, limit }),
    }
}
