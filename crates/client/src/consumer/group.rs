//! A consumer in a group (classic protocol, eager): it joins, takes its share of the partitions, says that it lives, and
//! commits what it has handed out.
//!
//! ```text
//! Out ──join, sync──▶ Member ──heartbeat: rebalance──▶ commit, then join again
//!  ▲                    │ generation or member unknown: forget the member id
//!  └────────────────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;
use whimbrel_model::ErrorCode;
use whimbrel_wire::consumer_assignment::{ConsumerProtocolAssignment, TopicPartition};
use whimbrel_wire::consumer_subscription::ConsumerProtocolSubscription;
use whimbrel_wire::join_group::{JoinGroupRequestProtocol, JoinGroupResponseMember};
use whimbrel_wire::sync_group::SyncGroupRequestAssignment;
use whimbrel_wire::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, Message, Reader, Str, SyncGroupRequest,
    Writer,
};

use super::assignors::{Assignor, Member};
use super::fetching::{Consumer, ConsumerOptions, Start};
use super::offsets::Target;
use super::records::FetchedRecord;
use crate::admin::{CommitAs, commit_offsets, committed_offsets};
use crate::cluster::retry;
use crate::{ClientError, Cluster};

/// How a member takes part in its group.
#[derive(Debug, Clone)]
pub struct GroupOptions {
    pub group: String,
    pub topics: Vec<String>,
    pub session_timeout: Duration,
    pub rebalance_timeout: Duration,
    pub heartbeat_interval: Duration,
    /// Name of a static member (KIP-345).
    pub instance_id: Option<String>,
    /// In order of preference; at least one.
    pub assignors: Vec<Assignor>,
    /// Where to begin in a partition without a committed offset.
    pub start: Start,
    /// How often positions are committed; `None`: only when asked.
    pub auto_commit: Option<Duration>,
}

impl GroupOptions {
    /// The defaults of Kafka's consumer.
    #[must_use]
    pub fn new(group: &str, topics: &[String]) -> Self {
        Self {
            group: group.to_owned(),
            topics: topics.to_vec(),
            session_timeout: Duration::from_secs(45),
            rebalance_timeout: Duration::from_secs(300),
            heartbeat_interval: Duration::from_secs(3),
            instance_id: None,
            assignors: vec![Assignor::Range, Assignor::RoundRobin],
            start: Start::Latest,
            auto_commit: Some(Duration::from_secs(5)),
        }
    }
}

/// What a poll brought.
#[derive(Debug)]
pub enum GroupEvent {
    /// The member reads these partitions now, and no others.
    Assigned(Vec<Target>),
    /// The next records, in order within each partition; empty when none came in time.
    Records(Vec<FetchedRecord>),
}

/// What the heartbeats have found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Fine,
    /// The others are joining again.
    Rebalance,
    /// The group does not know this member, or not in this generation.
    Unknown,
}

/// The member's place in one generation. Dropping it stops the heartbeats.
struct Membership {
    generation: i32,
    standing: watch::Receiver<Standing>,
    heartbeats: tokio::task::AbortHandle,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.heartbeats.abort();
    }
}

/// A member of a group.
pub struct GroupConsumer {
    cluster: Cluster,
    options: GroupOptions,
    consumer: Consumer,
    /// Given by the coordinator; empty before.
    member_id: Str,
    membership: Option<Membership>,
    /// What was committed last, so that nothing is committed twice.
    committed: BTreeMap<Target, i64>,
    commit_at: Instant,
}

impl std::fmt::Debug for GroupConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupConsumer").field("member_id", &self.member_id).finish_non_exhaustive()
    }
}

impl GroupConsumer {
    /// A member that joins with its first poll.
    #[must_use]
    pub fn new(cluster: Cluster, options: GroupOptions, fetching: ConsumerOptions) -> Self {
        Self {
            consumer: Consumer::new(cluster.clone(), fetching),
            cluster,
            options,
            member_id: Str::default(),
            membership: None,
            committed: BTreeMap::new(),
            commit_at: Instant::now(),
        }
    }

    /// The next records, or a new assignment. Positions move when records are handed out, so that a commit covers
    /// what earlier polls returned.
    ///
    /// # Errors
    /// An error that does not pass.
    pub async fn poll(&mut self, wait: Duration) -> Result<GroupEvent, ClientError> {
        let standing = self.membership.as_ref().map(|membership| *membership.standing.borrow());
        match standing {
            Some(Standing::Fine) => {}
            Some(Standing::Rebalance) => {
                if self.options.auto_commit.is_some() {
                    // The group goes on without this commit; some records are then read twice.
                    let _ = self.commit().await;
                }
                return self.join().await.map(GroupEvent::Assigned);
            }
            Some(Standing::Unknown) => {
                self.member_id = Str::default();
                return self.join().await.map(GroupEvent::Assigned);
            }
            None => return self.join().await.map(GroupEvent::Assigned),
        }
        if let Some(every) = self.options.auto_commit
            && self.commit_at + every <= Instant::now()
        {
            self.commit_at = Instant::now();
            if let Err(error) = self.commit().await {
                tracing::warn!(%error, "commit failed");
            }
        }
        // Heartbeats notice a rebalance within their interval; a poll must not outlast that for long.
        let wait = wait.min(self.options.heartbeat_interval);
        self.consumer.poll(wait).await.map(GroupEvent::Records)
    }

    /// True once everything that is assigned has been handed out, up to the high watermarks.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.membership.is_some() && self.consumer.is_at_end()
    }

    /// Commits the positions.
    ///
    /// # Errors
    /// The coordinator refuses, or does not answer.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        let positions: Vec<(Target, i64)> =
            self.consumer.positions().map(|(target, next)| (target.clone(), next)).collect();
        self.commit_positions(positions).await
    }

    /// Commits other positions than those of the last poll: the next offset to read, for each partition.
    ///
    /// # Errors
    /// As [`GroupConsumer::commit`].
    pub async fn commit_positions(&mut self, positions: Vec<(Target, i64)>) -> Result<(), ClientError> {
        let Some(membership) = &self.membership else { return Ok(()) };
        let changed: Vec<(Target, i64)> =
            positions.into_iter().filter(|(target, next)| self.committed.get(target) != Some(next)).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let as_member = CommitAs {
            generation: membership.generation,
            member_id: self.member_id.clone(),
            instance_id: self.options.instance_id.as_deref().map(Str::from),
        };
        commit_offsets(&self.cluster, &self.options.group, &as_member, &changed).await?;
        self.committed.extend(changed);
        Ok(())
    }

    /// Commits (if commits are automatic) and leaves the group, so that the others take over at once. A static member
    /// keeps its place: it is expected back.
    ///
    /// # Errors
    /// The coordinator refuses, or does not answer.
    pub async fn close(mut self) -> Result<(), ClientError> {
        let committed = if self.options.auto_commit.is_some() { self.commit().await } else { Ok(()) };
        let is_member = self.membership.take().is_some();
        if is_member && self.options.instance_id.is_none() {
            let connection = self.cluster.coordinator(&self.options.group).await?;
            let mut request = LeaveGroupRequest { group_id: self.group(), ..LeaveGroupRequest::default() };
            if connection.version_of::<LeaveGroupRequest>()? < 3 {
                request.member_id = self.member_id.clone();
            } else {
                let member_id = self.member_id.clone();
                let reason = Some("the consumer was closed".into());
                let member = whimbrel_wire::leave_group::MemberIdentity { member_id, group_instance_id: None, reason };
                request.members = vec![member];
            }
            let response = connection.call(request).await?;
            ClientError::check(response.error_code, None, || format!("leave group {}", self.options.group))?;
        }
        committed
    }

    fn group(&self) -> Str {
        self.options.group.as_str().into()
    }

    fn instance_id(&self) -> Option<Str> {
        self.options.instance_id.as_deref().map(Str::from)
    }

    /// Joins until there is an assignment, and begins to read it.
    async fn join(&mut self) -> Result<Vec<Target>, ClientError> {
        self.membership = None;
        let cluster = self.cluster.clone();
        let (generation, targets) = retry!(cluster, { self.join_once().await })?;
        let (told, standing) = watch::channel(Standing::Fine);
        let heartbeat = HeartbeatRequest {
            group_id: self.group(),
            generation_id: generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id(),
        };
        let every = self.options.heartbeat_interval;
        let heartbeats = tokio::spawn(beat(cluster, self.options.group.clone(), heartbeat, every, told)).abort_handle();
        self.membership = Some(Membership { generation, standing, heartbeats });
        self.begin(&targets).await?;
        self.commit_at = Instant::now();
        Ok(targets)
    }

    /// One attempt. Errors that a new attempt may cure are retriable; the member id is forgotten where it must be.
    async fn join_once(&mut self) -> Result<(i32, Vec<Target>), ClientError> {
        let again = |code| ClientError::Kafka { subject: "join".into(), code, message: None };
        let connection = self.cluster.coordinator(&self.options.group).await?;
        let joined = connection.call_for(self.join_request(), self.options.rebalance_timeout).await?;
        match ErrorCode::from_code(joined.error_code) {
            ErrorCode::None => {}
            // The coordinator has given an id; the same attempt goes on with it (KIP-394).
            ErrorCode::MemberIdRequired => {
                self.member_id = joined.member_id.detach();
                return Err(again(ErrorCode::CoordinatorLoadInProgress));
            }
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                self.member_id = Str::default();
                return Err(again(ErrorCode::CoordinatorLoadInProgress));
            }
            code => {
                let subject = format!("join group {}", self.options.group);
                return Err(ClientError::Kafka { subject, code, message: None });
            }
        }
        self.member_id = joined.member_id.detach();
        let assignments = if joined.leader == joined.member_id && !joined.skip_assignment {
            self.assign(&joined).await?
        } else {
            Vec::new()
        };
        let sync = SyncGroupRequest {
            group_id: self.group(),
            generation_id: joined.generation_id,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id(),
            protocol_type: joined.protocol_type.clone(),
            protocol_name: joined.protocol_name.clone(),
            assignments,
        };
        let synced = connection.call_for(sync, self.options.rebalance_timeout).await?;
        match ErrorCode::from_code(synced.error_code) {
            ErrorCode::None => Ok((joined.generation_id, targets(&synced.assignment)?)),
            ErrorCode::RebalanceInProgress => Err(again(ErrorCode::CoordinatorLoadInProgress)),
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                self.member_id = Str::default();
                Err(again(ErrorCode::CoordinatorLoadInProgress))
            }
            code => {
                Err(ClientError::Kafka { subject: format!("sync group {}", self.options.group), code, message: None })
            }
        }
    }

    fn join_request(&self) -> JoinGroupRequest {
        let subscription = ConsumerProtocolSubscription {
            topics: crate::cluster::strs(&self.options.topics),
            ..ConsumerProtocolSubscription::default()
        };
        let metadata = versioned(&subscription, 1);
        let protocol =
            |assignor: &Assignor| JoinGroupRequestProtocol { name: assignor.name().into(), metadata: metadata.clone() };
        let ms = |duration: Duration| i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
        JoinGroupRequest {
            group_id: self.group(),
            session_timeout_ms: ms(self.options.session_timeout),
            rebalance_timeout_ms: ms(self.options.rebalance_timeout),
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id(),
            protocol_type: "consumer".into(),
            protocols: self.options.assignors.iter().map(protocol).collect(),
            reason: None,
        }
    }

    /// The leader's part: everybody's share.
    async fn assign(&self, joined: &JoinGroupResponse) -> Result<Vec<SyncGroupRequestAssignment>, ClientError> {
        let chosen = joined.protocol_name.as_ref().and_then(|name| Assignor::from_name(name));
        let assignor = chosen.or(self.options.assignors.first().copied()).unwrap_or(Assignor::Range);
        let members: Vec<Member> = joined.members.iter().map(member).collect::<Result<_, _>>()?;
        let topics: BTreeSet<&str> = members.iter().flat_map(|member| &member.topics).map(String::as_str).collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        let metadata = self.cluster.refresh(Some(&topics), true).await?;
        let count = |topic: &crate::TopicMetadata| i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        let counts: BTreeMap<String, i32> =
            metadata.topics.iter().map(|(name, topic)| (name.clone(), count(topic))).collect();
        let shares = assignor.assign(&members, &counts);
        let share = |(member_id, topics): (&String, &BTreeMap<String, Vec<i32>>)| {
            let topic = |(topic, partitions): (&String, &Vec<i32>)| TopicPartition {
                topic: topic.into(),
                partitions: partitions.clone(),
            };
            let assigned_partitions = topics.iter().map(topic).collect();
            let assignment = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
            SyncGroupRequestAssignment { member_id: member_id.into(), assignment: versioned(&assignment, 1) }
        };
        Ok(shares.iter().map(share).collect())
    }

    /// Reads from the committed offsets, or from where the options say.
    async fn begin(&mut self, targets: &[Target]) -> Result<(), ClientError> {
        let committed = committed_offsets(&self.cluster, &self.options.group, Some(targets)).await?;
        let start = |target: &Target| match committed.get(target) {
            Some(committed) => (target.clone(), Start::Offset(committed.offset)),
            None => (target.clone(), self.options.start),
        };
        let starts: Vec<(Target, Start)> = targets.iter().map(start).collect();
        self.committed = committed.into_iter().map(|(target, committed)| (target, committed.offset)).collect();
        self.consumer.assign(&starts).await
    }
}

/// Says that the member lives, until the group says otherwise.
async fn beat(
    cluster: Cluster,
    group: String,
    request: HeartbeatRequest,
    every: Duration,
    told: watch::Sender<Standing>,
) {
    loop {
        tokio::time::sleep(every).await;
        let answer = async { cluster.coordinator(&group).await?.call(request.clone()).await }.await;
        let code = match answer {
            Ok(answer) => ErrorCode::from_code(answer.error_code),
            // Not reached: the session timeout decides whether that matters.
            Err(_) => continue,
        };
        let standing = match code {
            ErrorCode::RebalanceInProgress => Standing::Rebalance,
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration | ErrorCode::FencedInstanceId => {
                Standing::Unknown
            }
            _ => Standing::Fine,
        };
        if standing != Standing::Fine {
            // The member is gone when nobody listens.
            let _ = told.send(standing);
            return;
        }
    }
}

/// A subscription or assignment as members exchange it: its version, then its fields.
fn versioned<M: Message>(message: &M, version: i16) -> Bytes {
    let mut writer = Writer::new();
    // Names of topics and numbers of partitions fit in every version.
    let _ = message.encode(&mut writer, version);
    [&version.to_be_bytes()[..], &writer.into_bytes()].concat().into()
}

/// Reads what another member wrote; a newer version is read as the newest that is known, as Kafka does.
pub(crate) fn read_versioned<M: Message>(bytes: &Bytes, api: &'static str) -> Result<M, ClientError> {
    let Some((version, _)) = bytes.split_first_chunk::<2>() else { return Ok(M::default()) };
    let version = i16::from_be_bytes(*version).clamp(0, M::SPEC.valid.high);
    let body = bytes.slice(2..);
    M::decode(&mut Reader::new(&body), version).map_err(|source| ClientError::Decode { api, source })
}

fn member(joined: &JoinGroupResponseMember) -> Result<Member, ClientError> {
    let subscription: ConsumerProtocolSubscription = read_versioned(&joined.metadata, "JoinGroup")?;
    Ok(Member {
        id: joined.member_id.to_string(),
        instance_id: joined.group_instance_id.as_ref().map(ToString::to_string),
        topics: subscription.topics.iter().map(ToString::to_string).collect(),
    })
}

fn targets(assignment: &Bytes) -> Result<Vec<Target>, ClientError> {
    let assignment: ConsumerProtocolAssignment = read_versioned(assignment, "SyncGroup")?;
    let mut targets = Vec::new();
    for topic in assignment.assigned_partitions {
        let name: Arc<str> = Arc::from(topic.topic.as_str());
        targets.extend(topic.partitions.into_iter().map(|partition| (name.clone(), partition)));
    }
    Ok(targets)
}
