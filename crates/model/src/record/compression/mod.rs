//! The codecs of record batches. The records of a batch are compressed as one block.
//!
//! What is written, Kafka's Java clients of every version that knows the codec can read; what is read is whatever
//! they can read. Decompression is bounded: it stops at the caller's limit, and memory grows with the bytes that
//! really come out (or with a size that the input could really hold), never with a size that is merely declared.

mod gzip;
mod lz4;
mod snappy;
mod zstd;

use bytes::Bytes;
use std::ops::RangeInclusive;

/// The bound to use where there is no reason for another: above any batch that a client's `max.request.size` or a
/// topic's `max.message.bytes` lets through in practice, below what hurts.
pub const DECOMPRESSED_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Output space added per step when nothing says how much is to come.
const STEP_BYTES: usize = 16 * 1024;

/// A buffer that grew beyond this for one batch gives its memory back: [`DecompressionBuffer::shrink`].
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why a body cannot be compressed or decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    #[error("compression codec {0} is unknown")]
    UnknownCodec(u8),
    #[error("decompressed records exceed {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    /// The compressed bytes end before their stream does.
    #[error("{codec} stream ends early")]
    Truncated { codec: Codec },
    #[error("{codec} stream is malformed: {reason}")]
    Malformed { codec: Codec, reason: String },
    #[error("{codec} compression failed: {reason}")]
    Encode { codec: Codec, reason: String },
}

/// A compression codec, by Kafka's numbers and names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Codec {
    #[default]
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

impl Codec {
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// # Errors
    /// `UnknownCodec` above 4.
    pub fn from_id(id: u8) -> Result<Self, CompressionError> {
        Self::ALL.get(usize::from(id)).copied().ok_or(CompressionError::UnknownCodec(id))
    }

    /// As the attributes of a batch carry it.
    #[must_use]
    pub fn id(self) -> u8 {
        self as u8
    }

    /// As `compression.type` spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// The levels that Kafka accepts besides the default (KIP-390); `None` for a codec without levels.
    #[must_use]
    pub fn levels(self) -> Option<RangeInclusive<i32>> {
        match self {
            Self::None | Self::Snappy => None,
            Self::Gzip => Some(1..=9),
            Self::Lz4 => Some(1..=17),
            Self::Zstd => Some(-131_072..=22),
        }
    }

    /// The level when none is configured. That of gzip stands for zlib's own choice and is outside [`Self::levels`].
    #[must_use]
    pub fn default_level(self) -> i32 {
        match self {
            Self::None | Self::Snappy => 0,
            Self::Gzip => -1,
            Self::Lz4 => 9,
            Self::Zstd => 3,
        }
    }
}

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A codec with its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    pub codec: Codec,
    /// Within [`Codec::levels`], or [`Codec::default_level`]. The lz4 encoder here has one level and ignores it.
    pub level: i32,
}

impl Compression {
    pub const NONE: Self = Self { codec: Codec::None, level: 0 };

    /// `codec` at its default level.
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        Self { codec, level: codec.default_level() }
    }

    /// `None` if the codec does not have that level.
    #[must_use]
    pub fn with_level(codec: Codec, level: i32) -> Option<Self> {
        let is_valid = level == codec.default_level() || codec.levels().is_some_and(|levels| levels.contains(&level));
        is_valid.then_some(Self { codec, level })
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self::NONE
    }
}

/// Appends the compressed `body` to `out`.
///
/// # Errors
/// `Encode`, with what the codec says.
pub fn compress(compression: Compression, body: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    match compression.codec {
        Codec::None => {
            out.extend_from_slice(body);
            Ok(())
        }
        Codec::Gzip => gzip::compress(compression.level, body, out),
        Codec::Snappy => snappy::compress(body, out),
        Codec::Lz4 => lz4::compress(body, out),
        Codec::Zstd => zstd::compress(compression.level, body, out),
    }
}

/// Holds the decompressed records of one batch after another.
///
/// Invariant: `len <= storage.len()`. All of `storage` is initialised, once, so that reuse costs no clearing.
#[derive(Debug, Default)]
pub struct DecompressionBuffer {
    storage: Vec<u8>,
    len: usize,
}

impl DecompressionBuffer {
    /// Replaces the contents by the decompressed `body`.
    ///
    /// # Errors
    /// `TooLarge` if more than `bytes_max` bytes come out, else what is wrong with the stream.
    pub fn decompress(&mut self, codec: Codec, body: &[u8], bytes_max: usize) -> Result<&[u8], CompressionError> {
        self.len = 0;
        let mut out = Output { buffer: self, bytes_max };
        match codec {
            Codec::None => out.push(body)?,
            Codec::Gzip => gzip::decompress(body, &mut out)?,
            Codec::Snappy => snappy::decompress(body, &mut out)?,
            Codec::Lz4 => lz4::decompress(body, &mut out)?,
            Codec::Zstd => zstd::decompress(body, &mut out)?,
        }
        Ok(self.bytes())
    }

    /// What was decompressed last.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.storage.get(..self.len).unwrap_or_default()
    }

    /// The contents as their own owner.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        self.storage.truncate(self.len);
        Bytes::from(self.storage)
    }

    /// Gives memory back after a batch of unusual size. Call it on a buffer that is kept between batches.
    pub fn shrink(&mut self) {
        if KEPT_BYTES_MAX < self.storage.len() {
            *self = Self::default();
        }
    }
}

/// Where a codec writes: a buffer with the caller's bound.
struct Output<'a> {
    buffer: &'a mut DecompressionBuffer,
    bytes_max: usize,
}

impl Output<'_> {
    /// Bytes that may still come.
    fn room(&self) -> usize {
        self.bytes_max.saturating_sub(self.buffer.len)
    }

    fn too_large(&self) -> CompressionError {
        CompressionError::TooLarge { bytes_max: self.bytes_max }
    }

    /// Writable space of exactly `wanted` bytes after what is there.
    ///
    /// # Errors
    /// `TooLarge` if the bound does not leave that much.
    fn space(&mut self, wanted: usize) -> Result<&mut [u8], CompressionError> {
        if self.room() < wanted {
            return Err(self.too_large());
        }
        let end = self.buffer.len + wanted;
        if self.buffer.storage.len() < end {
            self.buffer.storage.resize(end, 0);
        }
        Ok(self.buffer.storage.get_mut(self.buffer.len..end).unwrap_or_default())
    }

    /// Some writable space for a stream that does not say how much is to come: doubles what is there. Empty exactly
    /// when the bound is reached.
    fn some_space(&mut self) -> &mut [u8] {
        let unused = self.buffer.storage.len() - self.buffer.len;
        let wanted = unused.max(self.buffer.len).max(STEP_BYTES).min(self.room());
        self.space(wanted).unwrap_or_default()
    }

    /// Counts the first `count` bytes of the space as written.
    fn advance(&mut self, count: usize) {
        self.buffer.len = (self.buffer.len + count).min(self.buffer.storage.len());
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), CompressionError> {
        self.space(bytes.len())?.copy_from_slice(bytes);
        self.advance(bytes.len());
        Ok(())
    }
}

fn malformed(codec: Codec, reason: &dyn std::fmt::Display) -> CompressionError {
    CompressionError::Malformed { codec, reason: reason.to_string() }
}

fn encode_failed(codec: Codec, reason: &dyn std::fmt::Display) -> CompressionError {
    CompressionError::Encode { codec, reason: reason.to_string() }
}
