//! Snappy in the framing of xerial's `SnappyOutputStream`, which Java clients write; reading also takes one raw
//! snappy block, which librdkafka writes, as `SnappyInputStream` does.
//!
//! ```text
//! magic 82 'SNAPPY' 00 · version i32 = 1 · lowest compatible version i32 = 1 · { size i32, snappy block }*
//! ```
//! All numbers are big-endian. The 16 header bytes may come again where a block could start: streams are joined so.

use super::{Codec, CompressionError, Output, encode_failed, malformed};
use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};
use std::cell::RefCell;

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEADER_BYTES: usize = 16;
const VERSION: i32 = 1;
/// What goes into one block: the default of `SnappyOutputStream`.
const BLOCK_BYTES: usize = 32 * 1024;
/// The shortest element that repeats earlier output takes 2 bytes for at most 64: no block expands further.
const EXPANSION_MAX: usize = 32;

thread_local! {
    /// The encoder owns a hash table worth keeping.
    static ENCODER: RefCell<Encoder> = RefCell::new(Encoder::new());
}

pub(super) fn compress(body: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&VERSION.to_be_bytes());
    ENCODER.with_borrow_mut(|encoder| body.chunks(BLOCK_BYTES).try_for_each(|block| put_block(encoder, block, out)))
}

fn put_block(encoder: &mut Encoder, block: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    let start = out.len();
    out.resize(start + 4 + max_compress_len(block.len()), 0);
    let Some((size, space)) = out.get_mut(start..).and_then(<[u8]>::split_first_chunk_mut::<4>) else {
        return Err(encode_failed(Codec::Snappy, &"no space"));
    };
    let written = encoder.compress(block, space).map_err(|error| encode_failed(Codec::Snappy, &error))?;
    *size = (written as u32).to_be_bytes();
    out.truncate(start + 4 + written);
    Ok(())
}

pub(super) fn decompress(body: &[u8], out: &mut Output<'_>) -> Result<(), CompressionError> {
    let Some(mut rest) = after_header(body)? else {
        return decompress_block(body, out);
    };
    while let Some((size, after)) = rest.split_first_chunk::<4>() {
        if let Some(after) = after_header(rest)? {
            rest = after;
            continue;
        }
        let size =
            usize::try_from(i32::from_be_bytes(*size)).map_err(|_| malformed(Codec::Snappy, &"negative block size"))?;
        let (block, after) = after.split_at_checked(size).ok_or(TRUNCATED)?;
        decompress_block(block, out)?;
        rest = after;
    }
    if rest.is_empty() { Ok(()) } else { Err(TRUNCATED) }
}

const TRUNCATED: CompressionError = CompressionError::Truncated { codec: Codec::Snappy };

/// What follows the framing's header, `None` if `bytes` does not start with one.
fn after_header(bytes: &[u8]) -> Result<Option<&[u8]>, CompressionError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let Some(&[a, b, c, d, ..]) = header.strip_prefix(&MAGIC) else { return Ok(None) };
    let version = i32::from_be_bytes([a, b, c, d]);
    if version < VERSION {
        return Err(malformed(Codec::Snappy, &format_args!("framing version {version}")));
    }
    Ok(Some(rest))
}

fn decompress_block(block: &[u8], out: &mut Output<'_>) -> Result<(), CompressionError> {
    let wrong = |error: snap::Error| malformed(Codec::Snappy, &error);
    if block.is_empty() {
        return Err(TRUNCATED);
    }
    let size = decompress_len(block).map_err(wrong)?;
    if block.len().saturating_mul(EXPANSION_MAX) < size {
        return Err(malformed(Codec::Snappy, &"declared size cannot come out"));
    }
    let written = Decoder::new().decompress(block, out.space(size)?).map_err(wrong)?;
    out.advance(written);
    Ok(())
}
