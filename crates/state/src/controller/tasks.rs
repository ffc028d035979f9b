//! What is asked for one partition waits here until nothing else of that partition is under way.
//!
//! A partition has at most one write in flight. What the facts call for comes first, then its tasks in order; a task is
//! judged by the state that it finds, not by the one that was there when it was asked for.

use whimbrel_model::NodeId;

use super::control::{AlterPartitionData, ElectionKind, RequestId};
use super::reassignment::Asker;

/// What a write in flight is for.
#[derive(Debug, Clone)]
pub(super) enum Flight {
    /// The facts called for it.
    Facts,
    /// The state that ends a reassignment.
    Move,
    Task(Task),
}

/// Something that was asked for one partition.
#[derive(Debug, Clone)]
pub(super) enum Task {
    Alter(Alteration),
    Elect { election: ElectionId, kind: ElectionKind },
    Reassign { asker: Asker, target: Option<Vec<NodeId>> },
}

/// One partition of an AlterPartition request.
#[derive(Debug, Clone)]
pub(super) struct Alteration {
    pub(super) request: RequestId,
    /// Where its result goes in the response: the position of the topic and of the partition.
    pub(super) slot: (usize, usize),
    /// The sender.
    pub(super) broker: NodeId,
    pub(super) data: AlterPartitionData,
}

/// Names a set of elections that were asked for together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ElectionId(pub(super) u64);
