//! What is a difference, and what is chance.

use serde::Serialize;

use crate::bench::report::metric::{Better, Metric};
use crate::bench::report::stats::Spread;

/// With fewer rounds on either side the noise is not known.
pub const ROUNDS_MIN: usize = 3;

/// How it is judged, for people.
pub const EXPLANATION: &str = "Medians over rounds. A figure is better or worse where no round of one run lies within the range \
of the other; chance does that to equal systems once in 10 with 3 rounds each, once in 126 with 5. With fewer than 3 \
rounds the noise is not known (?).";

/// A figure against that of the first run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Better,
    Worse,
    /// Within the noise.
    Same,
    /// Too few rounds to know the noise.
    Unknown,
}

impl Verdict {
    pub fn mark(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "WORSE",
            Self::Same => "",
            Self::Unknown => "?",
        }
    }
}

/// Judges `other` against `base`. A breach of a promise needs no rounds: one lost record is one too many.
pub fn judge(metric: &Metric, base: &Spread, other: &Spread) -> Verdict {
    if metric.is_breach {
        return match (0.0 < base.max, 0.0 < other.max) {
            (_, true) if base.max < other.max => Verdict::Worse,
            (true, false) => Verdict::Better,
            _ => Verdict::Same,
        };
    }
    if base.rounds.min(other.rounds) < ROUNDS_MIN {
        return Verdict::Unknown;
    }
    if !base.is_apart_from(other) {
        return Verdict::Same;
    }
    let is_more = base.median < other.median;
    match (metric.better, is_more) {
        (Better::Higher, true) | (Better::Lower, false) => Verdict::Better,
        (Better::Higher, false) | (Better::Lower, true) => Verdict::Worse,
    }
}
