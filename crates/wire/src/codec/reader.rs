//! Reading values off a received frame.

use bytes::Bytes;

use super::{DecodeError, Str};

/// A cursor over a frame. Values that it returns as `Bytes` or [`Str`] are slices of the frame.
#[derive(Debug)]
pub struct Reader<'a> {
    frame: &'a Bytes,
    /// What is left; always a part of `frame`.
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `frame`.
    #[must_use]
    pub fn new(frame: &'a Bytes) -> Self {
        Self { frame, rest: frame }
    }

    /// Bytes not read yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.truncated(len)),
        }
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(self.truncated(N)),
        }
    }

    #[cold]
    fn truncated(&self, needed: usize) -> DecodeError {
        DecodeError::Truncated { needed, remaining: self.rest.len() }
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        let taken = self.take(len)?;
        Ok(self.frame.slice_ref(taken))
    }

    pub(crate) fn text(&mut self, len: usize) -> Result<Str, DecodeError> {
        if Str::LEN_MAX < len {
            return Err(DecodeError::Length { length: len as i64 });
        }
        // An empty string holds no part of the frame, so that many of them cost nothing.
        if len == 0 {
            return Ok(Str::default());
        }
        Str::from_utf8(self.bytes(len)?)
    }

    #[inline]
    pub(crate) fn i8(&mut self) -> Result<i8, DecodeError> {
        Ok(i8::from_be_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn i16(&mut self) -> Result<i16, DecodeError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// An unsigned LEB128 integer of at most 32 bits.
    #[inline]
    pub(crate) fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && 0x0f < bits {
                return Err(DecodeError::Varint);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Varint)
    }

    /// The length of a string: `None` for null.
    #[inline]
    pub(crate) fn text_len(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible { self.compact_len() } else { plain_len(i32::from(self.i16()?)) }
    }

    /// The length of bytes or records, or the count of an array: `None` for null.
    #[inline]
    pub(crate) fn len(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible { self.compact_len() } else { plain_len(self.i32()?) }
    }

    /// One more than the length, so that zero can say null.
    #[inline]
    fn compact_len(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok((self.uvarint()? as usize).checked_sub(1))
    }

    /// Reads the tagged fields at the end of a structure. `known` is offered each tag with a reader over its value, and
    /// says whether it read that value; unknown fields are skipped, as they come from newer peers (KIP-482).
    #[inline]
    pub(crate) fn tagged(
        &mut self,
        mut known: impl FnMut(u32, &mut Reader<'a>) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let count = self.uvarint()?;
        for _ in 0..count {
            let tag = self.uvarint()?;
            let size = self.uvarint()? as usize;
            let mut value = Reader { frame: self.frame, rest: self.take(size)? };
            if known(tag, &mut value)? && 0 < value.remaining() {
                return Err(DecodeError::TaggedField { tag, excess: value.remaining() });
            }
        }
        Ok(())
    }
}

/// -1 is null; anything else below zero is nonsense.
#[inline]
fn plain_len(len: i32) -> Result<Option<usize>, DecodeError> {
    match len {
        -1 => Ok(None),
        0.. => Ok(Some(len as usize)),
        _ => Err(DecodeError::Length { length: i64::from(len) }),
    }
}
