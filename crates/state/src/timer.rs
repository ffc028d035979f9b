//! A hashed hierarchical timer wheel (Varghese and Lauck, 1987): any number of deadlines, each inserted and cancelled
//! in constant time, with no clock and no thread of its own.
//!
//! Time is a `Duration` since an origin that the caller chooses once; it must not run backwards. One tick is a
//! millisecond: a deadline is rounded up to the next tick and the present is rounded down, so nothing fires early.
//!
//! Level `n` of the wheel has 64 slots of 64^n ticks. An entry lives on the level of the highest 6-bit digit in which
//! its deadline differs from the present, and moves down as the present approaches it: at most once per level, so an
//! entry is touched a few times in its life however long it waits. Eleven levels cover every `u64`.

use std::time::Duration;

const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 11;
const _: () = assert!(LEVELS as u32 * SLOT_BITS >= u64::BITS, "the levels must cover every tick");

/// No entry: the end of a list.
const NIL: u32 = u32::MAX;

/// Names one inserted timer, so that it can be cancelled. Never names a later timer by accident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerId {
    index: u32,
    /// Distinguishes the successive timers that used the same place.
    generation: u32,
}

/// Pending timers, each with a value to hand back when it is due.
#[derive(Debug)]
pub struct TimerWheel<T> {
    /// All entries due at or before this tick have been handed out.
    elapsed: u64,
    levels: Box<[Level; LEVELS]>,
    /// Entries by index; free ones are chained through `next` from `free`.
    entries: Vec<Entry<T>>,
    free: u32,
    pending_count: usize,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    /// Bit `i` is set while `heads[i]` is not empty.
    occupied: u64,
    heads: [u32; SLOTS],
}

#[derive(Debug)]
struct Entry<T> {
    /// `None` while the place is free.
    value: Option<T>,
    deadline: u64,
    generation: u32,
    level: u8,
    slot: u8,
    previous: u32,
    next: u32,
}

impl<T> Default for TimerWheel<T> {
    fn default() -> Self {
        Self::new(Duration::ZERO)
    }
}

impl<T> TimerWheel<T> {
    /// An empty wheel whose present is `now`.
    #[must_use]
    pub fn new(now: Duration) -> Self {
        let level = Level { occupied: 0, heads: [NIL; SLOTS] };
        Self {
            elapsed: tick_floor(now),
            levels: Box::new([level; LEVELS]),
            entries: Vec::new(),
            free: NIL,
            pending_count: 0,
        }
    }

    /// The number of timers that are neither due nor cancelled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending_count
    }

    /// True when no timer is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending_count == 0
    }

    /// Starts a timer. A deadline in the past is due at the next [`advance`](Self::advance), whatever time that brings.
    pub fn insert(&mut self, deadline: Duration, value: T) -> TimerId {
        let index = self.allocate(tick_ceil(deadline), value);
        self.link(index);
        self.pending_count += 1;
        TimerId { index, generation: self.entries[index as usize].generation }
    }

    /// Stops a timer and returns its value; `None` if it has been handed out or cancelled already.
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        let entry = self.entries.get(id.index as usize)?;
        if entry.generation != id.generation || entry.value.is_none() {
            return None;
        }
        self.unlink(id.index);
        self.release(id.index)
    }

    /// Moves the present to `now` and appends the values of all timers due by then to `expired`, in the order of
    /// their deadlines; the order among equal deadlines is not defined.
    pub fn advance(&mut self, now: Duration, expired: &mut Vec<T>) {
        let now = tick_floor(now).max(self.elapsed);
        while let Some((level, slot, at)) = self.next_slot() {
            if at > now {
                break;
            }
            self.elapsed = at.max(self.elapsed);
            self.drain_slot(level, slot, expired);
        }
        self.elapsed = now;
    }

    /// When [`advance`](Self::advance) should be called next: never after the earliest deadline, and before it only
    /// when that is far away (an entry has to move to a finer level). `None` while nothing is pending.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.next_slot().map(|(_, _, at)| Duration::from_millis(at))
    }

    /// Hands out or moves down the entries of a slot whose time has come.
    fn drain_slot(&mut self, level: usize, slot: usize, expired: &mut Vec<T>) {
        let head = std::mem::replace(&mut self.levels[level].heads[slot], NIL);
        self.levels[level].occupied &= !(1 << slot);
        let mut index = head;
        while index != NIL {
            let next = self.entries[index as usize].next;
            if self.entries[index as usize].deadline <= self.elapsed {
                expired.extend(self.release(index));
            } else {
                self.link(index);
            }
            index = next;
        }
    }

    /// The occupied slot that comes up first, with the tick at which it does.
    ///
    /// Entries of a finer level always come before those of a coarser one: they share more leading digits with the
    /// present. Within a level all occupied slots lie at or after the present's digit, so the lowest bit is the first.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        let level = self.levels.iter().position(|l| l.occupied != 0)?;
        let slot = self.levels[level].occupied.trailing_zeros();
        let shift = level as u32 * SLOT_BITS;
        let above = self.elapsed.checked_shr(shift + SLOT_BITS).unwrap_or(0);
        let prefix = above.checked_shl(shift + SLOT_BITS).unwrap_or(0);
        Some((level, slot as usize, prefix | (u64::from(slot) << shift)))
    }

    fn link(&mut self, index: u32) {
        let (level, slot) = place(self.elapsed, self.entries[index as usize].deadline);
        let head = std::mem::replace(&mut self.levels[level].heads[slot], index);
        self.levels[level].occupied |= 1 << slot;
        if head != NIL {
            self.entries[head as usize].previous = index;
        }
        let entry = &mut self.entries[index as usize];
        (entry.level, entry.slot) = (level as u8, slot as u8);
        (entry.previous, entry.next) = (NIL, head);
    }

    fn unlink(&mut self, index: u32) {
        let &Entry { level, slot, previous, next, .. } = &self.entries[index as usize];
        if next != NIL {
            self.entries[next as usize].previous = previous;
        }
        if previous != NIL {
            self.entries[previous as usize].next = next;
            return;
        }
        let level = &mut self.levels[usize::from(level)];
        level.heads[usize::from(slot)] = next;
        if next == NIL {
            level.occupied &= !(1 << slot);
        }
    }

    fn allocate(&mut self, deadline: u64, value: T) -> u32 {
        if self.free != NIL {
            let index = self.free;
            let entry = &mut self.entries[index as usize];
            self.free = entry.next;
            entry.value = Some(value);
            entry.deadline = deadline;
            return index;
        }
        let index = self.entries.len() as u32;
        assert!(index != NIL, "more than {NIL} timers are pending");
        self.entries.push(Entry {
            value: Some(value),
            deadline,
            generation: 0,
            level: 0,
            slot: 0,
            previous: NIL,
            next: NIL,
        });
        index
    }

    fn release(&mut self, index: u32) -> Option<T> {
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = self.free;
        let value = entry.value.take();
        self.free = index;
        self.pending_count -= 1;
        value
    }
}

/// Level and slot of a deadline, seen from the present.
fn place(elapsed: u64, deadline: u64) -> (usize, usize) {
    let deadline = deadline.max(elapsed);
    let highest_difference = u64::BITS - 1 - ((elapsed ^ deadline) | 1).leading_zeros();
    let level = highest_difference / SLOT_BITS;
    let slot = (deadline >> (level * SLOT_BITS)) & (SLOTS as u64 - 1);
    (level as usize, slot as usize)
}

fn tick_floor(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn tick_ceil(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
