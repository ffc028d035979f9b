//! One file per API, and the one table of what is served.
//!
//! A handler sees one version of one request and makes its answer. It knows versions where their meaning differs; what
//! only concerns the encoding is the business of `wire`. Handlers run on the worker of the connection: they may wait,
//! but never block.

mod allocate_producer_ids;
mod alter_configs;
mod alter_partition;
mod alter_partition_reassignments;
mod api_versions;
mod assignments;
mod authorized_operations;
mod controlled_shutdown;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_topic_partitions;
mod dynamic_config;
mod elect_leaders;
mod error_codes;
mod errors;
mod fetch;
mod find_coordinator;
mod handover;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leader_and_isr;
mod leave_group;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod metadata;
mod new_leaders;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod refusal;
mod stop_replica;
mod sync_group;
mod update_metadata;
mod whimbrel_liveness;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use whimbrel_model::{LeaderEpoch, Piece};
use whimbrel_wire::{
    AllocateProducerIdsRequest, AlterConfigsRequest, AlterPartitionReassignmentsRequest, AlterPartitionRequest, ApiKey,
    ApiVersionsRequest, ControlledShutdownRequest, CreatePartitionsRequest, CreateTopicsRequest, DecodeError,
    DeleteGroupsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeClusterRequest, DescribeConfigsRequest,
    DescribeGroupsRequest, DescribeLogDirsRequest, DescribeProducersRequest, DescribeTopicPartitionsRequest,
    ElectLeadersRequest, EncodeError, FetchRequest, FindCoordinatorRequest, Frame, HeartbeatRequest,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, JoinGroupRequest, LeaderAndIsrRequest, LeaveGroupRequest,
    ListGroupsRequest, ListOffsetsRequest, ListPartitionReassignmentsRequest, MetadataRequest, OffsetCommitRequest,
    OffsetDeleteRequest, OffsetFetchRequest, OffsetForLeaderEpochRequest, Reader, Request, RequestHeader,
    StopReplicaRequest, Str, SyncGroupRequest, UpdateMetadataRequest, WhimbrelLivenessRequest,
};

use crate::Broker;
use crate::server::{MoveReason, Wakers};

use error_codes::ErrorCodes;
pub(crate) use errors::ToErrorCode;

/// What one connection is, for all of its requests.
pub struct ConnectionContext {
    pub broker: Arc<Broker>,
    /// The listener's name, upper case. Addresses given to this client are those of this listener.
    pub listener: Arc<str>,
    pub peer: SocketAddr,
    /// Where this client's records are passed on while the broker hands over.
    handovers: handover::Handovers,
    /// Who wakes it when it waits.
    pub wakers: Wakers,
}

impl ConnectionContext {
    pub fn new(broker: Arc<Broker>, listener: Arc<str>, peer: SocketAddr) -> Self {
        Self { broker, listener, peer, handovers: handover::Handovers::default(), wakers: Wakers::default() }
    }

    /// Called for each request that is done with.
    pub fn answered(&self, api_key: i16, elapsed: Duration, bytes_in: usize, bytes_out: usize) {
        let name = ApiKey::from_code(api_key).map_or("unknown", ApiKey::name);
        let metrics = &self.broker.metrics;
        metrics.request_answered(metrics.api(api_key, name), elapsed, bytes_in, bytes_out);
    }

    /// Counts what went wrong in an answer.
    fn count_errors(&self, api: ApiKey, answer: &impl ErrorCodes) {
        let metrics = &self.broker.metrics;
        answer.each_error(&mut |code| metrics.error_answered(metrics.api(api.code(), api.name()), code));
    }

    /// Called when it goes to another worker.
    pub fn moved(&self, reason: MoveReason) {
        self.broker.metrics.connection_moved(reason);
    }

    /// Called once when the connection has ended.
    pub fn closed(&self) {
        self.broker.metrics.connection_closed(&self.listener);
    }
}

impl fmt::Debug for ConnectionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionContext").field("listener", &self.listener).field("peer", &self.peer).finish()
    }
}

/// One request, without its body.
#[derive(Debug)]
pub struct RequestContext {
    pub connection: Arc<ConnectionContext>,
    pub client_id: Option<Str>,
    pub version: i16,
}

impl RequestContext {
    pub fn broker(&self) -> &Arc<Broker> {
        &self.connection.broker
    }

    /// The client id, or nothing if it gave none.
    pub fn client_id(&self) -> &str {
        self.client_id.as_ref().map_or("", Str::as_str)
    }

    /// The client's address as Kafka shows it: a slash and the IP address.
    pub fn client_host(&self) -> String {
        format!("/{}", self.connection.peer.ip().to_canonical())
    }
}

/// What is sent back.
pub enum Answer {
    Reply(Frame<Piece>),
    /// Nothing: produce with `acks=0`.
    Silent,
    /// The connection is closed; the text goes to the log.
    Close(String),
    /// The effects of the request are in place, its answer waits for them to be committed. The next Produce may start.
    Waiting(Pin<Box<dyn Future<Output = Answer>>>),
}

/// Why a request ends its connection, as in Kafka.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("request header cannot be decoded: {0}")]
    Header(DecodeError),
    #[error("api key {api_key} is not served")]
    UnknownApi { api_key: i16 },
    #[error("{api} version {version} is not served; this broker serves {low} to {high}")]
    UnsupportedVersion { api: &'static str, version: i16, low: i16, high: i16 },
    #[error("{api} version {version} request cannot be decoded: {source}")]
    Body { api: &'static str, version: i16, source: DecodeError },
    #[error("{api} version {version} response cannot be encoded: {source}")]
    Response { api: &'static str, version: i16, source: EncodeError },
}

/// The API key of a request, or -1 if the frame is too short to have one.
pub fn api_key(frame: &[u8]) -> i16 {
    frame.first_chunk::<2>().map_or(-1, |key| i16::from_be_bytes(*key))
}

/// Whether such a request may start while an earlier one of its connection waits for its records to be committed.
pub fn may_overtake_waiting(api_key: i16) -> bool {
    api_key == ApiKey::Produce.code()
}

/// What a broker answers before it has heard from the controller: ApiVersions, what a controller sends (LeaderAndIsr,
/// StopReplica, UpdateMetadata), and what only a controller serves (ControlledShutdown, AlterPartition,
/// AllocateProducerIds). That it lives it says too.
const BEFORE_CLIENTS: [i16; 8] = [18, 4, 5, 6, 7, 56, 67, 20_000];

/// The leader epoch in a request: clients that do not check send -1.
fn known_epoch(epoch: i32) -> Option<LeaderEpoch> {
    (0 <= epoch).then_some(LeaderEpoch(epoch))
}

/// The request's body, not yet decoded.
struct Body<'a>(Reader<'a>);

impl Body<'_> {
    fn decode<R: Request>(mut self, version: i16) -> Result<R, RequestError> {
        R::decode(&mut self.0, version).map_err(|source| RequestError::Body { api: R::KEY.name(), version, source })
    }
}

/// Declares [`SERVED`] and the dispatch to handlers, from one line per API: the versions that are advertised, and the
/// handler. `async fn(&RequestContext, Request, version: i16) -> Response`.
macro_rules! served {
    ($($api:ident $low:literal..=$high:literal, $request:ident => $handler:path;)*) => {
        /// Every API that this broker serves, with the versions that it advertises.
        pub const SERVED: &[(ApiKey, RangeInclusive<i16>)] =
            &[(ApiKey::Produce, produce::VERSIONS), $((ApiKey::$api, $low..=$high)),*];

        async fn route(context: RequestContext, header: &RequestHeader, body: Body<'_>) -> Result<Answer, RequestError> {
            let version = context.version;
            match header.api() {
                Some(ApiKey::Produce) => produce::answer(&context, header.correlation_id, body.decode(version)?).await,
                $(Some(ApiKey::$api) => {
                    let request: $request = body.decode(version)?;
                    // Boxed, so that the future of a connection is not as large as that of the largest handler.
                    let response = Box::pin($handler(&context, request, version)).await;
                    context.connection.count_errors(ApiKey::$api, &response);
                    reply::<$request>(version, header.correlation_id, &response)
                })*
                _ => Err(RequestError::UnknownApi { api_key: header.api_key }),
            }
        }
    };
}

served! {
    Fetch 4..=18, FetchRequest => fetch::handle;
    ListOffsets 0..=11, ListOffsetsRequest => list_offsets::handle;
    Metadata 0..=13, MetadataRequest => metadata::handle;
    WhimbrelLiveness 0..=0, WhimbrelLivenessRequest => whimbrel_liveness::handle;
    LeaderAndIsr 0..=7, LeaderAndIsrRequest => leader_and_isr::handle;
    StopReplica 0..=4, StopReplicaRequest => stop_replica::handle;
    UpdateMetadata 0..=8, UpdateMetadataRequest => update_metadata::handle;
    ControlledShutdown 0..=3, ControlledShutdownRequest => controlled_shutdown::handle;
    AlterPartition 0..=3, AlterPartitionRequest => alter_partition::handle;
    AllocateProducerIds 0..=0, AllocateProducerIdsRequest => allocate_producer_ids::handle;
    OffsetCommit 0..=10, OffsetCommitRequest => offset_commit::handle;
    OffsetFetch 0..=10, OffsetFetchRequest => offset_fetch::handle;
    FindCoordinator 0..=6, FindCoordinatorRequest => find_coordinator::handle;
    JoinGroup 0..=9, JoinGroupRequest => join_group::handle;
    Heartbeat 0..=4, HeartbeatRequest => heartbeat::handle;
    LeaveGroup 0..=5, LeaveGroupRequest => leave_group::handle;
    SyncGroup 0..=5, SyncGroupRequest => sync_group::handle;
    DescribeGroups 0..=6, DescribeGroupsRequest => describe_groups::handle;
    ListGroups 0..=5, ListGroupsRequest => list_groups::handle;
    ApiVersions 0..=4, ApiVersionsRequest => api_versions::handle;
    DeleteRecords 0..=2, DeleteRecordsRequest => delete_records::handle;
    OffsetForLeaderEpoch 0..=4, OffsetForLeaderEpochRequest => offset_for_leader_epoch::handle;
    DescribeLogDirs 0..=5, DescribeLogDirsRequest => describe_log_dirs::handle;
    DeleteGroups 0..=2, DeleteGroupsRequest => delete_groups::handle;
    OffsetDelete 0..=0, OffsetDeleteRequest => offset_delete::handle;
    DescribeProducers 0..=0, DescribeProducersRequest => describe_producers::handle;
    DescribeTopicPartitions 0..=0, DescribeTopicPartitionsRequest => describe_topic_partitions::handle;
    CreateTopics 0..=7, CreateTopicsRequest => create_topics::handle;
    DeleteTopics 0..=6, DeleteTopicsRequest => delete_topics::handle;
    InitProducerId 0..=5, InitProducerIdRequest => init_producer_id::handle;
    DescribeConfigs 0..=4, DescribeConfigsRequest => describe_configs::handle;
    AlterConfigs 0..=2, AlterConfigsRequest => alter_configs::handle;
    CreatePartitions 0..=3, CreatePartitionsRequest => create_partitions::handle;
    IncrementalAlterConfigs 0..=1, IncrementalAlterConfigsRequest => incremental_alter_configs::handle;
    AlterPartitionReassignments 0..=0, AlterPartitionReassignmentsRequest => alter_partition_reassignments::handle;
    ListPartitionReassignments 0..=0, ListPartitionReassignmentsRequest => list_partition_reassignments::handle;
    ElectLeaders 0..=2, ElectLeadersRequest => elect_leaders::handle;
    DescribeCluster 0..=2, DescribeClusterRequest => describe_cluster::handle;
}

/// Handles one frame. What the request does has been done, in order, when this returns; only its answer may wait.
///
/// # Errors
/// The frame is no request that this broker serves: the connection is closed, as in Kafka.
pub async fn dispatch(connection: &Arc<ConnectionContext>, frame: Bytes) -> Result<Answer, RequestError> {
    let mut reader = Reader::new(&frame);
    let header = RequestHeader::decode(&mut reader).map_err(RequestError::Header)?;
    let api = header.api().ok_or(RequestError::UnknownApi { api_key: header.api_key })?;
    let version = header.api_version;
    let versions = served_versions(api).ok_or(RequestError::UnknownApi { api_key: header.api_key })?;
    if !versions.contains(&version) {
        if api == ApiKey::ApiVersions {
            return reply::<ApiVersionsRequest>(0, header.correlation_id, &api_versions::unsupported());
        }
        let (low, high) = (*versions.start(), *versions.end());
        return Err(RequestError::UnsupportedVersion { api: api.name(), version, low, high });
    }
    if !BEFORE_CLIENTS.contains(&header.api_key) {
        connection.broker.open_to_clients().await;
    }
    let context = RequestContext { connection: connection.clone(), client_id: header.client_id.clone(), version };
    route(context, &header, Body(reader)).await
}

/// The versions of `api` that are advertised; `None` if it is not served.
pub fn served_versions(api: ApiKey) -> Option<&'static RangeInclusive<i16>> {
    SERVED.iter().find(|(key, _)| *key == api).map(|(_, versions)| versions)
}

fn reply<R: Request>(version: i16, correlation_id: i32, response: &R::Response) -> Result<Answer, RequestError> {
    Frame::response::<R>(response, version, correlation_id)
        .map(Answer::Reply)
        .map_err(|source| RequestError::Response { api: R::KEY.name(), version, source })
}
