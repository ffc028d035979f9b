//! What administrators ask of a cluster: topics, settings, groups. Plain functions over a [`Cluster`](crate::Cluster);
//! each knows in which versions the same question has another form.

mod configs;
mod groups;
mod partitions;
mod topics;

pub use configs::{ConfigEntry, ConfigResource, ConfigSource, alter_configs, describe_configs};
pub use groups::{
    CommitAs, Committed, GroupDescription, GroupListing, MemberDescription, commit_offsets, committed_offsets,
    delete_groups, describe_groups, list_groups,
};
pub use partitions::{
    ElectionKind, PartitionName, PartitionOutcome, Reassigning, alter_reassignments, elect_leaders, eligible_leaders,
    list_reassignments,
};
pub use topics::{CreatedTopic, NewTopic, create_partitions, create_topic, delete_topic, told_by_all};

use std::time::Duration;

/// How long the cluster may take to carry out a change.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);
const CHANGE_TIMEOUT_MS: i32 = 30_000;
