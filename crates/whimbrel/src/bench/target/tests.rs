//! The real binary and, where `KAFKA_JARS` names a folder of its jars, Apache Kafka.

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::*;
use crate::bench::cost::CostMeter;
use crate::bench::faults::{self, FaultPlan};
use crate::bench::load::{Bounds, Load, LoadOptions};
use crate::bench::result::Fault;
use crate::bench::workload::Workload;

/// The binary, which Cargo builds beside these tests for those that drive it from outside.
fn binary() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let binary = tests.parent().and_then(Path::parent).unwrap().join("whimbrel");
    assert!(binary.is_file(), "{} is not there: `cargo build -p whimbrel` makes it", binary.display());
    binary
}

fn spec(kind: Kind, data: &Path) -> TargetSpec {
    TargetSpec { data: Some(data.to_owned()), whimbrel: Some(binary()), ..TargetSpec::new(kind) }
}

/// The jars of Kafka that the environment names; says that there are none otherwise.
fn kafka_jars() -> Option<Jars> {
    let jars = std::env::var_os("KAFKA_JARS").map(PathBuf::from).filter(|jars| jars.is_dir());
    if jars.is_none() {
        eprintln!("KAFKA_JARS names no folder of Kafka's jars: nothing is tested");
    }
    jars.map(|jars| Jars::find(Some(&jars), "").unwrap())
}

/// Carries plans out until the last one's time has come and `starts` processes were started meanwhile.
fn harmed(target: &mut Target, plans: &[&str], starts: usize) -> Vec<Fault> {
    let plans: Vec<FaultPlan> = plans.iter().map(|plan| plan.parse().unwrap()).collect();
    faults::check(target, &plans).unwrap();
    let last = plans.iter().map(|plan| plan.at + plan.lasts.unwrap_or_default()).max().unwrap();
    let (began, is_over, roster) = (Instant::now(), AtomicBool::new(false), target.roster());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut seen: BTreeSet<u32> = BTreeSet::new();
            let mut see = || {
                seen.extend(roster.list().into_iter().map(|(_, pid)| pid));
                seen.len()
            };
            let wanted = see() + starts;
            while (see() < wanted && began.elapsed() < START_WAIT) || began.elapsed() <= last {
                pause(LOOK_INTERVAL);
            }
            is_over.store(true, Ordering::Relaxed);
        });
        faults::inject(target, &plans, began, &is_over)
    })
}

fn pid(target: &Target, name: &str) -> u32 {
    target.processes().into_iter().find(|(found, _)| found == name).unwrap().1
}

#[test]
fn a_broker_that_is_killed_by_plan_comes_back_and_nothing_stays_behind() {
    let data = tempfile::tempdir().unwrap();
    let mut target = Target::start(&spec(Kind::Whimbrel, data.path())).unwrap();
    let system = target.system();
    assert_eq!((system.name.as_str(), system.brokers, system.coordination.as_str()), ("whimbrel", 1, "keeper"));
    assert_eq!(system.version, env!("CARGO_PKG_VERSION"));

    let first = pid(&target, "broker 1");
    let meter = CostMeter::follow(&target.roster());
    let noted = harmed(&mut target, &["kill broker 1 at 100ms for 200ms"], 1);
    assert!(!Path::new(&format!("/proc/{first}")).exists());
    let second = pid(&target, "broker 1");
    assert_ne!(first, second);
    let [fault, start] = &noted[..] else { panic!("{noted:?}") };
    assert_eq!((fault.what.as_str(), start.what.as_str()), ("broker 1 killed", "broker 1 starts again"));
    assert!(start.at_ms < start.until_ms.unwrap(), "a broker takes a moment to serve: {start:?}");
    let until = fault.until_ms.unwrap();
    assert!((100..5_000).contains(&fault.at_ms) && fault.at_ms + 200 <= until, "{fault:?}");
    assert_eq!(target.asking.metadata(target.bootstrap(), Some(&[])).unwrap().brokers.len(), 1);

    let costs = meter.finish();
    assert_eq!((costs.len(), costs[0].name.as_str(), costs[0].pid), (1, "broker 1", second));
    target.stop().unwrap();
    assert!(!Path::new(&format!("/proc/{second}")).exists());
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
}

#[test]
fn a_broker_is_frozen_stopped_and_restarted() {
    let data = tempfile::tempdir().unwrap();
    let mut target = Target::start(&spec(Kind::Whimbrel, data.path())).unwrap();
    let plans = [
        "freeze controller at 0s for 300ms",
        "stop broker 1 at 500ms for 100ms",
        "restart broker 1 at 3s",
        "kill leader at 3s",
    ];
    let noted = harmed(&mut target, &plans, 2);
    let harm: Vec<&Fault> = noted.iter().filter(|fault| !fault.what.contains("starts again")).collect();
    let what: Vec<&str> = harm.iter().map(|fault| fault.what.as_str()).collect();
    assert_eq!(what[..3], ["broker 1 (controller) frozen", "broker 1 stopped", "broker 1 restarted"], "{noted:?}");
    // There is no topic, or nobody to ask.
    assert!(what[3].starts_with("\"kill leader at 3s\" could not be done: "), "{noted:?}");
    assert!(harm[..3].iter().all(|fault| fault.until_ms.is_some()), "{noted:?}");
    assert_eq!(noted.len() - harm.len(), 2, "{noted:?}");
    target.check().unwrap();
}

#[test]
fn three_brokers_share_a_keeper_and_lose_their_controller() {
    let data = tempfile::tempdir().unwrap();
    let mut target = Target::start(&TargetSpec { brokers: 3, ..spec(Kind::Whimbrel, data.path()) }).unwrap();
    let names: Vec<String> = target.processes().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["broker 1", "broker 2", "broker 3", "keeper"]);
    let noted = harmed(&mut target, &["kill controller at 0s", "kill keeper at 100ms for 100ms"], 1);
    assert!(noted[0].what.ends_with("(controller) killed") && noted[0].until_ms.is_none(), "{noted:?}");
    assert!(noted[1].what == "keeper killed" && noted[1].until_ms.is_some(), "{noted:?}");
    assert!(noted[2].what == "keeper starts again" && noted[2].until_ms.is_some(), "{noted:?}");
    assert_eq!(target.processes().len(), 4, "what was not undone before is undone at the end");
}

#[test]
fn brokers_are_restarted_one_after_the_other() {
    let data = tempfile::tempdir().unwrap();
    let mut target = Target::start(&TargetSpec { brokers: 3, ..spec(Kind::Whimbrel, data.path()) }).unwrap();
    let pids = |target: &Target| target.processes().into_iter().map(|(_, pid)| pid).collect::<Vec<u32>>();
    let before = pids(&target);
    let noted = harmed(&mut target, &["restart brokers at 0s"], 3);
    let (starts, restarts): (Vec<Fault>, Vec<Fault>) =
        noted.into_iter().partition(|fault| fault.what.ends_with("starts again"));
    let what: Vec<&str> = restarts.iter().map(|fault| fault.what.as_str()).collect();
    assert_eq!(what, ["broker 1 restarted", "broker 2 restarted", "broker 3 restarted"], "{restarts:?}");
    let is_in_turn = |pair: (&Fault, &Fault)| pair.0.until_ms.unwrap() <= pair.1.at_ms;
    assert!(starts.iter().zip(&restarts[1..]).all(is_in_turn), "{restarts:?} {starts:?}");
    assert_eq!(pids(&target).iter().filter(|pid| before.contains(pid)).count(), 1, "the keeper stays");
}

#[test]
fn a_process_that_ends_by_itself_is_reported_with_the_end_of_its_log() {
    let data = tempfile::tempdir().unwrap();
    let mut target = Target::start(&spec(Kind::Whimbrel, data.path())).unwrap();
    let pid = i32::try_from(pid(&target, "broker 1")).ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::ABORT).unwrap();
    let deadline = Instant::now() + START_WAIT;
    let report = loop {
        match target.check() {
            Ok(()) => assert!(Instant::now() < deadline, "it lives on"),
            Err(report) => break report.to_string(),
        }
        pause(LOOK_INTERVAL);
    };
    let lines = report.strip_prefix("broker 1 ended by itself (signal 6):\n").unwrap_or_else(|| panic!("{report}"));
    assert!(lines.contains("INFO"), "{report}");
}

#[test]
fn a_broker_that_does_not_start_says_why() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("num.partitions".to_owned(), "none".to_owned())].into();
    let refused = Target::start(&TargetSpec { settings, ..spec(Kind::Whimbrel, data.path()) }).err().unwrap();
    assert!(refused.to_string().contains("num.partitions=none"), "{refused}");
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
}

#[test]
fn what_does_not_exist_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let refused = |spec: TargetSpec| Target::start(&spec).err().unwrap().to_string();
    let two = refused(TargetSpec { brokers: 2, ..spec(Kind::Whimbrel, data.path()) });
    assert!(two.contains("one or three"), "{two}");
    let kraft = refused(TargetSpec { coordination: Coordination::Kraft, ..spec(Kind::Whimbrel, data.path()) });
    assert!(kraft.contains("does not coordinate through kraft"), "{kraft}");
    assert_eq!(Coordination::default_for(Kind::Kafka, "4.3.1"), Coordination::Kraft);
    assert_eq!(Coordination::default_for(Kind::Kafka, "3.9.2"), Coordination::Zookeeper);
}

#[test]
fn a_target_may_name_its_version() {
    for text in ["whimbrel", "kafka", "kafka-4.3.1"] {
        assert_eq!(text.parse::<TargetName>().unwrap().to_string(), text);
    }
    let named: TargetName = "kafka-4.3.1".parse().unwrap();
    assert_eq!((named.kind, named.kafka_version.as_deref()), (Kind::Kafka, Some("4.3.1")));
    for text in ["", "Kafka", "kafka-", "kafka-latest", "whimbrel-0.1.0", "redpanda"] {
        assert!(text.parse::<TargetName>().unwrap_err().contains("kafka-VERSION"), "{text}");
    }
}

#[test]
fn only_what_the_bench_started_is_harmed() {
    let data = tempfile::tempdir().unwrap();
    let target = Target::start(&spec(Kind::Whimbrel, data.path())).unwrap();
    let refused =
        |target: &Target, plan: &str| faults::check(target, &[plan.parse().unwrap()]).unwrap_err().to_string();
    assert!(refused(&target, "kill broker 2 at 0s").contains("there are 1 brokers"));
    assert!(refused(&target, "kill zookeeper 1 at 0s").contains("there are 0 ZooKeeper servers"));
    assert!(refused(&target, "cut broker 1 from all at 0s").contains("loopback"));

    let attached = Target::attach(target.bootstrap(), &[std::process::id()]).unwrap();
    assert_eq!((attached.system().brokers, attached.processes()[0].1), (1, std::process::id()));
    assert!(refused(&attached, "kill broker 1 at 0s").contains("only what it started itself"));
    assert!(Target::attach(target.bootstrap(), &[u32::MAX]).is_err());
}

#[test]
fn a_load_that_is_cut_short_ends_at_once_and_is_read_back() {
    struct NothingToDo;
    impl Bounds for NothingToDo {
        fn begins(&mut self) {}
        fn ends(&mut self) {}
    }
    let data = tempfile::tempdir().unwrap();
    let target = Target::start(&spec(Kind::Whimbrel, data.path())).unwrap();
    let planned = Workload { rate: Some(5_000), warmup_seconds: 0.0, seconds: 3_600.0, ..Workload::default() };
    let options = LoadOptions { is_verified: true, has_uptime: false };
    let load = Load::prepare(target.bootstrap(), &planned, "cut", options).unwrap();
    let shared = load.shared().clone();
    let cutting = std::thread::spawn(move || {
        while shared.live.consumed.load(Ordering::Relaxed) < 1_000 {
            pause(LOOK_INTERVAL);
        }
        shared.cut_short("for a reason");
    });
    let found = load.run(&mut NothingToDo).unwrap().found;
    cutting.join().unwrap();
    assert!((0.1..600.0).contains(&found.seconds), "{}", found.seconds);
    let told = found.errors.keys().any(|error| error.starts_with("ended after") && error.ends_with("for a reason"));
    assert!(told, "{:?}", found.errors);
    let verified = &found.verification;
    assert!(verified.is_complete && 1_000 <= verified.acknowledged && verified.read == verified.acknowledged);
    let rate = found.produced.records_per_s;
    assert!(1_000.0 < rate, "of the seconds that there were, not of those that were planned: {rate}");
}

#[test]
fn kafka_is_started_as_its_jars_allow_and_harmed() {
    let Some(jars) = kafka_jars() else { return };
    let data = tempfile::tempdir().unwrap();
    let mut target = Target::start(&TargetSpec {
        kafka_jars: Some(jars.folder),
        coordination: Coordination::default_for(Kind::Kafka, &jars.version),
        ..spec(Kind::Kafka, data.path())
    })
    .unwrap();
    assert_eq!(target.system().version, jars.version);
    let noted = harmed(&mut target, &["freeze controller at 0s for 200ms", "restart broker 1 at 1s"], 1);
    let what: Vec<&str> = noted.iter().map(|fault| fault.what.as_str()).collect();
    assert_eq!(what[..2], ["broker 1 (controller) frozen", "broker 1 restarted"], "{noted:?}");
    assert!(what[2].starts_with("broker 1 starts again") && noted[2].until_ms.is_some(), "{noted:?}");
    target.stop().unwrap();
}
