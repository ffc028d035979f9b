//! The roles of one replica.

use whimbrel_model::{LeaderEpoch, NodeId, Offset, PartitionEpoch};

use super::*;

fn assignment(leader: i32, epoch: i32, isr: &[i32]) -> Assignment {
    Assignment {
        leader: NodeId(leader),
        leader_epoch: LeaderEpoch(epoch),
        partition_epoch: PartitionEpoch(epoch),
        isr: isr.iter().copied().map(NodeId).collect(),
        replicas: vec![NodeId(1), NodeId(2)],
    }
}

const END: Offset = Offset(0);

#[test]
fn only_a_higher_epoch_changes_the_role() {
    let mut replica = Replica::new(NodeId(1));
    assert!(replica.check_leader(None).is_err());
    assert_eq!(replica.assign(0, &assignment(1, 0, &[1]), END), Assigned::Leader);
    assert_eq!(replica.assign(0, &assignment(2, 0, &[2]), END), Assigned::Stale);
    assert_eq!(replica.check_leader(Some(LeaderEpoch(0))), Ok(LeaderEpoch(0)));
    assert_eq!(replica.assign(0, &assignment(2, 3, &[2]), END), Assigned::Follower);
    let not_leader = LeadershipError::NotLeader { leader: NodeId(2), leader_epoch: LeaderEpoch(3) };
    assert_eq!(replica.check_leader(None), Err(not_leader));
    assert!(matches!(replica.check_leader(Some(LeaderEpoch(1))), Err(LeadershipError::Fenced { .. })));
    assert!(matches!(replica.check_leader(Some(LeaderEpoch(4))), Err(LeadershipError::Unknown { .. })));
}

#[test]
fn the_leader_alone_commits_at_once_and_an_unknown_member_holds_it_back() {
    let limits = Limits { now_ms: 0, lag_max_ms: 10, min_isr: 1, is_eligible: &|_| true };
    let mut replica = Replica::new(NodeId(1));
    let committed = |replica: &Replica, end| replica.lead().and_then(|leader| leader.high_watermark(&limits, end));
    assert_eq!(committed(&replica, Offset(5)), None);
    replica.assign(0, &assignment(1, 0, &[1]), END);
    assert_eq!(committed(&replica, Offset(5)), Some(Offset(5)));
    replica.assign(0, &assignment(1, 1, &[1, 2]), END);
    assert_eq!(committed(&replica, Offset(9)), Some(Offset(-1)));
}

mod world;

/// A block of a scenario file: its comments, its commands, and what they say.
struct Scenario {
    comments: String,
    commands: String,
    expected: String,
}

fn scenarios(text: &str) -> Vec<Scenario> {
    let blocks = text.split("\n\n").filter(|block| !block.trim().is_empty());
    blocks
        .map(|block| {
            let (commands, expected) = block.split_once("----").expect("commands, ----, what they say");
            let (comments, commands): (Vec<&str>, Vec<&str>) =
                commands.trim().lines().partition(|line| line.starts_with('#'));
            Scenario {
                comments: comments.join("\n"),
                commands: commands.join("\n"),
                expected: expected.trim().to_owned(),
            }
        })
        .collect()
}

const RULES: [rules::Rule; 9] = [
    rules::Rule::TruncateByEpoch,
    rules::Rule::WalkBack,
    rules::Rule::EqualEpochs,
    rules::Rule::MaximalIsr,
    rules::Rule::Incarnation,
    rules::Rule::MinIsr,
    rules::Rule::PendingShrink,
    rules::Rule::ForgetAfterGap,
    rules::Rule::OwnAnswer,
];

/// With `UPDATE_SCENARIOS=1` in the environment the expectations are rewritten; read the difference before you keep it.
#[test]
fn scenarios_hold_and_break_without_their_rules() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/partition/tests/scenarios");
    let mut needed = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder of scenarios") {
        let path = entry.expect("an entry").path();
        let mut written = Vec::new();
        for scenario in scenarios(&std::fs::read_to_string(&path).expect("a scenario")) {
            let said = world::run(&scenario.commands);
            let said = said.trim();
            assert!(!said.contains("!!"), "a promise is broken in {}:\n{}\n{said}", path.display(), scenario.comments);
            if std::env::var_os("UPDATE_SCENARIOS").is_none() {
                assert_eq!(said, scenario.expected, "{}:\n{}", path.display(), scenario.comments);
            }
            for rule in RULES {
                if scenario.comments.contains(&format!("breaks without {rule:?}")) {
                    let broken = rules::without(rule, || world::run(&scenario.commands));
                    assert!(broken.contains("!!"), "{rule:?} is not needed by:\n{}\n{broken}", scenario.comments);
                    needed.push(rule);
                }
            }
            written.push(format!("{}\n{}\n----\n{said}\n", scenario.comments, scenario.commands));
        }
        if std::env::var_os("UPDATE_SCENARIOS").is_some() {
            std::fs::write(&path, written.join("\n")).expect("writing a scenario");
        }
    }
    for rule in RULES {
        assert!(needed.contains(&rule), "no scenario shows that {rule:?} is needed");
    }
}
