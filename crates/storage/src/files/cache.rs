//! A bound on open segment and index files.
//!
//! A partition that is idle keeps no file open: files open on use, and once more than the bound are open, one that was
//! not used lately is closed. "Lately" is the second-chance clock: a queue of open files with one bit per file, set on
//! use and cleared when the clock passes, so that use costs no lock and no list operation.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use crate::segment::{Kind, Segment};

/// The place of one open file inside its segment.
#[derive(Default)]
pub(crate) struct FileSlot {
    file: ArcSwapOption<File>,
    used: AtomicBool,
}

impl FileSlot {
    /// The open file, if it is open.
    pub(crate) fn get(&self) -> Option<Arc<File>> {
        let file = self.file.load_full()?;
        // A plain load first: a store on every use would bounce the line between cores.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
        Some(file)
    }
}

/// All open files of one [`crate::LogManager`].
pub(crate) struct FileCache {
    max: usize,
    open: AtomicUsize,
    /// Every open slot is in here once; entries of dropped segments and closed slots are skipped when met.
    clock: Mutex<VecDeque<(Weak<Segment>, Kind)>>,
}

impl FileCache {
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.max(1), open: AtomicUsize::new(0), clock: Mutex::default() }
    }

    /// How many segment and index files are open now.
    pub(crate) fn open_files(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Opens a file into its slot, closing others as needed. If another thread was faster, its file is used.
    pub(crate) fn insert(
        &self,
        segment: &Arc<Segment>,
        kind: Kind,
        open: impl FnOnce() -> io::Result<File>,
    ) -> io::Result<Arc<File>> {
        // Opening and closing files takes time: neither is done under the lock.
        let file = Arc::new(open()?);
        let mut closed = Vec::new();
        let mut clock = self.clock.lock();
        let slot = segment.slot(kind);
        if let Some(faster) = slot.get() {
            return Ok(faster);
        }
        while self.max <= self.open.load(Ordering::Relaxed) {
            let Some(victim) = self.take_one(&mut clock) else { break };
            closed.push(victim);
        }
        slot.file.store(Some(file.clone()));
        slot.used.store(false, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        clock.push_back((Arc::downgrade(segment), kind));
        if 2 * self.max < clock.len() {
            clock.retain(|(segment, kind)| segment.upgrade().is_some_and(|s| s.slot(*kind).file.load().is_some()));
        }
        drop(clock);
        drop(closed);
        Ok(file)
    }

    /// Takes out the first file that was not used since the clock passed it. `None` if nothing is left.
    fn take_one(&self, clock: &mut VecDeque<(Weak<Segment>, Kind)>) -> Option<Arc<File>> {
        // Two rounds: the first may only clear bits.
        for _ in 0..2 * clock.len() {
            let (weak, kind) = clock.pop_front()?;
            let Some(segment) = weak.upgrade() else { continue };
            let slot = segment.slot(kind);
            if slot.file.load().is_none() {
                continue;
            }
            if slot.used.swap(false, Ordering::Relaxed) {
                clock.push_back((weak, kind));
                continue;
            }
            return self.take(slot);
        }
        None
    }

    fn take(&self, slot: &FileSlot) -> Option<Arc<File>> {
        let file = slot.file.swap(None)?;
        self.open.fetch_sub(1, Ordering::Relaxed);
        Some(file)
    }

    /// Closes the slot's file. Users of the file keep it until they are done.
    pub(crate) fn close(&self, slot: &FileSlot) {
        drop(self.take(slot));
    }
}
