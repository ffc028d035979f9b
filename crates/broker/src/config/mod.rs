//! The broker's configuration: one table of settings, the layers that values come from, and the typed result.
//!
//! ```text
//! defaults (table) < file < environment < --set < dynamic default < dynamic of this broker     Layers
//!                                   │ parsed and checked once, again when a dynamic value changes
//!                                   ▼
//!            BrokerConfig, and a TopicConfig for each topic (its own over the broker's)
//! ```
//!
//! Only this module sees a value as text. It knows nothing of ZooKeeper: whoever reads the dynamic configuration there
//! hands over plain maps.

mod broker;
mod describe;
pub mod docs;
mod error;
pub mod foreign;
mod kind;
mod layers;
mod listeners;
mod nearest;
mod setting;
pub mod table;
pub mod topic;

#[cfg(test)]
mod tests;

pub use broker::{
    BrokerConfig, CoordinationConfig, GroupConfig, LogSettings, NetworkConfig, OffsetsConfig, ReplicationConfig,
    TopicDefaults,
};
pub use describe::{ConfigEntry, Synonym, describe_broker, describe_broker_defaults, describe_topic};
pub use error::{ConfigError, Origin};
pub use foreign::Standing;
pub use kind::{Kind, Value};
pub use layers::{Given, Layers, Notice, Source, check_dynamic};
pub use listeners::{Endpoint, Listeners, SecurityProtocol, host_port};
pub use setting::{Setting, UpdateMode};
pub use topic::{CompressionType, ThrottledReplicas, TimestampType, TopicConfig};
