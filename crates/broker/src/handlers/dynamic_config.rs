//! What AlterConfigs and IncrementalAlterConfigs share: which resources there are, and how a change of one is checked and
//! written. Source: Kafka 3.9 `ConfigAdminManager.scala`, `ZkAdminManager.scala` (KIP-133, KIP-226, KIP-339).

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use whimbrel_model::{ErrorCode, NodeId};
use whimbrel_state::controller::control::Endpoint as AdvertisedEndpoint;

use super::create_topics::check_overrides;
use super::refusal::Refusal;
use crate::Broker;
use crate::config::{self, BrokerConfig, Endpoint, Kind, check_dynamic};
use crate::coordination::{ConfigEntity, Overrides, RegistrationError};
use crate::server::{SocketOptions, check_bind};

/// Kafka's numbers of resource types (`ConfigResource.Type`).
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;

/// Something whose configuration can be described and changed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource {
    Topic(String),
    ThisBroker,
    AllBrokers,
}

impl Resource {
    /// Reads type and name of a request. A broker's own settings are known to that broker alone.
    pub(super) fn parse(kind: i8, name: &str, this: NodeId) -> Result<Self, Refusal> {
        match kind {
            TOPIC => Ok(Self::Topic(name.to_owned())),
            BROKER if name.is_empty() => Ok(Self::AllBrokers),
            BROKER => match name.parse() {
                Ok(id) if this == NodeId(id) => Ok(Self::ThisBroker),
                Ok(id) => {
                    let text = format!("this is broker {this}; ask broker {id} for its own settings");
                    Err(Refusal::new(ErrorCode::InvalidRequest, text))
                }
                Err(_) => Err(Refusal::new(ErrorCode::InvalidRequest, format!("broker id '{name}' is not a number"))),
            },
            _ => Err(Refusal::new(ErrorCode::InvalidRequest, format!("resource type {kind} is not supported"))),
        }
    }

    fn entity(&self, this: NodeId) -> ConfigEntity {
        match self {
            Self::Topic(name) => ConfigEntity::Topic(name.as_str().into()),
            Self::ThisBroker => ConfigEntity::Broker(this),
            Self::AllBrokers => ConfigEntity::AllBrokers,
        }
    }
}

/// One step of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Set(String, String),
    Delete(String),
    /// Adds the words of a list that it does not have.
    Append(String, String),
    /// Takes words out of a list.
    Subtract(String, String),
}

/// A resource as a request names it.
pub(super) struct Named<'a> {
    pub(super) kind: i8,
    pub(super) name: &'a str,
}

/// Which of the resources appear more than once: those are refused, each time.
pub(super) fn repeated(resources: &[Named<'_>]) -> Vec<bool> {
    let mut count: HashMap<(i8, &str), usize> = HashMap::new();
    for resource in resources {
        *count.entry((resource.kind, resource.name)).or_default() += 1;
    }
    resources.iter().map(|one| count.get(&(one.kind, one.name)).is_some_and(|count| 1 < *count)).collect()
}

pub(super) fn refuse_repeated() -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, "the request lists this resource more than once")
}

/// Checks what holds for each resource of both requests: no key twice, and a value wherever one is needed.
pub(super) fn check_entries<'a>(entries: impl Iterator<Item = (&'a str, bool)> + Clone) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    if let Some((twice, _)) = entries.clone().find(|(key, _)| !seen.insert(*key)) {
        return Err(Refusal::new(ErrorCode::InvalidRequest, format!("setting '{twice}' is listed more than once")));
    }
    let without: Vec<&str> = entries.filter(|(_, has_value)| !has_value).map(|(key, _)| key).collect();
    if without.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(ErrorCode::InvalidRequest, format!("settings without a value: {}", without.join(", "))))
}

/// Makes `change` of a resource's overrides; with `validate_only` it is checked and nothing is written.
pub(super) async fn change(
    broker: &Broker,
    resource: &Resource,
    validate_only: bool,
    change: impl Fn(Overrides) -> Result<Overrides, Refusal>,
) -> Result<(), Refusal> {
    check_exists(broker, resource)?;
    let entity = resource.entity(broker.node_id);
    let checked = |before: Overrides| -> Result<Overrides, Refusal> {
        let after = change(before.clone())?;
        check(broker, resource, &before, &after)?;
        Ok(after)
    };
    if validate_only || *resource == Resource::ThisBroker {
        let after = checked(broker.coordination.read_config(&entity).await?)?;
        if *resource == Resource::ThisBroker {
            check_listeners(broker, &after).await?;
        }
        if validate_only {
            return Ok(());
        }
    }
    broker.coordination.change_config(&entity, checked).await
}

fn check_exists(broker: &Broker, resource: &Resource) -> Result<(), Refusal> {
    let Resource::Topic(name) = resource else { return Ok(()) };
    if name.is_empty() {
        return Err(Refusal::new(ErrorCode::InvalidRequest, "topics have no common default; name the topic"));
    }
    match broker.metadata.image().topic(name) {
        Some(_) => Ok(()),
        None => Err(Refusal::unknown_topic(name)),
    }
}

fn check(broker: &Broker, resource: &Resource, before: &Overrides, after: &Overrides) -> Result<(), Refusal> {
    match resource {
        Resource::Topic(_) => check_overrides(broker, after),
        Resource::ThisBroker | Resource::AllBrokers => {
            let is_cluster = *resource == Resource::AllBrokers;
            // What was there before may be another implementation's, and stays as it is.
            let changed = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
            for (key, value) in changed {
                check_dynamic(key, value, is_cluster).map_err(|error| invalid(&error))?;
            }
            together(broker, resource, after).map(drop)
        }
    }
}

/// The configuration with these overrides: each value may be allowed, and yet not beside the others.
fn together(broker: &Broker, resource: &Resource, after: &Overrides) -> Result<BrokerConfig, Refusal> {
    let (mut of_all, mut of_this) = broker.dynamic_config();
    match resource {
        Resource::AllBrokers => of_all.clone_from(after),
        _ => of_this.clone_from(after),
    }
    broker.with_dynamic(&of_all, &of_this).map_err(|error| invalid(&error))
}

/// What Kafka answers to a configuration that a broker cannot have.
fn invalid(error: &impl fmt::Display) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, error.to_string())
}

/// Whether the listeners that this broker would have with these overrides can be opened at this moment, and be told of.
/// Kafka finds out afterwards and says so in its log.
async fn check_listeners(broker: &Broker, after: &Overrides) -> Result<(), Refusal> {
    let config = together(broker, &Resource::ThisBroker, after)?;
    if config.listeners == broker.config().listeners {
        return Ok(());
    }
    let listening = broker.listening();
    let is_open = |wanted: &Endpoint| listening.iter().any(|one| one.is(wanted));
    let leaving: Vec<u16> = listening
        .iter()
        .filter(|one| !config.listeners.bind.iter().any(|wanted| one.is(wanted)))
        .map(|one| one.address.port())
        .collect();
    let new = config.listeners.bind.iter().filter(|wanted| !is_open(wanted)).cloned();
    // A port of a listener that goes is free by then: here the host is checked alone.
    let new: Vec<Endpoint> = new
        .map(|wanted| Endpoint { port: if leaving.contains(&wanted.port) { 0 } else { wanted.port }, ..wanted })
        .collect();
    let options = SocketOptions::from(&config.network);
    let can_open = tokio::task::spawn_blocking(move || new.iter().try_for_each(|wanted| check_bind(wanted, &options)));
    match can_open.await {
        Ok(result) => result.map_err(|error| invalid(&error))?,
        Err(_) => return Err(Refusal::bare(ErrorCode::UnknownServerError)),
    }
    let known = |endpoint: &&Endpoint| endpoint.port != 0;
    let told: Vec<AdvertisedEndpoint> = config
        .listeners
        .advertised
        .iter()
        .filter(known)
        .map(|endpoint| endpoint.advertised_at(endpoint.port))
        .collect();
    match broker.coordination.check_addresses(broker.node_id, &told).await {
        Ok(()) => Ok(()),
        Err(RegistrationError::Coordination(error)) => Err(error.into()),
        Err(error) => Err(invalid(&error)),
    }
}

/// Applies steps to overrides, in order.
pub(super) fn apply(resource: &Resource, steps: &[Step], mut overrides: Overrides) -> Result<Overrides, Refusal> {
    for step in steps {
        match step {
            Step::Set(key, value) => drop(overrides.insert(key.clone(), value.clone())),
            Step::Delete(key) => drop(overrides.remove(key)),
            Step::Append(key, words) => {
                let mut list = list_of(resource, key, &overrides)?;
                let new: Vec<_> = split(words).filter(|word| !list.contains(word)).collect();
                list.extend(new);
                overrides.insert(key.clone(), list.join(","));
            }
            Step::Subtract(key, words) => {
                let mut list = list_of(resource, key, &overrides)?;
                let gone: BTreeSet<String> = split(words).collect();
                list.retain(|word| !gone.contains(word));
                overrides.insert(key.clone(), list.join(","));
            }
        }
    }
    Ok(overrides)
}

/// The words of a list setting: its override, else the built-in default.
fn list_of(resource: &Resource, key: &str, overrides: &Overrides) -> Result<Vec<String>, Refusal> {
    let found = match resource {
        Resource::Topic(_) => config::topic::find(key).map(|setting| (setting.kind, Some(setting.default))),
        Resource::ThisBroker | Resource::AllBrokers => {
            config::table::find(key).map(|setting| (setting.kind, setting.default))
        }
    };
    match found {
        None => Err(Refusal::new(ErrorCode::InvalidConfig, format!("unknown setting '{key}'"))),
        Some((Kind::List(_), default)) => {
            let text = overrides.get(key).map(String::as_str).or(default).unwrap_or_default();
            Ok(split(text).collect())
        }
        Some(_) => {
            let text = format!("setting '{key}' is not a list: nothing can be appended to it or subtracted from it");
            Err(Refusal::new(ErrorCode::InvalidConfig, text))
        }
    }
}

fn split(text: &str) -> impl Iterator<Item = String> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(pairs: &[(&str, &str)]) -> Overrides {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn code<T>(result: Result<T, Refusal>) -> Option<ErrorCode> {
        result.err().map(|refusal| refusal.code)
    }

    #[test]
    fn lists_grow_and_shrink_by_words() {
        let topic = Resource::Topic("t".into());
        let append = |words: &str| Step::Append("cleanup.policy".into(), words.into());
        let subtract = |words: &str| Step::Subtract("cleanup.policy".into(), words.into());
        // The default is what a list starts from.
        let both = overrides(&[("cleanup.policy", "delete,compact")]);
        assert_eq!(apply(&topic, &[append("compact")], Overrides::new()), Ok(both.clone()));
        assert_eq!(apply(&topic, &[append("delete, compact")], both.clone()), Ok(both.clone()));
        assert_eq!(apply(&topic, &[subtract("delete")], both), Ok(overrides(&[("cleanup.policy", "compact")])));
        let number = Step::Append("retention.ms".into(), "1".into());
        assert_eq!(code(apply(&topic, &[number], Overrides::new())), Some(ErrorCode::InvalidConfig));
        let unknown = Step::Subtract("no.such".into(), "1".into());
        assert_eq!(code(apply(&topic, &[unknown], Overrides::new())), Some(ErrorCode::InvalidConfig));
    }

    #[test]
    fn steps_apply_in_order() {
        let topic = Resource::Topic("t".into());
        let steps = [Step::Set("retention.ms".into(), "5".into()), Step::Delete("segment.bytes".into())];
        let before = overrides(&[("segment.bytes", "100"), ("flush.ms", "1")]);
        assert_eq!(apply(&topic, &steps, before), Ok(overrides(&[("flush.ms", "1"), ("retention.ms", "5")])));
    }

    #[test]
    fn a_broker_answers_for_itself_and_for_all() {
        let this = NodeId(3);
        assert_eq!(Resource::parse(BROKER, "3", this), Ok(Resource::ThisBroker));
        assert_eq!(Resource::parse(BROKER, "", this), Ok(Resource::AllBrokers));
        assert_eq!(Resource::parse(TOPIC, "t", this), Ok(Resource::Topic("t".into())));
        for (kind, name) in [(BROKER, "4"), (BROKER, "x"), (8, "3"), (16, "m"), (0, "")] {
            assert_eq!(code(Resource::parse(kind, name, this)), Some(ErrorCode::InvalidRequest));
        }
    }

    #[test]
    fn keys_come_once_and_with_a_value() {
        assert_eq!(check_entries([("a", true), ("b", true)].into_iter()), Ok(()));
        assert_eq!(code(check_entries([("a", true), ("a", true)].into_iter())), Some(ErrorCode::InvalidRequest));
        assert_eq!(code(check_entries([("a", false)].into_iter())), Some(ErrorCode::InvalidRequest));
        let named = |kind, name| Named { kind, name };
        assert_eq!(repeated(&[named(2, "a"), named(2, "b"), named(2, "a"), named(4, "a")]), [true, false, true, false]);
    }
}
