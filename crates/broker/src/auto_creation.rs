//! Topics that come into being because a client names them (`auto.create.topics.enable`), and the internal ones.

use std::collections::BTreeMap;
use std::time::Duration;

use whimbrel_model::ErrorCode;
use whimbrel_state::controller::PartitionAssignment;
use whimbrel_state::controller::assignment::{Candidate, PlacementError, PlacementStart, place};
use whimbrel_wire::Str;

use crate::Broker;
use crate::coordination::{CoordinationError, Overrides};
use crate::topics;

/// How long the request that names a new topic waits for its leaders. Answering at once would make the client ask
/// again, and Java clients wait 100 ms before they do.
const LEADER_WAIT: Duration = Duration::from_secs(1);

impl Broker {
    /// Creates topics and waits until they are led. Returns those that cannot be used now, with the reason.
    pub async fn auto_create_topics(&self, names: Vec<Str>) -> Vec<(Str, ErrorCode)> {
        let mut failed = Vec::new();
        for name in names {
            if let Err(code) = self.auto_create(&name).await {
                failed.push((name, code));
            }
        }
        failed
    }

    async fn auto_create(&self, name: &str) -> Result<(), ErrorCode> {
        let config = self.config();
        let (partitions, replicas, overrides) = if name == topics::CONSUMER_OFFSETS {
            let offsets = &config.offsets;
            (offsets.topic_partitions, offsets.topic_replication_factor, offsets_overrides(offsets.topic_segment_bytes))
        } else {
            (config.topics.partitions, config.topics.replication_factor, Overrides::new())
        };
        drop(config);
        let assignment = self.place(partitions, replicas)?;
        match self.coordination.create_topic(name, &assignment, &overrides).await {
            // Somebody else was faster.
            Ok(_) | Err(CoordinationError::TopicExists(_)) => {}
            Err(error) => {
                tracing::warn!(topic = name, "the topic cannot be created: {error}");
                return Err(ErrorCode::LeaderNotAvailable);
            }
        }
        let led = self.metadata.wait_for(|image| {
            let topic = image.topic(name)?;
            topic.partitions.values().all(|state| image.brokers.contains_key(&state.leader)).then_some(())
        });
        tokio::time::timeout(LEADER_WAIT, led).await.map_err(|_| ErrorCode::LeaderNotAvailable)
    }

    fn place(&self, partitions: i32, replicas: i16) -> Result<Vec<PartitionAssignment>, ErrorCode> {
        let image = self.metadata.image();
        let brokers: Vec<Candidate> = image
            .brokers
            .values()
            .map(|broker| Candidate { id: broker.id, rack: broker.rack.as_deref().map(str::to_owned) })
            .collect();
        let start = PlacementStart { index: rand::random::<u32>() as usize, shift: rand::random::<u32>() as usize };
        let count = |number: i32| usize::try_from(number).unwrap_or(0);
        let placed = place(&brokers, 0, count(partitions), count(i32::from(replicas)), start);
        let placed = placed.map_err(|error| match error {
            PlacementError::NoPartitions => ErrorCode::InvalidPartitions,
            PlacementError::NoReplicas | PlacementError::TooFewBrokers { .. } => ErrorCode::InvalidReplicationFactor,
        })?;
        let partitions = (0..).zip(placed).map(|(index, replicas)| PartitionAssignment {
            index,
            replicas,
            adding_replicas: Vec::new(),
            removing_replicas: Vec::new(),
        });
        Ok(partitions.collect())
    }
}

/// What Kafka gives `__consumer_offsets`.
fn offsets_overrides(segment_bytes: u32) -> Overrides {
    BTreeMap::from([
        ("cleanup.policy".to_owned(), "compact".to_owned()),
        ("compression.type".to_owned(), "producer".to_owned()),
        ("segment.bytes".to_owned(), segment_bytes.to_string()),
    ])
}
