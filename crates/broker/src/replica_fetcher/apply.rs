//! What a fetcher does with an answer: appends, cuts, asks where the leader's log begins and ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use whimbrel_model::{ErrorCode, LeaderEpoch, Offset, TopicPartition};
use whimbrel_state::partition::follower::{
    Realign, Recourse, realign, recourse, truncation, truncation_before_following,
};
use whimbrel_storage::AppendError;
use whimbrel_wire::ListOffsetsRequest;
use whimbrel_wire::fetch::PartitionData;
use whimbrel_wire::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};

use super::fetcher::Fetcher;
use crate::purgatory::{Event, Waiter};
use crate::replica_manager::{Cut, FetchedBatches, FollowerError, Partition, Side};

/// The version of ListOffsets that goes with Kafka 3.9's inter-broker protocol.
const LIST_OFFSETS_VERSION: i16 = 9;
/// Special timestamps of ListOffsets.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// How long a follower waits for its own disk before it looks whether that still works.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// What one answer leaves to be done for many partitions at once.
#[derive(Default)]
pub(super) struct Round {
    cuts: Vec<(TopicPartition, Offset)>,
    lost: Vec<TopicPartition>,
    unflushed: Vec<Arc<Partition>>,
}

impl Fetcher {
    /// Prepares partitions that are followed from now on.
    pub(super) fn begin(&mut self, keys: &[TopicPartition]) {
        let cut = |key: &TopicPartition| {
            let to = truncation_before_following(&*self.tracked.get(key)?.partition)?;
            Some((key.clone(), to))
        };
        let cuts: Vec<_> = keys.iter().filter_map(cut).collect();
        self.cut(&cuts);
    }

    /// Takes in what the leader answered for one partition.
    pub(super) fn take_in(&mut self, key: TopicPartition, data: PartitionData, round: &mut Round) {
        let longest = self.shared.config.fetch_backoff_max;
        let Some(tracked) = self.tracked.get_mut(&key) else { return };
        let code = ErrorCode::from_code(data.error_code);
        if !code.is_ok() {
            match recourse(code, tracked.epoch, tracked.partition.leader_epoch()) {
                Recourse::AskForEnds => round.lost.push(key),
                Recourse::Stop => {
                    tracing::info!(partition = %key, epoch = %tracked.epoch, "not fetched until the controller says more");
                    tracked.has_stopped = true;
                }
                Recourse::BackOff => {
                    tracing::debug!(partition = %key, "cannot be fetched: {code}");
                    tracked.back_off(Instant::now(), longest);
                }
            }
            return;
        }
        let diverging = &data.diverging_epoch;
        if 0 <= diverging.epoch || 0 <= diverging.end_offset {
            // Nothing else of the answer counts: what it says of the high watermark is about another history.
            let leader = (LeaderEpoch(diverging.epoch), Offset(diverging.end_offset));
            let to = truncation(&*tracked.partition, leader, tracked.offset);
            tracing::info!(partition = %key, leader_epoch = %leader.0, leader_end = %leader.1, %to, "the log diverges");
            round.cuts.push((key, to));
            return;
        }
        let fetched = FetchedBatches {
            epoch: tracked.epoch,
            from: tracked.offset,
            records: data.records.and_then(whimbrel_wire::Records::into_bytes).unwrap_or_default(),
            high_watermark: Offset(data.high_watermark),
            log_start: Offset(data.log_start_offset),
        };
        match tracked.partition.append_fetched(&fetched) {
            Ok(followed) => {
                tracked.succeeded();
                if !fetched.records.is_empty() {
                    tracked.refresh();
                }
                tracked.has_caught_up = fetched.high_watermark <= tracked.offset;
                if tracked.partition.is_throttled(Side::Follower) {
                    self.shared.replicas.throttles().record(Side::Follower, followed.bytes);
                }
                if followed.waits_for_flush {
                    round.unflushed.push(tracked.partition.clone());
                }
            }
            // Another role by now, of which this fetcher hears in a moment.
            Err(FollowerError::Moved) => {
                tracked.refresh();
                tracked.back_off(Instant::now(), longest);
            }
            Err(error) => {
                if is_lasting(&error) {
                    tracing::error!(partition = %key, "not followed any more: {error}");
                    tracked.has_stopped = true;
                } else {
                    tracing::warn!(partition = %key, "what was fetched is not appended: {error}");
                    tracked.refresh();
                    tracked.back_off(Instant::now(), longest);
                }
            }
        }
    }

    /// Does what is better done for many partitions at once.
    pub(super) async fn finish(&mut self, mut round: Round) {
        if !round.lost.is_empty() {
            self.find_ends(&mut round).await;
        }
        self.cut(&round.cuts);
        wait_for_flushes(&round.unflushed).await;
    }

    /// Cuts logs, and goes on at their ends.
    fn cut(&mut self, cuts: &[(TopicPartition, Offset)]) {
        if cuts.is_empty() {
            return;
        }
        let wanted: Vec<Cut> = cuts
            .iter()
            .filter_map(|(key, to)| {
                let tracked = self.tracked.get(key)?;
                Some(Cut { partition: tracked.partition.clone(), epoch: tracked.epoch, to: *to })
            })
            .collect();
        if let Err(error) = self.shared.replicas.cut_followers(&wanted) {
            tracing::error!("logs cannot be cut: {error}");
        }
        let (now, longest) = (Instant::now(), self.shared.config.fetch_backoff_max);
        for (key, to) in cuts {
            let Some(tracked) = self.tracked.get_mut(key) else { continue };
            tracked.refresh();
            if *to < tracked.offset {
                // It was not cut: its role is another one, or its disk failed.
                tracked.back_off(now, longest);
            }
        }
    }

    /// Asks the leader where its logs begin and end, for partitions whose fetch offset it does not have.
    async fn find_ends(&mut self, round: &mut Round) {
        let (now, longest) = (Instant::now(), self.shared.config.fetch_backoff_max);
        for key in std::mem::take(&mut round.lost) {
            let end = self.list_offset(&key, LATEST).await;
            let start = self.list_offset(&key, EARLIEST).await;
            let Some(tracked) = self.tracked.get_mut(&key) else { continue };
            let (Some(start), Some(end)) = (start, end) else {
                tracked.back_off(now, longest);
                continue;
            };
            match realign(tracked.offset, start, end) {
                Realign::TruncateTo(to) => round.cuts.push((key, to)),
                Realign::GoOn => tracked.back_off(now, longest),
                Realign::StartAt(start) => {
                    tracing::info!(partition = %key, %start, "all of this log is older than the leader's");
                    let restarted =
                        tracked.partition.as_follower_in(tracked.epoch, |it| it.log.truncate_fully_and_start_at(start));
                    if let Err(error) = restarted {
                        tracing::warn!(partition = %key, "the log does not begin anew: {error}");
                        tracked.back_off(now, longest);
                    }
                    tracked.refresh();
                }
            }
        }
    }

    async fn list_offset(&mut self, key: &TopicPartition, timestamp: i64) -> Option<Offset> {
        let partition = ListOffsetsPartition {
            partition_index: key.partition,
            current_leader_epoch: self.tracked.get(key)?.epoch.0,
            timestamp,
            ..ListOffsetsPartition::default()
        };
        let topics = vec![ListOffsetsTopic { name: key.topic.clone().into(), partitions: vec![partition] }];
        let replica_id = self.shared.replicas.own().0;
        let request = ListOffsetsRequest { replica_id, topics, ..ListOffsetsRequest::default() };
        let connection = self.connection.as_mut()?;
        let response = match connection.call(&request, LIST_OFFSETS_VERSION).await {
            Ok(response) => response,
            Err(error) => {
                tracing::warn!(leader = %self.leader, "cannot ask for offsets: {error}");
                return None;
            }
        };
        let answer = response.topics.first()?.partitions.first()?;
        (answer.error_code == 0 && 0 <= answer.offset).then_some(Offset(answer.offset))
    }
}

/// Whether trying again is of no use until something else changes.
fn is_lasting(error: &FollowerError) -> bool {
    match error {
        FollowerError::Moved => false,
        FollowerError::Storage(error) | FollowerError::Append(AppendError::Storage(error)) => !error.is_full(),
        FollowerError::Append(_) => false,
    }
}

/// Where each message is to be on disk before it counts, the next fetch, which says that it is there, waits for that.
async fn wait_for_flushes(partitions: &[Arc<Partition>]) {
    for partition in partitions {
        partition.log.request_flush();
    }
    for partition in partitions {
        let end = partition.log.log_end_offset();
        let waiter = Waiter::new();
        let _watch = partition.watch(&waiter, Event::Flushed, end);
        while partition.log.flushed_offset() < end && partition.log.check_usable().is_ok() {
            waiter.woken_within(FLUSH_PATIENCE).await;
        }
    }
}
