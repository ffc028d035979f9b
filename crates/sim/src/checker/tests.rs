//! Each promise is broken by hand once, and the checker must say so, and nothing else.

use proptest::prelude::*;

use super::check;
use crate::history::parse;

/// A good run as text: `p` is idempotent, `q` is not; group `g` processes and commits.
const GOOD: &str = "
producer p idempotent
producer q plain
group g
send p 0
send q 0
send p 1
send q 1
ack p 0 @0
ack q 0 @1
ack p 1 @3
end @1
read tail q 0 @1
read tail q 0 @2
processed g @0
processed g @1
committed g @2
found g @2
processed g @2
processed g @3
read final p 0 @0
read final q 0 @1
read final q 0 @2
read final p 1 @3
end @4
start @0
leader 1 epoch 0
leader 2 epoch 1
drained final 0..4
batch 1 0..1 aa
batch 1 2..3 bb
replica 1 0..4
batch 2 0..1 aa
batch 2 2..3 bb
batch 2 4..9 cc
replica 2 0..10
batch 3 2..3 bb
replica 3 2..4
";

/// The violations of a history in the short text above, one line each.
fn violations(text: &str) -> Vec<String> {
    let json: String =
        text.lines().filter(|line| !line.is_empty()).enumerate().map(|(t, line)| json(t, line)).collect();
    check(parse(&json).unwrap()).1.iter().map(ToString::to_string).collect()
}

fn json(t: usize, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let offset = words.last().and_then(|word| word.strip_prefix('@')).unwrap_or("0");
    let place = r#""topic":"t","partition":0"#;
    let rest = match words[..] {
        ["producer", name, kind] => {
            let (idempotent, renumbers) = (kind != "plain", kind == "renumbering");
            let kind = format!(r#""idempotent":{idempotent},"ordered":true,"renumbers":{renumbers}"#);
            format!(r#""event":"producer","producer":"{name}",{kind}"#)
        }
        ["group", name] => format!(r#""event":"group","group":"{name}","topic":"t""#),
        ["send", p, n] => format!(r#""event":"send","producer":"{p}","number":{n},{place}"#),
        ["ack", p, n, "somewhere"] => {
            format!(r#""event":"ack","producer":"{p}","number":{n},{place},"offset":null"#)
        }
        ["ack", p, n, _] => format!(r#""event":"ack","producer":"{p}","number":{n},{place},"offset":{offset}"#),
        ["fail", p, n] => format!(r#""event":"fail","producer":"{p}","number":{n},"definite":true"#),
        ["read", reader, p, n, _] => {
            format!(r#""event":"read","reader":"{reader}","producer":"{p}","number":{n},{place},"offset":{offset}"#)
        }
        ["processed", g, _] => format!(r#""event":"processed","group":"{g}",{place},"offset":{offset}"#),
        ["committed", g, _] => format!(r#""event":"committed","group":"{g}",{place},"offset":{offset}"#),
        ["found", g, _] => format!(r#""event":"found-committed","group":"{g}",{place},"offset":{offset},"asked":{t}"#),
        ["start", _] => format!(r#""event":"start-offset",{place},"offset":{offset},"asked":{t}"#),
        ["leader", leader, "epoch", epoch] => {
            format!(r#""event":"leader",{place},"epoch":{epoch},"leader":{leader}"#)
        }
        ["batch", broker, range, digest] => {
            let (base, last) = range.split_once("..").unwrap();
            format!(r#""event":"batch","broker":{broker},{place},"base":{base},"last":{last},"digest":"{digest}""#)
        }
        ["batch", broker, range, digest, "epoch", epoch, "sequence", sequences] => {
            let (base, last) = range.split_once("..").unwrap();
            let (first_sequence, last_sequence) = sequences.split_once("..").unwrap();
            let sequence = format!(
                r#"{{"producer_id":7,"producer_epoch":{epoch},"first":{first_sequence},"last":{last_sequence}}}"#
            );
            let batch = format!(r#""base":{base},"last":{last},"digest":"{digest}","sequence":{sequence}"#);
            format!(r#""event":"batch","broker":{broker},{place},{batch}"#)
        }
        ["replica", broker, range] => {
            let (from, to) = range.split_once("..").unwrap();
            format!(r#""event":"replica","broker":{broker},{place},"from":{from},"to":{to}"#)
        }
        ["end", _] => format!(r#""event":"end-offset",{place},"offset":{offset},"asked":{t}"#),
        ["drained", reader, range] => {
            let (from, to) = range.split_once("..").unwrap();
            format!(r#""event":"drained","reader":"{reader}",{place},"from":{from},"to":{to}"#)
        }
        _ => panic!("{line}"),
    };
    format!("{{\"t\":{t},{rest}}}\n")
}

/// The violations of the good run with one line replaced.
fn with(line: &str, replacement: &str) -> Vec<String> {
    assert!(GOOD.contains(line), "{line} is not in the good run");
    violations(&GOOD.replacen(line, replacement, 1))
}

#[test]
fn good_run_breaks_nothing() {
    assert_eq!(violations(GOOD), Vec::<String>::new());
}

#[test]
fn acknowledged_record_that_is_missing_is_lost() {
    let text =
        GOOD.replace("read final p 1 @3\n", "").replace("processed g @3\n", "").replace("final 0..4", "final 0..3");
    assert_eq!(violations(&text), ["C1: p/1 was acknowledged at t-0@3, and is not there"]);
}

#[test]
fn acknowledged_record_at_another_offset_is_lost() {
    assert_eq!(with("ack p 1 @3", "ack p 1 @2"), ["C1: p/1 was acknowledged at t-0@2, and is not there"]);
}

#[test]
fn record_that_was_acknowledged_without_an_offset_is_somewhere() {
    assert!(with("ack p 1 @3", "ack p 1 somewhere").is_empty());
    assert_eq!(
        with("send p 1", "send p 1\nsend p 2\nack p 2 somewhere"),
        ["C1: p/2 was acknowledged in t-0, and is not there"]
    );
}

#[test]
fn record_of_an_idempotent_producer_is_stored_once() {
    assert_eq!(
        with("read final p 1 @3", "read final p 1 @3\nread final p 1 @4\nprocessed g @4"),
        ["C2: p/1 of an idempotent producer is at t-0@3 and again at @4"]
    );
}

/// The good run in which `p/1` is stored again at @4 by `kind` of producer, in batches with these epochs.
fn stored_again(kind: &str, epochs: [u32; 2]) -> Vec<String> {
    let [one, other] = epochs;
    let text = GOOD
        .replace("p idempotent", &format!("p {kind}"))
        .replace("read final p 1 @3", "read final p 1 @3\nread final p 1 @4\nprocessed g @4")
        .replace("final 0..4", "final 0..5")
        .replace(
            "3 2..3 bb",
            &format!("3 2..3 bb epoch {one} sequence 0..1\nbatch 3 4..4 dd epoch {other} sequence 0..0"),
        )
        .replace("replica 3 2..4", "replica 3 2..5");
    let text: Vec<&str> = text
        .lines()
        .filter(|line| !["batch 1", "batch 2", "replica 1", "replica 2"].iter().any(|it| line.starts_with(it)))
        .collect();
    violations(&text.join("\n"))
}

#[test]
fn record_that_its_client_renumbered_may_be_stored_twice() {
    assert_eq!(stored_again("renumbering", [4, 5]), Vec::<String>::new());
    let duplicate = "C2: p/1 of an idempotent producer is at t-0@3 and again at @4";
    assert_eq!(stored_again("idempotent", [4, 5]), [duplicate], "this client does not do that");
    assert!(stored_again("renumbering", [4, 4]).contains(&duplicate.to_owned()), "it is the same number");
}

#[test]
fn batches_of_a_producer_follow_one_another() {
    let batches = |one: &str, other: &str| {
        let text =
            GOOD.replace("1 0..1 aa", &format!("1 0..1 aa {one}")).replace("1 2..3 bb", &format!("1 2..3 bb {other}"));
        let broken: Vec<String> = violations(&text).into_iter().filter(|text| text.starts_with("C2")).collect();
        broken
    };
    let fine = Vec::<String>::new();
    assert_eq!(batches("epoch 0 sequence 5..6", "epoch 0 sequence 7..8"), fine);
    assert_eq!(batches("epoch 0 sequence 5..2147483647", "epoch 0 sequence 0..1"), fine);
    assert_eq!(batches("epoch 0 sequence 5..6", "epoch 1 sequence 0..1"), fine);
    assert_eq!(
        batches("epoch 0 sequence 5..6", "epoch 0 sequence 6..7"),
        ["C2: t-0@2 on broker 1 has 6 to 7 of producer 7 epoch 0, and before it 5 to 6 of producer 7 epoch 0"]
    );
    assert_eq!(batches("epoch 0 sequence 5..6", "epoch 0 sequence 8..9").len(), 1);
    assert_eq!(batches("epoch 1 sequence 0..1", "epoch 0 sequence 2..3").len(), 1);
    assert_eq!(batches("epoch 0 sequence 5..6", "epoch 1 sequence 7..8").len(), 1);
}

#[test]
fn record_of_a_plain_producer_may_be_stored_twice() {
    assert!(GOOD.contains("read final q 0 @1\nread final q 0 @2"));
    assert!(violations(GOOD).is_empty());
}

#[test]
fn records_behind_later_ones_are_reordered() {
    let text = GOOD
        .replace("ack p 0 @0", "ack p 1 @0")
        .replace("ack p 1 @3", "ack p 0 @3")
        .replace("final p 0 @0", "final p 1 @0")
        .replace("final p 1 @3", "final p 0 @3");
    assert_eq!(violations(&text), ["C3: p/0 was sent before p/1, and is stored behind it, at t-0@3"]);
}

#[test]
fn record_that_nobody_sent_is_a_phantom() {
    assert_eq!(with("send p 1", "send p 2"), ["C4: p/1 was read at t-0@3, and was never sent there"]);
}

#[test]
fn refused_record_must_not_appear() {
    let text = GOOD.replace("ack q 0 @1", "fail q 0");
    assert_eq!(
        violations(&text),
        ["C4: q/0 was read at t-0@1, and had been refused", "C4: q/0 was read at t-0@2, and had been refused",]
    );
}

#[test]
fn reader_never_goes_back_and_never_skips() {
    assert_eq!(with("read tail q 0 @2", "read tail q 0 @1"), ["C6: tail read t-0@1 after @1"]);
    assert_eq!(with("read tail q 0 @2", "read tail p 1 @3"), ["C6: tail read t-0@1, and then skipped to @3"]);
}

#[test]
fn high_watermark_never_goes_back() {
    assert_eq!(with("end @1", "end @9"), ["C6: t-0 ended at 9, and later at 4"]);
}

#[test]
fn end_that_was_asked_for_before_another_answer_binds_nothing() {
    let late = r#"{"t":5,"event":"end-offset","topic":"t","partition":0,"offset":9,"asked":4}
{"t":7,"event":"end-offset","topic":"t","partition":0,"offset":8,"asked":4}
"#;
    assert!(check(parse(late).unwrap()).1.is_empty());
}

#[test]
fn committed_offset_never_goes_back() {
    assert_eq!(with("found g @2", "found g @1"), ["C6: group g committed t-0@2, and was later told @1"]);
}

#[test]
fn committed_offset_is_never_beyond_what_was_processed() {
    assert_eq!(
        with("found g @2", "found g @3"),
        ["C6: group g was told to go on from t-0@3, and had processed only up to @2"]
    );
    assert_eq!(
        with("committed g @2", "committed g @3").first().map(String::as_str),
        Some("C6: group g committed t-0@3, and was later told @2")
    );
}

#[test]
fn group_that_leaves_a_record_out_is_told() {
    assert_eq!(with("processed g @3\n", ""), ["C6: group g never processed t-0@3"]);
}

#[test]
fn offset_with_two_records_is_told() {
    assert_eq!(
        with("read tail q 0 @1", "read tail q 1 @1"),
        [
            "C7: t-0@1 is q/1 and also q/0",
            "C1: q/0 was acknowledged at t-0@1, and is not there",
            "C3: q/0 was sent before q/1, and is stored behind it, at t-0@2",
        ]
    );
    assert_eq!(with("ack q 0 @1", "ack q 0 @0")[0], "C7: t-0@0 is p/0 and also q/0");
}

#[test]
fn partition_that_was_not_read_to_its_end_is_told() {
    let without_replicas = GOOD.split("drained").next().unwrap();
    assert_eq!(violations(without_replicas), ["the history has no complete reading of t-0"]);
    assert_eq!(with("drained final 0..4\n", ""), ["the history has no complete reading of t-0"; 2]);
}

#[test]
fn replica_with_other_bytes_is_told() {
    assert_eq!(with("batch 2 2..3 bb", "batch 2 2..3 xx"), ["C5: t-0@2 has other bytes on broker 2 than on broker 1"]);
    assert_eq!(with("batch 3 2..3 bb", "batch 3 2..2 bb"), ["C5: t-0@2 has other bytes on broker 3 than on broker 1"]);
}

#[test]
fn replica_with_a_hole_is_told() {
    assert_eq!(with("batch 2 0..1 aa\n", ""), ["C5: t-0@0 has other bytes on broker 2 than on broker 1"]);
}

#[test]
fn replica_that_ends_below_the_high_watermark_is_told() {
    let text = GOOD.replace("batch 3 2..3 bb\nreplica 3 2..4", "batch 3 2..2 bb\nreplica 3 2..3");
    assert_eq!(
        violations(&text),
        [
            "C5: broker 3 has t-0 up to 3, below the high watermark 4",
            "C5: t-0@2 has other bytes on broker 3 than on broker 1",
        ]
    );
    assert_eq!(with("replica 3 2..4\n", "")[0], "C5: broker 3 has t-0 up to 0, below the high watermark 4");
}

#[test]
fn bytes_beyond_the_high_watermark_may_differ() {
    assert!(with("replica 3 2..4", "batch 3 4..5 dd\nreplica 3 2..6").is_empty());
}

#[test]
fn log_start_never_goes_back() {
    assert_eq!(with("start @0", "start @2\nstart @1"), ["C6: t-0 began at 2, and later at 1"]);
}

#[test]
fn epoch_with_two_leaders_is_told() {
    assert_eq!(with("leader 2 epoch 1", "leader 2 epoch 0"), ["C8: t-0 has leader 1 in epoch 0, and also 2"]);
}

#[test]
fn line_that_is_cut_off_is_left_out() {
    assert_eq!(parse("{\"t\":1,\"event\":\"broker\",\"what\":\"kill\"}\n{\"t\":2,\"ev").unwrap().len(), 1);
    assert_eq!(parse("nonsense\n").unwrap_err().line, 1);
}

proptest! {
    /// Whichever single record of a long log is lost, duplicated or swapped: it is found.
    #[test]
    fn every_single_fault_in_a_long_log_is_found(place in 0_usize..99, fault in 0..3) {
        let mut order: Vec<usize> = (0..100).collect();
        match fault {
            0 => { order.remove(place); }
            1 => order.insert(place, place),
            _ => order.swap(place, place + 1),
        }
        let mut text = String::from("producer p idempotent\n");
        for n in 0..100 {
            text += &format!("send p {n}\nack p {n} @{n}\n");
        }
        for (offset, n) in order.iter().enumerate() {
            text += &format!("read final p {n} @{offset}\n");
        }
        text += &format!("drained final 0..{}\n", order.len());
        prop_assert!(!violations(&text).is_empty());
    }
}
