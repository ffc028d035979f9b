//! `.hgrm`: a distribution by percentile as text, as HdrHistogram's tools print and plot it.
//!
//! Source: `AbstractHistogram.outputPercentileDistribution` of HdrHistogram. Values are in milliseconds.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

/// Lines each time that the distance to 100 % is halved.
const TICKS_PER_HALF_DISTANCE: u32 = 5;
const US_PER_MS: f64 = 1000.0;

/// The text of a histogram of microseconds.
pub fn text(histogram: &Histogram<u64>) -> String {
    let mut text = format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut count = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        count += step.count_since_last_iteration();
        let (value, quantile) = (step.value_iterated_to() as f64 / US_PER_MS, step.quantile_iterated_to());
        // Writing to a string does not fail.
        let _ = if quantile < 1.0 {
            writeln!(text, "{value:12.3} {quantile:14.12} {count:10} {:14.2}", 1.0 / (1.0 - quantile))
        } else {
            writeln!(text, "{value:12.3} {quantile:14.12} {count:10}")
        };
    }
    let _ = writeln!(
        text,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]\n#[Max     = {:12.3}, Total count    = {:12}]\n#[Buckets = {:12}, SubBuckets     = {:12}]",
        histogram.mean() / US_PER_MS,
        histogram.stdev() / US_PER_MS,
        histogram.max() as f64 / US_PER_MS,
        histogram.len(),
        histogram.buckets(),
        histogram.distinct_values() / usize::from(histogram.buckets()).max(1),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_end_at_the_total_and_values_at_the_maximum() {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        for us in 1..=10_000 {
            histogram.record(us).unwrap();
        }
        let text = text(&histogram);
        let last = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
        let fields: Vec<&str> = last.split_whitespace().collect();
        assert_eq!(fields[1..], ["1.000000000000", "10000"]);
        assert!(text.contains("Total count    =        10000"), "{text}");
        let median = text.lines().find(|line| line.contains(" 0.500000000000 ")).unwrap();
        assert!(median.trim_start().starts_with("5.00"), "{median}");
    }
}
