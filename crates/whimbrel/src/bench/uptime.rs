//! Who could produce and consume, when: windows of 100 ms in which something got through to a partition, or did not.
//!
//! A window without success counts as a gap whatever the reason is, so the load must reach every partition at least
//! once in each window; [`UptimeRecorder`] cannot tell a partition that was down from one that nobody asked.

use std::iter::repeat_with;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::result::{Availability, Gap, PartitionUptime, Uptime};

/// Length of a window.
const WINDOW_MS: u64 = 100;
/// Windows that one bit each of a word stand for.
const CHUNK_WINDOWS: u64 = 64;
/// A day of windows; what comes after that is not recorded.
const CHUNKS_MAX: usize = 24 * 3600 * 10 / CHUNK_WINDOWS as usize;
/// Memory for windows; what comes after that is not recorded. 100,000 partitions fill it in 17 minutes,
/// 1,000 do not in a day.
const BYTES_MAX: usize = 256 * 1024 * 1024;

/// Two directions of one partition.
const PRODUCED: usize = 0;
const CONSUMED: usize = 1;
const DIRECTIONS: usize = 2;

/// Notes when records got through, from many threads at once.
///
/// Time is cut into chunks of 64 windows. A chunk holds one word for each partition and direction, whose bits are the
/// windows; it is made when the first success falls into it. Nothing but that waits for another thread.
#[derive(Debug)]
pub struct UptimeRecorder {
    began: Instant,
    partitions: Vec<(String, i32)>,
    is_consumed: bool,
    /// In order of time.
    chunks: Vec<OnceLock<Box<[AtomicU64]>>>,
}

impl UptimeRecorder {
    /// A recorder of `partitions` (topic and number), which later calls name by their place in the list. What comes
    /// before `began`, as in a warm-up, is not recorded. Unless `is_consumed`, nobody reads, which is no gap: the other
    /// direction then has no windows.
    pub fn new(began: Instant, partitions: &[(String, i32)], is_consumed: bool) -> Arc<Self> {
        let chunk_bytes = partitions.len().max(1) * DIRECTIONS * size_of::<AtomicU64>();
        let chunks = CHUNKS_MAX.min(BYTES_MAX.div_ceil(chunk_bytes));
        let chunks = repeat_with(OnceLock::new).take(chunks).collect();
        Arc::new(Self { began, partitions: partitions.to_vec(), is_consumed, chunks })
    }

    /// A record was just acknowledged by the partition at `index`.
    pub fn produced(&self, index: usize) {
        self.note(index, PRODUCED, Instant::now());
    }

    /// A record of the partition at `index` was just consumed.
    pub fn consumed(&self, index: usize) {
        self.note(index, CONSUMED, Instant::now());
    }

    fn note(&self, index: usize, direction: usize, now: Instant) {
        let Some(window) = now.checked_duration_since(self.began).map(windows) else { return };
        let Some(chunk) = self.chunks.get((window / CHUNK_WINDOWS) as usize) else { return };
        let Some(word) = chunk.get_or_init(|| self.empty_chunk()).get(index * DIRECTIONS + direction) else { return };
        let bit = 1 << (window % CHUNK_WINDOWS);
        // Most calls find the bit set and leave the cache line to its readers.
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    fn empty_chunk(&self) -> Box<[AtomicU64]> {
        repeat_with(AtomicU64::default).take(self.partitions.len() * DIRECTIONS).collect()
    }

    /// What was noted in the windows that were over at `until`.
    pub fn finish(&self, until: Instant) -> Uptime {
        let recorded_max = self.chunks.len() as u64 * CHUNK_WINDOWS;
        let count = windows(until.saturating_duration_since(self.began)).min(recorded_max);
        let availability = |index: usize, direction| {
            availability((0..count).map(|window| self.is_set(window, index * DIRECTIONS + direction)))
        };
        let partition = |(index, (topic, partition)): (usize, &(String, i32))| PartitionUptime {
            topic: topic.clone(),
            partition: *partition,
            produce: availability(index, PRODUCED),
            consume: if self.is_consumed { availability(index, CONSUMED) } else { Availability::default() },
        };
        Uptime { window_ms: WINDOW_MS, partitions: self.partitions.iter().enumerate().map(partition).collect() }
    }

    fn is_set(&self, window: u64, track: usize) -> bool {
        let chunk = self.chunks.get((window / CHUNK_WINDOWS) as usize).and_then(OnceLock::get);
        let word = chunk.and_then(|chunk| chunk.get(track)).map_or(0, |word| word.load(Ordering::Relaxed));
        word >> (window % CHUNK_WINDOWS) & 1 == 1
    }
}

/// Whole windows within a time.
fn windows(time: Duration) -> u64 {
    time.as_millis() as u64 / WINDOW_MS
}

/// What windows say, in order of time: true where something got through. Windows without success that follow each other
/// are one gap.
fn availability(windows: impl Iterator<Item = bool>) -> Availability {
    let mut found = Availability::default();
    let mut is_in_gap = false;
    for is_available in windows {
        match (is_available, found.gaps.last_mut()) {
            (true, _) => found.available += 1,
            (false, Some(gap)) if is_in_gap => gap.ms += WINDOW_MS,
            (false, _) => found.gaps.push(Gap { at_ms: (found.windows * WINDOW_MS) as i64, ms: WINDOW_MS }),
        }
        is_in_gap = !is_available;
        found.windows += 1;
    }
    found
}

/// The length that the given share of gaps does not exceed, in milliseconds (nearest rank); 0 without gaps.
pub fn gap_percentile_ms<'a>(gaps: impl IntoIterator<Item = &'a Gap>, share: f64) -> u64 {
    let mut lengths: Vec<u64> = gaps.into_iter().map(|gap| gap.ms).collect();
    lengths.sort_unstable();
    let rank = (share * lengths.len() as f64).ceil() as usize;
    lengths.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(windows: &str) -> Vec<(i64, u64)> {
        let found = availability(windows.chars().map(|window| window == '#'));
        assert_eq!(found.windows, windows.len() as u64);
        assert_eq!(found.available, windows.matches('#').count() as u64);
        found.gaps.iter().map(|gap| (gap.at_ms, gap.ms)).collect()
    }

    #[test]
    fn windows_without_success_that_follow_each_other_are_one_gap() {
        assert_eq!(gaps("####"), []);
        assert_eq!(gaps(""), []);
        assert_eq!(gaps("#..##.#"), [(100, 200), (500, 100)]);
        assert_eq!(gaps("..##.."), [(0, 200), (400, 200)]);
        assert_eq!(gaps("..."), [(0, 300)]);
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let gaps: Vec<Gap> = [300, 100, 200, 400].map(|ms| Gap { at_ms: 0, ms }).to_vec();
        assert_eq!([0.0, 0.25, 0.5, 0.99, 1.0].map(|share| gap_percentile_ms(&gaps, share)), [100, 100, 200, 400, 400]);
        assert_eq!(gap_percentile_ms(&[], 0.5), 0);
    }

    #[test]
    fn each_partition_and_direction_has_windows_of_its_own() {
        let began = Instant::now();
        let recorder = UptimeRecorder::new(began, &[("t".into(), 0), ("t".into(), 1)], true);
        let at = |ms| began + Duration::from_millis(ms);
        for ms in [0, 99, 100, 350, 6_400, 99_999] {
            recorder.note(1, PRODUCED, at(ms));
        }
        recorder.note(0, CONSUMED, at(250));
        // Before the measured part, of no partition, and after all windows.
        if let Some(earlier) = began.checked_sub(Duration::from_millis(1)) {
            recorder.note(0, PRODUCED, earlier);
        }
        recorder.note(2, PRODUCED, at(0));
        recorder.note(0, PRODUCED, at(48 * 3600 * 1000));

        let uptime = recorder.finish(at(6_599));
        let [first, second] = &uptime.partitions[..] else { panic!("two partitions: {uptime:?}") };
        assert_eq!((first.produce.windows, first.produce.available, first.produce.gaps.len()), (65, 0, 1));
        assert_eq!((first.consume.available, first.consume.gaps[1].at_ms), (1, 300));
        assert_eq!((second.partition, second.produce.available, second.consume.available), (1, 4, 0));
        let found: Vec<(i64, u64)> = second.produce.gaps.iter().map(|gap| (gap.at_ms, gap.ms)).collect();
        assert_eq!(found, [(200, 100), (400, 6_000)]);
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let names: Vec<(String, i32)> = (0..64).map(|partition| ("t".to_owned(), partition)).collect();
        let began = Instant::now();
        let recorder = UptimeRecorder::new(began, &names, false);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let recorder = &recorder;
                scope.spawn(move || {
                    for window in (thread..600).step_by(4) {
                        (0..64).for_each(|index| {
                            recorder.note(index, PRODUCED, began + Duration::from_millis(window * 100));
                        });
                    }
                });
            }
        });
        let uptime = recorder.finish(began + Duration::from_secs(60));
        assert!(uptime.partitions.iter().all(|partition| partition.produce.available == 600));
        assert!(uptime.partitions.iter().all(|partition| partition.consume.windows == 0), "nobody reads");
    }

    #[test]
    fn memory_has_a_bound() {
        let names: Vec<(String, i32)> = (0..1_000_000).map(|partition| (String::new(), partition)).collect();
        let recorder = UptimeRecorder::new(Instant::now(), &names, true);
        assert_eq!(recorder.chunks.len(), BYTES_MAX.div_ceil(16_000_000));
    }
}
