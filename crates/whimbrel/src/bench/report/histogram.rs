//! Latencies of several rounds as one distribution.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;

use crate::bench::result::Latency;

/// Digits of a value that survive where histograms of different precision meet.
const DIGITS: u8 = 3;

/// All that the latencies counted, without loss. `None` if none of them has a histogram that can be read.
pub fn merged<'a>(latencies: impl IntoIterator<Item = &'a Latency>) -> Option<Histogram<u64>> {
    let mut sum: Option<Histogram<u64>> = None;
    for histogram in latencies.into_iter().filter_map(decode) {
        match &mut sum {
            Some(sum) => sum.add(&histogram).ok()?,
            None => {
                let mut first = Histogram::new(DIGITS.max(histogram.sigfig())).ok()?;
                first.auto(true);
                first.add(&histogram).ok()?;
                sum = Some(first);
            }
        }
    }
    sum.filter(|sum| !sum.is_empty())
}

fn decode(latency: &Latency) -> Option<Histogram<u64>> {
    let bytes = STANDARD.decode(latency.histogram.trim()).ok()?;
    Deserializer::new().deserialize(&mut bytes.as_slice()).ok()
}
