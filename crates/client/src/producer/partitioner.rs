//! Which partition a record goes to: by its key as Kafka's Java client does it, or sticky without a key (KIP-480, 794).

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

/// Kafka's hash of keys (MurmurHash2, 32 bits, seed `0x9747b28c`). Source: `Utils.murmur2`.
#[must_use]
pub fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ (data.len() as u32);
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (i, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// The partition of a key, as all clients with Kafka's default partitioner choose it. 0 when there is no partition.
#[must_use]
pub fn partition_of_key(key: &[u8], partition_count: usize) -> i32 {
    let positive = (murmur2(key) & 0x7fff_ffff) as usize;
    i32::try_from(positive.checked_rem(partition_count).unwrap_or(0)).unwrap_or(0)
}

/// Records without a key stay on one partition for a batch's worth of bytes, then move to another one.
#[derive(Debug)]
pub struct StickyPartitioner {
    topics: HashMap<Arc<str>, Sticky>,
    bytes_per_turn: usize,
    random: u64,
}

#[derive(Debug, Clone, Copy)]
struct Sticky {
    partition: usize,
    bytes: usize,
}

impl StickyPartitioner {
    /// `bytes_per_turn`: the size of a batch.
    #[must_use]
    pub fn new(bytes_per_turn: usize) -> Self {
        // Every `RandomState` has a seed of its own.
        Self { topics: HashMap::new(), bytes_per_turn, random: RandomState::new().build_hasher().finish() | 1 }
    }

    /// The partition of the next record of `bytes`.
    pub fn next(&mut self, topic: &Arc<str>, partition_count: usize, bytes: usize) -> i32 {
        let current = self.topics.get(topic).copied();
        let stays = |sticky: &Sticky| sticky.bytes < self.bytes_per_turn && sticky.partition < partition_count;
        let mut sticky = current.filter(stays).unwrap_or_else(|| Sticky {
            partition: self.other(current.map(|sticky| sticky.partition), partition_count),
            bytes: 0,
        });
        sticky.bytes = sticky.bytes.saturating_add(bytes);
        self.topics.insert(topic.clone(), sticky);
        i32::try_from(sticky.partition).unwrap_or(0)
    }

    /// A random partition other than `current`, if there is another.
    fn other(&mut self, current: Option<usize>, partition_count: usize) -> usize {
        // Xorshift: the spread over partitions is all that matters.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let drawn = (self.random >> 16) as usize;
        match current {
            Some(current) if 1 < partition_count && current < partition_count => {
                (current + 1 + drawn % (partition_count - 1)) % partition_count
            }
            _ => drawn.checked_rem(partition_count).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values are those that Kafka's own `UtilsTest` expects of its function.
    #[test]
    fn keys_hash_as_in_kafka() {
        let cases: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, expected) in cases {
            assert_eq!(murmur2(key.as_bytes()) as i32, expected, "{key}");
        }
    }

    #[test]
    fn a_batch_stays_together_and_the_next_goes_elsewhere() {
        let mut partitioner = StickyPartitioner::new(100);
        let topic: Arc<str> = "t".into();
        let first = partitioner.next(&topic, 3, 60);
        assert_eq!(partitioner.next(&topic, 3, 60), first);
        let second = partitioner.next(&topic, 3, 60);
        assert_ne!(second, first);
        assert!((0..200).all(|_| (0..3).contains(&partitioner.next(&topic, 3, 60))));
        assert_eq!(partitioner.next(&"one".into(), 1, 1000), 0);
        assert_eq!(partitioner.next(&"one".into(), 1, 1000), 0);
    }
}
