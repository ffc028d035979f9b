//! `/controller`, `/cluster/id`, `/feature` and `/latest_producer_id_block`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use whimbrel_model::NodeId;

use super::{DecodeError, to_json};

/// `/controller`, version 2. `timestamp` is a string.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::coordination) struct ControllerNode {
    #[serde(default)]
    version: i32,
    brokerid: i32,
    #[serde(default)]
    timestamp: Value,
    #[serde(rename = "kraftControllerEpoch", default = "no_kraft_controller")]
    kraft_controller_epoch: i32,
}

fn no_kraft_controller() -> i32 {
    -1
}

impl ControllerNode {
    pub(in crate::coordination) fn new(id: NodeId, now_ms: i64) -> Self {
        let timestamp = Value::String(now_ms.to_string());
        Self { version: 2, brokerid: id.0, timestamp, kraft_controller_epoch: no_kraft_controller() }
    }

    pub(in crate::coordination) fn encode(&self) -> Vec<u8> {
        to_json(self)
    }

    pub(in crate::coordination) fn decode(json: &[u8]) -> Result<Self, DecodeError> {
        Ok(serde_json::from_slice(json)?)
    }

    pub(in crate::coordination) fn id(&self) -> NodeId {
        NodeId(self.brokerid)
    }

    /// A KRaft quorum owns the metadata: no broker may write configuration or become controller.
    pub(in crate::coordination) fn is_kraft(&self) -> bool {
        0 < self.kraft_controller_epoch
    }
}

#[derive(Serialize, Deserialize)]
struct ClusterIdNode {
    version: String,
    id: String,
}

/// `/cluster/id`; its version is a string.
pub(in crate::coordination) fn encode_cluster_id(id: &str) -> Vec<u8> {
    to_json(&ClusterIdNode { version: "1".into(), id: id.into() })
}

pub(in crate::coordination) fn decode_cluster_id(json: &[u8]) -> Result<String, DecodeError> {
    let json: Value = serde_json::from_slice(json)?;
    match json.get("id").and_then(Value::as_str) {
        Some(id) if !id.is_empty() => Ok(id.to_owned()),
        _ => Err(DecodeError::Content("no cluster id".into())),
    }
}

/// `/feature`, version 2; version 1 is read. Features that others finalized are carried over.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::coordination) struct FeatureNode {
    version: i32,
    status: i32,
    #[serde(default)]
    features: Map<String, Value>,
}

impl FeatureNode {
    /// Enabled, and no feature finalized: what a plain 3.9 cluster on ZooKeeper has.
    pub(in crate::coordination) fn enabled() -> Self {
        Self { version: 2, status: 1, features: Map::new() }
    }

    pub(in crate::coordination) fn encode(&self) -> Vec<u8> {
        to_json(self)
    }

    pub(in crate::coordination) fn decode(json: &[u8]) -> Result<Self, DecodeError> {
        Ok(serde_json::from_slice(json)?)
    }

    /// The node to write over this one, or `None` if it is right as it is.
    pub(in crate::coordination) fn to_enable(&self) -> Option<Self> {
        let is_enabled = self.version == 2 && self.status == 1;
        (!is_enabled).then(|| Self { features: self.features.clone(), ..Self::enabled() })
    }

    /// The names of the finalized features. Any makes this broker one that lacks what the cluster relies on.
    pub(in crate::coordination) fn finalized(&self) -> Vec<String> {
        if self.status == 1 { self.features.keys().cloned().collect() } else { Vec::new() }
    }
}

/// `/latest_producer_id_block`. Bounds are strings, both inclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::coordination) struct ProducerIdBlockNode {
    version: i32,
    broker: i32,
    block_start: String,
    block_end: String,
}

impl ProducerIdBlockNode {
    pub(in crate::coordination) fn new(broker: NodeId, first: i64, last: i64) -> Self {
        Self { version: 1, broker: broker.0, block_start: first.to_string(), block_end: last.to_string() }
    }

    pub(in crate::coordination) fn encode(&self) -> Vec<u8> {
        to_json(self)
    }

    /// `None` for an empty node: no block was taken yet.
    pub(in crate::coordination) fn decode(json: &[u8]) -> Result<Option<Self>, DecodeError> {
        if json.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_slice(json)?)) }
    }

    /// The last id of the block.
    pub(in crate::coordination) fn last(&self) -> Result<i64, DecodeError> {
        self.block_end
            .parse()
            .map_err(|_| DecodeError::Content(format!("block end {:?} is not a number", self.block_end)))
    }
}
