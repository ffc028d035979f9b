//! How a record is printed: a text with the record's parts in braces.

use std::io::Write;

use whimbrel_client::FetchedRecord;

use crate::times;

/// A parsed template such as `{key}\t{value}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Time,
    Key,
    Value,
    Headers,
    KeySize,
    ValueSize,
}

impl Template {
    /// Reads a template. `{{` stands for a brace; `\n`, `\t`, `\0` and `\\` are understood.
    ///
    /// # Errors
    /// A brace is not closed, or names no part of a record.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = unescape(text);
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find('{') {
            let (before, after) = (rest.get(..at).unwrap_or_default(), rest.get(at + 1..).unwrap_or_default());
            plain.push_str(before);
            if let Some(behind) = after.strip_prefix('{') {
                plain.push('{');
                rest = behind;
                continue;
            }
            let (name, behind) = after.split_once('}').ok_or_else(|| format!("\"{{{after}\" has no closing brace"))?;
            parts.extend((!plain.is_empty()).then(|| Part::Text(std::mem::take(&mut plain))));
            parts.push(part(name)?);
            rest = behind;
        }
        plain.push_str(rest);
        parts.extend((!plain.is_empty()).then_some(Part::Text(plain)));
        Ok(Self(parts))
    }

    /// Prints a record. Bytes are printed as they are; a null as the word.
    pub fn print(&self, record: &FetchedRecord, out: &mut impl Write) -> std::io::Result<()> {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.write_all(text.as_bytes())?,
                Part::Topic => out.write_all(record.topic.as_bytes())?,
                Part::Partition => write!(out, "{}", record.partition)?,
                Part::Offset => write!(out, "{}", record.offset)?,
                Part::Timestamp => write!(out, "{}", record.timestamp)?,
                Part::Time => out.write_all(times::show(record.timestamp).as_bytes())?,
                Part::Key => out.write_all(record.key.as_deref().unwrap_or(b"null"))?,
                Part::Value => out.write_all(record.value.as_deref().unwrap_or(b"null"))?,
                Part::Headers => print_headers(record, out)?,
                Part::KeySize => write!(out, "{}", size(record.key.as_deref()))?,
                Part::ValueSize => write!(out, "{}", size(record.value.as_deref()))?,
            }
        }
        Ok(())
    }
}

/// -1 for null, as Kafka counts it.
fn size(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| bytes.len() as i64)
}

fn print_headers(record: &FetchedRecord, out: &mut impl Write) -> std::io::Result<()> {
    for (index, (key, value)) in record.headers.iter().enumerate() {
        if 0 < index {
            out.write_all(b",")?;
        }
        out.write_all(key)?;
        out.write_all(b"=")?;
        out.write_all(value.as_deref().unwrap_or(b"null"))?;
    }
    Ok(())
}

fn part(name: &str) -> Result<Part, String> {
    Ok(match name {
        "topic" => Part::Topic,
        "partition" => Part::Partition,
        "offset" => Part::Offset,
        "timestamp" => Part::Timestamp,
        "time" => Part::Time,
        "key" => Part::Key,
        "value" => Part::Value,
        "headers" => Part::Headers,
        "key-size" => Part::KeySize,
        "value-size" => Part::ValueSize,
        other => {
            return Err(format!(
                "{{{other}}} is no part of a record: there are topic, partition, offset, timestamp, time, key, value, \
                 headers, key-size and value-size"
            ));
        }
    })
}

/// `\n`, `\t`, `\r`, `\0` and `\\` as in a shell's strings; anything else behind a backslash stays as it is.
pub fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some('0') => plain.push('\0'),
            Some('\\') | None => plain.push('\\'),
            Some(other) => plain.extend(['\\', other]),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn print(template: &str) -> String {
        let record = FetchedRecord {
            topic: "t".into(),
            partition: 3,
            offset: 7,
            timestamp: 1500,
            is_append_time: false,
            leader_epoch: 0,
            key: None,
            value: Some(Bytes::from("v")),
            headers: vec![(Bytes::from("a"), Some(Bytes::from("1"))), (Bytes::from("b"), None)],
        };
        let mut out = Vec::new();
        Template::parse(template).unwrap().print(&record, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn parts_stand_in_braces() {
        assert_eq!(print(r"{topic}-{partition}@{offset}\t{key}={value}{{\n"), "t-3@7\tnull=v{\n");
        assert_eq!(print("{headers} {time} {key-size} {value-size}"), "a=1,b=null 1970-01-01T00:00:01.500Z -1 1");
    }

    #[test]
    fn what_is_no_part_is_an_error() {
        assert!(Template::parse("{vaule}").unwrap_err().contains("value-size"));
        assert!(Template::parse("{value").is_err());
    }
}
