//! The records of a batch, borrowed from its decompressed body.
//!
//! ```text
//! length varint · attributes i8 · timestampDelta varlong · offsetDelta varint
//! · keyLength varint, key · valueLength varint, value · headerCount varint, { keyLength, key, valueLength, value }
//! ```
//! A negative key or value length stands for null, as in Kafka, whatever the number.

use super::varint::{take_varint, take_varlong};
use super::{BatchHeader, RecordError};
use crate::Offset;

/// One record, borrowed from the body it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// No bit has a meaning yet.
    pub attributes: i8,
    pub offset: Offset,
    /// Milliseconds since 1970; -1 for none.
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// A header of a record (KIP-82).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// UTF-8 if the producer kept to the protocol; nothing checks it, here or in Kafka.
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// The headers of one record. Their bytes were checked when the record was read, so that the walk cannot fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Headers<'a> {
    /// No header.
    pub const NONE: Headers<'static> = Headers { bytes: &[], count: 0 };

    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The count and the headers as a record carries them.
    pub(super) fn encoded(&self) -> (&'a [u8], usize) {
        (self.bytes, self.count)
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.count = self.count.checked_sub(1)?;
        take_header(&mut self.bytes).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

/// Walks the records of a body. Ends after the first error, and with one if the body and the count disagree.
#[derive(Debug, Clone)]
pub struct RecordIter<'a> {
    header: BatchHeader,
    body: &'a [u8],
    left: i32,
}

impl<'a> RecordIter<'a> {
    /// `body` is what follows the header, decompressed.
    #[must_use]
    pub fn new(header: BatchHeader, body: &'a [u8]) -> Self {
        Self { header, body, left: header.record_count }
    }

    fn read(&mut self) -> Result<Record<'a>, RecordError> {
        let (mut fields, size) = take_frame(&mut self.body)?;
        let record = read_record(&self.header, &mut fields)?;
        if !fields.is_empty() {
            return Err(RecordError::SizeMismatch { declared: size, read: size - fields.len() });
        }
        if self.left == 1 && !self.body.is_empty() {
            return Err(RecordError::TrailingBytes(self.body.len()));
        }
        Ok(record)
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left < 0 {
            let error = RecordError::InvalidRecordCount(self.left);
            self.left = 0;
            return Some(Err(error));
        }
        if self.left == 0 {
            return None;
        }
        let record = self.read();
        self.left = if record.is_ok() { self.left - 1 } else { 0 };
        Some(record)
    }
}

/// What validation needs of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSummary {
    pub offset_delta: i32,
    pub timestamp: i64,
    pub has_key: bool,
}

/// Checks the structure of every record of `body` and hands its summary to `visit`, in order and without allocating.
///
/// # Errors
/// As [`RecordIter`]: a record beyond its bounds, sizes that disagree, a count other than the header's.
#[inline]
pub fn summarize(
    header: &BatchHeader,
    mut body: &[u8],
    mut visit: impl FnMut(RecordSummary),
) -> Result<(), RecordError> {
    if header.record_count < 0 {
        return Err(RecordError::InvalidRecordCount(header.record_count));
    }
    for _ in 0..header.record_count {
        let (mut fields, size) = take_frame(&mut body)?;
        let (_, rest) = fields.split_first().ok_or(RecordError::Truncated)?;
        fields = rest;
        let timestamp = header.timestamp_of(take_varlong(&mut fields)?);
        let offset_delta = take_varint(&mut fields)?;
        let has_key = take_nullable(&mut fields)?.is_some();
        take_nullable(&mut fields)?;
        if fields != [0] {
            take_headers(&mut fields)?;
            if !fields.is_empty() {
                return Err(RecordError::SizeMismatch { declared: size, read: size - fields.len() });
            }
        }
        visit(RecordSummary { offset_delta, timestamp, has_key });
    }
    // An emptied batch has no record to follow: Kafka does not look at its body either.
    if header.record_count != 0 && !body.is_empty() {
        return Err(RecordError::TrailingBytes(body.len()));
    }
    Ok(())
}

/// Takes the length and the bytes it announces off `body`.
#[inline]
fn take_frame<'a>(body: &mut &'a [u8]) -> Result<(&'a [u8], usize), RecordError> {
    let length = take_varint(body)?;
    let size = usize::try_from(length).map_err(|_| RecordError::InvalidSize(length))?;
    let (fields, rest) = body.split_at_checked(size).ok_or(RecordError::Truncated)?;
    *body = rest;
    Ok((fields, size))
}

fn read_record<'a>(header: &BatchHeader, fields: &mut &'a [u8]) -> Result<Record<'a>, RecordError> {
    let (&attributes, rest) = fields.split_first().ok_or(RecordError::Truncated)?;
    *fields = rest;
    let timestamp = header.timestamp_of(take_varlong(fields)?);
    let delta = take_varint(fields)?;
    Ok(Record {
        attributes: attributes as i8,
        offset: Offset(header.base_offset.0.saturating_add(i64::from(delta))),
        timestamp,
        key: take_nullable(fields)?,
        value: take_nullable(fields)?,
        headers: take_headers(fields)?,
    })
}

/// Checks all headers and returns their bytes.
fn take_headers<'a>(fields: &mut &'a [u8]) -> Result<Headers<'a>, RecordError> {
    let declared = take_varint(fields)?;
    let count = usize::try_from(declared).map_err(|_| RecordError::InvalidHeaderCount(declared))?;
    // Each header takes two bytes at least, so that this also bounds the loop.
    if fields.len() < count {
        return Err(RecordError::InvalidHeaderCount(declared));
    }
    let start = *fields;
    for _ in 0..count {
        take_header(fields)?;
    }
    let bytes = start.get(..start.len() - fields.len()).unwrap_or_default();
    Ok(Headers { bytes, count })
}

fn take_header<'a>(fields: &mut &'a [u8]) -> Result<Header<'a>, RecordError> {
    let key_size = take_varint(fields)?;
    let key = take_bytes(fields, key_size)?.ok_or(RecordError::InvalidHeaderKeySize(key_size))?;
    Ok(Header { key, value: take_nullable(fields)? })
}

#[inline]
fn take_nullable<'a>(fields: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordError> {
    let size = take_varint(fields)?;
    take_bytes(fields, size)
}

#[inline]
fn take_bytes<'a>(fields: &mut &'a [u8], size: i32) -> Result<Option<&'a [u8]>, RecordError> {
    let Ok(size) = usize::try_from(size) else { return Ok(None) };
    let (bytes, rest) = fields.split_at_checked(size).ok_or(RecordError::Truncated)?;
    *fields = rest;
    Ok(Some(bytes))
}
