//! The walk over the records of one batch.

use super::AppendRules;
use super::error::{RecordFault, RejectedRecords, ValidationError};
use whimbrel_model::record::{BatchHeader, NO_TIMESTAMP, RecordSummary, TimestampType, summarize};

/// What the records of an acceptable batch say.
pub(super) struct Walked {
    /// -1 if no record has a timestamp.
    pub max_timestamp: i64,
    /// The offset deltas are 0, 1, 2…
    pub offsets_are_consecutive: bool,
}

/// Checks the structure of every record, its key and its timestamp.
///
/// # Errors
/// `Malformed`, or `Rejected` with each record that may not be appended.
pub(super) fn walk(
    header: &BatchHeader,
    body: &[u8],
    now_ms: i64,
    rules: &AppendRules,
) -> Result<Walked, ValidationError> {
    let check = RecordCheck::new(header, now_ms, rules);
    let mut rejected = RejectedRecords::default();
    let mut walked = Walked { max_timestamp: NO_TIMESTAMP, offsets_are_consecutive: true };
    let mut index = 0;
    summarize(header, body, |record| {
        if let Some(fault) = check.fault(&record) {
            rejected.push(index, fault);
        }
        walked.max_timestamp = walked.max_timestamp.max(record.timestamp);
        walked.offsets_are_consecutive &= record.offset_delta == index;
        index += 1;
    })?;
    if rejected.is_empty() { Ok(walked) } else { Err(ValidationError::Rejected(rejected)) }
}

/// The conditions on one record, worked out once for the batch.
struct RecordCheck {
    needs_key: bool,
    /// Create times are bounded.
    bounds_timestamps: bool,
    earliest: i64,
    latest: i64,
    /// The batch claims the broker's own timestamps.
    claims_log_append_time: bool,
}

impl RecordCheck {
    fn new(header: &BatchHeader, now_ms: i64, rules: &AppendRules) -> Self {
        Self {
            needs_key: rules.is_compacted,
            bounds_timestamps: rules.timestamp_type == TimestampType::CreateTime,
            earliest: now_ms.saturating_sub(rules.timestamp_before_max_ms),
            latest: now_ms.saturating_add(rules.timestamp_after_max_ms),
            claims_log_append_time: header.attributes.timestamp_type() == TimestampType::LogAppendTime,
        }
    }

    /// The first thing wrong with a record. Kafka looks at the key before the timestamp, and at the claim of
    /// `LogAppendTime` only where it does not look at the timestamp.
    #[inline]
    fn fault(&self, record: &RecordSummary) -> Option<RecordFault> {
        if self.needs_key && !record.has_key {
            return Some(RecordFault::MissingKey);
        }
        if self.bounds_timestamps && record.timestamp != NO_TIMESTAMP {
            let is_within = self.earliest <= record.timestamp && record.timestamp <= self.latest;
            return (!is_within).then_some(RecordFault::Timestamp {
                timestamp: record.timestamp,
                earliest: self.earliest,
                latest: self.latest,
            });
        }
        self.claims_log_append_time.then_some(RecordFault::LogAppendTime)
    }
}
