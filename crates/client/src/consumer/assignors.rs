//! Which member of a group reads which partitions, as Kafka's own assignors decide it. Pure functions: the members of
//! one group may be written in different languages and must come to the same result.

use std::collections::{BTreeMap, BTreeSet};

/// An assignor, by Kafka's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    /// Neighbouring partitions of each topic to each member.
    Range,
    /// One partition after the other, in turn.
    RoundRobin,
}

/// A member as the assignor sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: String,
    /// Of a static member (KIP-345); these come first and keep their order over restarts.
    pub instance_id: Option<String>,
    pub topics: BTreeSet<String>,
}

impl Member {
    /// Static members first, by their names; the others by their ids.
    fn rank(&self) -> (bool, &str, &str) {
        match &self.instance_id {
            Some(instance) => (false, instance, &self.id),
            None => (true, &self.id, ""),
        }
    }
}

/// The partitions of each member, by topic.
pub type Assignment = BTreeMap<String, BTreeMap<String, Vec<i32>>>;

impl Assignor {
    /// Kafka's name of the protocol.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
        }
    }

    /// The assignor of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Range, Self::RoundRobin].into_iter().find(|assignor| assignor.name() == name)
    }

    /// Spreads the partitions of all subscribed topics. `partition_counts` has the topics that exist.
    #[must_use]
    pub fn assign(self, members: &[Member], partition_counts: &BTreeMap<String, i32>) -> Assignment {
        let mut members: Vec<&Member> = members.iter().collect();
        members.sort_by(|a, b| a.rank().cmp(&b.rank()));
        let mut assignment: Assignment = members.iter().map(|member| (member.id.clone(), BTreeMap::new())).collect();
        let mut give = |member: &Member, topic: &str, partition: i32| {
            let topics = assignment.entry(member.id.clone()).or_default();
            topics.entry(topic.to_owned()).or_default().push(partition);
        };
        match self {
            Self::Range => range(&members, partition_counts, &mut give),
            Self::RoundRobin => round_robin(&members, partition_counts, &mut give),
        }
        assignment
    }
}

/// Source: `RangeAssignor` without racks: the first `count % members` members get one partition more.
fn range(members: &[&Member], counts: &BTreeMap<String, i32>, give: &mut impl FnMut(&Member, &str, i32)) {
    for (topic, count) in counts {
        let readers: Vec<&&Member> = members.iter().filter(|member| member.topics.contains(topic)).collect();
        let Ok(reader_count) = i32::try_from(readers.len()) else { continue };
        if reader_count == 0 {
            continue;
        }
        let (each, extra) = (count / reader_count, count % reader_count);
        let mut next = 0;
        for (index, member) in (0..).zip(readers) {
            let end = next + each + i32::from(index < extra);
            (next..end).for_each(|partition| give(member, topic, partition));
            next = end;
        }
    }
}

/// Source: `RoundRobinAssignor`: partitions by topic and number, members in a circle, those without the topic skipped.
fn round_robin(members: &[&Member], counts: &BTreeMap<String, i32>, give: &mut impl FnMut(&Member, &str, i32)) {
    let mut turn = members.iter().cycle();
    for (topic, count) in counts {
        if !members.iter().any(|member| member.topics.contains(topic)) {
            continue;
        }
        for partition in 0..*count {
            if let Some(member) = turn.find(|member| member.topics.contains(topic)) {
                give(member, topic, partition);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, instance: Option<&str>, topics: &[&str]) -> Member {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        Member { id: id.into(), instance_id: instance.map(str::to_owned), topics }
    }

    fn counts(counts: &[(&str, i32)]) -> BTreeMap<String, i32> {
        counts.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect()
    }

    fn shown(assignment: &Assignment) -> String {
        let topics = |topics: &BTreeMap<String, Vec<i32>>| {
            let parts = topics.iter().map(|(topic, partitions)| format!("{topic}{partitions:?}"));
            parts.collect::<Vec<_>>().join(" ")
        };
        let members = assignment.iter().map(|(member, of)| format!("{member}: {}", topics(of)));
        members.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn range_gives_neighbours_and_the_rest_to_the_first() {
        let members = [member("b", None, &["t", "u"]), member("a", None, &["t", "u"])];
        let assignment = Assignor::Range.assign(&members, &counts(&[("t", 3), ("u", 3)]));
        assert_eq!(shown(&assignment), "a: t[0, 1] u[0, 1]; b: t[2] u[2]");
    }

    #[test]
    fn round_robin_goes_on_over_topics() {
        let members = [member("a", None, &["t", "u"]), member("b", None, &["t", "u"])];
        let assignment = Assignor::RoundRobin.assign(&members, &counts(&[("t", 3), ("u", 3)]));
        assert_eq!(shown(&assignment), "a: t[0, 2] u[1]; b: t[1] u[0, 2]");
    }

    #[test]
    fn a_member_gets_only_what_it_subscribes_to() {
        let members = [member("a", None, &["t"]), member("b", None, &["t", "u"]), member("c", None, &["other"])];
        for assignor in [Assignor::Range, Assignor::RoundRobin] {
            let assignment = assignor.assign(&members, &counts(&[("t", 1), ("u", 2)]));
            assert_eq!(shown(&assignment), "a: t[0]; b: u[0, 1]; c: ");
        }
    }

    #[test]
    fn static_members_come_first_by_their_names() {
        let members = [member("a", None, &["t"]), member("z", Some("1"), &["t"])];
        let assignment = Assignor::Range.assign(&members, &counts(&[("t", 1)]));
        assert_eq!(shown(&assignment), "a: ; z: t[0]");
    }
}
