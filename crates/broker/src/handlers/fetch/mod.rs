//! Fetch, versions 4 to 18: record batches out, to consumers and to followers (KIP-74, KIP-98, KIP-227, KIP-320,
//! KIP-392, KIP-516, KIP-595, KIP-903, KIP-951).
//!
//! The answer is made of slices: batches go out as they lie in the log. A fetch that finds less than it asks for waits
//! on the partitions' watch lists until there is enough, until its time is up, or until something happened that the
//! fetcher has to know.

mod answer;
mod preferred;
mod serve;

use whimbrel_model::{BrokerEpoch, ErrorCode, NodeId, Offset, Uuid};
use whimbrel_state::fetch_session::{
    FINAL_EPOCH, FetchParams, FetchPartition, INITIAL_EPOCH, SessionError, SessionTopic,
};
use whimbrel_wire::{FetchRequest, FetchResponse, Str};

use super::{RequestContext, known_epoch};
use crate::Broker;
use crate::time;

pub async fn handle(context: &RequestContext, request: FetchRequest, version: i16) -> FetchResponse {
    let session = (request.session_id, request.session_epoch);
    let fetched_by = fetched_by(&request, version);
    let plan = match plan(context.broker(), &request, version) {
        Ok(plan) => plan,
        Err(error) => return FetchResponse { error_code: session_error(error).code(), ..Default::default() },
    };
    let fetcher = serve::Fetcher::new(context, &request, fetched_by, plan);
    let served = fetcher.serve().await;
    if !fetched_by.is_replica() {
        context.broker().metrics.fetched(served.iter().map(|one| one.found.bytes() as u64).sum());
    }
    answer::respond(context, version, session, (plan_kind(&request), fetched_by), served)
}

/// Who fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FetchedBy {
    Consumer,
    /// Another broker, with the epoch of its registration (-1 from those that do not say).
    Replica(NodeId, BrokerEpoch),
}

impl FetchedBy {
    fn is_replica(self) -> bool {
        matches!(self, Self::Replica(..))
    }
}

fn fetched_by(request: &FetchRequest, version: i16) -> FetchedBy {
    let (id, epoch) = if 15 <= version {
        (request.replica_state.replica_id, request.replica_state.replica_epoch)
    } else {
        (request.replica_id, -1)
    };
    if id < 0 { FetchedBy::Consumer } else { FetchedBy::Replica(NodeId(id), BrokerEpoch(epoch)) }
}

/// What kind of session a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sessionless,
    /// Full, and wants a session.
    Opening,
    Incremental,
}

fn plan_kind(request: &FetchRequest) -> Kind {
    match request.session_epoch {
        FINAL_EPOCH => Kind::Sessionless,
        INITIAL_EPOCH => Kind::Opening,
        _ => Kind::Incremental,
    }
}

/// The partitions to serve, in order. Closes the session that a full request names.
fn plan(broker: &Broker, request: &FetchRequest, version: i16) -> Result<Vec<FetchPartition>, SessionError> {
    let requested = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(move |partition| FetchPartition {
            topic: session_topic(&topic.topic, topic.topic_id, version),
            partition: partition.partition,
            params: FetchParams {
                fetch_offset: Offset(partition.fetch_offset),
                fetcher_log_start: partition.log_start_offset,
                partition_bytes_max: partition.partition_max_bytes,
                current_leader_epoch: known_epoch(partition.current_leader_epoch),
                last_fetched_epoch: known_epoch(partition.last_fetched_epoch),
            },
            told_high_watermark: -1,
        })
    });
    let sessions = &broker.fetch_sessions;
    if plan_kind(request) == Kind::Incremental {
        let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
            let named = session_topic(&topic.topic, topic.topic_id, version);
            topic.partitions.iter().map(move |partition| (named.clone(), *partition))
        });
        let session = (request.session_id, request.session_epoch);
        return sessions.lock().begin(time::monotonic_ms(), session, version >= 13, requested, forgotten);
    }
    if request.session_id != 0 {
        sessions.lock().close(request.session_id);
    }
    Ok(requested.collect())
}

fn session_topic(name: &Str, id: Uuid, version: i16) -> SessionTopic {
    if version >= 13 { SessionTopic::Id(id) } else { SessionTopic::Name(name.as_str().into()) }
}

fn session_error(error: SessionError) -> ErrorCode {
    match error {
        SessionError::IdNotFound => ErrorCode::FetchSessionIdNotFound,
        SessionError::InvalidEpoch => ErrorCode::InvalidFetchSessionEpoch,
        SessionError::TopicIdMismatch => ErrorCode::FetchSessionTopicIdError,
    }
}
