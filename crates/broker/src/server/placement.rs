//! Which worker serves which connection. Decides; moves nothing.
//!
//! Connections that wake each other belong together. A consumer waits for what a producer brings, a follower too; woken by
//! its own worker it is an entry in a queue, woken by another one it is two system calls, an interrupt of another core, and
//! mostly the end of that core's sleep, all before the producer has its answer. With one record at a time that was half
//! of the time until it is consumed, and of the CPU.
//!
//! But a worker has one core. One that has hardly any of its time left gives connections away, to the idlest.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How often a worker says how busy it was, and its connections think of where they are.
pub const BEAT: Duration = Duration::from_millis(250);
/// The same for one that was busy for less than `IDLE` (in thousandths of its time): it may as well sleep.
const IDLE_BEAT: Duration = Duration::from_secs(1);
const IDLE: u32 = 5;

/// A worker that is as busy as this (in thousandths of its time) gives connections away, to one that is idler by at least
/// `DIFFERENCE_MIN`.
const CROWDED: u32 = 750;
const DIFFERENCE_MIN: u32 = 300;

/// Connections come together where that makes the worker no busier than this.
const TOGETHER_MAX: u32 = 500;

/// Wake-ups within a beat, all by the same worker, that are worth moving for.
const WAKES_MIN: u32 = 10;

/// A connection with a smaller share of a crowded worker does not relieve it.
const SHARE_MIN: u32 = 10;

/// What a request costs besides its bytes, as so many bytes.
const REQUEST_BYTES: u64 = 16 * 1024;

/// A connection that left a crowded worker does not go back to it for this long.
const REST: Duration = Duration::from_secs(10);

thread_local! {
    static CURRENT: Current = const { Current::new() };
}

/// The worker of this thread.
struct Current {
    worker: Cell<Option<usize>>,
    /// Counts its beats.
    beat: Cell<u32>,
    busy: Cell<u32>,
    /// What its connections did since the last beat, and between that and the one before, in bytes.
    work: Cell<u64>,
    last_work: Cell<u64>,
}

impl Current {
    const fn new() -> Self {
        Self {
            worker: Cell::new(None),
            beat: Cell::new(0),
            busy: Cell::new(0),
            work: Cell::new(0),
            last_work: Cell::new(0),
        }
    }
}

/// The worker that this thread is, if it is one.
pub fn current_worker() -> Option<usize> {
    CURRENT.with(|current| current.worker.get())
}

/// From now on this thread is worker `index`.
pub fn become_worker(index: usize) {
    CURRENT.with(|current| current.worker.set(Some(index)));
}

/// How busy the workers of a broker are.
#[derive(Debug)]
pub struct Loads(Box<[Load]>);

#[derive(Debug, Default)]
struct Load {
    /// In thousandths, of the last beat, with what has come and gone since then.
    busy: AtomicU32,
    /// What it has to give away.
    surplus: AtomicU32,
}

/// Why a connection moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveReason {
    /// To the worker that wakes it.
    Together,
    /// Away from a worker that is crowded.
    Crowded,
}

impl Loads {
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Load::default()).collect())
    }

    /// To be called by a worker's thread: it was busy for so many thousandths of the time since the last call. Returns when
    /// it has to call again.
    pub fn beat(&self, busy: u32) -> Duration {
        let next = if busy < IDLE { IDLE_BEAT } else { BEAT };
        let Some(worker) = current_worker() else { return next };
        CURRENT.with(|current| {
            current.beat.set(current.beat.get().wrapping_add(1));
            current.busy.set(busy);
            current.last_work.set(current.work.replace(0));
        });
        self.set(worker, busy);
        next
    }

    fn set(&self, worker: usize, busy: u32) {
        let Some(load) = self.0.get(worker) else { return };
        let idlest = self.idlest_but(worker).map_or(busy, |(_, busy)| busy);
        let is_crowded = CROWDED <= busy && idlest + DIFFERENCE_MIN <= busy;
        load.busy.store(busy, Ordering::Relaxed);
        load.surplus.store(if is_crowded { (busy - idlest) / 2 } else { 0 }, Ordering::Relaxed);
    }

    fn idlest_but(&self, worker: usize) -> Option<(usize, u32)> {
        let others = self.0.iter().enumerate().filter(|(index, _)| *index != worker);
        others.map(|(index, load)| (index, load.busy.load(Ordering::Relaxed))).min_by_key(|(_, busy)| *busy)
    }

    /// Where a connection goes that takes `share` thousandths of `worker`'s time, and that was woken so often by another.
    fn next(&self, worker: usize, share: u32, woken: Option<(usize, u32)>) -> Option<(usize, MoveReason)> {
        let load = self.0.get(worker)?;
        if load.surplus.load(Ordering::Relaxed) != 0 {
            let is_taken = SHARE_MIN <= share
                && load
                    .surplus
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |surplus| surplus.checked_sub(share))
                    .is_ok();
            let (to, _) = is_taken.then(|| self.idlest_but(worker)).flatten()?;
            return Some((self.shift(worker, to, share), MoveReason::Crowded));
        }
        let (waker, times) = woken.filter(|(waker, _)| *waker != worker)?;
        let busy = self.0.get(waker)?.busy.load(Ordering::Relaxed);
        let goes = WAKES_MIN <= times && busy + share <= TOGETHER_MAX;
        goes.then(|| (self.shift(worker, waker, share), MoveReason::Together))
    }

    /// Others that decide before the next beat see it.
    fn shift(&self, from: usize, to: usize, share: u32) -> usize {
        let busy = |worker: usize| self.0.get(worker).map(|load| &load.busy);
        if let (Some(from), Some(to)) = (busy(from), busy(to)) {
            from.fetch_sub(share.min(from.load(Ordering::Relaxed)), Ordering::Relaxed);
            to.fetch_add(share, Ordering::Relaxed);
        }
        to
    }
}

/// Who woke a connection since it last thought of its place. Only the connection's own task writes it.
#[derive(Debug, Default)]
pub struct Wakers {
    /// One more than the worker; 0 for none, or for several.
    worker: AtomicU32,
    times: AtomicU32,
}

impl Wakers {
    /// The connection waited, and `worker` woke it.
    pub fn woken_by(&self, worker: Option<usize>) {
        let worker = worker.and_then(|worker| u32::try_from(worker + 1).ok()).unwrap_or(0);
        let times = self.times.load(Ordering::Relaxed);
        let is_the_same = times == 0 || self.worker.load(Ordering::Relaxed) == worker;
        self.worker.store(if is_the_same { worker } else { 0 }, Ordering::Relaxed);
        self.times.store(times.saturating_add(1), Ordering::Relaxed);
    }

    /// The one that woke it each time, and how often.
    fn take(&self) -> Option<(usize, u32)> {
        let times = self.times.swap(0, Ordering::Relaxed);
        let worker = (self.worker.swap(0, Ordering::Relaxed) as usize).checked_sub(1)?;
        Some((worker, times))
    }
}

/// What a connection remembers of its place.
#[derive(Debug, Default)]
pub struct Seat {
    /// Of its worker, when it last thought of it.
    beat: u32,
    /// What it did since then, in bytes.
    work: u64,
    /// It came from a crowded worker and stays until then.
    rests_until: Option<Instant>,
}

impl Seat {
    /// It was served a request, of so many bytes with its answer.
    pub fn served(&mut self, bytes: usize) {
        let work = bytes as u64 + REQUEST_BYTES;
        self.work += work;
        CURRENT.with(|current| current.work.set(current.work.get() + work));
    }

    /// Whether there was a beat since the connection last thought of its place.
    pub fn is_time_to_think(&self) -> bool {
        CURRENT.with(|current| current.beat.get() != self.beat)
    }

    /// Where it goes, if it goes. To be called when [`Seat::is_time_to_think`].
    pub fn next(&mut self, loads: &Loads, wakers: &Wakers) -> Option<(usize, MoveReason)> {
        let (worker, beat, busy, work) = CURRENT
            .with(|current| (current.worker.get(), current.beat.get(), current.busy.get(), current.last_work.get()));
        self.beat = beat;
        // It may have done more than its worker did in the last beat, if it was waiting then.
        let share = u64::from(busy) * std::mem::take(&mut self.work).min(work) / work.max(1);
        let woken = wakers.take().filter(|_| self.rests_until.is_none_or(|until| until <= Instant::now()));
        let next = loads.next(worker?, u32::try_from(share).unwrap_or(busy), woken)?;
        self.rests_until = (next.1 == MoveReason::Crowded).then(|| Instant::now() + REST);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loads(busy: &[u32]) -> Loads {
        let loads = Loads::new(busy.len());
        // Twice, so that each knows of the others.
        for _ in 0..2 {
            busy.iter().enumerate().for_each(|(worker, busy)| loads.set(worker, *busy));
        }
        loads
    }

    fn busy(loads: &Loads) -> Vec<u32> {
        loads.0.iter().map(|load| load.busy.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn who_is_woken_goes_to_its_waker_while_there_is_room() {
        let often = |worker| Some((worker, WAKES_MIN));
        assert_eq!(loads(&[100, 50]).next(1, 50, often(0)), Some((0, MoveReason::Together)));
        assert_eq!(loads(&[100, 50]).next(1, 50, Some((0, WAKES_MIN - 1))), None);
        assert_eq!(loads(&[100, 50]).next(1, 50, often(1)), None, "it is there already");
        assert_eq!(loads(&[TOGETHER_MAX, 50]).next(1, 50, often(0)), None);
        let crowd = loads(&[100, 500]);
        let moved = (0..10).filter_map(|_| crowd.next(1, 100, often(0))).count();
        assert_eq!((moved, busy(&crowd)), (4, vec![500, 100]), "no more than there is room for");
    }

    #[test]
    fn a_crowded_worker_gives_half_of_the_difference_away() {
        let crowd = loads(&[960, 0, 200]);
        let moved: Vec<_> = (0..4).filter_map(|_| crowd.next(0, 240, None)).collect();
        assert_eq!(moved, [(1, MoveReason::Crowded), (2, MoveReason::Crowded)]);
        assert_eq!(busy(&crowd), [480, 240, 440]);
        assert_eq!(loads(&[960, 700]).next(0, 100, None), None, "the other is hardly idler");
        assert_eq!(loads(&[CROWDED - 1, 0]).next(0, 100, None), None);
        assert_eq!(loads(&[960, 0]).next(0, 900, None), None, "the other would be the crowded one");
        assert_eq!(loads(&[960, 0]).next(0, 0, None), None);
        assert_eq!(loads(&[960]).next(0, 100, None), None);
    }

    #[test]
    fn who_was_sent_away_rests_before_it_is_drawn_back() {
        std::thread::spawn(|| {
            become_worker(0);
            let loads = loads(&[0, 0]);
            let (mut seat, wakers) = (Seat::default(), Wakers::default());
            assert_eq!(loads.beat(IDLE - 1), IDLE_BEAT);
            seat.served(0);
            assert_eq!(loads.beat(CROWDED), BEAT);
            assert!(seat.is_time_to_think());
            assert_eq!(seat.next(&loads, &wakers), None, "the whole work is its own: where it goes is crowded then");
            assert!(!seat.is_time_to_think());
            Seat::default().served(2 * REQUEST_BYTES as usize);
            seat.served(0);
            loads.beat(CROWDED);
            assert_eq!(seat.next(&loads, &wakers), Some((1, MoveReason::Crowded)));
            (0..WAKES_MIN).for_each(|_| wakers.woken_by(Some(1)));
            loads.beat(10);
            assert_eq!(seat.next(&loads, &wakers), None);
            seat.rests_until = Some(Instant::now());
            (0..WAKES_MIN).for_each(|_| wakers.woken_by(Some(1)));
            loads.beat(10);
            assert_eq!(seat.next(&loads, &wakers), Some((1, MoveReason::Together)));
        })
        .join()
        .expect("no panic");
    }

    #[test]
    fn only_one_that_wakes_each_time_counts() {
        let woken = |by: &[Option<usize>]| {
            let wakers = Wakers::default();
            by.iter().for_each(|worker| wakers.woken_by(*worker));
            let taken = wakers.take();
            assert_eq!(wakers.take(), None);
            taken
        };
        assert_eq!(woken(&[Some(3), Some(3)]), Some((3, 2)));
        assert_eq!(woken(&[Some(3), Some(4), Some(4)]), None);
        assert_eq!(woken(&[Some(3), None]), None);
        assert_eq!(woken(&[]), None);
    }
}
