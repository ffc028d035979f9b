//! What all clients of one load share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::batch::KEY_BYTES;
use super::clock::Clock;
use super::leaders::LeaderWatch;
use super::topics::Topics;
use crate::bench::histogram::Recording;
use crate::bench::uptime::UptimeRecorder;
use crate::bench::workload::{Keys, Workload};

/// What all clients of one load share.
pub struct Shared {
    pub workload: Workload,
    pub topics: Arc<Topics>,
    pub clock: Clock,
    pub leaders: LeaderWatch,
    pub recording: Recording,
    pub errors: Errors,
    pub live: Live,
    /// Where it is to be known who could be produced to and consumed, when.
    pub uptime: Option<Arc<UptimeRecorder>>,
    /// The versions in which every broker understands Produce and Fetch.
    pub versions: Versions,
    /// Nothing more is handed over, also of what was due before the end.
    pub is_cut_short: AtomicBool,
    /// Nothing more is sent; set early when the load is given up.
    pub is_over: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
pub struct Versions {
    pub produce: i16,
    pub fetch: i16,
}

/// Counters for whoever watches.
#[derive(Debug, Default)]
pub struct Live {
    pub acknowledged: AtomicU64,
    pub consumed: AtomicU64,
    pub errors: AtomicU64,
}

/// Texts of errors, and how often each was met.
#[derive(Debug, Default)]
pub struct Errors(Mutex<BTreeMap<String, u64>>);

impl Errors {
    pub fn take(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shared {
    /// Key and value of a record.
    pub fn bytes_of_record(&self) -> usize {
        let key_bytes = if self.workload.keys == Keys::None { 0 } else { KEY_BYTES };
        self.workload.record_bytes + key_bytes
    }

    /// Ends the load before its time, which `why` is told of.
    pub fn cut_short(&self, why: &str) {
        self.is_cut_short.store(true, Ordering::Relaxed);
        self.clock.cut_short();
        self.error(0, format!("ended after {:.1} s: {why}", self.clock.now() as f64 / 1e9));
    }

    /// An error that a client met: it counts, whether what failed is repeated or not.
    pub fn error(&self, client: usize, text: String) {
        *self.errors.0.lock().unwrap_or_else(PoisonError::into_inner).entry(text).or_default() += 1;
        self.live.errors.fetch_add(1, Ordering::Relaxed);
        self.recording.shard(client).error(self.clock.now());
    }
}
