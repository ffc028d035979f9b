//! Committed offsets.
//!
//! A commit is checked and announced ([`Group::begin_commit`]), written to the log by the caller, and then either takes
//! effect ([`Group::commit_written`]) or is withdrawn ([`Group::commit_failed`]). Between the two its partitions are
//! *pending*: a fetch that requires stable offsets is refused, and expiry leaves them alone.
//!
//! Commits of transactional producers, which stay pending until the marker, belong beside these, by producer id.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use whimbrel_model::{ErrorCode, LeaderEpoch, Offset};

use super::messages::{Effect, Now};
use super::{CONSUMER_PROTOCOL_TYPE, Group, GroupState};

/// What a group has committed for one partition: the value of an offset record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: Offset,
    /// Of the last record read (KIP-320).
    pub leader_epoch: LeaderEpoch,
    /// The client's own; usually empty.
    pub metadata: Box<str>,
    pub commit_timestamp_ms: i64,
    /// Only from requests that ask for a retention time of their own (OffsetCommit versions 2 to 4).
    pub expire_timestamp_ms: Option<i64>,
}

/// Offsets of one topic, by partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicOffsets {
    pub topic: Arc<str>,
    pub partitions: Vec<(i32, CommittedOffset)>,
}

/// Who commits.
#[derive(Debug, Clone, Copy)]
pub struct CommitRequest<'a> {
    /// Empty if the consumer is not part of a group.
    pub member_id: &'a str,
    pub instance_id: Option<&'a str>,
    /// Negative if the consumer is not part of a group.
    pub generation: i32,
}

/// The answer to a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OffsetLookup {
    /// Nothing is committed.
    Absent,
    /// A commit is on its way, and the caller asked for stable offsets only.
    Unstable,
    Committed(CommittedOffset),
}

#[derive(Debug, Default)]
pub(super) struct Offsets {
    by_topic: HashMap<Arc<str>, HashMap<i32, Slot>>,
}

/// One partition, in 40 bytes: groups may commit to a hundred thousand.
#[derive(Debug)]
struct Slot {
    /// Where in the log the commit in force lies; [`NOT_COMMITTED`] while there is none. A later position wins,
    /// whatever the order in which the writes are confirmed: that is what a reader of the log sees.
    position: i64,
    offset: Offset,
    commit_timestamp_ms: i64,
    leader_epoch: LeaderEpoch,
    pending_count: u32,
    /// What few commits have.
    extra: Option<Box<Extra>>,
}

#[derive(Debug)]
struct Extra {
    metadata: Box<str>,
    expire_timestamp_ms: Option<i64>,
}

const NOT_COMMITTED: i64 = -1;
const _: () = assert!(size_of::<Slot>() == 40);

impl Slot {
    const NEW: Self = Self {
        position: NOT_COMMITTED,
        offset: Offset(-1),
        commit_timestamp_ms: -1,
        leader_epoch: LeaderEpoch::NONE,
        pending_count: 0,
        extra: None,
    };

    fn is_committed(&self) -> bool {
        self.position != NOT_COMMITTED
    }

    fn set(&mut self, value: CommittedOffset, position: i64) {
        if position < self.position {
            return;
        }
        let CommittedOffset { offset, leader_epoch, metadata, commit_timestamp_ms, expire_timestamp_ms } = value;
        self.position = position;
        self.offset = offset;
        self.leader_epoch = leader_epoch;
        self.commit_timestamp_ms = commit_timestamp_ms;
        let has_extra = !metadata.is_empty() || expire_timestamp_ms.is_some();
        self.extra = has_extra.then(|| Box::new(Extra { metadata, expire_timestamp_ms }));
    }

    fn value(&self) -> CommittedOffset {
        let extra = self.extra.as_deref();
        CommittedOffset {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: extra.map(|extra| extra.metadata.clone()).unwrap_or_default(),
            commit_timestamp_ms: self.commit_timestamp_ms,
            expire_timestamp_ms: extra.and_then(|extra| extra.expire_timestamp_ms),
        }
    }

    fn look_up(&self, requires_stable: bool) -> OffsetLookup {
        if requires_stable && self.pending_count > 0 {
            OffsetLookup::Unstable
        } else if self.is_committed() {
            OffsetLookup::Committed(self.value())
        } else {
            OffsetLookup::Absent
        }
    }

    /// An explicit expiry replaces the rule of retention since `base`.
    fn has_expired(&self, wall_ms: i64, base: Option<i64>, retention_ms: i64) -> bool {
        match self.extra.as_ref().and_then(|extra| extra.expire_timestamp_ms) {
            Some(expiry) => wall_ms >= expiry,
            None => wall_ms.saturating_sub(base.unwrap_or(self.commit_timestamp_ms)) >= retention_ms,
        }
    }
}

impl Offsets {
    pub fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }

    fn get(&self, topic: &str, partition: i32) -> Option<&Slot> {
        self.by_topic.get(topic)?.get(&partition)
    }

    fn topic_mut(&mut self, topic: &Arc<str>) -> &mut HashMap<i32, Slot> {
        // `entry` would cost a reference count for each topic that is known, which is nearly all.
        if !self.by_topic.contains_key(topic) {
            self.by_topic.insert(topic.clone(), HashMap::new());
        }
        self.by_topic.get_mut(topic).unwrap_or_else(|| unreachable!("the topic has just been inserted"))
    }

    fn remove(&mut self, topic: &str, partition: i32) {
        let Some(partitions) = self.by_topic.get_mut(topic) else { return };
        partitions.remove(&partition);
        if partitions.is_empty() {
            self.by_topic.remove(topic);
        }
    }
}

impl Group {
    /// Checks a commit and marks its partitions as pending. It counts as a heartbeat.
    ///
    /// # Errors
    /// `COORDINATOR_NOT_AVAILABLE` (dead), `UNKNOWN_MEMBER_ID`, `FENCED_INSTANCE_ID`, `ILLEGAL_GENERATION`,
    /// `REBALANCE_IN_PROGRESS`. Nothing is pending then.
    pub fn begin_commit(
        &mut self,
        now: Now,
        request: CommitRequest<'_>,
        topics: &[TopicOffsets],
        effects: &mut Vec<Effect>,
    ) -> Result<(), ErrorCode> {
        self.check_commit(request)?;
        match self.state {
            GroupState::Empty => {}
            // The heartbeat will tell the consumer to rejoin; what it has processed until then still counts.
            GroupState::Stable | GroupState::PreparingRebalance => self.touch(now, request.member_id, effects),
            GroupState::CompletingRebalance => return Err(ErrorCode::RebalanceInProgress),
            GroupState::Dead => return Err(ErrorCode::CoordinatorNotAvailable),
        }
        for TopicOffsets { topic, partitions } in topics {
            if partitions.is_empty() {
                continue;
            }
            let slots = self.offsets.topic_mut(topic);
            for (partition, _) in partitions {
                slots.entry(*partition).or_insert(Slot::NEW).pending_count += 1;
            }
        }
        Ok(())
    }

    fn check_commit(&self, request: CommitRequest<'_>) -> Result<(), ErrorCode> {
        let CommitRequest { member_id, instance_id, generation } = request;
        if self.state == GroupState::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        if generation < 0 && self.state == GroupState::Empty {
            // An administrator, or a consumer that only stores offsets here.
            return Ok(());
        }
        if generation < 0 && member_id.is_empty() && instance_id.is_none() {
            // The group has members, and only they may commit.
            return Err(ErrorCode::UnknownMemberId);
        }
        self.validate_member(member_id, instance_id)?;
        if generation == self.generation { Ok(()) } else { Err(ErrorCode::IllegalGeneration) }
    }

    /// The records of a commit are in the log; the batch begins at `position`.
    ///
    /// Partitions that were removed meanwhile (their topic was deleted) stay away.
    pub fn commit_written(&mut self, topics: Vec<TopicOffsets>, position: Offset) {
        for TopicOffsets { topic, partitions } in topics {
            let Some(slots) = self.offsets.by_topic.get_mut(&topic) else { continue };
            for (partition, value) in partitions {
                if let Some(slot) = slots.get_mut(&partition).filter(|slot| slot.pending_count > 0) {
                    slot.pending_count -= 1;
                    slot.set(value, position.0);
                }
            }
        }
    }

    /// The records of a commit did not make it into the log, or it is not known whether they did.
    pub fn commit_failed(&mut self, topics: &[TopicOffsets]) {
        for TopicOffsets { topic, partitions } in topics {
            for (partition, _) in partitions {
                let Some(slots) = self.offsets.by_topic.get_mut(topic) else { break };
                let Some(slot) = slots.get_mut(partition).filter(|slot| slot.pending_count > 0) else { continue };
                slot.pending_count -= 1;
                if slot.pending_count == 0 && !slot.is_committed() {
                    self.offsets.remove(topic, *partition);
                }
            }
        }
    }

    /// An offset record read from the log at `position`.
    pub fn load_offset(&mut self, topic: &Arc<str>, partition: i32, value: CommittedOffset, position: Offset) {
        self.offsets.topic_mut(topic).entry(partition).or_insert(Slot::NEW).set(value, position.0);
    }

    /// Forgets offsets; their tombstones are in the log.
    pub fn remove_offsets<'a>(&mut self, partitions: impl IntoIterator<Item = (&'a str, i32)>) {
        for (topic, partition) in partitions {
            self.offsets.remove(topic, partition);
        }
    }

    /// What is committed for a partition.
    #[must_use]
    pub fn committed_offset(&self, topic: &str, partition: i32, requires_stable: bool) -> OffsetLookup {
        match self.offsets.get(topic, partition) {
            Some(slot) if self.state != GroupState::Dead => slot.look_up(requires_stable),
            _ => OffsetLookup::Absent,
        }
    }

    /// All that is committed, topic by topic; never `Absent`.
    pub fn committed_offsets(
        &self,
        requires_stable: bool,
    ) -> impl Iterator<Item = (&Arc<str>, impl Iterator<Item = (i32, OffsetLookup)>)> {
        let is_alive = self.state != GroupState::Dead;
        self.offsets.by_topic.iter().filter(move |_| is_alive).filter_map(move |(topic, slots)| {
            let mut committed = slots.iter().filter(|(_, slot)| slot.is_committed()).peekable();
            committed.peek()?;
            Some((topic, committed.map(move |(partition, slot)| (*partition, slot.look_up(requires_stable)))))
        })
    }

    /// The number of partitions with a committed offset.
    #[must_use]
    pub fn committed_offset_count(&self) -> usize {
        self.offsets.by_topic.values().map(|slots| slots.values().filter(|slot| slot.is_committed()).count()).sum()
    }

    /// All partitions that have an offset, committed or pending.
    #[must_use]
    pub fn all_offset_partitions(&self) -> Vec<(Arc<str>, i32)> {
        self.select_offsets(|_, _| true)
    }

    /// Those of a topic that is being deleted.
    #[must_use]
    pub fn offset_partitions_of(&self, topic: &str) -> Vec<(Arc<str>, i32)> {
        let Some((topic, slots)) = self.offsets.by_topic.get_key_value(topic) else { return Vec::new() };
        slots.keys().map(|partition| (topic.clone(), *partition)).collect()
    }

    /// True if the partition has an offset, committed or pending.
    #[must_use]
    pub fn has_offset(&self, topic: &str, partition: i32) -> bool {
        self.offsets.get(topic, partition).is_some()
    }

    /// The offsets that are due to be forgotten (KIP-211).
    ///
    /// - A group whose members have all gone: all, `retention_ms` after the last of them left.
    /// - A stable consumer group whose subscriptions are known: those of topics that nobody subscribes to any more.
    /// - A group that only stores offsets: each, `retention_ms` after it was committed.
    /// - Any other: none.
    #[must_use]
    pub fn expired_offsets(&self, wall_ms: i64, retention_ms: i64) -> Vec<(Arc<str>, i32)> {
        let is_due = |slot: &Slot, base| slot.pending_count == 0 && slot.has_expired(wall_ms, base, retention_ms);
        match (self.protocol_type.as_deref(), self.state) {
            (None, GroupState::Empty) => self.select_offsets(|_, slot| is_due(slot, None)),
            (Some(_), GroupState::Empty) => self.select_offsets(|_, slot| is_due(slot, self.state_timestamp_ms)),
            (Some(CONSUMER_PROTOCOL_TYPE), GroupState::Stable) if self.subscribed_topics.is_some() => {
                self.select_offsets(|topic, slot| !self.is_subscribed_to(topic) && is_due(slot, None))
            }
            _ => Vec::new(),
        }
    }

    /// OffsetDelete: whether the group is one that offsets can be taken from at all.
    ///
    /// # Errors
    /// `NON_EMPTY_GROUP` if it has members whose subscriptions cannot be known. The caller looks after a dead group.
    pub fn check_offset_delete(&self) -> Result<(), ErrorCode> {
        let is_consumer = self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE);
        let has_no_members = matches!(self.state, GroupState::Empty | GroupState::Dead);
        if has_no_members || is_consumer { Ok(()) } else { Err(ErrorCode::NonEmptyGroup) }
    }

    /// OffsetDelete: whether the offsets of a topic may be taken.
    ///
    /// # Errors
    /// `GROUP_SUBSCRIBED_TO_TOPIC` while a member reads the topic, or may do so for all that is known.
    pub fn check_topic_offset_delete(&self, topic: &str) -> Result<(), ErrorCode> {
        let has_no_members = matches!(self.state, GroupState::Empty | GroupState::Dead);
        if !has_no_members && self.is_subscribed_to(topic) {
            return Err(ErrorCode::GroupSubscribedToTopic);
        }
        Ok(())
    }

    fn select_offsets(&self, mut is_chosen: impl FnMut(&str, &Slot) -> bool) -> Vec<(Arc<str>, i32)> {
        let mut chosen = Vec::new();
        for (topic, slots) in &self.offsets.by_topic {
            for (partition, slot) in slots {
                if is_chosen(topic, slot) {
                    chosen.push((topic.clone(), *partition));
                }
            }
        }
        chosen
    }
}
