//! What a value may be: Kafka's configuration types with their bounds, and one parser for all sources.

use std::fmt;

/// The type of a setting with what it allows. Bounds are inclusive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Bool,
    Short {
        min: i16,
        max: i16,
    },
    Int {
        min: i32,
        max: i32,
    },
    Long {
        min: i64,
        max: i64,
    },
    Double {
        min: f64,
        max: f64,
    },
    String,
    /// One of these words, spelled exactly so.
    Choice(&'static [&'static str]),
    /// `gzip` levels: 1 to 9, or -1 for the library's default.
    GzipLevel,
    /// Comma-separated words; an empty slice allows any word.
    List(&'static [&'static str]),
    /// Shown to nobody: DescribeConfigs answers null, logs and errors leave it out.
    Password,
}

/// A parsed value; its variant follows from the setting's [`Kind`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Bool(bool),
    Short(i16),
    Int(i32),
    Long(i64),
    Double(f64),
    Text(String),
    List(Vec<String>),
}

impl Kind {
    /// Reads `text` as Kafka's `ConfigDef` does: surrounding blanks do not count, booleans in any case.
    ///
    /// # Errors
    /// What is allowed instead, in words.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        match *self {
            Self::Bool if text.eq_ignore_ascii_case("true") => Ok(Value::Bool(true)),
            Self::Bool if text.eq_ignore_ascii_case("false") => Ok(Value::Bool(false)),
            Self::Short { min, max } => within(text, min, max).map(Value::Short),
            Self::Int { min, max } => within(text, min, max).map(Value::Int),
            Self::Long { min, max } => within(text, min, max).map(Value::Long),
            Self::Double { min, max } => within(text, min, max).map(Value::Double),
            Self::GzipLevel => match text.parse::<i32>() {
                Ok(level) if level == -1 || (1..=9).contains(&level) => Ok(Value::Int(level)),
                _ => Err(self.allowed()),
            },
            Self::Choice(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
            Self::List(words) => {
                let list = split_list(text);
                let all_known = words.is_empty() || list.iter().all(|word| words.contains(&word.as_str()));
                if all_known { Ok(Value::List(list)) } else { Err(self.allowed()) }
            }
            Self::String | Self::Password => Ok(Value::Text(text.to_owned())),
            Self::Bool | Self::Choice(_) => Err(self.allowed()),
        }
    }

    /// What is allowed, in words for an error or the documentation.
    #[must_use]
    pub fn allowed(&self) -> String {
        match *self {
            Self::Bool => "true or false".into(),
            Self::Short { min, max } => range(min, max, i16::MIN, i16::MAX),
            Self::Int { min, max } => range(min, max, i32::MIN, i32::MAX),
            Self::Long { min, max } => range(min, max, i64::MIN, i64::MAX),
            Self::Double { min, max } => range(min, max, f64::MIN, f64::MAX),
            Self::GzipLevel => "-1 or 1 to 9".into(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::List([]) => "words separated by commas".into(),
            Self::List(words) => format!("any of {}, separated by commas", words.join(", ")),
            Self::String | Self::Password => "any text".into(),
        }
    }

    /// Kafka's name for the type, as in its documentation.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::Short { .. } => "short",
            Self::Int { .. } | Self::GzipLevel => "int",
            Self::Long { .. } => "long",
            Self::Double { .. } => "double",
            Self::String | Self::Choice(_) => "string",
            Self::List(_) => "list",
            Self::Password => "password",
        }
    }

    /// The type's number in DescribeConfigs answers (`ConfigType`, KIP-569).
    #[must_use]
    pub fn wire_code(&self) -> i8 {
        match self {
            Self::Bool => 1,
            Self::String | Self::Choice(_) => 2,
            Self::Int { .. } | Self::GzipLevel => 3,
            Self::Short { .. } => 4,
            Self::Long { .. } => 5,
            Self::Double { .. } => 6,
            Self::List(_) => 7,
            Self::Password => 9,
        }
    }

    /// True for what must not be shown.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        matches!(self, Self::Password)
    }
}

impl fmt::Display for Value {
    /// As Kafka prints it back: lists joined by commas without blanks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Short(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Long(value) => value.fmt(f),
            // Java prints a whole double with its fraction (`1.0`).
            Self::Double(value) => write!(f, "{value:?}"),
            Self::Text(value) => value.fmt(f),
            Self::List(values) => values.join(",").fmt(f),
        }
    }
}

fn within<T: std::str::FromStr + PartialOrd + Copy + fmt::Display + Bounded>(
    text: &str,
    min: T,
    max: T,
) -> Result<T, String> {
    match text.parse::<T>() {
        Ok(value) if min <= value && value <= max => Ok(value),
        _ => Err(range(min, max, T::LOWEST, T::HIGHEST)),
    }
}

/// The ends of a number type, so that an open end of a range is not printed as a meaningless large number.
trait Bounded: Sized {
    const LOWEST: Self;
    const HIGHEST: Self;
}
impl Bounded for i16 {
    const LOWEST: Self = Self::MIN;
    const HIGHEST: Self = Self::MAX;
}
impl Bounded for i32 {
    const LOWEST: Self = Self::MIN;
    const HIGHEST: Self = Self::MAX;
}
impl Bounded for i64 {
    const LOWEST: Self = Self::MIN;
    const HIGHEST: Self = Self::MAX;
}
impl Bounded for f64 {
    const LOWEST: Self = Self::MIN;
    const HIGHEST: Self = Self::MAX;
}

fn range<T: PartialOrd + Copy + fmt::Display>(min: T, max: T, lowest: T, highest: T) -> String {
    match (lowest < min, max < highest) {
        (true, true) => format!("{min} to {max}"),
        (true, false) => format!("{min} or more"),
        (false, true) => format!("{max} or less"),
        (false, false) => "a number".into(),
    }
}

fn split_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Typed access. Each takes the variant that the setting's kind produces; another one is a mistake in the table, which
/// the test of the defaults finds.
impl Value {
    pub(super) fn bool(&self) -> bool {
        match self {
            Self::Bool(value) => *value,
            other => unreachable!("{other:?} is not a boolean"),
        }
    }

    pub(super) fn int(&self) -> i32 {
        match self {
            Self::Int(value) => *value,
            Self::Short(value) => (*value).into(),
            other => unreachable!("{other:?} is not an int"),
        }
    }

    pub(super) fn long(&self) -> i64 {
        match self {
            Self::Long(value) => *value,
            other => i64::from(other.int()),
        }
    }

    pub(super) fn double(&self) -> f64 {
        match self {
            Self::Double(value) => *value,
            other => unreachable!("{other:?} is not a double"),
        }
    }

    pub(super) fn list(&self) -> Vec<String> {
        match self {
            Self::List(values) => values.clone(),
            other => unreachable!("{other:?} is not a list"),
        }
    }

    /// A number that is never negative, by the bounds of its setting.
    pub(super) fn size(&self) -> u32 {
        self.int().max(0).unsigned_abs()
    }

    /// Milliseconds that are never negative, by the bounds of their setting.
    pub(super) fn ms(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.long().max(0).unsigned_abs())
    }
}
