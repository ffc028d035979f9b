//! What goes into the machine and what comes out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use whimbrel_model::ErrorCode;

use super::member::Protocol;
use super::static_member::StaticReplacement;

/// The present, by the two clocks that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since an origin that the caller chooses once; never runs backwards. For time-outs.
    pub elapsed: Duration,
    /// Milliseconds since 1970. For what is written to the log.
    pub wall_ms: i64,
}

/// The broker settings that the machine obeys.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `group.min.session.timeout.ms`.
    pub session_timeout_min: Duration,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_max: Duration,
    /// `group.max.size`.
    pub group_size_max: usize,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_secs(1800),
            group_size_max: i32::MAX as usize,
            initial_rebalance_delay: Duration::from_secs(3),
        }
    }
}

/// Names one JoinGroup or SyncGroup request that waits for its answer. The caller chooses it and never reuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerId(pub u64);

/// A member, old or new, wants to be part of the next generation.
#[derive(Debug, Clone)]
pub struct JoinRequest {
    /// Empty if the member has none yet.
    pub member_id: Arc<str>,
    /// The id to give a member that has none: `<instance id or client id>-<random uuid>`. Never used before.
    pub fresh_member_id: Arc<str>,
    /// `group.instance.id` of a static member (KIP-345).
    pub instance_id: Option<Arc<str>>,
    /// A dynamic member without an id gets one and must come back with it (KIP-394; JoinGroup version 4 and above).
    pub requires_known_member_id: bool,
    /// The client understands `SkipAssignment` (KIP-814; JoinGroup version 9 and above).
    pub supports_skipping_assignment: bool,
    pub client_id: Arc<str>,
    /// As Kafka prints it: a slash and the address.
    pub client_host: Arc<str>,
    pub session_timeout: Duration,
    pub rebalance_timeout: Duration,
    pub protocol_type: Arc<str>,
    /// In the member's order of preference.
    pub protocols: Vec<Protocol>,
}

/// The answer to a [`JoinRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinResponse {
    pub error: ErrorCode,
    /// -1 with most errors.
    pub generation: i32,
    pub protocol_type: Option<Arc<str>>,
    pub protocol_name: Option<Arc<str>>,
    /// Empty if there is none.
    pub leader: Arc<str>,
    pub skip_assignment: bool,
    pub member_id: Arc<str>,
    /// All members, for the leader; empty for the others.
    pub members: Vec<JoinedMember>,
}

impl JoinResponse {
    pub(super) fn failed(member_id: Arc<str>, error: ErrorCode) -> Self {
        Self {
            error,
            generation: -1,
            protocol_type: None,
            protocol_name: None,
            leader: Arc::from(""),
            skip_assignment: false,
            member_id,
            members: Vec::new(),
        }
    }
}

/// A member as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    pub member_id: Arc<str>,
    pub instance_id: Option<Arc<str>>,
    /// Its metadata for the chosen protocol.
    pub metadata: Bytes,
}

/// A member asks for its assignment; the leader brings all of them.
#[derive(Debug, Clone)]
pub struct SyncRequest {
    pub member_id: Arc<str>,
    pub instance_id: Option<Arc<str>>,
    pub generation: i32,
    /// Checked if given (version 5 and above).
    pub protocol_type: Option<Arc<str>>,
    /// Checked if given (version 5 and above).
    pub protocol_name: Option<Arc<str>>,
    /// Member id and assignment; from the leader only.
    pub assignments: Vec<(Arc<str>, Bytes)>,
}

/// The answer to a [`SyncRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncResponse {
    pub error: ErrorCode,
    pub protocol_type: Option<Arc<str>>,
    pub protocol_name: Option<Arc<str>>,
    pub assignment: Bytes,
}

impl SyncResponse {
    pub(super) const fn failed(error: ErrorCode) -> Self {
        Self { error, protocol_type: None, protocol_name: None, assignment: Bytes::new() }
    }
}

/// One of the members that a LeaveGroup request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeavingMember {
    /// May be empty if the instance id is given: an administrator removes a static member.
    pub member_id: Arc<str>,
    pub instance_id: Option<Arc<str>>,
}

/// What the caller of the machine has to do.
#[derive(Debug)]
pub enum Effect {
    AnswerJoin {
        caller: CallerId,
        response: JoinResponse,
    },
    AnswerSync {
        caller: CallerId,
        response: SyncResponse,
    },
    /// Append the snapshot to the log, wait until it is replicated, then call [`Group::stored`](super::Group::stored).
    Store {
        snapshot: GroupSnapshot,
        ticket: StoreTicket,
    },
    /// Call [`Group::on_timer`](super::Group::on_timer) when `at` has come.
    Schedule {
        at: Duration,
        timer: Timer,
    },
}

/// What the machine wants to be reminded of. Only good for the group that asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Timer {
    /// A member may have been silent for its session time-out.
    Session { member_id: Arc<str>, at: Duration },
    /// A member that got its id may not have come back with it.
    PendingMember { member_id: Arc<str>, at: Duration },
    /// The wait for members to join is over.
    Join { serial: u64 },
    /// The wait for members to sync is over.
    Sync { generation: i32 },
}

/// What to do when a snapshot has been written, or has not.
#[derive(Debug)]
pub enum StoreTicket {
    /// The group has become empty.
    Emptied,
    /// The leader's assignment for a generation.
    Assignment { generation: i32, assignments: Vec<(Arc<str>, Bytes)> },
    /// A static member came back with a new member id.
    StaticMember(Box<StaticReplacement>),
}

/// The value of a group metadata record, without its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSnapshot {
    pub protocol_type: Option<Arc<str>>,
    pub generation: i32,
    pub protocol_name: Option<Arc<str>>,
    pub leader: Option<Arc<str>>,
    pub state_timestamp_ms: Option<i64>,
    pub members: Vec<MemberSnapshot>,
}

/// One member in a [`GroupSnapshot`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSnapshot {
    pub member_id: Arc<str>,
    pub instance_id: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub rebalance_timeout: Duration,
    pub session_timeout: Duration,
    /// Its metadata for the chosen protocol.
    pub subscription: Bytes,
    pub assignment: Bytes,
}
