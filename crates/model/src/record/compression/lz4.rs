//! The LZ4 frame format as far as Kafka's `Lz4BlockInputStream` reads it: blocks that do not refer to each other, no
//! dictionary, a correct header checksum (only message formats v0 and v1 had a wrong one).
//!
//! ```text
//! magic 04 22 4D 18 · FLG · BD · content size u64 if FLG bit 3 · header checksum
//! · { size u32, top bit: stored plain · block · xxh32 u32 if FLG bit 4 }* · 0 u32 · xxh32 u32 if FLG bit 2
//! ```
//! All numbers are little-endian. Like Kafka, the content's own checksum and declared size are not looked at (the
//! batch has a CRC), and neither is what follows the end mark. Frames are taken apart here rather than by the codec's
//! library because that allocates up to twice the declared block size (4 MiB) before it sees a block.

use super::{Codec, CompressionError, Output, encode_failed, malformed};
use lz4_flex::block::{CompressTable, DecompressError};
use lz4_flex::block::{compress_into_with_table, decompress_into, get_maximum_output_size};
use std::cell::RefCell;
use twox_hash::XxHash32;

const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
const FLG_VERSION_MASK: u8 = 0b1100_0000;
const FLG_VERSION: u8 = 0b0100_0000;
const FLG_INDEPENDENT_BLOCKS: u8 = 0b0010_0000;
const FLG_BLOCK_CHECKSUM: u8 = 0b0001_0000;
const FLG_CONTENT_SIZE: u8 = 0b0000_1000;
const FLG_RESERVED: u8 = 0b0000_0011;
const BD_64_KIB: u8 = 4 << 4;
/// A block whose size has this bit is stored as it is.
const PLAIN: u32 = 1 << 31;
/// What goes into one block: what Kafka's clients choose.
const BLOCK_BYTES: usize = 64 * 1024;
/// A byte of a block stands for at most 255 bytes of output.
const EXPANSION_MAX: usize = 256;

const TRUNCATED: CompressionError = CompressionError::Truncated { codec: Codec::Lz4 };

thread_local! {
    static TABLE: RefCell<CompressTable> = RefCell::new(CompressTable::large());
}

pub(super) fn compress(body: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    let descriptor = [FLG_VERSION | FLG_INDEPENDENT_BLOCKS, BD_64_KIB];
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&descriptor);
    out.push(header_checksum(&descriptor));
    TABLE.with_borrow_mut(|table| body.chunks(BLOCK_BYTES).try_for_each(|block| put_block(table, block, out)))?;
    out.extend_from_slice(&0u32.to_le_bytes());
    Ok(())
}

fn put_block(table: &mut CompressTable, block: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    let start = out.len();
    out.resize(start + 4 + get_maximum_output_size(block.len()), 0);
    let Some((size, space)) = out.get_mut(start..).and_then(<[u8]>::split_first_chunk_mut::<4>) else {
        return Err(encode_failed(Codec::Lz4, &"no space"));
    };
    let written = compress_into_with_table(block, space, table).map_err(|error| encode_failed(Codec::Lz4, &error))?;
    if written < block.len() {
        *size = (written as u32).to_le_bytes();
        out.truncate(start + 4 + written);
    } else {
        *size = (block.len() as u32 | PLAIN).to_le_bytes();
        out.truncate(start + 4);
        out.extend_from_slice(block);
    }
    Ok(())
}

pub(super) fn decompress(body: &[u8], out: &mut Output<'_>) -> Result<(), CompressionError> {
    let (frame, mut rest) = Frame::parse(body)?;
    loop {
        let size = take_u32(&mut rest)?;
        if size == 0 {
            return Ok(());
        }
        let (block, after) = rest.split_at_checked((size & !PLAIN) as usize).ok_or(TRUNCATED)?;
        rest = after;
        if frame.block_bytes_max < block.len() {
            return Err(malformed(Codec::Lz4, &format_args!("block of {} bytes", block.len())));
        }
        if frame.has_block_checksums && take_u32(&mut rest)? != XxHash32::oneshot(0, block) {
            return Err(malformed(Codec::Lz4, &"block checksum"));
        }
        if size & PLAIN == 0 { decompress_block(block, frame.block_bytes_max, out)? } else { out.push(block)? }
    }
}

fn decompress_block(block: &[u8], block_bytes_max: usize, out: &mut Output<'_>) -> Result<(), CompressionError> {
    let possible = block_bytes_max.min(block.len().saturating_mul(EXPANSION_MAX));
    let bounded = possible.min(out.room());
    match decompress_into(block, out.space(bounded)?) {
        Ok(written) => {
            out.advance(written);
            Ok(())
        }
        Err(DecompressError::OutputTooSmall { .. }) if bounded < possible => Err(out.too_large()),
        Err(error) => Err(malformed(Codec::Lz4, &error)),
    }
}

/// What the header of a frame says.
struct Frame {
    block_bytes_max: usize,
    has_block_checksums: bool,
}

impl Frame {
    fn parse(body: &[u8]) -> Result<(Self, &[u8]), CompressionError> {
        let rest = body.strip_prefix(&MAGIC);
        let rest = rest.ok_or_else(|| if body.len() < 6 { TRUNCATED } else { malformed(Codec::Lz4, &"magic") })?;
        let &[flg, bd, ..] = rest else { return Err(TRUNCATED) };
        if flg & FLG_VERSION_MASK != FLG_VERSION || flg & FLG_RESERVED != 0 {
            return Err(malformed(Codec::Lz4, &format_args!("frame flags {flg:#04x}")));
        }
        if flg & FLG_INDEPENDENT_BLOCKS == 0 {
            return Err(malformed(Codec::Lz4, &"blocks depend on each other"));
        }
        let block_bytes_max = match bd {
            0x40 => 64 * 1024,
            0x50 => 256 * 1024,
            0x60 => 1024 * 1024,
            0x70 => 4 * 1024 * 1024,
            _ => return Err(malformed(Codec::Lz4, &format_args!("block descriptor {bd:#04x}"))),
        };
        let descriptor_bytes = if flg & FLG_CONTENT_SIZE == 0 { 2 } else { 10 };
        let (descriptor, rest) = rest.split_at_checked(descriptor_bytes).ok_or(TRUNCATED)?;
        let (&checksum, rest) = rest.split_first().ok_or(TRUNCATED)?;
        if checksum != header_checksum(descriptor) {
            return Err(malformed(Codec::Lz4, &"frame header checksum"));
        }
        Ok((Self { block_bytes_max, has_block_checksums: flg & FLG_BLOCK_CHECKSUM != 0 }, rest))
    }
}

fn header_checksum(descriptor: &[u8]) -> u8 {
    (XxHash32::oneshot(0, descriptor) >> 8) as u8
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, CompressionError> {
    let (value, after) = rest.split_first_chunk::<4>().ok_or(TRUNCATED)?;
    *rest = after;
    Ok(u32::from_le_bytes(*value))
}
