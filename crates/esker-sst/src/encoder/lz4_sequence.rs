//! How LZ4 writes literals and matches (lz4_Block_format.md, LZ4 1.10.0).

use super::bytes::Sink;

/// The longest length that fits a token.
const TOKEN_MAX: usize = 15;

/// Writes a token with its literals, `bytes[from..to]`, and returns where the token stands.
#[inline(always)]
pub(super) fn put_literals(output: &mut Sink, bytes: &[u8], from: usize, to: usize) -> usize {
    let token = output.len();
    let len = to.wrapping_sub(from);
    if len < TOKEN_MAX {
        output.push((len as u8) << 4);
    } else {
        output.push((TOKEN_MAX as u8) << 4);
        put_length(output, len.wrapping_sub(TOKEN_MAX));
    }
    output.copy(bytes, from, len);
    token
}

/// Writes a distance and the length of a match beyond the least.
#[inline(always)]
pub(super) fn put_match(output: &mut Sink, token: usize, distance: usize, length: usize) {
    output.push_wide((distance as u16).to_le_bytes(), 2);
    if length < TOKEN_MAX {
        output.or_at(token, length as u8);
    } else {
        output.or_at(token, TOKEN_MAX as u8);
        put_length(output, length.wrapping_sub(TOKEN_MAX));
    }
}

/// What exceeds a token's 15: bytes of 255, then the rest.
#[inline(always)]
fn put_length(output: &mut Sink, mut rest: usize) {
    while rest >= 255 {
        output.push(255);
        rest = rest.wrapping_sub(255);
    }
    output.push(rest as u8);
}
