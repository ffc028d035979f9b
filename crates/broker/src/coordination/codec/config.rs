//! `/config/<type>/<entity>` and `/config/changes/config_change_<sequence>`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DecodeError, to_json};

/// The overrides of one entity; all values are strings.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(in crate::coordination) struct ConfigNode {
    version: i32,
    config: BTreeMap<String, Value>,
}

impl ConfigNode {
    pub(in crate::coordination) fn new(config: &BTreeMap<String, String>) -> Self {
        let text = |(key, value): (&String, &String)| (key.clone(), Value::String(value.clone()));
        Self { version: 1, config: config.iter().map(text).collect() }
    }

    pub(in crate::coordination) fn encode(&self) -> Vec<u8> {
        to_json(self)
    }

    /// The overrides. An empty node has none. Numbers and booleans, which hand-made nodes hold, are read as their text.
    pub(in crate::coordination) fn decode(json: &[u8]) -> Result<BTreeMap<String, String>, DecodeError> {
        if json.is_empty() {
            return Ok(BTreeMap::new());
        }
        let node: Self = serde_json::from_slice(json)?;
        if node.version != 1 {
            return Err(DecodeError::Content(format!("configuration version {}", node.version)));
        }
        let text = |(key, value): (String, Value)| match value {
            Value::String(text) => (key, text),
            other => (key, other.to_string()),
        };
        Ok(node.config.into_iter().map(text).collect())
    }
}

#[derive(Serialize)]
struct ConfigChange<'a> {
    version: i32,
    entity_path: &'a str,
}

/// The notification that the configuration of `entity_path` (such as `topics/t`) changed.
pub(in crate::coordination) fn config_change(entity_path: &str) -> Vec<u8> {
    to_json(&ConfigChange { version: 2, entity_path })
}

/// The entity path of a notification; version 1 named a type and an entity.
pub(in crate::coordination) fn decode_config_change(json: &[u8]) -> Result<String, DecodeError> {
    let json: Value = serde_json::from_slice(json)?;
    let text = |key| json.get(key).and_then(Value::as_str);
    match (json.get("version").and_then(Value::as_i64), text("entity_path"), text("entity_type"), text("entity_name")) {
        (Some(2), Some(path), _, _) => Ok(path.to_owned()),
        (Some(1), _, Some(kind @ ("topics" | "clients")), Some(name)) => Ok(format!("{kind}/{name}")),
        _ => Err(DecodeError::Content(format!("not a configuration change: {json}"))),
    }
}
