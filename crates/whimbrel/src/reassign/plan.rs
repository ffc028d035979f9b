//! Where replicas should be: a plan that moves as little as possible, spreads replicas and leaders evenly, and puts the
//! replicas of a partition into different racks where there are enough.

use std::collections::{BTreeMap, BTreeSet};

/// A topic and the number of one of its partitions.
pub type PartitionName = (String, i32);

/// A broker that may hold replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub id: i32,
    pub rack: Option<String>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{replicas} replicas need as many brokers, and the plan may use {brokers}")]
pub struct TooFewBrokers {
    pub replicas: usize,
    pub brokers: usize,
}

/// What is where while a plan is made.
struct Draft<'a> {
    targets: &'a [Target],
    /// Replicas on each broker that may be used.
    load: BTreeMap<i32, usize>,
    assignment: BTreeMap<PartitionName, Vec<i32>>,
}

/// The replicas that each partition should have, the first of them its preferred leader; `replicas`: how many, by
/// default as many as it has.
///
/// # Errors
/// When there are more replicas than brokers.
pub fn plan(
    current: &BTreeMap<PartitionName, Vec<i32>>,
    targets: &[Target],
    replicas: Option<usize>,
) -> Result<BTreeMap<PartitionName, Vec<i32>>, TooFewBrokers> {
    let mut draft =
        Draft { targets, load: targets.iter().map(|target| (target.id, 0)).collect(), assignment: BTreeMap::new() };
    draft.keep(current, replicas);
    draft.fill(current, replicas)?;
    draft.level();
    draft.spread_leaders();
    Ok(draft.assignment)
}

impl Draft<'_> {
    /// Begins with what can stay where it is.
    fn keep(&mut self, current: &BTreeMap<PartitionName, Vec<i32>>, replicas: Option<usize>) {
        for (partition, now) in current {
            let count = replicas.unwrap_or(now.len());
            let kept: Vec<i32> = now.iter().copied().filter(|id| self.load.contains_key(id)).take(count).collect();
            self.count(&kept);
            self.assignment.insert(partition.clone(), kept);
        }
    }

    fn count(&mut self, ids: &[i32]) {
        for id in ids {
            *self.load.entry(*id).or_default() += 1;
        }
    }

    /// Adds what is missing, each replica on the broker with the fewest.
    fn fill(
        &mut self,
        current: &BTreeMap<PartitionName, Vec<i32>>,
        replicas: Option<usize>,
    ) -> Result<(), TooFewBrokers> {
        for (partition, now) in current {
            let count = replicas.unwrap_or(now.len());
            let mut chosen = self.assignment.get(partition).cloned().unwrap_or_default();
            while chosen.len() < count {
                let next = self.best(&chosen, |_| true);
                let next = next.ok_or(TooFewBrokers { replicas: count, brokers: self.targets.len() })?;
                self.count(&[next]);
                chosen.push(next);
            }
            self.assignment.insert(partition.clone(), chosen);
        }
        Ok(())
    }

    /// The broker for one more replica beside `others`: in a rack of its own if possible, then the one with the fewest.
    fn best(&self, others: &[i32], may: impl Fn(&Target) -> bool) -> Option<i32> {
        let racks: BTreeSet<Option<&str>> = others.iter().map(|id| self.rack(*id)).collect();
        let free = self.targets.iter().filter(|target| !others.contains(&target.id) && may(target));
        let cost = |target: &&Target| {
            let shares_rack = target.rack.is_some() && racks.contains(&target.rack.as_deref());
            (shares_rack, self.load.get(&target.id).copied().unwrap_or(0), target.id)
        };
        free.min_by_key(cost).map(|target| target.id)
    }

    fn rack(&self, id: i32) -> Option<&str> {
        self.targets.iter().find(|target| target.id == id)?.rack.as_deref()
    }

    /// Moves replicas from the fullest broker to the emptiest one until they differ by one at most, or racks forbid it.
    fn level(&mut self) {
        // Each move brings the loads closer together, so that there are never more moves than replicas.
        let moves_max: usize = self.load.values().sum();
        for _ in 0..moves_max {
            let Some((full, empty)) = self.extremes() else { return };
            let Some(partition) = self.movable(full, empty) else { return };
            if let Some(replicas) = self.assignment.get_mut(&partition) {
                replicas.iter_mut().filter(|id| **id == full).for_each(|id| *id = empty);
            }
            *self.load.entry(full).or_default() -= 1;
            *self.load.entry(empty).or_default() += 1;
        }
    }

    /// The brokers with the most and the fewest replicas, if a move between them would help.
    fn extremes(&self) -> Option<(i32, i32)> {
        let (full, most) = self.load.iter().max_by_key(|(id, load)| (**load, -**id))?;
        let (empty, fewest) = self.load.iter().min_by_key(|(id, load)| (**load, **id))?;
        (fewest + 1 < *most).then_some((*full, *empty))
    }

    /// A partition whose replica on `full` can go to `empty` without coming closer to another of its replicas.
    fn movable(&self, full: i32, empty: i32) -> Option<PartitionName> {
        let fits = |replicas: &Vec<i32>| {
            if !replicas.contains(&full) || replicas.contains(&empty) {
                return false;
            }
            let others = || replicas.iter().filter(|id| **id != full);
            let shares = |id: i32| self.rack(id).is_some() && others().any(|other| self.rack(*other) == self.rack(id));
            !shares(empty) || shares(full)
        };
        self.assignment.iter().find(|(_, replicas)| fits(replicas)).map(|(partition, _)| partition.clone())
    }

    /// Puts a replica first in each partition so that every broker is first about as often as the others; the present
    /// one stays first where it may.
    fn spread_leaders(&mut self) {
        let mut leads: BTreeMap<i32, usize> = BTreeMap::new();
        let fair = self.assignment.len().div_ceil(self.targets.len().max(1));
        for replicas in self.assignment.values_mut() {
            let stays = replicas.first().is_some_and(|first| leads.get(first).copied().unwrap_or(0) < fair);
            if !stays {
                let fewest = |at: &usize| leads.get(&replicas[*at]).copied().unwrap_or(0);
                if let Some(at) = (0..replicas.len()).min_by_key(fewest) {
                    replicas.swap(0, at);
                }
            }
            if let Some(first) = replicas.first() {
                *leads.entry(*first).or_default() += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(racks: &[(i32, &str)]) -> Vec<Target> {
        racks
            .iter()
            .map(|(id, rack)| Target { id: *id, rack: (!rack.is_empty()).then(|| (*rack).to_owned()) })
            .collect()
    }

    fn current(replicas: &[&[i32]]) -> BTreeMap<PartitionName, Vec<i32>> {
        (0..).zip(replicas).map(|(partition, ids)| (("t".to_owned(), partition), ids.to_vec())).collect()
    }

    fn loads(plan: &BTreeMap<PartitionName, Vec<i32>>) -> Vec<usize> {
        let mut load = BTreeMap::new();
        for id in plan.values().flatten() {
            *load.entry(*id).or_insert(0) += 1;
        }
        load.into_values().collect()
    }

    #[test]
    fn what_is_even_stays_as_it_is() {
        let now = current(&[&[1, 2], &[2, 3], &[3, 1]]);
        assert_eq!(plan(&now, &targets(&[(1, ""), (2, ""), (3, "")]), None), Ok(now));
    }

    #[test]
    fn a_broker_that_leaves_gives_its_replicas_to_the_rest_and_nothing_else_moves() {
        let now = current(&[&[1, 2], &[2, 3], &[3, 1]]);
        let next = plan(&now, &targets(&[(1, ""), (2, ""), (4, "")]), None).unwrap();
        assert!(next.values().flatten().all(|id| *id != 3));
        assert_eq!(loads(&next), [2, 2, 2]);
        let moved: usize = now.iter().map(|(name, ids)| ids.iter().filter(|id| !next[name].contains(id)).count()).sum();
        assert_eq!(moved, 2);
    }

    #[test]
    fn a_new_broker_gets_its_share() {
        let now = current(&[&[1, 2], &[2, 1], &[1, 2], &[2, 1], &[1, 2], &[2, 1]]);
        let next = plan(&now, &targets(&[(1, ""), (2, ""), (3, "")]), None).unwrap();
        assert_eq!(loads(&next), [4, 4, 4]);
        assert!(next.values().all(|ids| ids.iter().collect::<BTreeSet<_>>().len() == 2));
    }

    #[test]
    fn replicas_go_to_different_racks() {
        let now = current(&[&[1], &[2], &[3], &[4]]);
        let next = plan(&now, &targets(&[(1, "a"), (2, "a"), (3, "b"), (4, "b")]), Some(2)).unwrap();
        assert!(next.values().all(|ids| (ids[0] <= 2) != (ids[1] <= 2)), "{next:?}");
        assert_eq!(loads(&next), [2, 2, 2, 2]);
    }

    #[test]
    fn leaders_are_spread() {
        let now = current(&[&[1, 2, 3], &[1, 2, 3], &[1, 2, 3]]);
        let next = plan(&now, &targets(&[(1, ""), (2, ""), (3, "")]), None).unwrap();
        let first: BTreeSet<i32> = next.values().map(|ids| ids[0]).collect();
        assert_eq!(first.len(), 3);
    }

    #[test]
    fn more_replicas_than_brokers_are_refused() {
        assert_eq!(
            plan(&current(&[&[1]]), &targets(&[(1, ""), (2, "")]), Some(3)),
            Err(TooFewBrokers { replicas: 3, brokers: 2 })
        );
    }
}
