//! The variable-length integers of record batches: zig-zag, seven bits to a byte, least significant group first.
//!
//! Source: Kafka's `ByteUtils`. As there, bits of the last byte beyond the integer's width are dropped rather than
//! refused, while a last byte that announces a further one is an error.

use super::RecordError;

/// The longest encoding of an `i32`.
pub const VARINT_BYTES_MAX: usize = 5;
/// The longest encoding of an `i64`.
pub const VARLONG_BYTES_MAX: usize = 10;

/// Appends `value` in 1 to 5 bytes.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_unsigned(out, u64::from(zigzag32(value)));
}

/// Appends `value` in 1 to 10 bytes.
#[inline]
pub fn put_varlong(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, zigzag64(value));
}

/// How many bytes [`put_varint`] writes.
#[inline]
#[must_use]
pub fn varint_len(value: i32) -> usize {
    unsigned_len(u64::from(zigzag32(value)))
}

/// How many bytes [`put_varlong`] writes.
#[inline]
#[must_use]
pub fn varlong_len(value: i64) -> usize {
    unsigned_len(zigzag64(value))
}

/// Takes an `i32` off the front of `input`.
///
/// # Errors
/// `Truncated` at the end of `input`, `VarintTooLong` after five bytes that each announce another.
#[inline]
pub fn take_varint(input: &mut &[u8]) -> Result<i32, RecordError> {
    match take_short(input) {
        Some(raw) => Ok(unzigzag32(raw)),
        // The truncation drops what the fifth byte carries beyond bit 31.
        None => Ok(unzigzag32(take_unsigned(input, VARINT_BYTES_MAX)? as u32)),
    }
}

/// Takes an `i64` off the front of `input`.
///
/// # Errors
/// `Truncated` at the end of `input`, `VarintTooLong` after ten bytes that each announce another.
#[inline]
pub fn take_varlong(input: &mut &[u8]) -> Result<i64, RecordError> {
    match take_short(input) {
        Some(raw) => Ok(unzigzag64(u64::from(raw))),
        None => Ok(unzigzag64(take_unsigned(input, VARLONG_BYTES_MAX)?)),
    }
}

/// An integer of one or two bytes, before zig-zag. Nearly all of them are: sizes up to 8 KiB, offset deltas, counts.
#[inline]
fn take_short(input: &mut &[u8]) -> Option<u32> {
    match *input {
        [first, rest @ ..] if *first < 0x80 => {
            *input = rest;
            Some(u32::from(*first))
        }
        [first, second, rest @ ..] if *second < 0x80 => {
            *input = rest;
            Some(u32::from(*first & 0x7f) | u32::from(*second) << 7)
        }
        _ => None,
    }
}

#[cold]
fn take_unsigned(input: &mut &[u8], bytes_max: usize) -> Result<u64, RecordError> {
    let mut value = 0u64;
    for (index, &byte) in input.iter().enumerate().take(bytes_max) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *input = input.get(index + 1..).unwrap_or_default();
            return Ok(value);
        }
    }
    if input.len() < bytes_max { Err(RecordError::Truncated) } else { Err(RecordError::VarintTooLong) }
}

#[inline]
fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
fn unsigned_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

#[inline]
fn zigzag32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

#[inline]
fn zigzag64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[inline]
fn unzigzag32(raw: u32) -> i32 {
    (raw >> 1) as i32 ^ -((raw & 1) as i32)
}

#[inline]
fn unzigzag64(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}
