//! What is to be done to a system, in words.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a fault is written; shown when one cannot be read.
pub const GRAMMAR: &str = "\
ACTION VICTIM at TIME [for TIME]
  ACTION   kill | freeze | stop | restart | cut
  VICTIM   broker N | leader [of TOPIC] | follower [of TOPIC] | controller | zookeeper N
  restart  may be of all: restart brokers at TIME, one after the other, each when all replicas are in sync
  cut      needs who it is cut off from: cut VICTIM from all | brokers | zookeeper | clients at TIME [for TIME]
  TIME     500ms, 5s, 1m; `at` counts from the beginning of the measured part
examples: kill broker 1 at 5s for 3s · freeze leader at 10s for 4s · cut broker 2 from all at 5s for 5s";

/// One thing that is done to a system under test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FaultPlan {
    pub action: Action,
    pub victim: Victim,
    /// Since the measured part began.
    pub at: Duration,
    /// Until it is undone; `None`: not before the end of the measured part.
    pub lasts: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `kill -9`; undone by a start.
    Kill,
    /// SIGSTOP; undone by SIGCONT.
    Freeze,
    /// SIGTERM; undone by a start.
    Stop,
    /// SIGTERM, and a start as soon as it is gone.
    Restart,
    /// No packet passes between it and those; undone by letting them through.
    Cut { from: Side },
}

/// Who is harmed: found out when the time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Victim {
    /// By its number, from 1 on.
    Broker(usize),
    /// All of them, one after the other; only to be restarted.
    Brokers,
    /// The leader of partition 0; of the first topic by name if none is named.
    Leader(Option<String>),
    /// The first follower in sync of partition 0.
    Follower(Option<String>),
    Controller,
    /// By its number, from 1 on. A keeper that is a process of its own is number 1.
    Zookeeper(usize),
}

/// Whom a broker is cut off from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    All,
    Brokers,
    Zookeeper,
    Clients,
}

/// A fault that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\": {trouble}; a fault is written\n{GRAMMAR}")]
pub struct BadPlan {
    text: String,
    trouble: String,
}

impl FaultPlan {
    /// Whether servers must be started so that they can be cut off.
    pub fn is_cut(&self) -> bool {
        matches!(self.action, Action::Cut { .. })
    }
}

impl FromStr for FaultPlan {
    type Err = BadPlan;

    fn from_str(text: &str) -> Result<Self, BadPlan> {
        let words: Vec<&str> = text.split_whitespace().collect();
        parse(&words).map_err(|trouble| BadPlan { text: text.to_owned(), trouble })
    }
}

impl TryFrom<String> for FaultPlan {
    type Error = BadPlan;

    fn try_from(text: String) -> Result<Self, BadPlan> {
        text.parse()
    }
}

fn parse(words: &[&str]) -> Result<FaultPlan, String> {
    let (what, times) = split(words, "at").ok_or("it does not say when: `at TIME` is missing")?;
    let (at, lasts) = match split(times, "for") {
        Some((at, lasts)) => (time("at", at)?, Some(time("for", lasts)?)),
        None => (time("at", times)?, None),
    };
    let (what, from) = match split(what, "from") {
        Some((what, side)) => (what, Some(parse_side(side)?)),
        None => (what, None),
    };
    let (action, victim) = what.split_first().ok_or("it does not say what")?;
    let action = match (*action, from) {
        ("cut", Some(from)) => Action::Cut { from },
        ("cut", None) => return Err("it does not say whom it is cut off from".into()),
        (_, Some(_)) => return Err("only a cut is `from` somebody".into()),
        ("kill", _) => Action::Kill,
        ("freeze", _) => Action::Freeze,
        ("stop", _) => Action::Stop,
        ("restart", _) if lasts.is_some() => return Err("a restart lasts as long as it takes; use `stop … for`".into()),
        ("restart", _) => Action::Restart,
        (other, _) => return Err(format!("\"{other}\" is no action")),
    };
    let victim = parse_victim(victim)?;
    if victim == Victim::Brokers && action != Action::Restart {
        return Err("all brokers can only be restarted, one after the other".into());
    }
    Ok(FaultPlan { action, victim, at, lasts })
}

/// What stands before and behind a word.
fn split<'a>(words: &'a [&'a str], word: &str) -> Option<(&'a [&'a str], &'a [&'a str])> {
    let at = words.iter().position(|found| *found == word)?;
    Some((&words[..at], &words[at + 1..]))
}

fn time(key: &str, words: &[&str]) -> Result<Duration, String> {
    let text = words.join(" ");
    humantime::parse_duration(&text).map_err(|error| format!("`{key} {text}`: {error}"))
}

fn parse_victim(words: &[&str]) -> Result<Victim, String> {
    let number = |text: &str| match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err(format!("\"{text}\" is no number from 1 on")),
    };
    match words {
        ["broker", text] => Ok(Victim::Broker(number(text)?)),
        ["brokers"] => Ok(Victim::Brokers),
        ["zookeeper", text] => Ok(Victim::Zookeeper(number(text)?)),
        ["keeper"] => Ok(Victim::Zookeeper(1)),
        ["controller"] => Ok(Victim::Controller),
        ["leader"] => Ok(Victim::Leader(None)),
        ["leader", "of", topic] => Ok(Victim::Leader(Some((*topic).to_owned()))),
        ["follower"] => Ok(Victim::Follower(None)),
        ["follower", "of", topic] => Ok(Victim::Follower(Some((*topic).to_owned()))),
        [] => Err("it does not say to whom".into()),
        other => Err(format!("\"{}\" is no victim", other.join(" "))),
    }
}

fn parse_side(words: &[&str]) -> Result<Side, String> {
    match words {
        ["all"] => Ok(Side::All),
        ["brokers"] => Ok(Side::Brokers),
        ["zookeeper" | "keeper"] => Ok(Side::Zookeeper),
        ["clients"] => Ok(Side::Clients),
        other => Err(format!("nobody is cut off from \"{}\"", other.join(" "))),
    }
}

impl From<FaultPlan> for String {
    fn from(plan: FaultPlan) -> Self {
        plan.to_string()
    }
}

impl fmt::Display for FaultPlan {
    /// As it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Kill => "kill",
            Action::Freeze => "freeze",
            Action::Stop => "stop",
            Action::Restart => "restart",
            Action::Cut { .. } => "cut",
        };
        write!(f, "{action} {}", self.victim)?;
        if let Action::Cut { from } = self.action {
            write!(f, " from {from}")?;
        }
        write!(f, " at {}", humantime::format_duration(self.at))?;
        self.lasts.map_or(Ok(()), |lasts| write!(f, " for {}", humantime::format_duration(lasts)))
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broker(number) => write!(f, "broker {number}"),
            Self::Brokers => f.write_str("brokers"),
            Self::Leader(None) => f.write_str("leader"),
            Self::Leader(Some(topic)) => write!(f, "leader of {topic}"),
            Self::Follower(None) => f.write_str("follower"),
            Self::Follower(Some(topic)) => write!(f, "follower of {topic}"),
            Self::Controller => f.write_str("controller"),
            Self::Zookeeper(number) => write!(f, "zookeeper {number}"),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Brokers => "brokers",
            Self::Zookeeper => "zookeeper",
            Self::Clients => "clients",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_the_same() {
        for text in [
            "kill broker 1 at 5s for 3s",
            "freeze leader at 10s for 4s",
            "stop controller at 500ms",
            "restart follower of a-topic at 1m 30s",
            "cut broker 2 from all at 5s for 1s 500ms",
            "cut leader of t from clients at 0s",
            "kill zookeeper 1 at 3s",
            "restart brokers at 3s",
        ] {
            let plan: FaultPlan = text.parse().unwrap();
            assert_eq!(plan.to_string(), text);
            let json = serde_json::to_string(&plan).unwrap();
            assert_eq!(serde_json::from_str::<FaultPlan>(&json).unwrap(), plan);
        }
        let plan: FaultPlan = "  cut   keeper from brokers at 1s".parse().unwrap();
        assert_eq!(plan.victim, Victim::Zookeeper(1));
        assert!(plan.is_cut());
    }

    #[test]
    fn what_cannot_be_read_says_why_and_how_it_is_written() {
        for (text, trouble) in [
            ("", "`at TIME` is missing"),
            ("at 5s", "does not say what"),
            ("kill at 5s", "does not say to whom"),
            ("kill broker 1", "`at TIME` is missing"),
            ("kill broker 1 at soon", "`at soon`"),
            ("kill broker 1 at 5s for ever", "`for ever`"),
            ("kill broker 0 at 5s", "no number from 1 on"),
            ("kill broker one at 5s", "no number from 1 on"),
            ("shoot broker 1 at 5s", "\"shoot\" is no action"),
            ("kill all at 5s", "\"all\" is no victim"),
            ("kill brokers at 5s", "only be restarted"),
            ("cut broker 1 at 5s", "whom it is cut off from"),
            ("cut broker 1 from life at 5s", "nobody is cut off from \"life\""),
            ("kill broker 1 from all at 5s", "only a cut"),
            ("restart broker 1 at 5s for 3s", "use `stop … for`"),
        ] {
            let error = text.parse::<FaultPlan>().unwrap_err().to_string();
            assert!(error.contains(trouble) && error.contains("ACTION VICTIM"), "{text}: {error}");
        }
    }
}
