//! Other clients than the load of the bench, to show that figures are not an artefact of it.
//!
//! What they cannot tell stays 0, and is shown as a dash.

use clap::ValueEnum;

use super::args::RunArgs;
use super::load::{Bounds, LoadResult};
use super::scenario::PlannedPoint;

/// Who produces and consumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Client {
    /// The load of the bench
    Whimbrel,
    /// librdkafka, through confluent-kafka for Python
    Rdkafka,
    /// The performance tools that come with Apache Kafka
    Java,
}

impl Client {
    pub fn name(self) -> &'static str {
        match self {
            Self::Whimbrel => "whimbrel",
            Self::Rdkafka => "rdkafka",
            Self::Java => "java",
        }
    }
}

pub fn run(
    client: Client,
    _args: &RunArgs,
    _bootstrap: &str,
    _planned: &PlannedPoint,
    _bounds: &mut impl Bounds,
) -> anyhow::Result<LoadResult> {
    anyhow::bail!("--client {} is not there yet", client.name())
}
