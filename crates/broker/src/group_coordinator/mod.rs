//! The group coordinator: the driver of the groups whose partition of `__consumer_offsets` this broker leads.
//!
//! ```text
//! request ─▶ GroupCoordinator ─▶ Shard (one partition) ─▶ GroupCell (lock) ─▶ state::group::Group
//!                                                              │ effects
//!              answers (oneshot) ◀── timers (wheel) ◀──────────┴──▶ append to the partition, wait until committed
//! ```
//!
//! - One lock around one group. Under it a request is decided and its records are appended, so that the log has the
//!   changes of a group in the order in which they were decided; it is never held while anything is waited for.
//! - Becoming leader of a partition loads its groups on a thread that may block; meanwhile requests for them see
//!   COORDINATOR_LOAD_IN_PROGRESS. Losing it answers everybody who waits with NOT_COORDINATOR.
//! - What a handler gets are codes and values of `state::group`; versions and wire types stay in the handlers.
//!
//! Lock order: a group, then the list of groups of its shard, the timers, or a partition. Source: `GroupCoordinator.scala`.

mod cleanup;
mod driver;
mod errors;
mod loader;
mod records;
mod requests;
mod shard;
mod timers;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use foldhash::HashMap;
use parking_lot::RwLock;
use tokio::runtime::Handle;
use whimbrel_model::record::{Codec, Compression};
use whimbrel_model::{ErrorCode, LeaderEpoch};
use whimbrel_state::group::{GroupState, Now, Settings};

use crate::config::BrokerConfig;
use crate::metadata_cache::MetadataCache;
use crate::metrics::Gauges;
use crate::replica_manager::Partition;
use crate::{time, topics};

use shard::Shard;
use timers::Timers;

/// Whether an API takes the empty group id. Those that only store and show offsets do, for old clients' sake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmptyGroupId {
    Allowed,
    Refused,
}

/// All groups that this broker coordinates.
pub struct GroupCoordinator {
    metadata: Arc<MetadataCache>,
    settings: Settings,
    offsets: OffsetSettings,
    /// Loads, time-outs and waits for the log outlive the connection that caused them, and run here.
    runtime: Handle,
    /// Requests are refused before the start and after the stop.
    is_active: AtomicBool,
    /// Partitions of `__consumer_offsets` in which a leader epoch has been seen, by index.
    shards: RwLock<HashMap<i32, Seat>>,
    /// Fixed once the topic has been seen, as in Kafka: with another count all groups would be looked for elsewhere.
    partition_count: OnceLock<i32>,
    timers: Timers,
    next_caller: AtomicU64,
}

/// What is known of one partition of `__consumer_offsets`.
struct Seat {
    /// The newest leader epoch seen. Notices of earlier ones come late and are ignored.
    epoch: LeaderEpoch,
    /// `Some` while this broker leads.
    shard: Option<Arc<Shard>>,
}

/// The settings of `__consumer_offsets`.
#[derive(Debug, Clone)]
struct OffsetSettings {
    topic_partitions: i32,
    compression: Compression,
    retention: Duration,
    retention_check_interval: Duration,
    commit_timeout: Duration,
    load_buffer_bytes: usize,
}

impl GroupCoordinator {
    /// A coordinator that leads nothing yet. `runtime` has to be able to block threads.
    #[must_use]
    pub fn new(config: &BrokerConfig, metadata: Arc<MetadataCache>, runtime: Handle) -> Arc<Self> {
        let (groups, offsets) = (&config.groups, &config.offsets);
        let codec = Codec::from_id(offsets.topic_compression_codec).unwrap_or(Codec::None);
        Arc::new(Self {
            metadata,
            settings: Settings {
                session_timeout_min: groups.session_timeout_min,
                session_timeout_max: groups.session_timeout_max,
                group_size_max: groups.members_max,
                initial_rebalance_delay: groups.initial_rebalance_delay,
            },
            offsets: OffsetSettings {
                topic_partitions: offsets.topic_partitions,
                compression: Compression::new(codec),
                retention: offsets.retention,
                retention_check_interval: offsets.retention_check_interval,
                commit_timeout: offsets.commit_timeout,
                load_buffer_bytes: offsets.load_buffer_bytes,
            },
            runtime,
            is_active: AtomicBool::new(false),
            shards: RwLock::default(),
            partition_count: OnceLock::new(),
            timers: Timers::default(),
            next_caller: AtomicU64::new(0),
        })
    }

    /// Accepts requests, and starts time-outs and the expiry of offsets.
    pub fn start(self: &Arc<Self>) {
        self.is_active.store(true, Ordering::SeqCst);
        self.runtime.spawn(self.clone().run_timers());
        self.runtime.spawn(self.clone().run_expiry());
    }

    /// Refuses further requests and answers those that wait.
    pub fn stop(self: &Arc<Self>) {
        self.is_active.store(false, Ordering::SeqCst);
        self.timers.wake();
        let seats: Vec<i32> = self.shards.read().keys().copied().collect();
        for partition in seats {
            self.on_resign(partition, None);
        }
    }

    /// This broker became leader of a partition of `__consumer_offsets`: loads its groups in the background.
    pub fn on_become_leader(self: &Arc<Self>, partition: &Arc<Partition>, epoch: LeaderEpoch) {
        let index = partition.topic_partition.partition;
        let mut seats = self.shards.write();
        let seat = seats.entry(index).or_insert(Seat { epoch: LeaderEpoch::NONE, shard: None });
        if epoch < seat.epoch {
            return tracing::info!(partition = index, epoch = epoch.0, "an earlier election comes late and is ignored");
        }
        seat.epoch = epoch;
        if seat.shard.is_some() {
            // Elected again: nobody else can have written in between.
            return;
        }
        let shard = Shard::new(partition.clone());
        seat.shard = Some(shard.clone());
        drop(seats);
        let coordinator = self.clone();
        self.runtime.spawn_blocking(move || coordinator.load(&shard));
    }

    /// This broker no longer leads a partition of `__consumer_offsets`; `epoch` is `None` if it no longer has it at all.
    pub fn on_resign(self: &Arc<Self>, partition: i32, epoch: Option<LeaderEpoch>) {
        let mut seats = self.shards.write();
        let Some(seat) = seats.get_mut(&partition) else { return };
        let Some(epoch) = epoch else {
            // The partition is gone. One that is created in its place counts its epochs from the start.
            let gone = seats.remove(&partition).and_then(|seat| seat.shard);
            drop(seats);
            return gone.into_iter().for_each(|shard| self.unload(&shard));
        };
        if epoch < seat.epoch {
            return tracing::info!(partition, epoch = epoch.0, "an earlier resignation comes late and is ignored");
        }
        seat.epoch = epoch;
        let shard = seat.shard.take();
        drop(seats);
        if let Some(shard) = shard {
            self.unload(&shard);
        }
    }

    /// The partition of `__consumer_offsets` that a group lives in.
    #[must_use]
    pub fn partition_for(&self, group_id: &str) -> i32 {
        partition_of(group_id, self.partition_count())
    }

    fn partition_count(&self) -> i32 {
        if let Some(count) = self.partition_count.get() {
            return *count;
        }
        match self.metadata.image().topic(topics::CONSUMER_OFFSETS) {
            Some(topic) => {
                let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX).max(1);
                *self.partition_count.get_or_init(|| count)
            }
            // It will be created with this many.
            None => self.offsets.topic_partitions,
        }
    }

    /// Sets the gauges of groups.
    pub fn report(&self, gauges: &Gauges) {
        use GroupState::{CompletingRebalance, Dead, Empty, PreparingRebalance, Stable};
        let groups: Vec<_> = self.active_shards().iter().flat_map(|shard| shard.groups()).collect();
        let seen: Vec<_> = groups
            .iter()
            .map(|cell| {
                let machine = &cell.lock().machine;
                (machine.state(), machine.member_count())
            })
            .collect();
        for state in [Empty, PreparingRebalance, CompletingRebalance, Stable, Dead] {
            gauges.groups(state.name(), seen.iter().filter(|(s, _)| *s == state).count());
        }
        let members = seen.iter().map(|(_, members)| members).sum::<usize>();
        gauges.group_members.set(i64::try_from(members).unwrap_or(i64::MAX));
    }

    /// The shard of a group, once it is sure that the group is this broker's.
    ///
    /// # Errors
    /// In this order: `INVALID_GROUP_ID`, `COORDINATOR_NOT_AVAILABLE` (not started), `COORDINATOR_LOAD_IN_PROGRESS`,
    /// `NOT_COORDINATOR`.
    fn shard_for(&self, group_id: &str, empty: EmptyGroupId) -> Result<Arc<Shard>, ErrorCode> {
        if group_id.is_empty() && empty == EmptyGroupId::Refused {
            return Err(ErrorCode::InvalidGroupId);
        }
        if !self.is_active.load(Ordering::SeqCst) {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let seats = self.shards.read();
        let shard = seats.get(&self.partition_for(group_id)).and_then(|seat| seat.shard.as_ref());
        let shard = shard.ok_or(ErrorCode::NotCoordinator)?;
        if shard.is_loading() {
            return Err(ErrorCode::CoordinatorLoadInProgress);
        }
        Ok(shard.clone())
    }

    fn active_shards(&self) -> Vec<Arc<Shard>> {
        let seats = self.shards.read();
        seats.values().filter_map(|seat| seat.shard.clone()).filter(|shard| !shard.is_loading()).collect()
    }

    fn is_loading_any(&self) -> bool {
        self.shards.read().values().filter_map(|seat| seat.shard.as_ref()).any(|shard| shard.is_loading())
    }

    fn now() -> Now {
        let elapsed = Duration::from_millis(u64::try_from(time::monotonic_ms()).unwrap_or(0));
        Now { elapsed, wall_ms: time::wall_clock_ms() }
    }
}

impl fmt::Debug for GroupCoordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupCoordinator").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The absolute value of Java's `String.hashCode` of the id, modulo the number of partitions. Every broker and every
/// tool has to agree on it.
fn partition_of(id: &str, partition_count: i32) -> i32 {
    let hash = id.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Kafka takes 0 for the one number that has no positive counterpart.
    hash.checked_abs().unwrap_or(0) % partition_count
}

#[cfg(test)]
mod tests;
