//! Which points of several runs belong together: by the point's name and the system.

use crate::bench::report::model::{PointResults, Results};
use crate::bench::result::System;

/// One workload on one system, in every run.
pub struct Matched<'r, 'a> {
    pub point: &'a str,
    pub system: String,
    /// In the order of the runs: the point, and the index of the system there.
    pub points: Vec<Option<(&'r PointResults<'a>, usize)>>,
}

/// How closely two systems must be alike to be the same one.
type Key = fn(&System) -> String;

/// From the least to the most that is asked: two builds of one system are to be compared, two systems of one run are not
/// to be mixed up.
const KEYS: [Key; 5] = [
    |system| system.name.clone(),
    |system| format!("{} {}", system.name, system.version),
    |system| format!("{}, {} brokers, {}", system.name, system.brokers, system.coordination),
    |system| format!("{}, {} brokers, {}, client {}", system.name, system.brokers, system.coordination, system.client),
    |system| {
        let System { name, version, brokers, coordination, settings, client } = system;
        let settings = settings.iter().map(|(key, value)| format!(" {key}={value}")).collect::<String>();
        format!("{name} {version}, {brokers} brokers, {coordination}, client {client}{settings}")
    },
];

/// Everything that at least one run has, in the order in which it is first met.
pub fn matched<'r, 'a>(runs: &'r [Results<'a>]) -> Vec<Matched<'r, 'a>> {
    let key = key(runs);
    let mut matched: Vec<Matched<'r, 'a>> = Vec::new();
    for (run, results) in runs.iter().enumerate() {
        for point in &results.points {
            for (index, _) in point.measured() {
                let Some(system) = results.systems.get(index).map(|measured| key(measured.system)) else { continue };
                let at = matched.iter().position(|found| found.point == point.name && found.system == system);
                let at = at.unwrap_or_else(|| {
                    matched.push(Matched { point: point.name, system, points: vec![None; runs.len()] });
                    matched.len() - 1
                });
                matched[at].points[run] = Some((point, index));
            }
        }
    }
    matched
}

/// The loosest key that tells the systems of every run apart.
fn key(runs: &[Results<'_>]) -> Key {
    let tells_apart = |key: &&Key| {
        runs.iter().all(|results| {
            let mut keys: Vec<String> = results.systems.iter().map(|measured| key(measured.system)).collect();
            let all = keys.len();
            keys.sort();
            keys.dedup();
            keys.len() == all
        })
    };
    let [.., strictest] = KEYS;
    KEYS.iter().find(tells_apart).copied().unwrap_or(strictest)
}
