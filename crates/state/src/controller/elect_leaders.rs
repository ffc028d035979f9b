//! Elections that somebody asks for: ElectLeaders, the legacy znode, and the balance of preferred leaders.
//!
//! Source: Kafka 3.9 `KafkaController.scala`, `processReplicaLeaderElection` and `checkAndTriggerAutoLeaderRebalance`.

use std::collections::BTreeMap;
use std::time::Duration;

use whimbrel_model::{ErrorCode, NodeId, TopicPartition};

use super::control::{
    ControllerResponse, ElectLeadersRequest, ElectLeadersResponse, ElectionKind, PartitionOutcome, RequestId,
};
use super::election::{Circumstances, PartitionState, Presence, preferred_state, unclean_state};
use super::tasks::{ElectionId, Task};
use super::{Controller, Write};

/// The first check for imbalance comes this long after the election of the controller, as in Kafka.
const FIRST_BALANCE: Duration = Duration::from_secs(5);

/// Who asked for elections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Request(RequestId),
    /// `/admin/preferred_replica_election`, which is removed when all is done.
    Node,
    Balance,
}

/// Elections that were asked for together.
#[derive(Debug)]
pub(super) struct Electing {
    caller: Caller,
    /// All partitions were asked for: those that need no election are not listed.
    is_for_all: bool,
    /// In the order of the request.
    outcomes: Vec<PartitionOutcome>,
    elected: Vec<(TopicPartition, NodeId)>,
    left: usize,
}

/// Why a partition gets no new leader.
type Refusal = (ErrorCode, Option<String>);

type Election = for<'a> fn(&PartitionState, &Circumstances<'a>) -> Option<PartitionState>;

impl Controller {
    pub(super) fn elect_leaders(&mut self, id: RequestId, request: ElectLeadersRequest) {
        let is_for_all = request.partitions.is_none();
        let partitions = request.partitions.unwrap_or_else(|| self.facts.all_partitions());
        self.start_elections(Caller::Request(id), request.kind, &partitions, is_for_all);
    }

    /// The legacy znode lists partitions for a preferred election.
    pub(super) fn preferred_election_requested(&mut self, partitions: &[TopicPartition]) {
        self.start_elections(Caller::Node, ElectionKind::Preferred, partitions, false);
    }

    fn start_elections(&mut self, caller: Caller, kind: ElectionKind, partitions: &[TopicPartition], is_for_all: bool) {
        let election = ElectionId(self.next_election);
        self.next_election += 1;
        let pending = |partition: &TopicPartition| PartitionOutcome {
            partition: partition.clone(),
            error: ErrorCode::UnknownTopicOrPartition,
            message: Some("The partition does not exist.".into()),
        };
        let (known, _): (Vec<_>, Vec<_>) =
            partitions.iter().cloned().partition(|name| self.facts.partition(name).is_some());
        let electing = Electing {
            caller,
            is_for_all,
            outcomes: partitions.iter().map(pending).collect(),
            elected: Vec::new(),
            left: known.len(),
        };
        self.electing.insert(election, electing);
        for name in &known {
            self.add_task(name, Task::Elect { election, kind });
        }
        self.finish_election(election);
    }

    /// The state that an election leads to, or why there is none.
    pub(super) fn judge_election(&self, name: &TopicPartition, kind: ElectionKind) -> Result<PartitionState, Refusal> {
        let unknown = || (ErrorCode::UnknownTopicOrPartition, Some("The partition does not exist.".to_owned()));
        let topic = self.facts.topic(&name.topic).ok_or_else(unknown)?;
        if topic.deletion.is_some() {
            return Err((ErrorCode::InvalidTopicException, Some("The topic is being deleted".into())));
        }
        let partition = topic.partitions.get(&name.partition).ok_or_else(unknown)?;
        let failed = |error, strategy| {
            (error, Some(format!("Failed to elect leader for partition {name} under strategy {strategy}")))
        };
        let Some(current) = &partition.state else {
            return Err(failed(ErrorCode::EligibleLeadersNotAvailable, "Offline"));
        };
        let elect = |election: Election| self.with_circumstances(topic, name, partition, |all| election(current, all));
        match kind {
            ElectionKind::Preferred if partition.replicas.first() == Some(&current.leader) => {
                Err((ErrorCode::ElectionNotNeeded, None))
            }
            ElectionKind::Preferred => elect(preferred_state).ok_or_else(|| {
                failed(ErrorCode::PreferredLeaderNotAvailable, "PreferredReplicaPartitionLeaderElectionStrategy")
            }),
            ElectionKind::Unclean
                if matches!(
                    self.facts.standing(current.leader, name).presence,
                    Presence::Online | Presence::ShuttingDown
                ) =>
            {
                Err((ErrorCode::ElectionNotNeeded, None))
            }
            ElectionKind::Unclean => elect(unclean_state).ok_or_else(|| {
                failed(ErrorCode::EligibleLeadersNotAvailable, "OfflinePartitionLeaderElectionStrategy(true)")
            }),
        }
    }

    /// Notes the result of one election, and answers whoever asked when it was the last.
    pub(super) fn elected(&mut self, election: ElectionId, name: &TopicPartition, result: Result<NodeId, Refusal>) {
        let Some(electing) = self.electing.get_mut(&election) else { return };
        if let Some(outcome) = electing.outcomes.iter_mut().find(|outcome| outcome.partition == *name) {
            (outcome.error, outcome.message) = match result {
                Ok(leader) => {
                    electing.elected.push((name.clone(), leader));
                    (ErrorCode::None, None)
                }
                Err(refusal) => refusal,
            };
        }
        electing.left -= 1;
        self.finish_election(election);
    }

    fn finish_election(&mut self, election: ElectionId) {
        if self.electing.get(&election).is_none_or(|electing| 0 < electing.left) {
            return;
        }
        let Some(mut electing) = self.electing.remove(&election) else { return };
        match electing.caller {
            Caller::Request(id) => {
                if electing.is_for_all {
                    electing.outcomes.retain(|outcome| outcome.error != ErrorCode::ElectionNotNeeded);
                }
                let response = ElectLeadersResponse {
                    error: ErrorCode::None,
                    partitions: electing.outcomes,
                    elected: electing.elected,
                };
                self.outbox.answer(id, ControllerResponse::ElectLeaders(response));
            }
            Caller::Node => self.outbox.write(Write::ForgetPreferredElection),
            Caller::Balance => {}
        }
    }

    /// Time has passed: looks for imbalance when that is due.
    pub(super) fn tick(&mut self, now: Duration) {
        let Some(balance) = self.options.leader_balance else { return };
        let due = *self.next_balance.get_or_insert(now + FIRST_BALANCE);
        if due <= now {
            self.next_balance = Some(now + balance.interval);
            let partitions = self.imbalanced(balance.percentage);
            if !partitions.is_empty() {
                self.start_elections(Caller::Balance, ElectionKind::Preferred, &partitions, false);
            }
        }
    }

    /// The partitions whose preferred leader could lead and does not, of brokers that lead too few of those that prefer
    /// them.
    fn imbalanced(&self, percentage: u32) -> Vec<TopicPartition> {
        let mut preferred: BTreeMap<NodeId, (usize, Vec<TopicPartition>)> = BTreeMap::new();
        for topic in self.facts.topics().filter(|topic| topic.deletion.is_none()) {
            for (&index, partition) in &topic.partitions {
                let Some(first) = partition.replicas.first() else { continue };
                let (all, elsewhere) = preferred.entry(*first).or_default();
                *all += 1;
                if partition.state.as_ref().is_some_and(|state| state.leader != *first) {
                    elsewhere.push(TopicPartition { topic: topic.name.clone(), partition: index });
                }
            }
        }
        let is_imbalanced = |all: usize, elsewhere: usize| percentage as usize * all < elsewhere * 100;
        let far = preferred.into_values().filter(|(all, elsewhere)| is_imbalanced(*all, elsewhere.len()));
        let can_lead = |name: &TopicPartition| self.judge_election(name, ElectionKind::Preferred).is_ok();
        far.flat_map(|(_, elsewhere)| elsewhere).filter(can_lead).collect()
    }
}
