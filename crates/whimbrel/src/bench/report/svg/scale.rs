//! From values to places in a plot.

use crate::bench::report::units::Unit;

/// Maps a range of values to a range of pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    kind: Kind,
    /// In the scale's own measure: the logarithm of a value, the nines of a quantile.
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Linear,
    Log,
    Nines,
}

impl Kind {
    fn measure(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            // What is not above zero has no place; it is put where nothing is smaller.
            Self::Log => value.max(f64::MIN_POSITIVE).log10(),
            Self::Nines => -(1.0 - value.clamp(0.0, 1.0 - f64::EPSILON)).log10(),
        }
    }
}

impl Scale {
    /// From zero, or from below where there is something, to the largest value.
    pub fn linear(values: impl IntoIterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = range(values).unwrap_or((0.0, 1.0));
        let low = low.min(0.0);
        let high = if low < high { high } else { low + 1.0 };
        Self { kind: Kind::Linear, low, high, from, to }
    }

    /// Exactly from `low` to `high`.
    pub fn between(low: f64, high: f64, from: f64, to: f64) -> Self {
        let high = if low < high { high } else { low + 1.0 };
        Self { kind: Kind::Linear, low, high, from, to }
    }

    /// Logarithmic over what is above zero, widened to 1, 2 or 5 times a power of ten.
    pub fn log(values: impl IntoIterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = range(values.into_iter().filter(|value| 0.0 < *value)).unwrap_or((1.0, 10.0));
        // What hardly varies runs through the middle, and does not look as if it did.
        let (low, high) = if high < low * 1.5 { (low / 1.5, high * 1.5) } else { (low, high) };
        let low = steps_of_log(low.log10()).rev().find(|step| *step <= low).unwrap_or(low);
        let high = steps_of_log(high.log10()).find(|step| high <= *step).unwrap_or(high);
        let high = if low < high { high } else { low * 10.0 };
        Self { kind: Kind::Log, low: low.log10(), high: high.log10(), from, to }
    }

    /// Quantiles from 0 to `nines` nines: each further nine is as wide as the one before.
    pub fn nines(nines: f64, from: f64, to: f64) -> Self {
        Self { kind: Kind::Nines, low: 0.0, high: nines.max(1.0), from, to }
    }

    /// Where a value is. What is outside the range is put at its end.
    pub fn at(&self, value: f64) -> f64 {
        let share = (self.kind.measure(value) - self.low) / (self.high - self.low);
        self.from + (self.to - self.from) * share.clamp(0.0, 1.0)
    }

    /// The scale for the reader's cursor: `kind low high from to`.
    pub fn as_data(&self) -> String {
        let kind = match self.kind {
            Kind::Linear => "linear",
            Kind::Log => "log",
            Kind::Nines => "nines",
        };
        format!("{kind} {:.4} {:.4} {:.1} {:.1}", self.low, self.high, self.from, self.to)
    }

    /// Powers of two within the range of a logarithmic scale, as bytes are counted, at most `count`.
    pub fn binary_ticks(&self, count: usize) -> Vec<f64> {
        const POWERS_MAX: usize = 62;
        let inside = |value: &f64| self.low - 1e-9 <= value.log10() && value.log10() <= self.high + 1e-9;
        let powers = |step: usize| (0..=POWERS_MAX).step_by(step).map(|power| 2f64.powi(power as i32)).filter(inside);
        let steps = [1, 2, 5, 10, 20].into_iter().map(|step| powers(step).collect::<Vec<_>>());
        steps.into_iter().find(|ticks| ticks.len() <= count).unwrap_or_default()
    }

    /// Round values within the range, at most about `count`.
    pub fn ticks(&self, count: usize) -> Vec<f64> {
        match self.kind {
            Kind::Linear => self.linear_ticks(count),
            Kind::Log => self.log_ticks(count),
            Kind::Nines => {
                let nines = (1..=self.high.floor() as i32).map(|nines| 1.0 - 10f64.powi(-nines));
                std::iter::once(0.0).chain(nines).collect()
            }
        }
    }

    fn linear_ticks(&self, count: usize) -> Vec<f64> {
        let rough = (self.high - self.low) / count.max(1) as f64;
        let step = steps_of_log(rough.log10()).find(|step| rough <= *step).unwrap_or(rough);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|index| index as f64 * step).collect()
    }

    fn log_ticks(&self, count: usize) -> Vec<f64> {
        let (first, last) = (self.low.floor() as i32, self.high.ceil() as i32);
        let inside = |value: &f64| self.low - 1e-9 <= value.log10() && value.log10() <= self.high + 1e-9;
        let steps: Vec<f64> = (first..=last)
            .flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)))
            .filter(inside)
            .collect();
        if steps.len() <= count {
            return steps;
        }
        let decades: Vec<f64> = (first..=last).map(|power| 10f64.powi(power)).filter(inside).collect();
        let every = decades.len().div_ceil(count.max(1)).max(1);
        decades.into_iter().step_by(every).collect()
    }
}

/// How a quantile is written: `99.9%`.
pub fn quantile_label(quantile: f64) -> String {
    let percent = format!("{:.5}", quantile * 100.0);
    format!("{}%", percent.trim_end_matches('0').trim_end_matches('.'))
}

/// A time on an axis, in seconds.
pub fn seconds_label(ms: f64) -> String {
    let shown = format!("{:.1}", ms / 1000.0);
    format!("{} s", shown.strip_suffix(".0").unwrap_or(&shown))
}

/// A value on an axis: as elsewhere, with a bare zero.
pub fn axis_label(unit: Unit, value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { unit.show(value) }
}

/// 1, 2 and 5 times the powers of ten around a logarithm.
fn steps_of_log(log: f64) -> impl DoubleEndedIterator<Item = f64> {
    let power = if log.is_finite() { log.floor() as i32 } else { 0 };
    (power - 1..=power + 1).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)))
}

fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter(|value| value.is_finite()).fold(None, |range, value| match range {
        Some((low, high)) => Some((value.min(low), value.max(high))),
        None => Some((value, value)),
    })
}
