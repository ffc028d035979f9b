//! The one table of APIs.

use crate::Message;
use crate::spec::{MessageSpec, Versions};

/// Calls `$then!` with the table: one line per API, `Name = key, module::{Request, Response};`. Names are Kafka's, except
/// that those from [`WHIMBREL_KEYS_MIN`](crate::WHIMBREL_KEYS_MIN) on are of this project alone.
///
/// Whatever must exist once per API (this crate's types, a dispatcher, a test) is generated from these lines.
#[macro_export]
macro_rules! for_each_api {
    ($then:ident) => {
        $then! {
            Produce = 0, produce::{ProduceRequest, ProduceResponse};
            Fetch = 1, fetch::{FetchRequest, FetchResponse};
            ListOffsets = 2, list_offsets::{ListOffsetsRequest, ListOffsetsResponse};
            Metadata = 3, metadata::{MetadataRequest, MetadataResponse};
            LeaderAndIsr = 4, leader_and_isr::{LeaderAndIsrRequest, LeaderAndIsrResponse};
            StopReplica = 5, stop_replica::{StopReplicaRequest, StopReplicaResponse};
            UpdateMetadata = 6, update_metadata::{UpdateMetadataRequest, UpdateMetadataResponse};
            ControlledShutdown = 7, controlled_shutdown::{ControlledShutdownRequest, ControlledShutdownResponse};
            OffsetCommit = 8, offset_commit::{OffsetCommitRequest, OffsetCommitResponse};
            OffsetFetch = 9, offset_fetch::{OffsetFetchRequest, OffsetFetchResponse};
            FindCoordinator = 10, find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
            JoinGroup = 11, join_group::{JoinGroupRequest, JoinGroupResponse};
            Heartbeat = 12, heartbeat::{HeartbeatRequest, HeartbeatResponse};
            LeaveGroup = 13, leave_group::{LeaveGroupRequest, LeaveGroupResponse};
            SyncGroup = 14, sync_group::{SyncGroupRequest, SyncGroupResponse};
            DescribeGroups = 15, describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse};
            ListGroups = 16, list_groups::{ListGroupsRequest, ListGroupsResponse};
            ApiVersions = 18, api_versions::{ApiVersionsRequest, ApiVersionsResponse};
            CreateTopics = 19, create_topics::{CreateTopicsRequest, CreateTopicsResponse};
            DeleteTopics = 20, delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
            DeleteRecords = 21, delete_records::{DeleteRecordsRequest, DeleteRecordsResponse};
            InitProducerId = 22, init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
            OffsetForLeaderEpoch = 23, offset_for_leader_epoch::
                {OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
            DescribeConfigs = 32, describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse};
            AlterConfigs = 33, alter_configs::{AlterConfigsRequest, AlterConfigsResponse};
            DescribeLogDirs = 35, describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResponse};
            CreatePartitions = 37, create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse};
            DeleteGroups = 42, delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
            ElectLeaders = 43, elect_leaders::{ElectLeadersRequest, ElectLeadersResponse};
            IncrementalAlterConfigs = 44, incremental_alter_configs::
                {IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
            AlterPartitionReassignments = 45, alter_partition_reassignments::
                {AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};
            ListPartitionReassignments = 46, list_partition_reassignments::
                {ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};
            OffsetDelete = 47, offset_delete::{OffsetDeleteRequest, OffsetDeleteResponse};
            AlterPartition = 56, alter_partition::{AlterPartitionRequest, AlterPartitionResponse};
            DescribeCluster = 60, describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
            DescribeProducers = 61, describe_producers::{DescribeProducersRequest, DescribeProducersResponse};
            AllocateProducerIds = 67, allocate_producer_ids::
                {AllocateProducerIdsRequest, AllocateProducerIdsResponse};
            DescribeTopicPartitions = 75, describe_topic_partitions::
                {DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
            WhimbrelLiveness = 20000, whimbrel_liveness::{WhimbrelLivenessRequest, WhimbrelLivenessResponse};
        }
    };
}

/// As [`for_each_api!`], for messages that are stored instead of sent: `module::Message;`. They have no key of an API.
#[macro_export]
macro_rules! for_each_stored_message {
    ($then:ident) => {
        $then! {
            group_records::OffsetCommitKey;
            group_records::OffsetCommitValue;
            group_records::GroupMetadataKey;
            group_records::GroupMetadataValue;
            consumer_subscription::ConsumerProtocolSubscription;
            consumer_assignment::ConsumerProtocolAssignment;
        }
    };
}

/// Keys from here on are Whimbrel's own. Kafka's end at 92 (4.3), and are given out in order.
pub const WHIMBREL_KEYS_MIN: i16 = 20_000;

/// A request type, with what answers it.
pub trait Request: Message {
    /// Which API.
    const KEY: ApiKey;
    /// What answers it.
    type Response: Message;
}

/// One line of [`API_TABLE`].
#[derive(Debug, Clone, Copy)]
pub struct Api {
    /// The key.
    pub key: ApiKey,
    /// Kafka's name.
    pub name: &'static str,
    /// All versions that are declared. A broker may offer fewer.
    pub versions: Versions,
    /// The versions with compact lengths and tagged fields, which also have the flexible request header.
    pub flexible: Versions,
    /// Declaration of the request.
    pub request: &'static MessageSpec,
    /// Declaration of the response.
    pub response: &'static MessageSpec,
}

macro_rules! table {
    ($($name:ident = $code:literal, $module:ident::{$request:ident, $response:ident};)*) => {
        $(
            impl Request for crate::$request {
                const KEY: ApiKey = ApiKey::$name;
                type Response = crate::$response;
            }

            const _: () = assert!(
                crate::$request::SPEC.valid.low == crate::$response::SPEC.valid.low
                    && crate::$request::SPEC.valid.high == crate::$response::SPEC.valid.high
                    && crate::$request::SPEC.flexible.low == crate::$response::SPEC.flexible.low,
                concat!(stringify!($name), ": request and response differ in versions")
            );
        )*

        /// The APIs that are declared.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        #[allow(missing_docs, reason = "the names are Kafka's")]
        pub enum ApiKey {
            $($name = $code,)*
        }

        impl ApiKey {
            /// The API with this key.
            #[must_use]
            pub const fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its line of the table.
            #[must_use]
            pub const fn api(self) -> &'static Api {
                match self {
                    $(Self::$name => const {
                        &Api {
                            key: Self::$name,
                            name: stringify!($name),
                            versions: crate::$request::SPEC.valid,
                            flexible: crate::$request::SPEC.flexible,
                            request: &crate::$request::SPEC,
                            response: &crate::$response::SPEC,
                        }
                    },)*
                }
            }
        }

        /// All APIs, in the order of their keys.
        pub const API_TABLE: &[&Api] = &[$(ApiKey::$name.api()),*];
    };
}

impl ApiKey {
    /// The key on the wire.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Kafka's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.api().name
    }

    /// 2 for flexible requests, else 1. Defined for versions that do not exist too. The first ControlledShutdown is
    /// older than client ids and has header version 0.
    #[must_use]
    pub const fn request_header_version(self, version: i16) -> i16 {
        match self {
            Self::ControlledShutdown if version == 0 => 0,
            _ if self.api().flexible.contains(version) => 2,
            _ => 1,
        }
    }

    /// 1 for flexible responses, else 0. ApiVersions always has 0: its client cannot know yet what the broker speaks.
    #[must_use]
    pub const fn response_header_version(self, version: i16) -> i16 {
        match self {
            Self::ApiVersions => 0,
            _ if self.api().flexible.contains(version) => 1,
            _ => 0,
        }
    }
}

impl std::fmt::Display for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

for_each_api!(table);

macro_rules! stored_table {
    ($($module:ident::$message:ident;)*) => {
        /// Declarations of the messages that are stored in records.
        pub const STORED_MESSAGES: &[&MessageSpec] = &[$(&crate::$module::$message::SPEC),*];
    };
}

for_each_stored_message!(stored_table);
