//! What DescribeConfigs answers about brokers and topics: entries in Kafka's shape, without its wire types.

use std::collections::BTreeMap;

use super::layers::{Given, Layers, Source};
use super::setting::{Setting, UpdateMode};
use super::{table, topic};

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    pub name: &'static str,
    /// `None` when unset or not to be shown.
    pub value: Option<String>,
    pub source: Source,
    /// True for what cannot be changed while the broker runs.
    pub read_only: bool,
    pub sensitive: bool,
    /// Every value given for it, the one in force first.
    pub synonyms: Vec<Synonym>,
    /// Kafka's number of the type (`ConfigType`, KIP-569).
    pub type_code: i8,
    pub documentation: &'static str,
}

/// A value, and under which name and where it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synonym {
    pub name: &'static str,
    /// `None` when it is not to be shown.
    pub value: Option<String>,
    pub source: Source,
}

/// The settings of this broker, by name.
#[must_use]
pub fn describe_broker(layers: &Layers) -> Vec<ConfigEntry> {
    let mut entries: Vec<ConfigEntry> = table::all().map(|setting| broker_entry(layers, setting)).collect();
    entries.sort_by_key(|entry| entry.name);
    entries
}

/// The dynamic defaults of all brokers: only what is set there, as Kafka answers for the nameless broker.
#[must_use]
pub fn describe_broker_defaults(layers: &Layers) -> Vec<ConfigEntry> {
    let mut entries = describe_broker(layers);
    for entry in &mut entries {
        entry.synonyms.retain(|synonym| synonym.source == Source::DynamicDefaultBroker);
        entry.value = entry.synonyms.first().and_then(|synonym| synonym.value.clone());
        entry.source = Source::DynamicDefaultBroker;
    }
    entries.retain(|entry| !entry.synonyms.is_empty());
    entries
}

/// The settings of a topic with these overrides, by name.
#[must_use]
pub fn describe_topic(layers: &Layers, overrides: &BTreeMap<String, String>) -> Vec<ConfigEntry> {
    topic::TABLE.iter().map(|setting| topic_entry(layers, overrides, setting)).collect()
}

/// The broker settings that stand in for each other, in the order in which they are asked. Kafka lists them as synonyms.
const FALLBACKS: &[&[&Setting]] = &[
    &[&table::LOG_RETENTION_MS, &table::LOG_RETENTION_MINUTES, &table::LOG_RETENTION_HOURS],
    &[&table::LOG_ROLL_MS, &table::LOG_ROLL_HOURS],
    &[&table::LOG_ROLL_JITTER_MS, &table::LOG_ROLL_JITTER_HOURS],
    &[&table::LOG_FLUSH_INTERVAL_MS, &table::LOG_FLUSH_SCHEDULER_INTERVAL_MS],
];

fn broker_entry(layers: &Layers, setting: &'static Setting) -> ConfigEntry {
    let sensitive = setting.kind.is_sensitive();
    let chain = FALLBACKS.iter().find(|chain| chain.first().is_some_and(|first| first.name == setting.name));
    let names: Vec<&'static Setting> = chain.map_or_else(|| vec![setting], |chain| chain.to_vec());
    let synonyms = synonyms(layers, &names, sensitive);
    let own = layers.given(setting).into_iter().next();
    ConfigEntry {
        name: setting.name,
        value: own.as_ref().filter(|_| !sensitive).map(|(_, given)| canonical(setting, given)),
        source: own.map_or(Source::Default, |(source, _)| source),
        read_only: setting.update == UpdateMode::ReadOnly,
        sensitive,
        synonyms,
        type_code: setting.kind.wire_code(),
        documentation: setting.doc,
    }
}

fn topic_entry(
    layers: &Layers,
    overrides: &BTreeMap<String, String>,
    setting: &'static topic::TopicSetting,
) -> ConfigEntry {
    let names: Vec<&'static Setting> = setting.synonyms.iter().map(|(synonym, _)| *synonym).collect();
    let mut synonyms = synonyms(layers, &names, false);
    let overridden = overrides.get(setting.name).cloned();
    if let Some(value) = &overridden {
        synonyms.insert(0, Synonym { name: setting.name, value: Some(value.clone()), source: Source::DynamicTopic });
    }
    // The configuration in force was checked when it was made, so that only the table's default can be left.
    let inherited = || setting.broker_default(layers).unwrap_or_else(|_| setting.default.to_owned());
    ConfigEntry {
        name: setting.name,
        value: Some(overridden.unwrap_or_else(inherited)),
        source: synonyms.first().map_or(Source::Default, |synonym| synonym.source),
        read_only: false,
        sensitive: false,
        synonyms,
        type_code: setting.kind.wire_code(),
        documentation: setting.doc,
    }
}

/// Kafka's order: by source first (nearest to the broker), then by name.
fn synonyms(layers: &Layers, names: &[&'static Setting], sensitive: bool) -> Vec<Synonym> {
    let mut synonyms = Vec::new();
    for source in [Source::DynamicBroker, Source::DynamicDefaultBroker, Source::StaticBroker, Source::Default] {
        for setting in names {
            let given = layers.given(setting).into_iter().find(|(layer, _)| *layer == source);
            let value = given.map(|(_, given)| canonical(setting, &given));
            synonyms.extend(value.map(|value| Synonym {
                name: setting.name,
                value: (!sensitive).then_some(value),
                source,
            }));
        }
    }
    synonyms
}

/// The value as Kafka prints it back; as given where it cannot be parsed.
fn canonical(setting: &Setting, given: &Given) -> String {
    setting.kind.parse(&given.value).map_or_else(|_| given.value.clone(), |value| value.to_string())
}
