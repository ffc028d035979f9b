//! Replicas of this broker whose logs are damaged: what is known of them, and what is done to them.
//!
//! `whimbrel_state::partition::repair` decides, `crate::repair` asks it. Everything here is done under the lock of the
//! control requests, so that no role changes meanwhile. These calls rename and make directories: they block.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use whimbrel_model::{LeaderEpoch, NodeId, Offset, TopicPartition, Uuid};
use whimbrel_state::controller::control::LeaderAndIsrRequest;
use whimbrel_state::partition::repair::Told;
use whimbrel_storage::{self as storage, LogManager, ReadMode, SetAsideError, StorageError};

use super::{ConfigFor, Partition, ReadError, ReplicaManager, RoleChanges};
use crate::time;

/// How much is read to see whether a place is damaged.
const LOOK_BYTES: usize = 4096;

/// What is known of the damaged replicas.
#[derive(Debug, Default)]
pub struct DamagedReplicas {
    known: Mutex<BTreeMap<TopicPartition, Known>>,
    /// In use, and a read met damage there.
    suspects: Mutex<Suspects>,
    /// There is something to look at.
    pub news: Notify,
}

/// A client may read a damaged place of a last copy again and again, and each look takes the lock of the control requests.
const LOOK_PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Suspects<S = Suspect> {
    waiting: BTreeMap<TopicPartition, S>,
    /// When each was taken to be looked at, within the last [`LOOK_PAUSE`].
    looked_at: BTreeMap<TopicPartition, Instant>,
}

impl<S> Default for Suspects<S> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), looked_at: BTreeMap::new() }
    }
}

impl<S> Suspects<S> {
    /// False if it was looked at a moment ago: whoever reads there will come again.
    fn add(&mut self, name: &TopicPartition, suspect: S, now: Instant) -> bool {
        self.looked_at.retain(|_, at| now < *at + LOOK_PAUSE);
        if self.looked_at.contains_key(name) {
            return false;
        }
        self.waiting.insert(name.clone(), suspect);
        true
    }

    fn take(&mut self, now: Instant) -> Vec<S> {
        let waiting = std::mem::take(&mut self.waiting);
        self.looked_at.extend(waiting.keys().map(|name| (name.clone(), now)));
        waiting.into_values().collect()
    }
}

#[derive(Debug, Clone, Copy)]
struct Known {
    /// See [`Told::damaged_in`].
    damaged_in: LeaderEpoch,
    told: Option<ToldReplica>,
}

/// The role that a damaged replica was told and could not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToldReplica {
    pub told: Told,
    /// Zero if the topic has none.
    pub topic_id: Uuid,
}

/// A replica whose log a reader found to be damaged.
#[derive(Debug, Clone)]
pub struct Suspect {
    pub partition: Arc<Partition>,
    /// Where the read began that met it.
    pub offset: Offset,
}

/// What became of a suspect.
#[derive(Debug)]
pub enum Inspected {
    /// It was taken out of use: the controller has to hear of it.
    TakenOut(RoleChanges),
    /// It is damaged, and stays in use since no other replica is in sync: what is whole can still be read.
    OnlyCopy,
    /// It is not damaged, or another replica by now.
    Sound,
}

impl DamagedReplicas {
    /// The damaged replicas that were told a role.
    pub fn told(&self) -> Vec<(TopicPartition, ToldReplica)> {
        let known = self.known.lock();
        known.iter().filter_map(|(name, known)| Some((name.clone(), known.told?))).collect()
    }

    /// The suspects, each once.
    pub fn take_suspects(&self) -> Vec<Suspect> {
        self.suspects.lock().take(Instant::now())
    }

    /// Notes what damaged replicas are told. They are not told it in vain: it is the sign to look at coordination.
    pub(super) fn note_told(&self, request: &LeaderAndIsrRequest, logs: &LogManager) {
        let mut known = self.known.lock();
        for topic in &request.topics {
            for wanted in &topic.partitions {
                let name = TopicPartition::new(topic.name.clone(), wanted.index);
                if !logs.is_damaged(&name) {
                    continue;
                }
                let entry = known.entry(name).or_insert(Known { damaged_in: LeaderEpoch::NONE, told: None });
                let told = Told {
                    leader: wanted.leader,
                    leader_epoch: wanted.leader_epoch,
                    controller_epoch: request.header.controller_epoch,
                    damaged_in: entry.damaged_in,
                };
                // A request that hung in a broken connection may come late.
                let age = |told: &Told| (told.controller_epoch, told.leader_epoch);
                if entry.told.is_none_or(|before| age(&before.told) <= age(&told)) {
                    entry.told = Some(ToldReplica { told, topic_id: topic.id });
                }
            }
        }
        drop(known);
        self.news.notify_one();
    }

    /// Forgets replicas that are not damaged any more.
    pub(super) fn forget_sound(&self, logs: &LogManager) {
        self.known.lock().retain(|name, _| logs.is_damaged(name));
    }
}

impl ReplicaManager {
    /// The replicas whose logs are damaged.
    pub fn damaged(&self) -> &DamagedReplicas {
        &self.damaged
    }

    /// A reader at `offset` got `error`. Does not block. Returns whether that is news: a client at a damaged place of a
    /// last copy comes again at once, hundreds of times a second.
    pub fn read_failed(&self, partition: &Arc<Partition>, offset: Offset, error: &ReadError) -> bool {
        if !matches!(error, ReadError::Storage(StorageError::Damaged { .. })) {
            return true;
        }
        let suspect = Suspect { partition: partition.clone(), offset };
        let is_news = self.damaged.suspects.lock().add(&partition.topic_partition, suspect, Instant::now());
        if is_news {
            self.damaged.news.notify_one();
        }
        is_news
    }

    /// Looks at a suspect again, and takes it out of use if it is damaged and others can go on without it.
    ///
    /// One that is alone in the ISR stays: nobody could take over, and most of its log may be whole. What only a leader has
    /// that is taken out, records of `acks=1` in their first milliseconds, goes with it, as when its process ends.
    pub fn inspect(&self, suspect: &Suspect) -> Inspected {
        let (partition, name) = (&suspect.partition, &suspect.partition.topic_partition);
        let _epochs = self.control.lock();
        let hosted = self.topics.pin().get(&name.topic).cloned().unwrap_or_default();
        let mut left = BTreeMap::clone(&hosted.partitions.load());
        let is_this = left.get(&name.partition).is_some_and(|known| Arc::ptr_eq(known, partition));
        let Some(reason) = damage_at(partition, suspect.offset).filter(|_| is_this) else { return Inspected::Sound };
        if !self.has_successor(partition) {
            return Inspected::OnlyCopy;
        }
        let epoch = partition.leader_epoch();
        self.damaged.known.lock().insert(name.clone(), Known { damaged_in: epoch, told: None });
        left.remove(&name.partition);
        self.replace(&name.topic, &hosted, left);
        // Only now, when no new request finds it: whoever still holds it gets an error from its log.
        self.logs.take_out(name, &reason);
        partition.wake_all();
        tracing::error!(partition = %name, reason, "the log is damaged and is taken out of use");
        Inspected::TakenOut(RoleChanges { stopped: vec![(partition.clone(), epoch)], ..RoleChanges::default() })
    }

    /// Whether another member of the in-sync set is alive, as far as this broker knows.
    fn has_successor(&self, partition: &Partition) -> bool {
        let image = self.metadata.image();
        let is_other = |node: &NodeId| *node != self.own && image.brokers.contains_key(node);
        match partition.in_sync_followers() {
            Some(followers) => followers.iter().any(|follower| is_other(&follower.node)),
            None => {
                let TopicPartition { topic, partition } = &partition.topic_partition;
                image.partition(topic, *partition).is_some_and(|told| told.isr.iter().any(is_other))
            }
        }
    }

    /// Sets a damaged log aside and makes an empty one, if its role is still the one that was `judged`. False if it is not.
    ///
    /// # Errors
    /// What keeps it from being done.
    pub fn set_aside(
        &self,
        name: &TopicPartition,
        judged: &ToldReplica,
        config_for: ConfigFor<'_>,
    ) -> Result<bool, SetAsideError> {
        let _epochs = self.control.lock();
        let now = self.damaged.known.lock().get(name).and_then(|known| known.told);
        if now != Some(*judged) {
            return Ok(false);
        }
        let config = super::log_config(&config_for(&name.topic));
        let topic_id = (!judged.topic_id.is_zero()).then_some(judged.topic_id);
        let result = self.logs.set_aside(name, config, topic_id, time::wall_clock_ms());
        self.damaged.forget_sound(&self.logs);
        result.map(|_| true)
    }
}

/// What is wrong with the log at this place.
fn damage_at(partition: &Partition, offset: Offset) -> Option<String> {
    match partition.log.read(offset, partition.log.log_end_offset(), LOOK_BYTES, true, ReadMode::MayBlock) {
        Err(storage::ReadError::Storage(error @ StorageError::Damaged { .. })) => Some(error.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_model::{BrokerEpoch, ControllerEpoch, PartitionEpoch};
    use whimbrel_state::controller::control::{
        ControlHeader, LeaderAndIsrPartition, LeaderAndIsrTopic, LeaderRecoveryState,
    };
    use whimbrel_storage::{Creation, LogManagerConfig};

    use super::*;

    fn request(controller_epoch: i32, leader: i32, leader_epoch: i32) -> LeaderAndIsrRequest {
        let partition = |index| LeaderAndIsrPartition {
            index,
            controller_epoch: ControllerEpoch(controller_epoch),
            leader: NodeId(leader),
            leader_epoch: LeaderEpoch(leader_epoch),
            isr: vec![NodeId(leader)],
            partition_epoch: PartitionEpoch(0),
            replicas: vec![NodeId(1), NodeId(2)],
            adding_replicas: Vec::new(),
            removing_replicas: Vec::new(),
            is_new: false,
            recovery_state: LeaderRecoveryState::Recovered,
        };
        LeaderAndIsrRequest {
            header: ControlHeader {
                controller_id: NodeId(1),
                controller_epoch: ControllerEpoch(controller_epoch),
                broker_epoch: BrokerEpoch(-1),
            },
            topics: vec![LeaderAndIsrTopic {
                name: "t".into(),
                id: Uuid([1; 16]),
                partitions: vec![partition(0), partition(1)],
            }],
            live_leaders: Vec::new(),
        }
    }

    #[test]
    fn a_suspect_is_looked_at_at_once_and_again_after_a_pause() {
        let (one, two) = (TopicPartition::new("t", 1), TopicPartition::new("t", 2));
        let mut suspects = Suspects::default();
        let now = Instant::now();
        assert!(suspects.add(&one, 10, now) && suspects.add(&one, 11, now));
        assert_eq!(suspects.take(now), [11]);
        let soon = now + LOOK_PAUSE / 2;
        assert!(!suspects.add(&one, 12, soon) && suspects.add(&two, 20, soon));
        assert_eq!(suspects.take(soon), [20]);
        let later = now + LOOK_PAUSE;
        assert!(suspects.add(&one, 13, later) && !suspects.add(&two, 21, later));
        assert_eq!(suspects.take(later), [13]);
    }

    #[test]
    fn the_newest_role_of_a_damaged_replica_is_remembered_until_it_is_sound() {
        let dir = tempfile::tempdir().expect("a directory");
        let (logs, _) = LogManager::open(LogManagerConfig::new(vec![dir.path().to_owned()]), 0).expect("opened");
        for index in [0, 1] {
            let how = Creation { topic_id: None, is_new: true, now_ms: 0 };
            logs.get_or_create(&TopicPartition::new("t", index), Arc::default(), how).expect("created");
        }
        let name = TopicPartition::new("t", 0);
        logs.take_out(&name, "a bad batch");
        let damaged = DamagedReplicas::default();
        let told = |damaged: &DamagedReplicas| {
            let told = damaged.told();
            told.iter()
                .map(|(name, replica)| (name.clone(), replica.told.leader, replica.told.leader_epoch))
                .collect::<Vec<_>>()
        };
        damaged.note_told(&request(3, 2, 5), &logs);
        assert_eq!(told(&damaged), [(name.clone(), NodeId(2), LeaderEpoch(5))]);
        // Two that come late.
        damaged.note_told(&request(3, 1, 4), &logs);
        damaged.note_told(&request(2, 1, 6), &logs);
        assert_eq!(told(&damaged), [(name.clone(), NodeId(2), LeaderEpoch(5))]);
        damaged.note_told(&request(4, -1, 6), &logs);
        assert_eq!(told(&damaged), [(name.clone(), NodeId::NONE, LeaderEpoch(6))]);

        logs.set_aside(&name, Arc::default(), None, 0).expect("set aside");
        damaged.forget_sound(&logs);
        assert!(damaged.told().is_empty());
        logs.close();
    }
}
