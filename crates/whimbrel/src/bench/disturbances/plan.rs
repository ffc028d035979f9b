//! What a cluster is asked besides the load, in words.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a disturbance is written; shown when one cannot be read.
const GRAMMAR: &str = "\
create N topics at TIME      of one partition each, with the replicas of the load; removed at the end
read BYTES back at TIME      a consumer reads as fast as it can what was written before the load began
delete BYTES at TIME         a topic with so much in it, which was written before the load began
  BYTES  500 MB, 5 GB
  TIME   500ms, 5s, 1m; counts from the beginning of the measured part";
const MB: u64 = 1_000_000;
/// What is created or written for one disturbance at most; more is a mistake rather than a plan.
const TOPICS_MAX: u32 = 100_000;
const BYTES_MAX: u64 = 1_000_000 * MB;

/// One thing that is asked of a system while it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Disturbance {
    pub work: Work,
    /// Since the measured part began.
    pub at: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    CreateTopics { count: u32 },
    ReadBack { bytes: u64 },
    Delete { bytes: u64 },
}

impl Work {
    /// What is written before the load begins.
    pub fn bytes_before(self) -> Option<u64> {
        match self {
            Self::CreateTopics { .. } => None,
            Self::ReadBack { bytes } | Self::Delete { bytes } => Some(bytes),
        }
    }
}

/// A disturbance that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\": {trouble}; a disturbance is written\n{GRAMMAR}")]
pub struct BadDisturbance {
    text: String,
    trouble: String,
}

impl FromStr for Disturbance {
    type Err = BadDisturbance;

    fn from_str(text: &str) -> Result<Self, BadDisturbance> {
        let words: Vec<&str> = text.split_whitespace().collect();
        parse(&words).map_err(|trouble| BadDisturbance { text: text.to_owned(), trouble })
    }
}

fn parse(words: &[&str]) -> Result<Disturbance, String> {
    let (what, at) = match words.iter().position(|word| *word == "at") {
        Some(at) => (&words[..at], words[at + 1..].join(" ")),
        None => return Err("it does not say when: `at TIME` is missing".into()),
    };
    let at = humantime::parse_duration(&at).map_err(|error| format!("`at {at}`: {error}"))?;
    let work = match what {
        ["create", count, "topics"] => match count.parse() {
            Ok(count @ 1..=TOPICS_MAX) => Work::CreateTopics { count },
            _ => return Err(format!("\"{count}\" is no number from 1 to {TOPICS_MAX}")),
        },
        ["read", amount @ .., "back"] => Work::ReadBack { bytes: parse_bytes(&amount.concat())? },
        ["delete", amount @ ..] => Work::Delete { bytes: parse_bytes(&amount.concat())? },
        other => return Err(format!("\"{}\" is nothing that can be asked for", other.join(" "))),
    };
    Ok(Disturbance { work, at })
}

/// `500MB`, `5GB`.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let number = |unit: &str| text.strip_suffix(unit)?.parse::<u64>().ok();
    let megabytes = number("MB").or_else(|| number("GB")?.checked_mul(1000));
    let bytes = megabytes.and_then(|megabytes| megabytes.checked_mul(MB));
    let possible = bytes.filter(|bytes| (1..=BYTES_MAX).contains(bytes));
    possible.ok_or_else(|| format!("\"{text}\" is no number of MB or GB, up to 1000 GB"))
}

impl TryFrom<String> for Disturbance {
    type Error = BadDisturbance;

    fn try_from(text: String) -> Result<Self, BadDisturbance> {
        text.parse()
    }
}

impl From<Disturbance> for String {
    fn from(disturbance: Disturbance) -> Self {
        disturbance.to_string()
    }
}

impl fmt::Display for Disturbance {
    /// As it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = humantime::format_duration(self.at);
        match self.work {
            Work::CreateTopics { count } => write!(f, "create {count} topics at {at}"),
            Work::ReadBack { bytes } => write!(f, "read {} back at {at}", amount(bytes)),
            Work::Delete { bytes } => write!(f, "delete {} at {at}", amount(bytes)),
        }
    }
}

/// Whole gigabytes, or megabytes.
pub fn amount(bytes: u64) -> String {
    let megabytes = bytes / MB;
    if megabytes.is_multiple_of(1000) && 0 < megabytes {
        format!("{} GB", megabytes / 1000)
    } else {
        format!("{megabytes} MB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_the_same() {
        for text in
            ["create 1000 topics at 10s", "read 5 GB back at 1m 30s", "read 1500 MB back at 500ms", "delete 2 GB at 3s"]
        {
            let disturbance: Disturbance = text.parse().unwrap();
            assert_eq!(disturbance.to_string(), text);
            let json = serde_json::to_string(&disturbance).unwrap();
            assert_eq!(serde_json::from_str::<Disturbance>(&json).unwrap(), disturbance);
        }
        assert_eq!("read 5GB back at 1s".parse(), "read 5000 MB back at 1s".parse::<Disturbance>());
    }

    #[test]
    fn what_cannot_be_read_says_why_and_how_it_is_written() {
        for (text, trouble) in [
            ("", "`at TIME` is missing"),
            ("create 5 topics", "`at TIME` is missing"),
            ("create 5 topics at once", "`at once`"),
            ("create 0 topics at 1s", "\"0\" is no number"),
            ("create some topics at 1s", "\"some\" is no number"),
            ("read back at 1s", "\"\" is no number of MB"),
            ("read 5 back at 1s", "\"5\" is no number of MB"),
            ("delete topics at 1s", "\"topics\" is no number of MB"),
            ("read 99999999999999999 GB back at 1s", "is no number of MB"),
            ("sing at 1s", "\"sing\" is nothing"),
        ] {
            let error = text.parse::<Disturbance>().unwrap_err().to_string();
            assert!(error.contains(trouble) && error.contains("create N topics"), "{text}: {error}");
        }
    }
}
