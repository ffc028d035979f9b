use super::*;
use crate::bench::report::sample;
use crate::bench::result::{Point, System};

/// A run of one point on one system, with a p99 for each round.
fn run(name: &str, version: &str, p99s: &[u64]) -> (String, Vec<Line>) {
    let system = sample::system("whimbrel", version);
    (name.to_owned(), p99s.iter().zip(1..).map(|(us, round)| line(sample::point("p", &system, round, *us))).collect())
}

fn line(point: Point) -> Line {
    Line::Point(Box::new(point))
}

fn figure<'c>(comparison: &'c Comparison, key: &str) -> &'c Figure {
    comparison.figures.iter().find(|figure| figure.figure == key).expect("the figure")
}

/// How the p99 of the second run is judged, and whether 10 % are refused.
fn judged(first: &[u64], second: &[u64]) -> (Verdict, bool) {
    let comparison = compare(&[run("a", "1", first), run("b", "2", second)]);
    let verdict = figure(&comparison, "ack_p99_us").values[1].and_then(|value| value.verdict).expect("a verdict");
    (verdict, refuse_regressions(&comparison, 10.0).is_err())
}

#[test]
fn only_what_is_beyond_the_noise_is_a_difference() {
    assert_eq!(judged(&[100, 105, 110], &[120, 125, 130]), (Verdict::Worse, true));
    assert_eq!(judged(&[100, 105, 110], &[80, 85, 90]), (Verdict::Better, false));
    assert_eq!(judged(&[100, 105, 130], &[120, 125, 160]), (Verdict::Same, false), "the ranges overlap");
    assert_eq!(judged(&[100, 101, 102], &[103, 104, 105]), (Verdict::Worse, false), "worse, and by less than 10 %");
}

#[test]
fn with_few_rounds_the_noise_is_unknown() {
    let (verdict, is_refused) = judged(&[100, 100], &[200, 200, 200]);
    assert_eq!(verdict, Verdict::Unknown);
    assert!(is_refused, "a gate that cannot judge does not pass");
    let comparison = compare(&[run("a", "1", &[100]), run("b", "2", &[200])]);
    let error = refuse_regressions(&comparison, 10.0).expect_err("cannot be told");
    assert!(error.is::<UsageError>(), "{error}");
}

#[test]
fn one_lost_record_is_worse_in_any_round() {
    let first = run("a", "1", &[100, 100, 100]);
    let mut second = run("b", "2", &[100, 100, 100]);
    if let Some(Line::Point(point)) = second.1.first_mut() {
        point.verification.lost = 1;
    }
    let comparison = compare(&[first, second]);
    assert_eq!(figure(&comparison, "lost").values[1].and_then(|value| value.verdict), Some(Verdict::Worse));
    assert!(refuse_regressions(&comparison, 1000.0).is_err());
}

#[test]
fn a_point_that_went_missing_is_refused() {
    let second = run("b", "1", &[100, 100, 100]);
    let mut first = run("a", "1", &[100, 100, 100]);
    first.1.push(line(sample::point("another", &sample::system("whimbrel", "1"), 1, 100)));
    let error = refuse_regressions(&compare(&[first, second]), 10.0).expect_err("refused").to_string();
    assert!(error.contains("another on whimbrel: not measured in b"), "{error}");
}

#[test]
fn two_builds_are_one_system_and_two_versions_in_a_run_are_not() {
    let both = |systems: &[System]| {
        let points = systems.iter().map(|system| line(sample::point("p", system, 1, 100)));
        ("r".to_owned(), points.collect::<Vec<_>>())
    };
    let (old, new) = (sample::system("kafka", "3.9.2"), sample::system("kafka", "4.3.1"));
    let one = compare(&[both(std::slice::from_ref(&old)), both(std::slice::from_ref(&new))]);
    assert_eq!(one.figures[0].system, "kafka");
    assert!(one.missing.is_empty());
    let two = compare(&[both(&[old.clone(), new.clone()]), both(&[new, old])]);
    assert_eq!(two.figures[0].system, "kafka 3.9.2");
    assert!(two.missing.is_empty());
}

#[test]
fn json_has_the_quantiles_of_all_rounds_together() {
    let comparison = compare(&[run("a", "1", &[100, 100, 100]), run("b", "1", &[100, 100, 300])]);
    let json = serde_json::to_value(&comparison).expect("JSON");
    let p50 =
        json["figures"].as_array().and_then(|all| all.iter().find(|of| of["figure"] == "ack_p50_us")).expect("it");
    assert_eq!(p50["values"][1]["all_rounds"], 100.0);
    assert_eq!(p50["values"][1]["max"], 300.0);
    assert_eq!(p50["values"][1]["ratio"], 1.0);
    assert_eq!(json["runs"][1], "b");
}
