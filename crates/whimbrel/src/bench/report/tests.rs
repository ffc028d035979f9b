use std::collections::BTreeSet;

use super::escape::Escaped;
use super::sample::{self, HOSTILE};
use super::stats::{Spread, percentile};
use super::svg::scale::Scale;
use super::svg::{fit, fit_end, slug};
use super::units::{Unit, ratio, scaled};
use super::*;
use crate::bench::result::{Latency, Point};
use crate::bench::workload::Workload;

fn point(us: u64) -> Point {
    sample::point("p", &sample::system("whimbrel", "0.1.0"), 1, us)
}

fn line(point: Point) -> Line {
    Line::Point(Box::new(point))
}

#[test]
fn nothing_that_comes_from_outside_is_markup() {
    let page = html(&sample::lines());
    assert!(!page.contains("<img"), "a name became an element");
    assert_eq!(page.matches("</script>").count(), 1, "a name ended the script");
    assert!(page.contains("&lt;img src=x onerror=&#39;alert(1)&#39;&gt;"));
    assert!(!page.contains(['\u{0}', '\u{202e}']));
    for (name, svg) in svgs(&sample::lines()) {
        assert!(!svg.contains("<img"), "{name}");
        assert!(!svg.contains("onerror='"), "{name}");
    }
    assert_eq!(Escaped("a<b>&\"'\u{7}\u{202e}\n").to_string(), "a&lt;b&gt;&amp;&quot;&#39;\u{fffd}\u{fffd}\n");
}

#[test]
fn a_page_asks_for_nothing_from_outside() {
    let page = html(&sample::lines());
    for address in ["http://", "https://", "//cdn", "@import", "url("] {
        let found: Vec<_> = page.match_indices(address).map(|(at, _)| &page[at..(at + 40).min(page.len())]).collect();
        assert!(found.iter().all(|text| text.starts_with("http://www.w3.org/2000/svg")), "{found:?}");
    }
}

#[test]
fn files_and_ids_of_plots_are_theirs_alone() {
    let plots = svgs(&sample::lines());
    let names: BTreeSet<&str> = plots.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), plots.len());
    // Twelve maps, two latencies and one course for ten points (two where there was a fault), costs, two times uptime.
    assert_eq!(plots.len(), 12 + 20 + 11 + 3 + 2, "{names:?}");
    assert!(
        names.iter().all(|name| name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._".contains(letter)))
    );
}

#[test]
fn few_results_make_a_page_too() {
    let mut bare = point(0);
    (bare.series, bare.cost) = (Vec::new(), Vec::new());
    (bare.ack_latency, bare.end_to_end_latency) = (Latency::default(), Latency::default());
    bare.verification = Default::default();
    (bare.produced, bare.consumed) = Default::default();
    let mut odd = point(100);
    odd.produced.records_per_s = f64::NAN;
    odd.generator.cpu_us_per_record = f64::INFINITY;
    odd.ack_latency.histogram = "no histogram".to_owned();
    odd.faults = vec![crate::bench::result::Fault { at_ms: i64::MAX, until_ms: Some(i64::MIN), what: String::new() }];
    for lines in [vec![], vec![sample::run()], vec![line(point(100))], vec![line(bare)], vec![line(odd)]] {
        let page = html(&lines);
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        let plots: String = svgs(&lines).into_iter().map(|(_, svg)| svg).collect();
        for odd in ["NaN", "inf\""] {
            assert!(!page.contains(odd) && !plots.contains(odd), "{odd} in the page of {} lines", lines.len());
        }
    }
}

#[test]
fn what_was_lost_stands_at_the_top() {
    let mut bad = point(100);
    bad.verification.lost = 3;
    bad.generator.bottleneck = Some("the sender was late".to_owned());
    let page = html(&[line(bad.clone())]);
    let at = page.find("3 acknowledged records were lost").expect("the alarm");
    assert!(at < page.find("id=\"summary\"").expect("the summary"));
    assert!(page.contains("The load generator was the bottleneck</b> in 1 of 1 measurements"));
    // Without idempotence a second copy is allowed.
    bad.verification.duplicated = 2;
    assert!(!html(&[line(bad.clone())]).contains("stored twice"));
    bad.workload.idempotent = true;
    assert!(html(&[line(bad)]).contains("2 records were stored twice"));
}

#[test]
fn rounds_merge_without_loss() {
    let latencies = [sample::latency(100), sample::latency(200), Latency::default()];
    let merged = histogram::merged(&latencies).expect("histograms");
    assert_eq!(merged.len(), 2020);
    assert_eq!((merged.min(), merged.max()), (100, 2000));
    assert_eq!(merged.value_at_quantile(0.5), 200);
    assert!(histogram::merged(&[Latency::default()]).is_none());
}

#[test]
fn systems_are_called_by_what_tells_them_apart() {
    let mut tuned = sample::system("kafka", "3.9.2");
    tuned.settings.insert("num.io.threads".to_owned(), "2".to_owned());
    let systems =
        [sample::system("whimbrel", "0.1.0"), sample::system("kafka", "3.9.2"), tuned, sample::system("h:1", "")];
    let labels = model::labels(&systems.iter().collect::<Vec<_>>());
    assert_eq!(labels, ["Whimbrel 0.1.0", "Kafka 3.9.2, defaults", "Kafka 3.9.2, num.io.threads=2", "h:1"]);
}

#[test]
fn points_are_called_by_what_they_ask_for() {
    let workload = Workload { record_bytes: 1024, rate: None, partitions: 1000, ..Workload::default() };
    let label = |name| describe::label(name, &workload);
    assert_eq!(
        label("kill leader rate=max record_bytes=1024 partitions=1000"),
        "kill leader, max, 1 KiB, 1,000 partitions"
    );
    assert_eq!(label("onerror=alert(1) x"), "onerror=alert(1) x");
    assert_eq!(label(""), "unnamed");
}

#[test]
fn what_varies_alone_is_plotted_against() {
    let with = |partitions| {
        let mut of = point(100);
        (of.name, of.workload.partitions) = (format!("partitions={partitions}"), partitions);
        line(of)
    };
    let names = |lines: &[Line]| svgs(lines).into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>();
    let sweep = names(&[with(1), with(10), with(100)]);
    assert!(sweep.contains("sweep-1-partitions-ack_p99_us.svg"), "{sweep:?}");
    assert!(!names(&[with(1), with(10)]).iter().any(|name| name.starts_with("sweep")), "two are no sweep");
}

#[test]
fn many_points_are_folded_and_their_costs_put_together() {
    let points = (1..=60).map(|size| {
        let mut of = point(100);
        (of.name, of.workload.record_bytes) = (format!("record_bytes={size}"), size);
        line(of)
    });
    let page = html(&points.collect::<Vec<_>>());
    assert!(page.contains("<summary>48 more points</summary>") && page.contains("<summary>48 more</summary>"));
    assert!(page.contains("A bar stands for all record sizes and rates"));
}

#[test]
fn the_median_of_two_is_between_them() {
    let spread = |values: &[f64]| Spread::of(values.iter().copied());
    assert_eq!(spread(&[]), None);
    assert_eq!(spread(&[f64::NAN]), None);
    assert_eq!(spread(&[3.0]), Some(Spread { median: 3.0, min: 3.0, max: 3.0, rounds: 1 }));
    assert_eq!(spread(&[4.0, 1.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0, rounds: 2 }));
    assert_eq!(spread(&[5.0, 1.0, 2.0]).map(|spread| spread.median), Some(2.0));
    assert_eq!(percentile(&[], 0.5), None);
    assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 0.5), Some(2.0));
    assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 1.0), Some(4.0));
}

#[test]
fn values_have_three_digits_and_a_unit() {
    let us = |us| Unit::Microseconds.show(us);
    assert_eq!(
        [us(0.21), us(999.4), us(999.6), us(12_345.0), us(2e6)],
        ["0.21 µs", "999 µs", "1 ms", "12.3 ms", "2 s"]
    );
    assert_eq!([scaled(999.0), scaled(12_300.0), scaled(2.1e6)], ["999", "12.3 k", "2.1 M"]);
    assert_eq!([Unit::Bytes.show(1023.0), Unit::Bytes.show(1536.0)], ["1 KiB", "1.5 KiB"]);
    assert_eq!([Unit::Count.show(1_234_567.0), Unit::Count.show(-1234.0)], ["1,234,567", "-1,234"]);
    assert_eq!([ratio(0.3284), ratio(2.5), ratio(16.12), ratio(f64::NAN)], ["0.33×", "2.50×", "16.1×", "–"]);
    // Never rounded up to what it is not.
    let share = |share| Unit::Share.show(share);
    assert_eq!([share(1.0), share(0.9999999), share(0.942)], ["100 %", "99.999 %", "94.2 %"]);
}

#[test]
fn scales_put_values_where_they_belong() {
    let linear = Scale::linear([0.0, 100.0], 0.0, 200.0);
    assert_eq!([linear.at(50.0), linear.at(-1.0), linear.at(1e9)], [100.0, 0.0, 200.0]);
    assert_eq!(linear.ticks(5), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
    let log = Scale::log([30.0, 0.0, 4000.0], 0.0, 100.0);
    assert_eq!(log.ticks(4), [100.0, 1000.0], "from 20 to 5000");
    assert!((log.at(20.0) - 0.0).abs() < 1e-9 && (log.at(5000.0) - 100.0).abs() < 1e-9);
    let bytes = Scale::log([1e7, 1.3e9], 0.0, 100.0);
    assert_eq!(
        bytes.binary_ticks(4).iter().map(|tick| Unit::Bytes.show(*tick)).collect::<Vec<_>>(),
        ["16 MiB", "64 MiB", "256 MiB", "1 GiB"]
    );
    let nines = Scale::nines(4.0, 0.0, 400.0);
    let places = [0.0, 0.9, 0.99, 0.999, 0.9999, 1.0].map(|quantile| nines.at(quantile).round());
    assert_eq!(places, [0.0, 100.0, 200.0, 300.0, 400.0, 400.0]);
}

#[test]
fn scales_of_little_are_scales() {
    for scale in [
        Scale::linear([], 0.0, 1.0),
        Scale::log([], 0.0, 1.0),
        Scale::log([7.0], 0.0, 1.0),
        Scale::nines(0.0, 0.0, 1.0),
    ] {
        assert!(scale.at(3.0).is_finite() && scale.at(f64::MIN).is_finite() && scale.at(f64::MAX).is_finite());
        assert!(!scale.ticks(5).is_empty() && scale.ticks(5).len() < 20, "{scale:?}");
    }
    let flat = Scale::linear([0.0, 0.0], 0.0, 1.0);
    assert_eq!(flat.at(0.0), 0.0);
}

#[test]
fn texts_are_cut_to_their_room() {
    assert_eq!(fit("short", 100.0, 1.0), "short");
    assert_eq!(fit("a rather long name", 50.0, 1.0), "a rath…");
    assert_eq!(fit("any", 0.0, 1.0), "…");
    assert_eq!(fit_end("a-long-topic-12", 50.0), "…pic-12");
    assert_eq!(
        [slug("1 KiB at 10 k/s"), slug(HOSTILE), slug("⚠")],
        ["1-kib-at-10-k-s", "script-img-src-x-onerror-alert-1", "point"]
    );
}
