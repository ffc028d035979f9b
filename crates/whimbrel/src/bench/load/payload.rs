//! What stands in the records: bytes prepared before the load begins, and keys.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use super::batch::KEY_BYTES;
use crate::bench::workload::{Keys, Payload};

/// Prepared bytes, at least: more than the window in which lz4 looks for a repetition.
const POOL_BYTES_MIN: usize = 1024 * 1024;
/// Random bytes and zeros take turns in blocks of this size where a ratio is asked for.
const BLOCK_BYTES: usize = 256;
/// The largest number of different keys that a skewed choice makes a table for.
pub const SKEWED_KEYS_MAX: u64 = 10_000_000;
/// The same bytes and keys in each run, so that runs can be compared.
const SEED: u64 = 0x5eed;

/// The bytes that payloads are slices of, one after the other.
#[derive(Clone)]
pub struct Pool {
    bytes: Arc<[u8]>,
    at: usize,
}

impl Pool {
    /// Prepares payloads of up to `payload_bytes`.
    ///
    /// # Errors
    /// The file cannot be read, or is empty.
    pub fn new(payload: &Payload, payload_bytes: usize, batch_bytes: usize) -> anyhow::Result<Self> {
        let wanted = POOL_BYTES_MIN.max(4 * batch_bytes).max(payload_bytes);
        let bytes = match payload {
            Payload::Random => random(wanted, 1.0),
            Payload::Compressible { ratio } => random(wanted, *ratio),
            Payload::File { path } => from_file(path, payload_bytes)?,
        };
        Ok(Self { bytes: bytes.into(), at: 0 })
    }

    /// The same bytes from another place on.
    pub fn starting_at(&self, share: f64) -> Self {
        Self { bytes: self.bytes.clone(), at: (self.bytes.len() as f64 * share) as usize }
    }

    /// The next payload.
    #[inline]
    pub fn next(&mut self, len: usize) -> &[u8] {
        if self.bytes.len() < self.at + len {
            self.at = 0;
        }
        let begin = self.at;
        self.at += len;
        &self.bytes[begin..begin + len]
    }
}

/// Bytes of which one in `ratio` is random and the others are zero.
fn random(len: usize, ratio: f64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut random = StdRng::seed_from_u64(SEED);
    let share = (BLOCK_BYTES as f64 / ratio.max(1.0)) as usize;
    for block in bytes.chunks_mut(BLOCK_BYTES) {
        let share = share.min(block.len());
        random.fill_bytes(&mut block[..share]);
    }
    bytes
}

/// The file, repeated until the largest payload fits.
fn from_file(path: &Path, payload_bytes: usize) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::read(path).with_context(|| format!("payload file {}", path.display()))?;
    anyhow::ensure!(!bytes.is_empty(), "payload file {} is empty", path.display());
    Ok(bytes.repeat(payload_bytes.div_ceil(bytes.len()).max(1)))
}

/// Chooses keys.
pub struct KeyChoice {
    random: StdRng,
    kind: KeyKind,
}

#[derive(Clone)]
enum KeyKind {
    Uniform(u64),
    /// The probability that a key is this one or one before it.
    Skewed(Arc<[f64]>),
}

impl KeyChoice {
    /// `None` where records have no keys.
    pub fn new(keys: &Keys) -> Option<Self> {
        let kind = match *keys {
            Keys::None => return None,
            Keys::Uniform { count } => KeyKind::Uniform(count.max(1)),
            Keys::Skewed { count, exponent } => KeyKind::Skewed(cumulative(count.clamp(1, SKEWED_KEYS_MAX), exponent)),
        };
        Some(Self { random: StdRng::seed_from_u64(SEED), kind })
    }

    /// The same keys in another order.
    pub fn seeded(&self, seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(SEED + seed), kind: self.kind.clone() }
    }

    #[inline]
    pub fn next(&mut self) -> [u8; KEY_BYTES] {
        let index = match &self.kind {
            KeyKind::Uniform(count) => self.random.random_range(0..*count),
            KeyKind::Skewed(cumulative) => {
                let drawn: f64 = self.random.random();
                cumulative.partition_point(|up_to| *up_to < drawn).min(cumulative.len() - 1) as u64
            }
        };
        index.to_be_bytes()
    }
}

fn cumulative(count: u64, exponent: f64) -> Arc<[f64]> {
    let weight = |k: u64| (k as f64).powf(-exponent);
    let total: f64 = (1..=count).map(weight).sum();
    let mut sum = 0.0;
    let mut up_to = |k| {
        sum += weight(k) / total;
        sum
    };
    (1..=count).map(&mut up_to).collect()
}

#[cfg(test)]
mod tests {
    use whimbrel_model::record::compression::{Codec, Compression, compress};

    use super::*;

    fn compressed_share(ratio: f64) -> f64 {
        let mut pool = Pool::new(&Payload::Compressible { ratio }, 1000, 1000).unwrap();
        let mut body = Vec::new();
        (0..60).for_each(|_| body.extend_from_slice(pool.next(1000)));
        let mut out = Vec::new();
        compress(Compression::new(Codec::Lz4), &body, &mut out).unwrap();
        body.len() as f64 / out.len() as f64
    }

    #[test]
    fn payloads_shrink_as_asked() {
        for ratio in [1.0, 2.0, 4.0] {
            let found = compressed_share(ratio);
            assert!((0.8 * ratio..1.1 * ratio).contains(&found), "{found} instead of {ratio}");
        }
    }

    #[test]
    fn a_small_file_is_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        std::fs::write(&path, "abc").unwrap();
        let mut pool = Pool::new(&Payload::File { path }, 7, 10).unwrap();
        assert_eq!(pool.next(7), b"abcabca");
        assert_eq!(pool.next(7), b"abcabca");
    }

    #[test]
    fn skewed_keys_follow_their_law() {
        let mut keys = KeyChoice::new(&Keys::Skewed { count: 100, exponent: 1.0 }).unwrap();
        let mut counts = [0u32; 100];
        for _ in 0..100_000 {
            counts[u64::from_be_bytes(keys.next()) as usize] += 1;
        }
        let ratio = f64::from(counts[0]) / f64::from(counts[1]);
        assert!((1.9..2.1).contains(&ratio), "the first is chosen {ratio} times as often as the second");
    }
}
