//! What can be wrong with a configuration. Every text names the key, the value, where it came from and what to write.

use std::fmt;
use std::path::PathBuf;

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of the file given by `--config`, counted from 1.
    File { path: PathBuf, line: usize },
    /// An environment variable.
    Environment { variable: String },
    /// A command-line option such as `--set`.
    Option { option: &'static str },
    /// Kafka's dynamic configuration, kept in ZooKeeper.
    Dynamic,
    /// Nowhere: the default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { variable } => write!(f, "environment variable {variable}"),
            Self::Option { option } => option.fmt(f),
            Self::Dynamic => f.write_str("dynamic configuration"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}:{line}: not a line of a properties file: {reason}", path.display())]
    Syntax { path: PathBuf, line: usize, reason: String },
    #[error("--set needs key=value, not \"{text}\"")]
    NotAPair { text: String },
    #[error("{key}={value} ({origin}): must be {allowed}")]
    Invalid { key: String, value: String, origin: Origin, allowed: String },
    #[error("{key}={value} ({origin}): {reason}; remove it to start without")]
    Refused { key: String, value: String, origin: Origin, reason: &'static str },
    #[error("{key} cannot be changed while the broker runs; set it in its configuration file and restart it")]
    ReadOnly { key: String },
    #[error("{key} can only be set for one broker at a time, not as the default of all")]
    PerBrokerOnly { key: String },
    #[error("unknown configuration {key}{}", hint(.nearest))]
    Unknown { key: String, nearest: Option<&'static str> },
}

/// `; did you mean x?`, or nothing.
fn hint(nearest: &Option<&'static str>) -> String {
    nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

impl ConfigError {
    /// A value that its type would allow, yet not this setting or not together with another one.
    pub(super) fn invalid(key: &str, value: impl fmt::Display, origin: Origin, allowed: impl Into<String>) -> Self {
        Self::Invalid { key: key.to_owned(), value: value.to_string(), origin, allowed: allowed.into() }
    }
}
