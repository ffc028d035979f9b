//! Answers as text that two brokers can agree on.
//!
//! An answer is printed with `Debug`, read back as a tree, and what differs from run to run (ids, ports, times, the
//! wording of messages) is replaced by a name for it.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

const ZERO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";
/// The id that requests give for a topic that does not exist.
pub const NOBODYS_ID: &str = "ZZZZZZZZZZZZZZZZZZZZZA";

/// The output of `{:?}`, as far as derived implementations print it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tree {
    Struct(String, Vec<(String, Tree)>),
    /// `Some(…)`, and other tuples.
    Tuple(String, Vec<Tree>),
    List(Vec<Tree>),
    Atom(String),
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Atom(text) => f.write_str(text),
            Self::List(items) => write_all(f, "[", items, "]"),
            Self::Tuple(name, items) => write_all(f, &format!("{name}("), items, ")"),
            Self::Struct(_, fields) => {
                f.write_char('{')?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    write!(f, "{}{name}: {value}", if index == 0 { "" } else { ", " })?;
                }
                f.write_char('}')
            }
        }
    }
}

fn write_all(f: &mut fmt::Formatter<'_>, open: &str, items: &[Tree], close: &str) -> fmt::Result {
    f.write_str(open)?;
    for (index, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
    }
    f.write_str(close)
}

/// Reads what `{:?}` printed.
pub fn parse(debug: &str) -> Tree {
    let mut parser = Parser { rest: debug };
    let tree = parser.value();
    assert_eq!(parser.rest, "", "all of {debug} is read");
    tree
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn skip(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn until(&mut self, stop: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(stop).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        text.to_owned()
    }

    fn items(&mut self, close: &str) -> Vec<Tree> {
        let mut items = Vec::new();
        while !self.skip(close) {
            items.push(self.value());
            self.skip(", ");
        }
        items
    }

    fn quoted(&mut self, prefix: &str) -> Tree {
        let mut escaped = false;
        let body = &self.rest[prefix.len()..];
        let end = body.find(|c: char| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let (text, rest) = self.rest.split_at(prefix.len() + end.expect("strings end") + 1);
        self.rest = rest;
        Tree::Atom(text.to_owned())
    }

    fn value(&mut self) -> Tree {
        if self.skip("[") {
            return Tree::List(self.items("]"));
        }
        for prefix in ["\"", "b\""] {
            if self.rest.starts_with(prefix) {
                return self.quoted(prefix);
            }
        }
        let before = self.rest;
        let word = self.until(|c| ",()[]{}".contains(c));
        if self.skip("(") {
            return Tree::Tuple(word, self.items(")"));
        }
        if self.skip("{ ") {
            let mut fields = Vec::new();
            while !self.skip(" }") {
                let name = self.until(|c| c == ':');
                self.skip(": ");
                fields.push((name, self.value()));
                self.skip(", ");
            }
            return Tree::Struct(word.trim().to_owned(), fields);
        }
        // The blank before a closing brace belongs to the structure.
        let trimmed = word.trim_end();
        self.rest = &before[trimmed.len()..];
        Tree::Atom(trimmed.to_owned())
    }
}

/// What is known of the run that an answer is from.
#[derive(Debug, Default)]
pub struct Run {
    /// Stands at the start of the names that this run made.
    pub prefix: String,
    /// Ids of topics, as `Debug` prints them.
    pub topic_ids: BTreeMap<String, String>,
}

impl Run {
    /// Without what only this run and this version have in their names.
    fn anonymous(&self, version: i16, text: &str) -> String {
        text.replace(&self.prefix, "").replace(&format!("-v{version}"), "-v#")
    }
}

/// The text of an answer to a request of `version`; with `sorted`, lists of structures are put in order.
pub fn normalised(run: &Run, version: i16, debug: &str, sorted: bool) -> String {
    let mut tree = parse(debug);
    normalise(run, version, &mut tree, sorted);
    tree.to_string()
}

fn normalise(run: &Run, version: i16, tree: &mut Tree, sorted: bool) {
    match tree {
        Tree::Struct(_, fields) => {
            for (name, value) in fields.iter_mut() {
                normalise(run, version, value, sorted);
                replace(name, value);
            }
            name_by_id(run, version, fields);
            without_texts(fields);
        }
        Tree::Tuple(_, items) => items.iter_mut().for_each(|item| normalise(run, version, item, sorted)),
        Tree::List(items) => {
            items.iter_mut().for_each(|item| normalise(run, version, item, sorted));
            if sorted && matches!(items.first(), Some(Tree::Struct(..))) {
                items.sort();
            }
        }
        Tree::Atom(text) => {
            if text.starts_with('"') {
                *text = without_uuid(&run.anonymous(version, text));
            }
        }
    }
}

/// A topic that is told by its id is named: which of the two a version has is its own business.
fn name_by_id(run: &Run, version: i16, fields: &mut [(String, Tree)]) {
    let Some(id) = fields.iter().position(|(name, _)| name == "topic_id") else { return };
    let text = fields[id].1.to_string();
    if [ZERO_ID, NOBODYS_ID].contains(&text.as_str()) {
        return;
    }
    fields[id].1 = Tree::Atom("ID".to_owned());
    let Some(known) = run.topic_ids.get(&text) else { return };
    let Some(name) = fields.iter().position(|(name, _)| name == "name" || name == "topic") else { return };
    if fields[name].1.to_string() == "\"\"" {
        fields[name].1 = Tree::Atom(format!("\"{}\"", run.anonymous(version, known)));
        fields[id].1 = Tree::Atom(ZERO_ID.to_owned());
    }
}

/// Beside an error, the wording of its text is each broker's own, and so is whether there is one.
fn without_texts(fields: &mut [(String, Tree)]) {
    let refused = fields.iter().any(|(name, code)| name == "error_code" && code.to_string() != "0");
    for (name, value) in fields {
        if refused && (name == "error_message" || name == "message") {
            *value = Tree::Atom("TEXT".to_owned());
        }
    }
}

fn replace(name: &str, value: &mut Tree) {
    let text = value.to_string();
    let stand_in = match name {
        "error_message" | "message" | "batch_index_error_message"
            if text.starts_with("Some(") && text != "Some(\"\")" =>
        {
            "Some(TEXT)"
        }
        "port" if text != "-1" && text != "0" => "PORT",
        "cluster_id" if text != "None" => "CLUSTER",
        "producer_id" if text != "-1" => "PRODUCER",
        "session_id" if text != "0" => "SESSION",
        "log_append_time_ms" if text != "-1" => "TIME",
        "log_dir" => "DIR",
        "total_bytes" | "usable_bytes" if text != "-1" => "BYTES",
        "documentation" if text.starts_with("Some(") => "Some(TEXT)",
        _ => return,
    };
    *value = Tree::Atom(stand_in.to_owned());
}

/// Member ids end with a random UUID.
fn without_uuid(text: &str) -> String {
    const UUID: &str = "00000000-0000-0000-0000-000000000000";
    let is_uuid = |part: &str| {
        part.len() == UUID.len()
            && part.bytes().zip(UUID.bytes()).all(|(a, b)| if b == b'-' { a == b } else { a.is_ascii_hexdigit() })
    };
    let inner = text.trim_end_matches('"');
    match inner.len().checked_sub(UUID.len()).and_then(|at| Some((inner.get(..at)?, inner.get(at..)?))) {
        Some((before, end)) if is_uuid(end) => format!("{before}UUID\""),
        _ => text.to_owned(),
    }
}
