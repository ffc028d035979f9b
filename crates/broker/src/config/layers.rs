//! The layers a value can come from, lowest first: the table's default, what the operator gave at start (file,
//! environment, command line: later wins), the dynamic default of all brokers, the dynamic value of this broker.

use std::collections::BTreeMap;
use std::path::Path;

use java_properties::{LineContent, PropertiesIter};

use super::error::{ConfigError, Origin};
use super::foreign::{self, Standing};
use super::kind::{Kind, Value};
use super::setting::{Setting, UpdateMode};
use super::{nearest, table};

/// Variables that begin like ours and belong to the command-line tools.
const OTHER_VARIABLES: &[&str] = &["WHIMBREL_BOOTSTRAP_SERVER", "WHIMBREL_LOG", "WHIMBREL_LOG_FORMAT"];

/// A value as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub value: String,
    pub origin: Origin,
}

/// All values that were given, unparsed, by layer.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    at_start: BTreeMap<String, Given>,
    dynamic_default: BTreeMap<String, String>,
    dynamic_broker: BTreeMap<String, String>,
}

/// Which layer a value is from. The numbers are Kafka's `ConfigSource` codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Source {
    DynamicTopic = 1,
    DynamicBroker = 2,
    DynamicDefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
}

/// Something the operator should know about what was given; the broker starts all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub standing: Standing,
    pub text: String,
}

impl Layers {
    /// Adds the pairs of a properties file, in Java's format and encoding (ISO 8859-1 with `\u` escapes).
    ///
    /// # Errors
    /// The file cannot be read, or a line is malformed.
    pub fn read_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let file = std::fs::File::open(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        for line in PropertiesIter::new(std::io::BufReader::new(file)) {
            let line = line.map_err(|error| ConfigError::Syntax {
                path: path.to_owned(),
                line: error.line_number().unwrap_or(0),
                reason: error.to_string(),
            })?;
            let origin = Origin::File { path: path.to_owned(), line: line.line_number() };
            if let LineContent::KVPair(key, value) = line.consume_content() {
                self.set(key, value, origin);
            }
        }
        Ok(())
    }

    /// Adds what the environment sets, by the rule of [`Setting::environment_name`]. Variables that begin with
    /// `WHIMBREL_` and belong to no setting are kept under their own name, for [`Layers::notices`].
    pub fn read_environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        let names: BTreeMap<String, &str> = table::all().map(|s| (s.environment_name(), s.name)).collect();
        for (variable, value) in variables {
            if !variable.starts_with("WHIMBREL_") || OTHER_VARIABLES.contains(&variable.as_str()) {
                continue;
            }
            let key = names.get(&variable).map_or_else(|| unmapped_key(&variable), |name| (*name).to_owned());
            self.set(key, value, Origin::Environment { variable });
        }
    }

    /// Adds one `key=value` of the command line.
    ///
    /// # Errors
    /// There is no `=`, or no key before it.
    pub fn set_pair(&mut self, pair: &str) -> Result<(), ConfigError> {
        match pair.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                self.set(key.trim().to_owned(), value.to_owned(), Origin::Option { option: "--set" });
                Ok(())
            }
            _ => Err(ConfigError::NotAPair { text: pair.to_owned() }),
        }
    }

    /// Adds one value, over what was given before.
    pub fn set(&mut self, key: String, value: String, origin: Origin) {
        self.at_start.insert(key, Given { value, origin });
    }

    /// Takes the dynamic configuration as ZooKeeper has it: of all brokers, and of this one. Keys that cannot be
    /// changed while running, or that Whimbrel does not know, are left out, as Kafka does.
    #[must_use]
    pub fn with_dynamic(&self, of_all: &BTreeMap<String, String>, of_this: &BTreeMap<String, String>) -> Self {
        let usable = |map: &BTreeMap<String, String>, cluster: bool| {
            let keep = |(key, value): &(&String, &String)| check_dynamic(key, value, cluster).is_ok();
            map.iter().filter(keep).map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        Self {
            at_start: self.at_start.clone(),
            dynamic_default: usable(of_all, true),
            dynamic_broker: usable(of_this, false),
        }
    }

    /// Every value given for `name`, the one in force first; the default comes last if there is one.
    #[must_use]
    pub fn given(&self, setting: &Setting) -> Vec<(Source, Given)> {
        let dynamic = |value: &String| Given { value: value.clone(), origin: Origin::Dynamic };
        let default = |value: &str| Given { value: value.to_owned(), origin: Origin::Default };
        [
            self.dynamic_broker.get(setting.name).map(|value| (Source::DynamicBroker, dynamic(value))),
            self.dynamic_default.get(setting.name).map(|value| (Source::DynamicDefaultBroker, dynamic(value))),
            self.at_start.get(setting.name).map(|given| (Source::StaticBroker, given.clone())),
            self.default_of(setting).map(|value| (Source::Default, default(value))),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The default in force: some settings have another one while the broker brings its own keeper.
    fn default_of(&self, setting: &Setting) -> Option<&'static str> {
        let alone = || self.at_start.get("zookeeper.connect").is_none_or(|given| given.value.trim().is_empty());
        match setting.default_alone {
            Some(default) if alone() => Some(default),
            _ => setting.default,
        }
    }

    /// Where the value in force was given.
    #[must_use]
    pub fn origin(&self, setting: &Setting) -> Origin {
        self.given(setting).into_iter().next().map_or(Origin::Default, |(_, given)| given.origin)
    }

    /// The value in force, parsed; `None` when the setting is unset. An empty text counts as unset where there is no
    /// default and the type has no empty value.
    ///
    /// # Errors
    /// The value is not one that the setting allows.
    pub fn value(&self, setting: &Setting) -> Result<Option<Value>, ConfigError> {
        let Some((_, given)) = self.given(setting).into_iter().next() else { return Ok(None) };
        if given.value.trim().is_empty() && setting.default.is_none() {
            return Ok(None);
        }
        let shown = if setting.kind == Kind::Password { "(hidden)" } else { &given.value };
        let parsed = setting.kind.parse(&given.value);
        parsed.map(Some).map_err(|allowed| ConfigError::invalid(setting.name, shown, given.origin, allowed))
    }

    /// What was given and has no effect, in the order of the keys.
    ///
    /// # Errors
    /// A key without which the broker would be less protected than its file says.
    pub fn notices(&self) -> Result<Vec<Notice>, ConfigError> {
        let mut notices = Vec::new();
        for (key, Given { value, origin }) in &self.at_start {
            if table::find(key).is_some() {
                continue;
            }
            let Some((standing, family)) = foreign::find(key, value) else {
                let hint = nearest::setting(key).map(|name| format!("; did you mean {name}?")).unwrap_or_default();
                let text = format!("unknown configuration {key} ({origin}) is ignored{hint}");
                notices.push(Notice { standing: Standing::Unimplemented, text });
                continue;
            };
            let reason = family.reason;
            if standing == Standing::Refused {
                let (key, value, origin) = (key.clone(), value.clone(), origin.clone());
                return Err(ConfigError::Refused { key, value, origin, reason });
            }
            notices.push(Notice { standing, text: format!("{key} ({origin}) has no effect: {reason}") });
        }
        Ok(notices)
    }
}

/// Checks one dynamic change before it is written to ZooKeeper. `cluster`: for all brokers, else for one.
///
/// # Errors
/// The key is unknown or cannot be changed there, or the value is not allowed.
pub fn check_dynamic(key: &str, value: &str, cluster: bool) -> Result<(), ConfigError> {
    let Some(setting) = table::find(key) else {
        return Err(ConfigError::Unknown { key: key.to_owned(), nearest: nearest::setting(key) });
    };
    match setting.update {
        UpdateMode::ReadOnly => return Err(ConfigError::ReadOnly { key: key.to_owned() }),
        UpdateMode::PerBroker if cluster => return Err(ConfigError::PerBrokerOnly { key: key.to_owned() }),
        UpdateMode::PerBroker | UpdateMode::ClusterWide => {}
    }
    let parsed = setting.kind.parse(value);
    parsed.map(drop).map_err(|allowed| ConfigError::invalid(key, value, Origin::Dynamic, allowed))
}

/// The key that a variable most likely stands for: known foreign keys are recognised by it.
fn unmapped_key(variable: &str) -> String {
    let spelled = |key: &&&str| format!("WHIMBREL_{}", key.replace('.', "_").to_uppercase()) == variable;
    let foreign = foreign::FAMILIES.iter().flat_map(|family| family.keys).find(spelled);
    foreign
        .map_or_else(|| variable.trim_start_matches("WHIMBREL_").to_lowercase().replace('_', "."), |k| (*k).to_owned())
}
