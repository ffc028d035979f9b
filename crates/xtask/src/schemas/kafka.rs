//! Kafka's schema files: JSON with comments.

use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value as Json;
use whimbrel_wire::spec::Versions;

/// One message.
pub struct Schema {
    pub name: String,
    pub api_key: Option<i16>,
    pub valid: Versions,
    pub flexible: Versions,
    /// The highest version may still change, and is not offered to clients.
    pub latest_unstable: bool,
    pub fields: Vec<Field>,
}

/// One field, with the fields of its structure if it has one.
pub struct Field {
    pub name: String,
    /// As written, such as `[]int32`.
    pub kind: String,
    pub versions: Versions,
    pub nullable: Versions,
    pub tag: Option<u32>,
    pub tagged: Versions,
    pub default: Value,
    pub ignorable: bool,
    pub fields: Vec<Self>,
}

/// A default value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Null,
    /// Of arrays, bytes, structures and ids.
    Empty,
    Bool(bool),
    Int(i64),
    /// A double, as written.
    Float(String),
    Text(String),
}

impl Value {
    /// The default of a type without an explicit one.
    pub fn of_type(kind: &str) -> Self {
        match kind {
            "bool" => Self::Bool(false),
            "string" => Self::Text(String::new()),
            "records" => Self::Null,
            "float64" => Self::Float("0".to_owned()),
            _ if kind.starts_with("int") || kind.starts_with("uint") => Self::Int(0),
            _ => Self::Empty,
        }
    }

    fn parse(kind: &str, text: &str) -> Result<Self> {
        if text == "null" {
            return Ok(Self::Null);
        }
        Ok(match Self::of_type(kind) {
            Self::Bool(_) => Self::Bool(text.parse()?),
            Self::Float(_) => Self::Float(text.to_owned()),
            Self::Text(_) => Self::Text(text.to_owned()),
            Self::Int(_) => Self::Int(match text.strip_prefix("0x") {
                Some(digits) => i64::from_str_radix(digits, 16)?,
                None => text.parse()?,
            }),
            Self::Null | Self::Empty => {
                ensure!(text.is_empty(), "a {kind} cannot have the default {text}");
                Self::Empty
            }
        })
    }
}

/// Structures that several fields share, by name.
type Shared<'a> = HashMap<&'a str, &'a Json>;

impl Schema {
    /// Reads a schema file.
    pub fn parse(text: &str) -> Result<Self> {
        let json: Json = serde_json::from_str(&without_comments(text))?;
        let mut shared = Shared::new();
        for structure in json["commonStructs"].as_array().into_iter().flatten() {
            shared.insert(text_of(structure, "name")?, &structure["fields"]);
        }
        let api_key = json["apiKey"].as_i64().map(i16::try_from).transpose()?;
        Ok(Self {
            name: text_of(&json, "name")?.to_owned(),
            api_key,
            valid: Versions::parse(text_of(&json, "validVersions")?),
            // A message that was removed has none.
            flexible: optional_versions(&json, "flexibleVersions"),
            latest_unstable: json["latestVersionUnstable"].as_bool().unwrap_or(false),
            fields: fields(&json["fields"], &shared)?,
        })
    }
}

fn fields(json: &Json, shared: &Shared<'_>) -> Result<Vec<Field>> {
    json.as_array().into_iter().flatten().map(|json| field(json, shared)).collect()
}

fn field(json: &Json, shared: &Shared<'_>) -> Result<Field> {
    let name = text_of(json, "name")?.to_owned();
    let kind = text_of(json, "type")?.to_owned();
    let own = &json["fields"];
    let nested = if own.is_null() { shared.get(kind.trim_start_matches("[]")).copied().unwrap_or(own) } else { own };
    let default = match &json["default"] {
        Json::Null => Value::of_type(&kind),
        Json::String(text) => Value::parse(&kind, text)?,
        other => Value::parse(&kind, &other.to_string())?,
    };
    Ok(Field {
        versions: Versions::parse(text_of(json, "versions")?),
        nullable: optional_versions(json, "nullableVersions"),
        tag: json["tag"].as_u64().map(u32::try_from).transpose()?,
        tagged: optional_versions(json, "taggedVersions"),
        ignorable: json["ignorable"].as_bool().unwrap_or(false),
        fields: fields(nested, shared).with_context(|| format!("in {name}"))?,
        name,
        kind,
        default,
    })
}

fn text_of<'a>(json: &'a Json, key: &str) -> Result<&'a str> {
    json[key].as_str().with_context(|| format!("no \"{key}\" in {json}"))
}

fn optional_versions(json: &Json, key: &str) -> Versions {
    json[key].as_str().map_or(Versions::NONE, Versions::parse)
}

/// Drops `//` comments, except inside strings.
fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    for line in text.lines() {
        let mut in_string = false;
        let mut end = line.len();
        let mut previous = ' ';
        for (at, c) in line.char_indices() {
            if c == '"' && previous != '\\' {
                in_string = !in_string;
            }
            if !in_string && c == '/' && line[at..].starts_with("//") {
                end = at;
                break;
            }
            previous = c;
        }
        kept.push_str(&line[..end]);
        kept.push('\n');
    }
    kept
}

/// Kafka's spelling of a field's name in snake case: `IsrNodes`, `isrNodes` and `ISRNodes` become `isr_nodes`.
pub fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (at, &c) in letters.iter().enumerate() {
        let previous = at.checked_sub(1).and_then(|before| letters.get(before));
        let next = letters.get(at + 1);
        if c.is_uppercase() && previous.is_some_and(|p| !p.is_uppercase() || next.is_some_and(|n| n.is_lowercase())) {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}
