//! One whole batch, and the walk over several.

use super::header::{batch_size, offsets_of, write_crc};
use super::records::RecordIter;
use super::{BatchError, BatchHeader, Codec, CompressionError, DecompressionBuffer, HEADER_BYTES};
use bytes::Bytes;

/// A batch whose bytes are all there. The checksum is checked on request only: [`RecordBatch::verify_crc`].
#[derive(Debug, Clone, Copy)]
pub struct RecordBatch<'a> {
    pub header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> RecordBatch<'a> {
    /// The batch at the front of `bytes`; what follows it is left out.
    ///
    /// # Errors
    /// As [`BatchHeader::parse`], and `Incomplete` if the batch goes on beyond `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let size = batch_size(bytes)?;
        let Some(batch) = bytes.get(..size) else {
            return Err(BatchError::Incomplete { needed: size, available: bytes.len() });
        };
        Ok(Self { header: BatchHeader::parse(batch)?, bytes: batch })
    }

    /// The batch as it was received. `Bytes::slice_ref` turns it into an owner without a copy.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records, compressed as the attributes say.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }

    /// A copy of the header to patch.
    #[must_use]
    pub fn header_bytes(&self) -> [u8; HEADER_BYTES] {
        self.header.encode()
    }

    /// Compares the stored checksum with that of the bytes.
    ///
    /// # Errors
    /// `CrcMismatch`, with both.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let computed = crc32c::crc32c(self.bytes.get(offsets_of::ATTRIBUTES..).unwrap_or_default());
        if computed != self.header.crc {
            return Err(BatchError::CrcMismatch { stored: self.header.crc, computed });
        }
        Ok(())
    }

    /// The records of an uncompressed batch, or of one whose decompressed body is given.
    #[must_use]
    pub fn records<'b>(&self, body: &'b [u8]) -> RecordIter<'b> {
        RecordIter::new(self.header, body)
    }

    /// The body as records: borrowed if the batch is not compressed, else decompressed into `buffer`.
    ///
    /// # Errors
    /// `UnknownCodec`, `TooLarge` above `bytes_max`, or what the codec says.
    pub fn decompressed<'b>(
        &self,
        bytes_max: usize,
        buffer: &'b mut DecompressionBuffer,
    ) -> Result<&'b [u8], CompressionError>
    where
        'a: 'b,
    {
        match self.header.attributes.codec()? {
            Codec::None => Ok(self.body()),
            codec => buffer.decompress(codec, self.body(), bytes_max),
        }
    }

    /// As [`Self::decompressed`], for a caller that keeps the records: `owner` holds this batch's bytes, and an
    /// uncompressed body is a slice of it.
    ///
    /// # Errors
    /// As [`Self::decompressed`].
    pub fn decompressed_from(&self, owner: &Bytes, bytes_max: usize) -> Result<Bytes, CompressionError> {
        match self.header.attributes.codec()? {
            Codec::None => Ok(owner.slice_ref(self.body())),
            codec => {
                let mut buffer = DecompressionBuffer::default();
                buffer.decompress(codec, self.body(), bytes_max)?;
                Ok(buffer.into_bytes())
            }
        }
    }
}

/// The batches of a log segment or of a fetched set, one after the other.
///
/// A batch that is not all there ends the walk: fetched sets are cut anywhere. [`Self::position`] is then where it
/// starts. Any other fault is returned once and ends the walk too.
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
    is_over: bool,
}

impl<'a> Batches<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, is_over: false }
    }

    /// Bytes of the whole batches seen so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<RecordBatch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        match RecordBatch::parse(self.bytes.get(self.position..).unwrap_or_default()) {
            Ok(batch) => {
                self.position += batch.bytes.len();
                Some(Ok(batch))
            }
            Err(BatchError::Incomplete { .. }) => {
                self.is_over = true;
                None
            }
            Err(error) => {
                self.is_over = true;
                Some(Err(error))
            }
        }
    }
}

/// Puts `header` with a fresh checksum in front of `body`.
pub(super) fn seal(mut header: BatchHeader, bytes: &mut [u8]) {
    let Some((front, body)) = bytes.split_first_chunk_mut::<HEADER_BYTES>() else { return };
    header.crc = 0;
    *front = header.encode();
    write_crc(front, body);
}
