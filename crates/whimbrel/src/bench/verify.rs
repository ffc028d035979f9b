//! Whether what was acknowledged was read: sets of record numbers as intervals, one for each producer and partition.
//!
//! A producer numbers its records in each partition from 0 without a gap, so what arrives in order costs one comparison.

use super::result::Verification;

/// A set of numbers as disjoint half-open intervals in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intervals(Vec<(u64, u64)>);

impl Intervals {
    /// Adds `from..to`. Cheap where it follows the highest number that is in.
    pub fn add(&mut self, from: u64, to: u64) {
        if to <= from {
            return;
        }
        match self.0.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            Some(last) if last.1 < from => self.0.push((from, to)),
            None => self.0.push((from, to)),
            Some(_) => self.insert(from, to),
        }
    }

    fn insert(&mut self, from: u64, to: u64) {
        // All that overlap or touch become one.
        let begin = self.0.partition_point(|interval| interval.1 < from);
        let end = self.0.partition_point(|interval| interval.0 <= to);
        let joined =
            self.0[begin..end].iter().fold((from, to), |joined, one| (joined.0.min(one.0), joined.1.max(one.1)));
        self.0.splice(begin..end, [joined]);
    }

    /// Takes one number out; false if it was not in.
    pub fn remove(&mut self, number: u64) -> bool {
        let at = self.0.partition_point(|interval| interval.1 <= number);
        let Some(&(from, to)) = self.0.get(at).filter(|interval| interval.0 <= number) else { return false };
        let left = [(from, number), (number + 1, to)];
        self.0.splice(at..=at, left.into_iter().filter(|(from, to)| from < to));
        true
    }

    pub fn count(&self) -> u64 {
        self.0.iter().map(|(from, to)| to - from).sum()
    }

    /// How many numbers are in both.
    fn count_common(&self, other: &Self) -> u64 {
        let (mut mine, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut count = 0;
        while let (Some(a), Some(b)) = (mine.peek(), theirs.peek()) {
            count += a.1.min(b.1).saturating_sub(a.0.max(b.0));
            if a.1 < b.1 {
                mine.next()
            } else {
                theirs.next()
            };
        }
        count
    }
}

/// What one group has read of one producer in one partition.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// One above the highest number that was read.
    next: u64,
    /// Below `next` and not read yet.
    missing: Intervals,
    duplicated: u64,
    reordered: u64,
}

impl Seen {
    #[inline]
    pub fn read(&mut self, number: u64) {
        if number == self.next {
            self.next += 1;
        } else {
            self.read_out_of_order(number);
        }
    }

    #[cold]
    fn read_out_of_order(&mut self, number: u64) {
        if self.next < number {
            self.missing.add(self.next, number);
            self.next = number + 1;
        } else if self.missing.remove(number) {
            self.reordered += 1;
        } else {
            self.duplicated += 1;
        }
    }

    fn is_untouched(&self) -> bool {
        self.next == 0
    }

    /// Different records that were read.
    fn count(&self) -> u64 {
        self.next - self.missing.count()
    }

    /// Of the `acknowledged` ones.
    fn lost(&self, acknowledged: &Intervals) -> u64 {
        let beyond = Intervals(vec![(self.next, u64::MAX)]);
        acknowledged.count_common(&beyond) + acknowledged.count_common(&self.missing)
    }
}

/// What was acknowledged to one producer, by partition.
pub type Acknowledged = Vec<Intervals>;
/// What one group has read, by partition and producer.
pub type Read = Vec<Vec<Seen>>;

/// Compares what was acknowledged (by producer) with what each group has read. Counts of several groups add up, those of
/// acknowledged records do not; `read` is that of the group that read the least.
pub fn verify(acknowledged: &[Acknowledged], groups: &[Read], is_complete: bool) -> Verification {
    let total = acknowledged.iter().flatten().map(Intervals::count).sum();
    let mut found = Verification { acknowledged: total, read: u64::MAX, is_complete, ..Verification::default() };
    for group in groups {
        let of_group = verify_group(acknowledged, group);
        found.read = found.read.min(of_group.read);
        found.lost += of_group.lost;
        found.duplicated += of_group.duplicated;
        found.reordered += of_group.reordered;
    }
    if groups.is_empty() {
        found.read = 0;
    }
    found
}

fn verify_group(acknowledged: &[Acknowledged], group: &Read) -> Verification {
    let mut found = Verification::default();
    let nothing = Seen::default();
    for (producer, partitions) in acknowledged.iter().enumerate() {
        for (partition, numbers) in partitions.iter().enumerate() {
            let seen = group.get(partition).and_then(|of_partition| of_partition.get(producer)).unwrap_or(&nothing);
            found.lost += seen.lost(numbers);
        }
    }
    for seen in group.iter().flatten().filter(|seen| !seen.is_untouched()) {
        found.read += seen.count();
        found.duplicated += seen.duplicated;
        found.reordered += seen.reordered;
    }
    found
}

#[cfg(test)]
mod tests;
