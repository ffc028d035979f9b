//! From the records of one partition of `__consumer_offsets` to its groups.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::{HashMap, HashMapExt};
use whimbrel_model::Offset;
use whimbrel_model::record::compression::DECOMPRESSED_BYTES_MAX;
use whimbrel_model::record::{Batches, EndTxnMarker, Record, RecordBatch};
use whimbrel_state::group::{CommittedOffset, Group, GroupSnapshot, Now};

use super::records::{self, Key, ReadRecordError};

/// Applies batches in the order of the log.
///
/// A record that cannot be read is left out with a line in the log: one bad record must not take the groups of a whole
/// partition away. Offsets that a producer committed in a transaction count once its commit marker has come.
pub(super) struct Loader {
    now: Now,
    groups: HashMap<Arc<str>, Loading>,
    /// One copy of each topic's name for all groups.
    topics: HashSet<Arc<str>>,
    /// Commits of open transactions, by producer id, in the order in which they came.
    open: HashMap<i64, Vec<PendingOffset>>,
    skipped_count: usize,
}

struct Loading {
    group: Group,
    /// The log has a snapshot of the group, so that it exists even without offsets.
    has_snapshot: bool,
}

struct PendingOffset {
    group: Arc<str>,
    topic: Arc<str>,
    partition: i32,
    /// `None` for a tombstone.
    value: Option<CommittedOffset>,
    position: Offset,
}

impl Loader {
    pub fn new(now: Now) -> Self {
        Self { now, groups: HashMap::new(), topics: HashSet::new(), open: HashMap::new(), skipped_count: 0 }
    }

    /// Applies whole batches as they were read from the log. Returns the offset after the last one, `None` if there is
    /// no whole batch.
    pub fn apply(&mut self, bytes: &Bytes) -> Option<Offset> {
        let mut next = None;
        for batch in Batches::new(bytes) {
            match batch {
                Ok(batch) => {
                    next = Some(batch.header.next_offset());
                    self.apply_batch(bytes, &batch);
                }
                Err(error) => {
                    tracing::error!("a batch of __consumer_offsets cannot be read: {error}");
                    self.skipped_count += 1;
                }
            }
        }
        next
    }

    fn apply_batch(&mut self, owner: &Bytes, batch: &RecordBatch<'_>) {
        let base = batch.header.base_offset;
        let body = match batch.decompressed_from(owner, DECOMPRESSED_BYTES_MAX) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(offset = base.0, "a batch of __consumer_offsets cannot be decompressed: {error}");
                self.skipped_count += 1;
                return;
            }
        };
        if batch.header.attributes.is_control() {
            if let Ok(Some(marker)) = EndTxnMarker::from_parts(&batch.header, &body) {
                self.end_transaction(batch.header.producer_id.0, marker.is_commit);
            }
            return;
        }
        let producer = batch.header.attributes.is_transactional().then_some(batch.header.producer_id.0);
        let mut position = None;
        for record in batch.records(&body) {
            let outcome = record.map_err(|error| error.to_string()).and_then(|record| {
                // The first record's offset, as Kafka counts it: compaction may have removed those before.
                let position = *position.get_or_insert(record.offset);
                self.apply_record(&body, &record, position, producer).map_err(|error| error.to_string())
            });
            if let Err(error) = outcome {
                tracing::warn!(batch = base.0, "a record of __consumer_offsets is left out: {error}");
                self.skipped_count += 1;
            }
        }
    }

    fn apply_record(
        &mut self,
        body: &Bytes,
        record: &Record<'_>,
        position: Offset,
        producer: Option<i64>,
    ) -> Result<(), ReadRecordError> {
        let key = body.slice_ref(record.key.unwrap_or_default());
        let value = record.value.map(|value| body.slice_ref(value));
        match records::read_key(&key)? {
            Key::Offset { group, topic, partition } => {
                let value = value.as_ref().map(records::read_offset).transpose()?;
                let group =
                    self.groups.get_key_value(&*group).map_or_else(|| group.as_str().into(), |(id, _)| id.clone());
                let topic = self.intern(&topic);
                let pending = PendingOffset { group, topic, partition, value, position };
                match producer {
                    Some(id) => self.open.entry(id).or_default().push(pending),
                    None => self.apply_offset(pending),
                }
            }
            Key::Group { group } => match value {
                Some(value) => {
                    let snapshot = records::read_group(&value)?;
                    let loading = self.group(group.as_str().into());
                    loading.group.load_snapshot(snapshot);
                    loading.has_snapshot = true;
                }
                None => self.forget_group(&group),
            },
            Key::Unknown { version } => {
                tracing::warn!(version, "a record of __consumer_offsets has an unknown key version and is left out");
                self.skipped_count += 1;
            }
        }
        Ok(())
    }

    fn apply_offset(&mut self, pending: PendingOffset) {
        let PendingOffset { group, topic, partition, value, position } = pending;
        match value {
            Some(value) => self.group(group).group.load_offset(&topic, partition, value, position),
            None => {
                if let Some(loading) = self.groups.get_mut(&group) {
                    loading.group.remove_offsets([(&*topic, partition)]);
                }
            }
        }
    }

    fn end_transaction(&mut self, producer: i64, is_commit: bool) {
        let pending = self.open.remove(&producer).unwrap_or_default();
        if is_commit {
            for offset in pending {
                self.apply_offset(offset);
            }
        }
    }

    /// The group's tombstone: its membership is gone, offsets that have none of their own stay.
    fn forget_group(&mut self, group: &str) {
        let now = self.now;
        if let Some(loading) = self.groups.get_mut(group) {
            loading.has_snapshot = false;
            loading.group.load_snapshot(GroupSnapshot {
                protocol_type: None,
                generation: 0,
                protocol_name: None,
                leader: None,
                state_timestamp_ms: Some(now.wall_ms),
                members: Vec::new(),
            });
        }
    }

    fn group(&mut self, id: Arc<str>) -> &mut Loading {
        let now = self.now;
        self.groups
            .entry(id)
            .or_insert_with_key(|id| Loading { group: Group::new(id.clone(), now), has_snapshot: false })
    }

    fn intern(&mut self, topic: &str) -> Arc<str> {
        if let Some(known) = self.topics.get(topic) {
            return known.clone();
        }
        let topic: Arc<str> = topic.into();
        self.topics.insert(topic.clone());
        topic
    }

    /// The groups that exist at the end of the log, with the number of records that were left out.
    pub fn finish(self) -> (Vec<Group>, usize) {
        for (producer, pending) in &self.open {
            // Nothing here can end the transaction of a producer of another coordinator.
            tracing::warn!(producer, offsets = pending.len(), "offsets of an open transaction are not visible");
        }
        let exists = |loading: &Loading| loading.has_snapshot || !loading.group.is_abandoned();
        let groups = self.groups.into_values().filter(exists).map(|loading| loading.group).collect();
        (groups, self.skipped_count)
    }
}
