//! One row of the table of settings.

use super::kind::Kind;

/// Which configuration sources may change a setting while the broker runs (KIP-226).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateMode {
    /// Only at start.
    ReadOnly,
    /// For each broker on its own.
    PerBroker,
    /// For one broker, or for all of them by the cluster-wide default.
    ClusterWide,
}

impl UpdateMode {
    /// Kafka's word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::PerBroker => "per-broker",
            Self::ClusterWide => "cluster-wide",
        }
    }
}

/// A broker setting: everything that the parser, DescribeConfigs and the documentation need to know about it.
#[derive(Debug)]
pub struct Setting {
    /// Kafka's name; names of our own begin with `whimbrel.`.
    pub name: &'static str,
    pub kind: Kind,
    /// The default as one would write it in a file; `None` when the setting is unset unless given.
    pub default: Option<&'static str>,
    /// The default when no `zookeeper.connect` is given, where that differs: the broker is then alone.
    pub default_alone: Option<&'static str>,
    /// Kafka's default and why ours is another, for the few that differ.
    pub differs: Option<(&'static str, &'static str)>,
    pub update: UpdateMode,
    pub doc: &'static str,
}

impl Setting {
    const fn new(name: &'static str, kind: Kind) -> Self {
        let update = UpdateMode::ReadOnly;
        Self { name, kind, default: None, default_alone: None, differs: None, update, doc: "" }
    }

    pub(super) const fn bool(name: &'static str) -> Self {
        Self::new(name, Kind::Bool)
    }

    pub(super) const fn short(name: &'static str, min: i16, max: i16) -> Self {
        Self::new(name, Kind::Short { min, max })
    }

    pub(super) const fn int(name: &'static str, min: i32) -> Self {
        Self::int_within(name, min, i32::MAX)
    }

    pub(super) const fn int_within(name: &'static str, min: i32, max: i32) -> Self {
        Self::new(name, Kind::Int { min, max })
    }

    pub(super) const fn long(name: &'static str, min: i64) -> Self {
        Self::new(name, Kind::Long { min, max: i64::MAX })
    }

    pub(super) const fn double(name: &'static str, min: f64, max: f64) -> Self {
        Self::new(name, Kind::Double { min, max })
    }

    pub(super) const fn string(name: &'static str) -> Self {
        Self::new(name, Kind::String)
    }

    pub(super) const fn password(name: &'static str) -> Self {
        Self::new(name, Kind::Password)
    }

    pub(super) const fn choice(name: &'static str, words: &'static [&'static str]) -> Self {
        Self::new(name, Kind::Choice(words))
    }

    pub(super) const fn list(name: &'static str, words: &'static [&'static str]) -> Self {
        Self::new(name, Kind::List(words))
    }

    pub(super) const fn gzip_level(name: &'static str) -> Self {
        Self::new(name, Kind::GzipLevel)
    }

    pub(super) const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    pub(super) const fn default_alone(mut self, default: &'static str) -> Self {
        self.default_alone = Some(default);
        self
    }

    pub(super) const fn differs(mut self, kafka_default: &'static str, reason: &'static str) -> Self {
        self.differs = Some((kafka_default, reason));
        self
    }

    pub(super) const fn per_broker(mut self) -> Self {
        self.update = UpdateMode::PerBroker;
        self
    }

    pub(super) const fn cluster_wide(mut self) -> Self {
        self.update = UpdateMode::ClusterWide;
        self
    }

    pub(super) const fn doc(mut self, doc: &'static str) -> Self {
        self.doc = doc;
        self
    }

    /// True for the keys that are Whimbrel's own.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.name.starts_with("whimbrel.")
    }

    /// The environment variable that sets it: `WHIMBREL_` and the name in capitals, with `_` for every dot. The prefix
    /// of our own settings is not repeated.
    #[must_use]
    pub fn environment_name(&self) -> String {
        let name = self.name.strip_prefix("whimbrel.").unwrap_or(self.name);
        format!("WHIMBREL_{}", name.replace('.', "_").to_uppercase())
    }
}

/// Declares settings as statics of their own names, and the list of them all.
macro_rules! settings {
    ($(#[$doc:meta])* $list:ident: $($name:ident = $setting:expr;)*) => {
        $(pub static $name: Setting = $setting;)*
        $(#[$doc])*
        pub static $list: &[&Setting] = &[$(&$name),*];
    };
}
pub(super) use settings;
