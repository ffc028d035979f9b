//! What the clients of one test run did and saw: one event per line, as JSON.
//!
//! ```text
//! {"t":1200,"event":"send","producer":"p1","number":7,"topic":"load","partition":0}
//! {"t":1900,"event":"ack","producer":"p1","number":7,"topic":"load","partition":0,"offset":41}
//! ```
//!
//! `t` is in nanoseconds on a clock that all clients of the run share. Several files may hold parts of one history.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One event and its time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Line {
    /// Nanoseconds on the clock of the run.
    pub t: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// A partition by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub struct Partition {
    pub topic: String,
    pub partition: u32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A record: no two sends of a run have the same producer and number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub struct Record {
    pub producer: String,
    /// Counts the sends of the producer, over all partitions, from 0.
    pub number: u64,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.producer, self.number)
    }
}

/// What an idempotent producer numbered a batch with (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Sequence {
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// Of the first record.
    pub first: i32,
    /// Of the last record. After `i32::MAX` comes 0.
    pub last: i32,
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { producer_id, producer_epoch, first, last } = self;
        write!(f, "{first} to {last} of producer {producer_id} epoch {producer_epoch}")
    }
}

/// What a client did or saw.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A producer starts. `idempotent`: no record may be stored twice. `ordered`: its records are stored in the order
    /// in which they were sent (it is idempotent, or has one request in flight). `renumbers`: its client may send a
    /// record again under a new producer epoch, although the record may be stored already; no broker can tell.
    Producer {
        producer: String,
        idempotent: bool,
        ordered: bool,
        #[serde(default)]
        renumbers: bool,
    },
    /// A consumer group that must process every record of a topic by the end of the run.
    Group { group: String, topic: String },
    /// A record is handed to the producer.
    Send {
        #[serde(flatten)]
        record: Record,
        #[serde(flatten)]
        partition: Partition,
    },
    /// The broker acknowledged a record. The offset is unknown if the acknowledgement answers a repetition that the
    /// broker recognized as one: DUPLICATE_SEQUENCE_NUMBER carries none.
    Ack {
        #[serde(flatten)]
        record: Record,
        #[serde(flatten)]
        partition: Partition,
        offset: Option<u64>,
    },
    /// The producer gave a record up. `definite`: it was certainly not stored; otherwise it may have been.
    Fail {
        #[serde(flatten)]
        record: Record,
        definite: bool,
    },
    /// A reader got a record. Readers go forward only, from where they began.
    Read {
        reader: String,
        #[serde(flatten)]
        record: Record,
        #[serde(flatten)]
        partition: Partition,
        offset: u64,
    },
    /// At the end of the run, a reader has read the whole of a partition: offsets `from..to`.
    Drained {
        reader: String,
        #[serde(flatten)]
        partition: Partition,
        from: u64,
        to: u64,
    },
    /// A member of a group has processed the record at `offset`.
    Processed {
        group: String,
        #[serde(flatten)]
        partition: Partition,
        offset: u64,
    },
    /// A group's commit was acknowledged: it goes on from `offset`.
    Committed {
        group: String,
        #[serde(flatten)]
        partition: Partition,
        offset: u64,
    },
    /// The broker told, when asked at time `asked` or later, that a group goes on from `offset`.
    FoundCommitted {
        group: String,
        #[serde(flatten)]
        partition: Partition,
        offset: u64,
        asked: u64,
    },
    /// The broker told, when asked at time `asked` or later, that a partition ends at `offset` (its high watermark).
    EndOffset {
        #[serde(flatten)]
        partition: Partition,
        offset: u64,
        asked: u64,
    },
    /// The broker told, when asked at time `asked` or later, that a partition begins at `offset` (its log start offset).
    StartOffset {
        #[serde(flatten)]
        partition: Partition,
        offset: u64,
        asked: u64,
    },
    /// A broker told who leads a partition in a leader epoch.
    Leader {
        #[serde(flatten)]
        partition: Partition,
        epoch: u32,
        leader: u32,
    },
    /// After the run, a broker's copy of a partition has this batch: offsets `base..=last`, and a digest of its bytes.
    /// `sequence` is that of an idempotent producer.
    Batch {
        broker: u32,
        #[serde(flatten)]
        partition: Partition,
        base: u64,
        last: u64,
        digest: String,
        #[serde(default)]
        sequence: Option<Sequence>,
    },
    /// After the run, a broker's copy of a partition was read as a whole: offsets `from..to`.
    Replica {
        broker: u32,
        #[serde(flatten)]
        partition: Partition,
        from: u64,
        to: u64,
    },
    /// The broker was killed, started, or became ready. For the reader of a history; nothing is checked.
    Broker { what: String },
}

/// A line that is not an event.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {source}")]
pub struct ParseError {
    /// Counts from 1.
    pub line: usize,
    pub source: serde_json::Error,
}

/// The events of one file, in its order.
///
/// A last line without its end is left out: the client that wrote it may have been killed.
///
/// # Errors
/// `ParseError` at the first complete line that is not an event.
pub fn parse(text: &str) -> Result<Vec<Line>, ParseError> {
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| serde_json::from_str(line).map_err(|source| ParseError { line: index + 1, source }))
        .collect()
}
