//! CreatePartitions, versions 0 to 3 (KIP-195). Source: Kafka 3.9 `ZkAdminManager.createPartitions`.

use std::collections::{BTreeMap, HashMap, HashSet};

use whimbrel_model::ErrorCode;
use whimbrel_state::controller::PartitionAssignment;
use whimbrel_wire::create_partitions::{CreatePartitionsTopic, CreatePartitionsTopicResult};
use whimbrel_wire::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::create_topics::{deadline, without_leaders};
use super::refusal::{Refusal, on_wire};
use super::{RequestContext, assignments};
use crate::Broker;
use crate::coordination::{CoordinationError, VersionedTopic};
use crate::topics;

/// Attempts while others change the same topic. Each lost one means that another's change went through.
const ATTEMPTS_MAX: usize = 10;

pub async fn handle(
    context: &RequestContext,
    request: CreatePartitionsRequest,
    _version: i16,
) -> CreatePartitionsResponse {
    let broker = context.broker();
    let deadline = deadline(request.timeout_ms);
    let mut occurrences: HashMap<&str, usize> = HashMap::new();
    for topic in &request.topics {
        *occurrences.entry(topic.name.as_str()).or_default() += 1;
    }
    let is_active = broker.is_active_controller();
    let mut waiting = BTreeMap::new();
    let mut results = Vec::with_capacity(request.topics.len());
    let mut answered = HashSet::new();
    // A topic that is listed more than once is refused once.
    for topic in request.topics.iter().filter(|topic| answered.insert(topic.name.as_str())) {
        let repeated = occurrences.get(topic.name.as_str()).is_some_and(|count| 1 < *count);
        let result = if !is_active {
            Err(Refusal::bare(ErrorCode::NotController))
        } else if repeated {
            Err(Refusal::new(ErrorCode::InvalidRequest, "the request lists this topic more than once"))
        } else {
            add(broker, topic, request.validate_only).await
        };
        if let (Ok(count), false) = (&result, request.validate_only) {
            waiting.insert(topic.name.to_string(), *count);
        }
        results.push((topic.name.clone(), result.map(drop)));
    }
    let late = without_leaders(broker, waiting, deadline).await;
    for (name, result) in &mut results {
        if late.iter().any(|late| late == name.as_str()) {
            *result = Err(Refusal::bare(ErrorCode::RequestTimedOut));
        }
    }
    let results = results.into_iter().map(|(name, result)| {
        let (error_code, error_message) = on_wire(&result);
        CreatePartitionsTopicResult { name, error_code, error_message }
    });
    CreatePartitionsResponse { results: results.collect(), ..Default::default() }
}

/// Adds partitions to one topic; the result is how many it then has.
async fn add(broker: &Broker, topic: &CreatePartitionsTopic, validate_only: bool) -> Result<usize, Refusal> {
    if topics::validate_name(&topic.name).is_err() {
        // Such a name cannot be looked up in coordination.
        return Err(Refusal::unknown_topic(&topic.name));
    }
    for _ in 0..ATTEMPTS_MAX {
        let Some(current) = broker.coordination.topic(&topic.name).await? else {
            return Err(Refusal::unknown_topic(&topic.name));
        };
        if broker.coordination.topics_in_deletion().await?.iter().any(|name| name == topic.name.as_str()) {
            return Err(Refusal::new(ErrorCode::InvalidTopicException, "the topic is being deleted"));
        }
        let added = plan(broker, topic, &current)?;
        let count = current.assignment.partitions.len() + added.len();
        if validate_only {
            return Ok(count);
        }
        match broker.coordination.add_partitions(&current, &added).await {
            Ok(()) => return Ok(count),
            Err(CoordinationError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Refusal::new(ErrorCode::RequestTimedOut, "the topic is being changed by others all the time"))
}

/// The partitions to add, after Kafka's checks.
fn plan(
    broker: &Broker,
    topic: &CreatePartitionsTopic,
    current: &VersionedTopic,
) -> Result<Vec<PartitionAssignment>, Refusal> {
    let partitions = &current.assignment.partitions;
    let moving = |one: &PartitionAssignment| !one.adding_replicas.is_empty() || !one.removing_replicas.is_empty();
    if partitions.iter().any(moving) {
        let text = format!("partitions of topic '{}' are being reassigned", topic.name.as_str());
        return Err(Refusal::new(ErrorCode::ReassignmentInProgress, text));
    }
    let existing = partitions.len();
    let wanted = usize::try_from(topic.count).unwrap_or(0);
    if wanted <= existing {
        let text = format!(
            "the topic has {existing} partitions; their number can only grow, and {} was asked for",
            topic.count
        );
        return Err(Refusal::new(ErrorCode::InvalidPartitions, text));
    }
    let Some(first) = partitions.iter().find(|one| one.index == 0) else {
        return Err(Refusal::new(ErrorCode::UnknownServerError, "the topic has no partition 0"));
    };
    let brokers = assignments::candidates(&broker.metadata.image());
    let added = wanted - existing;
    match &topic.assignments {
        Some(given) => {
            let given = given.iter().map(|one| one.broker_ids.clone()).collect();
            assignments::given_for_added(&brokers, existing, added, first.replicas.len(), given)
        }
        None => assignments::continued(&brokers, existing, added, &first.replicas),
    }
}
