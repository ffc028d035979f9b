//! Points in time and durations on the command line.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};

/// Milliseconds since 1970 of `2026-11-23T10:00:00Z`, `2026-11-23T10:00:00.000+01:00`, without a zone (UTC, as in
/// Kafka's tools), or of a number of milliseconds.
pub fn timestamp_ms(text: &str) -> Result<i64, String> {
    if let Ok(ms) = text.parse::<i64>() {
        return Ok(ms);
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp.as_millisecond());
    }
    let civil = text.parse::<DateTime>();
    let zoned = civil.ok().and_then(|civil| civil.to_zoned(TimeZone::UTC).ok());
    let zoned = zoned.ok_or_else(|| format!("\"{text}\" is no time such as 2026-11-23T10:00:00Z"))?;
    Ok(zoned.timestamp().as_millisecond())
}

/// A duration such as `PT1H30M` (ISO 8601, as in Kafka's tools), `P7D` or `90m`. A day has 24 hours.
pub fn duration(text: &str) -> Result<Duration, String> {
    let failed = || format!("\"{text}\" is no duration such as PT1H30M, P7D or 90m");
    let span = text.parse::<Span>().map_err(|_| failed())?;
    let duration =
        SignedDuration::try_from(span).or_else(|_| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()));
    duration.ok().and_then(|duration| Duration::try_from(duration).ok()).ok_or_else(failed)
}

/// Milliseconds since 1970, now.
pub fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// A timestamp of a record for people; empty when it has none.
pub fn show(ms: i64) -> String {
    if ms < 0 {
        return String::new();
    }
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |timestamp| format!("{timestamp:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_kafka_reads_them() {
        assert_eq!(timestamp_ms("1970-01-01T00:00:01Z"), Ok(1000));
        assert_eq!(timestamp_ms("1970-01-01T00:00:01.5"), Ok(1500));
        assert_eq!(timestamp_ms("1970-01-01T01:00:00+01:00"), Ok(0));
        assert_eq!(timestamp_ms("77"), Ok(77));
        assert!(timestamp_ms("yesterday").is_err());
        assert_eq!(duration("PT1H30M"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("P7D"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(duration("90m"), Ok(Duration::from_secs(5400)));
        assert!(duration("-PT1H").is_err());
        assert_eq!(show(1500), "1970-01-01T00:00:01.500Z");
    }
}
