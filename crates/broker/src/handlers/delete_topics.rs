//! DeleteTopics, versions 0 to 6 (KIP-4, KIP-516). Source: Kafka 3.9 `KafkaApis.handleDeleteTopicsRequest`.
//!
//! Only the active controller serves it. The answer leaves when the topic is out of clients' sight; here it also waits,
//! for a moment, until the name can be used again.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use whimbrel_model::{ErrorCode, Uuid};
use whimbrel_wire::delete_topics::{DeletableTopicResult, DeleteTopicState};
use whimbrel_wire::{DeleteTopicsRequest, DeleteTopicsResponse, Str};

use super::RequestContext;
use super::create_topics::deadline;
use super::refusal::{Refusal, on_wire};
use crate::Broker;

/// How long the answer is held back for the name to be free. A replica on a broker that is away can take for ever.
const NAME_WAIT: Duration = Duration::from_secs(1);

/// The first version that knows `TopicDeletionDisabled`.
const DELETION_DISABLED_SINCE: i16 = 3;

pub async fn handle(context: &RequestContext, request: DeleteTopicsRequest, version: i16) -> DeleteTopicsResponse {
    let broker = context.broker();
    let named: Vec<DeleteTopicState> = if request.topics.is_empty() {
        let named = |name: &Str| DeleteTopicState { name: Some(name.clone()), topic_id: Uuid::ZERO };
        request.topic_names.iter().map(named).collect()
    } else {
        request.topics
    };
    let refuse_all = |code: ErrorCode| respond(named.iter().map(|topic| (topic.clone(), Err(Refusal::bare(code)))));
    if !broker.is_active_controller() {
        return refuse_all(ErrorCode::NotController);
    }
    if !broker.config().topics.delete_enabled {
        let knows = DELETION_DISABLED_SINCE <= version;
        return refuse_all(if knows { ErrorCode::TopicDeletionDisabled } else { ErrorCode::InvalidRequest });
    }
    if named.iter().any(|topic| topic.name.is_some() && !topic.topic_id.is_zero()) {
        return refuse_all(ErrorCode::InvalidRequest);
    }
    let mut results = Vec::with_capacity(named.len());
    let mut requested = BTreeSet::new();
    for topic in named {
        let (topic, result) = request_one(broker, topic, &mut requested).await;
        results.push((topic, result));
    }
    let visible = still_visible(broker, requested, deadline(request.timeout_ms)).await;
    for (topic, result) in &mut results {
        let name = topic.name.as_ref().map(Str::as_str);
        if result.is_ok() && name.is_some_and(|name| visible.contains(name)) {
            *result = Err(Refusal::bare(ErrorCode::RequestTimedOut));
        }
    }
    respond(results)
}

fn respond(results: impl IntoIterator<Item = (DeleteTopicState, Result<(), Refusal>)>) -> DeleteTopicsResponse {
    let one = |(topic, result): (DeleteTopicState, Result<(), Refusal>)| {
        let (error_code, error_message) = on_wire(&result);
        DeletableTopicResult { name: topic.name, topic_id: topic.topic_id, error_code, error_message }
    };
    DeleteTopicsResponse { responses: results.into_iter().map(one).collect(), ..Default::default() }
}

/// Finds the topic and asks for its deletion. Topics for which that worked, now or before, are added to `requested`.
async fn request_one(
    broker: &Broker,
    mut topic: DeleteTopicState,
    requested: &mut BTreeSet<String>,
) -> (DeleteTopicState, Result<(), Refusal>) {
    {
        let image = broker.metadata.image();
        if topic.name.is_none() {
            topic.name = image.topic_by_id(topic.topic_id).map(|found| Str::from(found.name.clone()));
        }
        let Some(name) = &topic.name else {
            return (topic, Err(Refusal::bare(ErrorCode::UnknownTopicId)));
        };
        if image.topic(name).is_none() && !requested.contains(name.as_str()) {
            return (topic, Err(Refusal::bare(ErrorCode::UnknownTopicOrPartition)));
        }
    }
    let Some(name) = topic.name.as_ref().map(Str::to_string) else {
        return (topic, Err(Refusal::bare(ErrorCode::UnknownTopicId)));
    };
    if requested.contains(&name) {
        return (topic, Ok(()));
    }
    match broker.coordination.request_deletion(&name).await {
        Ok(()) => {
            requested.insert(name);
            (topic, Ok(()))
        }
        Err(error) => (topic, Err(error.into())),
    }
}

/// Waits until the topics have left the metadata; those that have not by the deadline are returned.
async fn still_visible(broker: &Broker, mut topics: BTreeSet<String>, deadline: Option<Instant>) -> BTreeSet<String> {
    let Some(deadline) = deadline else { return topics };
    let names = topics.clone();
    let gone = broker.metadata.wait_for(|image| {
        topics.retain(|name| image.topic(name).is_some());
        topics.is_empty().then_some(())
    });
    if tokio::time::timeout_at(deadline, gone).await.is_err() {
        return topics;
    }
    let free = async {
        for name in &names {
            broker.coordination.topic_gone(name).await?;
        }
        Ok::<(), crate::coordination::CoordinationError>(())
    };
    // The topic is deleted as far as the client is concerned, whether or not its name is free by now.
    let _free_or_not = tokio::time::timeout_at(deadline.min(Instant::now() + NAME_WAIT), free).await;
    topics
}
