use super::*;

fn points(text: &str, flags: Value) -> Result<Vec<PlannedPoint>, UsageError> {
    let Value::Object(flags) = flags else { panic!("flags are an object") };
    Scenario::parse("s", text).unwrap().points(&flags)
}

#[test]
fn every_combination_is_a_point_with_the_words_that_tell_it_apart() {
    let text = "[workload]\nrecord_bytes = [100, 1024]\nrate = [10_000, \"max\"]\nproducers = 2";
    let found = points(text, json!({})).unwrap();
    let names: Vec<&str> = found.iter().map(|point| point.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "rate=10000 record_bytes=100",
            "rate=10000 record_bytes=1024",
            "rate=max record_bytes=100",
            "rate=max record_bytes=1024",
        ]
    );
    assert_eq!(found[1].workload, Workload { record_bytes: 1024, producers: 2, ..Workload::default() });
    assert_eq!(found[2].workload.rate, None);
}

#[test]
fn variants_stand_over_the_matrix_and_flags_over_both() {
    let text = "settings.\"num.io.threads\" = 8
[workload]\nseconds = 9\nproducers = 3
[[variant]]\nname = \"a\"
[[variant]]\nname = \"b\"\nworkload.producers = 4\nworkload.keys = \"uniform:7\"\nsettings.\"x.y\" = true";
    let found = points(text, json!({"seconds": [2.5]})).unwrap();
    let told: Vec<_> =
        found.iter().map(|point| (&point.name[..], point.workload.producers, point.workload.seconds)).collect();
    assert_eq!(told, [("a", 3, 2.5), ("b", 4, 2.5)]);
    assert_eq!(found[1].workload.keys, super::super::workload::Keys::Uniform { count: 7 });
    assert_eq!(found[1].settings["x.y"], "true");
    assert_eq!(found[0].settings, [("num.io.threads".to_owned(), "8".to_owned())].into());
}

#[test]
fn impossible_workloads_are_refused() {
    for (flags, said) in [
        (json!({"record_bytes": 15}), "16 bytes at least"),
        (json!({"idempotent": true}), "acks=all"),
        (json!({"no_such_key": 1}), "no_such_key"),
        (json!({"payload": "compressible:0"}), "compressible"),
        (json!({"producers": 0}), "producers"),
        (json!({"record_bytes": (16..200).collect::<Vec<_>>(), "producers": (1..200).collect::<Vec<_>>()}), "10000"),
    ] {
        let error = points("", flags).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    assert!(Scenario::find("no-such").unwrap_err().to_string().contains("quick"));
}

#[test]
fn what_ships_can_be_run() {
    for (name, _) in SHIPPED {
        let scenario = Scenario::find(name).unwrap();
        assert!(!scenario.description.is_empty() && !scenario.targets.is_empty(), "{name}");
        assert!(!scenario.points(&Map::new()).unwrap().is_empty(), "{name}");
    }
}

#[test]
fn quick_takes_two_minutes() {
    let scenario = Scenario::find("quick").unwrap();
    let points = scenario.points(&Map::new()).unwrap();
    let seconds: f64 = points.iter().map(|point| point.workload.seconds + point.workload.warmup_seconds).sum();
    let runs = scenario.targets.len() as f64 * f64::from(scenario.rounds.unwrap_or(1));
    assert!(seconds * runs < 110.0, "{seconds} s in each of {runs} runs leave no time to start");
}
