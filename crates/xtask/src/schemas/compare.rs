//! The comparison of one declaration with one schema.

use whimbrel_wire::spec::{FieldSpec, Kind, MessageSpec, StructSpec, Versions};

use super::kafka::{Field, Schema, Value, snake_case};

/// Which end of the declared versions a release decides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    Low,
    High,
    Both,
}

/// All differences, each with its place: `FetchRequest.topics.partition: …`.
pub fn compare(spec: &MessageSpec, api_key: Option<i16>, schema: &Schema, ends: Ends) -> Vec<String> {
    let mut found = Differences { place: spec.body.name.to_owned(), list: Vec::new() };
    found.unless_equal("name", &spec.body.name, &schema.name.as_str());
    // Responses repeat the key of their request; stored messages may have one that is not an API's.
    if api_key.is_some() {
        found.unless_equal("api key", &api_key, &schema.api_key);
    }
    let stable = Versions { high: schema.valid.high - i16::from(schema.latest_unstable), ..schema.valid };
    if ends != Ends::High {
        found.unless_equal("lowest version", &spec.valid.low, &stable.low);
    }
    if ends != Ends::Low {
        found.unless_equal("highest version", &spec.valid.high, &stable.high);
    }
    let common = intersection(spec.valid, schema.valid);
    if common.is_empty() {
        found.add("no version in common");
    }
    found.same_versions("flexible versions", spec.flexible, schema.flexible, common);
    structure(&spec.body, &schema.fields, common, &mut found);
    found.list
}

struct Differences {
    place: String,
    list: Vec<String>,
}

impl Differences {
    fn add(&mut self, difference: &str) {
        self.list.push(format!("{}: {difference}", self.place));
    }

    fn unless_equal<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, declared: &T, kafka: &T) {
        if declared != kafka {
            self.add(&format!("{what} is declared as {declared:?} and is {kafka:?}"));
        }
    }

    /// Versions must agree where both sides know the message; outside of it they may be written as one likes.
    fn same_versions(&mut self, what: &str, declared: Versions, kafka: Versions, common: Versions) {
        let wrong: Vec<_> = (common.low..=common.high)
            .filter(|&version| declared.contains(version) != kafka.contains(version))
            .map(|version| version.to_string())
            .collect();
        if !wrong.is_empty() {
            let wrong = wrong.join(", ");
            self.add(&format!("{what} are declared as {declared} and are {kafka}, which differs in version {wrong}"));
        }
    }

    /// Adds what `compare` finds, at a place below this one.
    fn below(&mut self, name: &str, compare: impl FnOnce(&mut Self)) {
        let len = self.place.len();
        self.place.push('.');
        self.place.push_str(name);
        compare(self);
        self.place.truncate(len);
    }
}

fn structure(spec: &StructSpec, schema: &[Field], common: Versions, found: &mut Differences) {
    let exists = |versions: Versions| !intersection(versions, common).is_empty();
    for declared in spec.fields.iter().filter(|field| exists(field.versions)) {
        if !schema.iter().any(|field| snake_case(&field.name) == declared_name(declared) && exists(field.versions)) {
            found.below(declared_name(declared), |found| found.add("Kafka has no such field"));
        }
    }
    for kafka in schema.iter().filter(|field| exists(field.versions)) {
        let name = snake_case(&kafka.name);
        found.below(&name, |found| match spec.fields.iter().find(|field| declared_name(field) == name) {
            Some(declared) => field(declared, kafka, common, found),
            None => found.add(&format!("not declared, and is of type {} in versions {}", kafka.kind, kafka.versions)),
        });
    }
    order(spec, schema, common, found);
}

fn field(spec: &FieldSpec, schema: &Field, common: Versions, found: &mut Differences) {
    let here = intersection(schema.versions, common);
    found.unless_equal("type", &kind_name(&spec.kind), &schema.kind);
    found.same_versions("versions", spec.versions, schema.versions, common);
    found.same_versions("nullable versions", spec.nullable, schema.nullable, here);
    let (tag, tagged) = spec.tag.map_or((None, Versions::NONE), |(tag, versions)| (Some(tag), versions));
    found.unless_equal("tag", &tag, &schema.tag);
    found.same_versions("tagged versions", tagged, schema.tagged, here);
    let default = match spec.default {
        Some(text) => declared_default(text),
        None => Value::of_type(&schema.kind),
    };
    found.unless_equal("default", &default, &schema.default);
    // Where every common version has the field, it does not matter, and the releases themselves differ.
    if here != common {
        found.unless_equal("ignorable", &spec.ignorable, &schema.ignorable);
    }
    match spec.kind {
        Kind::Struct(nested) | Kind::Array(&Kind::Struct(nested)) => structure(nested, &schema.fields, here, found),
        _ => {}
    }
}

/// In each version, the fields must come in the same order. Tagged ones are ordered by their tags.
fn order(spec: &StructSpec, schema: &[Field], common: Versions, found: &mut Differences) {
    for version in common.low..=common.high {
        let declared: Vec<_> = spec
            .fields
            .iter()
            .filter(|field| {
                field.versions.contains(version) && field.tag.is_none_or(|(_, tagged)| !tagged.contains(version))
            })
            .map(|field| declared_name(field).to_owned())
            .collect();
        let kafka: Vec<_> = schema
            .iter()
            .filter(|field| field.versions.contains(version) && !field.tagged.contains(version))
            .map(|field| snake_case(&field.name))
            .collect();
        if declared != kafka {
            found.add(&format!(
                "fields of version {version} are declared as [{}] and are [{}]",
                declared.join(", "),
                kafka.join(", ")
            ));
            return;
        }
    }
}

/// Names that are Rust's own words are declared as raw identifiers.
fn declared_name(field: &FieldSpec) -> &'static str {
    field.name.strip_prefix("r#").unwrap_or(field.name)
}

fn declared_default(text: &str) -> Value {
    match text {
        "None" => Value::Null,
        "i32::MIN" => Value::Int(i64::from(i32::MIN)),
        "i32::MAX" => Value::Int(i64::from(i32::MAX)),
        "i64::MAX" => Value::Int(i64::MAX),
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => match text.replace(' ', "").parse() {
            Ok(number) => Value::Int(number),
            // `Str::from_static("text")`.
            Err(_) => Value::Text(text.split('"').nth(1).unwrap_or(text).to_owned()),
        },
    }
}

fn kind_name(kind: &Kind) -> String {
    match kind {
        Kind::Bool => "bool".to_owned(),
        Kind::Int8 => "int8".to_owned(),
        Kind::Int16 => "int16".to_owned(),
        Kind::Uint16 => "uint16".to_owned(),
        Kind::Int32 => "int32".to_owned(),
        Kind::Uint32 => "uint32".to_owned(),
        Kind::Int64 => "int64".to_owned(),
        Kind::Float64 => "float64".to_owned(),
        Kind::Uuid => "uuid".to_owned(),
        Kind::String => "string".to_owned(),
        Kind::Bytes => "bytes".to_owned(),
        Kind::Records => "records".to_owned(),
        Kind::Struct(nested) => nested.name.to_owned(),
        Kind::Array(element) => format!("[]{}", kind_name(element)),
    }
}

fn intersection(one: Versions, two: Versions) -> Versions {
    let both = Versions { low: one.low.max(two.low), high: one.high.min(two.high) };
    if both.is_empty() { Versions::NONE } else { both }
}
