//! CreateTopics, versions 0 to 7 (KIP-4, KIP-464, KIP-525, KIP-516). Source: Kafka 3.9 `ZkAdminManager.createTopics`.
//!
//! Only the active controller serves it. A topic is written to coordination, the controller hears of it, and the answer
//! leaves when every partition has a leader that this broker knows of. The topic exists even if that takes longer than
//! the client allowed; it is then told `RequestTimedOut`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use whimbrel_model::{ErrorCode, Uuid};
use whimbrel_state::controller::PartitionAssignment;
use whimbrel_wire::create_topics::{CreatableTopic, CreatableTopicConfigs, CreatableTopicResult};
use whimbrel_wire::{CreateTopicsRequest, CreateTopicsResponse, Str};

use super::refusal::{Refusal, on_wire};
use super::{RequestContext, assignments};
use crate::Broker;
use crate::config::{self, TopicConfig, describe_topic};
use crate::coordination::Overrides;
use crate::metadata_cache::MetadataImage;
use crate::topics;

/// Topics of one request that are written at the same time.
const CREATIONS_AT_ONCE: usize = 64;

/// "As the broker is configured", for the number of partitions and of replicas.
const DEFAULT_COUNT: i32 = -1;

/// A topic that may be created.
struct Plan {
    /// Where it stands in the request.
    position: usize,
    name: String,
    partitions: Vec<PartitionAssignment>,
    overrides: Overrides,
}

pub async fn handle(context: &RequestContext, request: CreateTopicsRequest, _version: i16) -> CreateTopicsResponse {
    let broker = context.broker();
    let deadline = deadline(request.timeout_ms);
    let mut results: Vec<Result<Created, Refusal>> = Vec::with_capacity(request.topics.len());
    if !broker.is_active_controller() {
        results.extend(request.topics.iter().map(|_| Err(Refusal::bare(ErrorCode::NotController))));
    } else {
        let plans = plan_all(broker, &request.topics, &mut results).await;
        if !request.validate_only {
            create_all(broker, plans, deadline, &mut results).await;
        }
    }
    let topics = request.topics.iter().zip(&results).map(|(topic, result)| answer(&topic.name, result)).collect();
    CreateTopicsResponse { topics, ..Default::default() }
}

/// What the client is told of a topic that exists now, or would.
struct Created {
    id: Uuid,
    partitions: i32,
    replication_factor: i16,
    configs: Vec<CreatableTopicConfigs>,
}

/// Until when a client waits; `None` if it does not.
pub(super) fn deadline(timeout_ms: i32) -> Option<Instant> {
    let timeout = u64::try_from(timeout_ms).ok().filter(|timeout| 0 < *timeout)?;
    Some(Instant::now() + Duration::from_millis(timeout))
}

fn answer(name: &Str, result: &Result<Created, Refusal>) -> CreatableTopicResult {
    let (error_code, error_message) = match result {
        Ok(_) => (ErrorCode::None.code(), None),
        Err(refusal) => on_wire(&Err(refusal.clone())),
    };
    let base = CreatableTopicResult { name: name.clone(), error_code, error_message, ..Default::default() };
    match result {
        Ok(created) => CreatableTopicResult {
            topic_id: created.id,
            num_partitions: created.partitions,
            replication_factor: created.replication_factor,
            configs: Some(created.configs.clone()),
            ..base
        },
        Err(_) => CreatableTopicResult { configs: Some(Vec::new()), ..base },
    }
}

/// Checks every topic of the request; `results` gets an entry for each, and those that may be created are returned.
async fn plan_all(
    broker: &Broker,
    topics: &[CreatableTopic],
    results: &mut Vec<Result<Created, Refusal>>,
) -> Vec<Plan> {
    let mut occurrences: HashMap<&str, usize> = HashMap::new();
    for topic in topics {
        *occurrences.entry(topic.name.as_str()).or_default() += 1;
    }
    let existing = Existing::read(broker, topics).await;
    let mut planned_names = BTreeSet::new();
    let mut plans = Vec::new();
    for (position, topic) in topics.iter().enumerate() {
        let is_repeated = occurrences.get(topic.name.as_str()).is_some_and(|count| 1 < *count);
        let planned = if topic.name.as_str() == topics::CLUSTER_METADATA {
            Err(Refusal::new(ErrorCode::InvalidRequest, "this topic cannot be created: it is KRaft's own"))
        } else if is_repeated {
            Err(Refusal::new(ErrorCode::InvalidRequest, "the request lists this topic more than once"))
        } else {
            match &existing {
                Ok(existing) => plan(broker, topic, existing, &planned_names),
                Err(refusal) => Err(refusal.clone()),
            }
        };
        results.push(planned.map(|(partitions, overrides)| {
            planned_names.insert(topic.name.to_string());
            let created = describe(broker, &partitions, &overrides);
            plans.push(Plan { position, name: topic.name.to_string(), partitions, overrides });
            created
        }));
    }
    plans
}

/// The names that are taken.
struct Existing {
    names: BTreeSet<String>,
    deleted: BTreeSet<String>,
}

impl Existing {
    /// Names in coordination are read only if the request has one that could collide with them; a name that is taken is
    /// otherwise found out when the topic is written.
    async fn read(broker: &Broker, topics: &[CreatableTopic]) -> Result<Self, Refusal> {
        let image_names = {
            let image = broker.metadata.image();
            let listed = topics.iter().filter(|topic| image.topic(&topic.name).is_some());
            listed.map(|topic| topic.name.to_string()).collect::<BTreeSet<_>>()
        };
        let mut names = image_names;
        if topics.iter().any(|topic| topics::may_collide(&topic.name)) {
            names.extend(broker.coordination.topic_names().await?);
        }
        let deleted = broker.coordination.topics_in_deletion().await?.into_iter().collect();
        Ok(Self { names, deleted })
    }

    fn check(&self, name: &str, planned: &BTreeSet<String>) -> Result<(), Refusal> {
        if self.deleted.contains(name) {
            let text = format!("topic '{name}' is being deleted");
            return Err(Refusal::new(ErrorCode::TopicAlreadyExists, text));
        }
        if self.names.contains(name) {
            return Err(Refusal::topic_exists(name));
        }
        let key = topics::collision_key(name);
        let other = self.names.iter().chain(planned).find(|other| topics::collision_key(other) == key);
        match other {
            Some(other) => {
                let text = format!(
                    "topic '{name}' collides with topic '{other}': '.' and '_' are the same in the names of metrics"
                );
                Err(Refusal::new(ErrorCode::InvalidTopicException, text))
            }
            None => Ok(()),
        }
    }
}

/// The checks of one topic, in Kafka's order.
fn plan(
    broker: &Broker,
    topic: &CreatableTopic,
    existing: &Existing,
    planned: &BTreeSet<String>,
) -> Result<(Vec<PartitionAssignment>, Overrides), Refusal> {
    if existing.names.contains(topic.name.as_str()) {
        return Err(Refusal::topic_exists(&topic.name));
    }
    let overrides = overrides(topic)?;
    let partitions = partitions(broker, topic)?;
    topics::validate_name(&topic.name)?;
    existing.check(&topic.name, planned)?;
    check_overrides(broker, &overrides)?;
    Ok((partitions, overrides))
}

fn overrides(topic: &CreatableTopic) -> Result<Overrides, Refusal> {
    let without: Vec<&str> =
        topic.configs.iter().filter(|config| config.value.is_none()).map(|config| config.name.as_str()).collect();
    if !without.is_empty() {
        let text = format!("topic settings without a value: {}", without.join(", "));
        return Err(Refusal::new(ErrorCode::InvalidConfig, text));
    }
    let pair = |config: &whimbrel_wire::create_topics::CreatableTopicConfig| {
        Some((config.name.to_string(), config.value.as_ref()?.to_string()))
    };
    Ok(topic.configs.iter().filter_map(pair).collect())
}

fn partitions(broker: &Broker, topic: &CreatableTopic) -> Result<Vec<PartitionAssignment>, Refusal> {
    let counts_given = topic.num_partitions != DEFAULT_COUNT || i32::from(topic.replication_factor) != DEFAULT_COUNT;
    if !topic.assignments.is_empty() {
        if counts_given {
            let text = "either the numbers of partitions and replicas can be given, or the assignment, not both";
            return Err(Refusal::new(ErrorCode::InvalidRequest, text));
        }
        let given = topic.assignments.iter().map(|one| (one.partition_index, one.broker_ids.clone())).collect();
        return assignments::given(given);
    }
    let config = broker.config();
    let or_default = |given: i32, default: i32| if given == DEFAULT_COUNT { default } else { given };
    let count = or_default(topic.num_partitions, config.topics.partitions);
    let factor = or_default(topic.replication_factor.into(), config.topics.replication_factor.into());
    let brokers = assignments::candidates(&broker.metadata.image());
    assignments::placed(&brokers, count, i16::try_from(factor).unwrap_or(i16::MAX))
}

/// Checks the names and values of a topic's settings.
pub(super) fn check_overrides(broker: &Broker, overrides: &Overrides) -> Result<(), Refusal> {
    if let Some(unknown) = overrides.keys().find(|name| config::topic::find(name).is_none()) {
        return Err(Refusal::new(ErrorCode::InvalidConfig, format!("unknown topic setting '{unknown}'")));
    }
    TopicConfig::resolve(&broker.config().layers, overrides)?;
    Ok(())
}

fn describe(broker: &Broker, partitions: &[PartitionAssignment], overrides: &Overrides) -> Created {
    let entries = describe_topic(&broker.config().layers, overrides).into_iter();
    let factor = partitions.first().map_or(0, |first| first.replicas.len());
    Created {
        id: Uuid::ZERO,
        partitions: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(factor).unwrap_or(i16::MAX),
        configs: entries
            .map(|entry| CreatableTopicConfigs {
                name: Str::from_static(entry.name),
                value: entry.value.map(Str::from),
                read_only: entry.read_only,
                config_source: entry.source as i8,
                is_sensitive: entry.sensitive,
            })
            .collect(),
    }
}

/// Writes the planned topics and waits for their leaders; `results` learns what became of each.
async fn create_all(
    broker: &Broker,
    plans: Vec<Plan>,
    deadline: Option<Instant>,
    results: &mut [Result<Created, Refusal>],
) {
    let mut waiting = BTreeMap::new();
    let mut plans = plans.into_iter();
    let mut creations = JoinSet::new();
    loop {
        while creations.len() < CREATIONS_AT_ONCE
            && let Some(plan) = plans.next()
        {
            let coordination = broker.coordination.clone();
            creations.spawn(async move {
                let created = coordination.create_topic(&plan.name, &plan.partitions, &plan.overrides).await;
                (plan.position, plan.name, plan.partitions.len(), created)
            });
        }
        let Some(joined) = creations.join_next().await else { break };
        let Ok((position, name, partitions, created)) = joined else { continue };
        let Some(result) = results.get_mut(position) else { continue };
        match created {
            Ok(id) => {
                if let Ok(created) = result {
                    created.id = id;
                }
                waiting.insert(name, (position, partitions));
            }
            Err(error) => *result = Err(error.into()),
        }
    }
    let expected = waiting.iter().map(|(name, (_, partitions))| (name.clone(), *partitions)).collect();
    for name in without_leaders(broker, expected, deadline).await {
        if let Some(result) = waiting.get(&name).and_then(|(position, _)| results.get_mut(*position)) {
            *result = Err(Refusal::bare(ErrorCode::RequestTimedOut));
        }
    }
}

/// Waits until each topic has this many partitions with a live leader. Those that have not by the deadline are returned;
/// without a deadline all of them are, as Kafka does it.
pub(super) async fn without_leaders(
    broker: &Broker,
    mut expected: BTreeMap<String, usize>,
    deadline: Option<Instant>,
) -> Vec<String> {
    let Some(deadline) = deadline else { return expected.into_keys().collect() };
    let led = broker.metadata.wait_for(|image| {
        expected.retain(|name, partitions| !is_led(image, name, *partitions));
        expected.is_empty().then_some(())
    });
    match tokio::time::timeout_at(deadline, led).await {
        Ok(()) => Vec::new(),
        Err(_) => expected.into_keys().collect(),
    }
}

fn is_led(image: &MetadataImage, name: &str, partitions: usize) -> bool {
    image.topic(name).is_some_and(|topic| {
        let led = topic.partitions.values().filter(|partition| image.brokers.contains_key(&partition.leader)).count();
        partitions <= led
    })
}
