//! The one table of broker settings. The parser, DescribeConfigs and `docs/configuration.md` read it.
//!
//! Names, types, bounds, defaults and update modes are those of Apache Kafka 3.9 (`KafkaConfig`, `DynamicBrokerConfig`),
//! save where [`Setting::differs`](super::Setting) says otherwise.

mod general;
mod groups;
mod log;
mod network;
mod replication;

pub use general::*;
pub use groups::*;
pub use log::*;
pub use network::*;
pub use replication::*;

use super::setting::Setting;

/// The table in the sections of its documentation.
pub static SECTIONS: &[(&str, &[&Setting])] = &[
    ("Identity and coordination", GENERAL),
    ("Listeners and connections", NETWORK),
    ("Topics", TOPICS),
    ("The log", LOG),
    ("Replication", REPLICATION),
    ("Groups and offsets", GROUPS),
    ("Idempotent producers", PRODUCERS),
];

/// Every setting, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|(_, settings)| settings.iter().copied())
}

/// The setting of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.name == name)
}
