//! Runs the text scenarios in `tests/scenarios`: comments, commands, a line `----`, and what the controller does.
//!
//! With `UPDATE_SCENARIOS=1` in the environment the expectations are rewritten; read the difference before you keep it.
//! A scenario whose comments say `breaks without RULE` is run once more without that rule and must then break a promise
//! (`!!`), or at least not do what it does with it (`differs without RULE`).

use std::path::Path;

use super::super::rules::{self, Rule};
use super::world::World;

const RULES: [Rule; 12] = [
    Rule::Incarnation,
    Rule::Proof,
    Rule::WaitForMembers,
    Rule::EligibleLeaders,
    Rule::ForgetEligible,
    Rule::TellSettled,
    Rule::LeaderOnly,
    Rule::PartitionEpoch,
    Rule::JoinAlive,
    Rule::ReplicasFirst,
    Rule::TargetInSync,
    Rule::WrittenFirst,
];

struct Scenario {
    comments: String,
    /// Commands with what is expected of each group of them.
    steps: Vec<(String, String)>,
}

/// Scenarios are separated by lines `====`, their steps by empty lines.
fn scenarios(text: &str) -> Vec<Scenario> {
    let scenario = |text: &str| {
        let mut comments = Vec::new();
        let mut steps = Vec::new();
        for block in text.trim().split("\n\n") {
            let (commands, expected) = block.split_once("----").unwrap_or((block, ""));
            let (notes, commands): (Vec<_>, Vec<_>) = commands.trim().lines().partition(|line| line.starts_with('#'));
            comments.extend(notes);
            steps.push((commands.join("\n"), expected.trim().to_owned()));
        }
        Scenario { comments: comments.join("\n"), steps }
    };
    text.split("\n====\n").map(scenario).collect()
}

fn run(scenario: &Scenario) -> Vec<String> {
    let mut world = World::default();
    let step = |(commands, _): &(String, String)| {
        commands.lines().for_each(|line| world.run(line));
        std::mem::take(&mut world.output).trim().to_owned()
    };
    scenario.steps.iter().map(step).collect()
}

#[test]
fn controllers_behave_as_the_scenarios_say_and_break_without_their_rules() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/controller/tests/scenarios");
    let update = std::env::var_os("UPDATE_SCENARIOS").is_some();
    let mut needed = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder of scenarios") {
        let path = entry.expect("an entry").path();
        let mut written = Vec::new();
        for scenario in scenarios(&std::fs::read_to_string(&path).expect("a file of scenarios")) {
            let said = run(&scenario);
            let title = format!("{}:\n{}", path.display(), scenario.comments);
            assert!(!said.join("\n").contains("!!"), "a promise is broken in {title}\n{}", said.join("\n"));
            let mut blocks = Vec::new();
            for ((commands, expected), said) in scenario.steps.iter().zip(&said) {
                assert!(update || said == expected, "{title}\n{commands}\nexpected:\n{expected}\nsaid:\n{said}");
                blocks.push(format!("{commands}\n----\n{said}"));
            }
            for rule in RULES {
                let (breaks, differs) = (format!("breaks without {rule:?}"), format!("differs without {rule:?}"));
                if scenario.comments.contains(&breaks) || scenario.comments.contains(&differs) {
                    let without = rules::without(rule, || run(&scenario));
                    let is_broken = without.join("\n").contains("!!");
                    assert!(is_broken || !scenario.comments.contains(&breaks), "{rule:?} is not needed by {title}");
                    assert_ne!(without, said, "{rule:?} changes nothing in {title}");
                    needed.push(rule);
                }
            }
            written.push(format!("{}\n{}", scenario.comments, blocks.join("\n\n")));
        }
        if update {
            std::fs::write(&path, written.join("\n====\n") + "\n").expect("writing scenarios");
        }
    }
    for rule in RULES {
        assert!(needed.contains(&rule), "no scenario shows that {rule:?} is needed");
    }
}
