//! Batches as a producer fills them: 100 B records, of which a codec saves about half.

use bytes::Bytes;
use whimbrel_model::record::{BatchBuilder, BatchOptions, BuildError, Codec, Compression, Header};

pub const NOW_MS: i64 = 1_700_000_000_000;
pub const RECORD_BYTES: usize = 100;
/// What a producer fills by default, and what a tuned one does.
pub const BATCHES_BYTES: [usize; 2] = [16 * 1024, 64 * 1024];
pub const CODECS: [Codec; 2] = [Codec::None, Codec::Lz4];

/// The values of a batch of about `batch_bytes` before compression: one half noise, one half the same in all.
pub fn values(batch_bytes: usize) -> Vec<[u8; RECORD_BYTES]> {
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    let value = |_| std::array::from_fn(|index| if index < RECORD_BYTES / 2 { noise() } else { index as u8 });
    (0..batch_bytes / RECORD_BYTES).map(value).collect()
}

/// A batch of `values`, as a producer without idempotence sends it.
///
/// # Errors
/// As the builder.
pub fn batch(values: &[[u8; RECORD_BYTES]], codec: Codec) -> Result<Bytes, BuildError> {
    let options = BatchOptions { compression: Compression::new(codec), ..BatchOptions::default() };
    let mut builder = BatchBuilder::with_capacity(options, values.len() * (RECORD_BYTES + 16));
    for value in values {
        builder.append(NOW_MS, None, Some(value), std::iter::empty::<Header<'_>>())?;
    }
    builder.build()
}

/// `16 KiB none`, as part of a benchmark's name.
pub fn name(batch_bytes: usize, codec: Codec) -> String {
    format!("{} KiB {codec}", batch_bytes / 1024)
}
