//! One type per id, so that two of them cannot be swapped.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(/// A broker (`broker.id`); -1 stands for none.
    NodeId(i32));
id!(/// Counts the leaders of one partition; -1 stands for unknown. Written into every batch by the leader.
    LeaderEpoch(i32));
id!(/// The ZooKeeper version of a partition's state node (`partition epoch`); grows by one with each change of state.
    PartitionEpoch(i32));
id!(/// Counts controllers (`/controller_epoch`); fences the writes of a deposed one.
    ControllerEpoch(i32));
id!(/// One incarnation of a broker: the czxid of its registration (KIP-380); -1 stands for unknown.
    BrokerEpoch(i64));
id!(/// An idempotent or transactional producer (KIP-98); -1 stands for none.
    ProducerId(i64));
id!(/// Fences earlier instances of a producer id; -1 stands for none.
    ProducerEpoch(i16));
id!(/// The position of a record in a partition.
    Offset(i64));

impl NodeId {
    /// No broker.
    pub const NONE: Self = Self(-1);
}
impl BrokerEpoch {
    /// Unknown.
    pub const NONE: Self = Self(-1);
}
impl LeaderEpoch {
    /// Unknown, or the client does not check.
    pub const NONE: Self = Self(-1);
}
impl ProducerId {
    /// The batch has no producer id.
    pub const NONE: Self = Self(-1);
}
impl ProducerEpoch {
    /// The batch has no producer epoch.
    pub const NONE: Self = Self(-1);
}

impl std::ops::Add<i64> for Offset {
    type Output = Self;
    fn add(self, records: i64) -> Self {
        Self(self.0 + records)
    }
}

/// The number of offsets between two positions.
impl std::ops::Sub for Offset {
    type Output = i64;
    fn sub(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}

/// One partition of one topic, by name. Cheap to clone; prints as Kafka's `topic-partition`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: std::sync::Arc<str>,
    pub partition: i32,
}

impl TopicPartition {
    #[must_use]
    pub fn new(topic: impl Into<std::sync::Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}
