//! `/brokers/ids/<id>`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use whimbrel_model::{BrokerEpoch, NodeId};
use whimbrel_state::controller::Broker;
use whimbrel_state::controller::control::{Endpoint, SecurityProtocol};

use super::super::continuity::Continuity;
use super::{DecodeError, to_json};

/// The registration of a broker, version 5 (older ones are read).
///
/// A registration that cannot be decoded keeps *every* candidate from becoming controller, so the writer is strict:
/// listener names are upper case in both places where they stand.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::coordination) struct BrokerNode {
    version: i32,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    port: i32,
    jmx_port: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    #[serde(default)]
    endpoints: Vec<String>,
    #[serde(default)]
    listener_security_protocol_map: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rack: Option<String>,
    #[serde(default)]
    features: BTreeMap<String, Value>,
    /// Whimbrel's: nothing is lost of what the incarnations from this broker epoch on had appended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    intact_since_epoch: Option<i64>,
    /// Whimbrel's: it has been the same process since the registration with this broker epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    running_since_epoch: Option<i64>,
}

impl BrokerNode {
    pub(in crate::coordination) fn new(endpoints: &[Endpoint], rack: Option<&str>, now_ms: i64) -> Self {
        let plaintext = endpoints.iter().find(|endpoint| endpoint.protocol == SecurityProtocol::Plaintext);
        let protocols = endpoints
            .iter()
            .map(|endpoint| (endpoint.listener.to_uppercase(), endpoint.protocol.name().to_owned()))
            .collect();
        Self {
            version: 5,
            host: plaintext.map(|endpoint| endpoint.host.to_string()),
            port: plaintext.map_or(-1, |endpoint| endpoint.port),
            jmx_port: -1,
            timestamp: Some(now_ms.to_string()),
            endpoints: endpoints.iter().map(endpoint_text).collect(),
            listener_security_protocol_map: Some(protocols),
            rack: rack.map(str::to_owned),
            features: BTreeMap::new(),
            intact_since_epoch: None,
            running_since_epoch: None,
        }
    }

    /// Adds what this broker can prove of its earlier registrations.
    pub(in crate::coordination) fn continuing(mut self, continuity: Continuity) -> Self {
        self.intact_since_epoch = continuity.intact_since.map(|epoch| epoch.0);
        self.running_since_epoch = continuity.running_since.map(|epoch| epoch.0);
        self
    }

    pub(in crate::coordination) fn encode(&self) -> Vec<u8> {
        to_json(self)
    }

    pub(in crate::coordination) fn decode(json: &[u8]) -> Result<Self, DecodeError> {
        Ok(serde_json::from_slice(json)?)
    }

    /// When it was written (ms since 1970), for messages.
    pub(in crate::coordination) fn timestamp(&self) -> &str {
        self.timestamp.as_deref().unwrap_or("an unknown time")
    }

    /// The addresses, for messages.
    pub(in crate::coordination) fn addresses(&self) -> String {
        self.endpoints.join(", ")
    }

    pub(in crate::coordination) fn into_broker(self, id: NodeId, epoch: BrokerEpoch) -> Result<Broker, DecodeError> {
        let endpoints = match self.version {
            version if version < 1 => return Err(DecodeError::Content(format!("registration version {version}"))),
            1 => vec![Endpoint {
                listener: "PLAINTEXT".into(),
                protocol: SecurityProtocol::Plaintext,
                host: self.host.as_deref().unwrap_or_default().into(),
                port: self.port,
            }],
            _ => {
                let protocols = self.listener_security_protocol_map.as_ref();
                self.endpoints.iter().map(|text| parse_endpoint(text, protocols)).collect::<Result<_, _>>()?
            }
        };
        // An epoch above its own cannot have been; the claim then proves nothing.
        let since = |claim: Option<i64>| claim.map(BrokerEpoch).filter(|since| *since <= epoch).unwrap_or(epoch);
        let running_since = since(self.running_since_epoch);
        let intact_since = since(self.intact_since_epoch).min(running_since);
        Ok(Broker { id, epoch, endpoints, rack: self.rack.map(Arc::from), intact_since, running_since })
    }
}

fn endpoint_text(endpoint: &Endpoint) -> String {
    let name = endpoint.listener.to_uppercase();
    if endpoint.host.contains(':') {
        format!("{name}://[{}]:{}", endpoint.host, endpoint.port)
    } else {
        format!("{name}://{}:{}", endpoint.host, endpoint.port)
    }
}

/// Reads `NAME://host:port`. Without a map, the name of the listener is the protocol.
fn parse_endpoint(text: &str, protocols: Option<&BTreeMap<String, String>>) -> Result<Endpoint, DecodeError> {
    let invalid = || DecodeError::Content(format!("endpoint {text:?} is not NAME://host:port"));
    let (name, address) = text.split_once("://").ok_or_else(invalid)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(invalid)?;
    let name = name.to_uppercase();
    let protocol = match protocols {
        Some(protocols) => protocols.get(&name).map(String::as_str),
        None => Some(name.as_str()),
    };
    let protocol = protocol
        .and_then(SecurityProtocol::from_name)
        .ok_or_else(|| DecodeError::Content(format!("listener {name} has no known security protocol")))?;
    Ok(Endpoint {
        listener: name.into(),
        protocol,
        host: host.trim_start_matches('[').trim_end_matches(']').into(),
        port: port.parse().map_err(|_| invalid())?,
    })
}
