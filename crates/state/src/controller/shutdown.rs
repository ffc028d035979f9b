//! Controlled shutdown: a broker that is about to stop gives up what it leads. Source: Kafka 3.9 `KafkaController.scala`.
//!
//! The mark `ShuttingDown` alone makes the facts call for other leaders and smaller ISRs; what is left here is to wait
//! until these writes are in and to say what could not be moved. The mark goes when the broker is gone or comes back.

use std::collections::BTreeSet;

use whimbrel_model::{BrokerEpoch, ErrorCode, NodeId, TopicPartition};

use super::Controller;
use super::control::{ControlledShutdownRequest, ControlledShutdownResponse, ControllerResponse, RequestId};

/// A shutdown some of whose partitions have a write in flight.
#[derive(Debug)]
pub(super) struct ShuttingDown {
    request: RequestId,
    broker: NodeId,
    waiting: BTreeSet<TopicPartition>,
    /// The replicas that only follow, to be stopped.
    followed: Vec<TopicPartition>,
}

impl Controller {
    pub(super) fn controlled_shutdown(&mut self, id: RequestId, request: ControlledShutdownRequest) {
        let error = match self.facts.broker(request.broker) {
            None if request.broker_epoch == BrokerEpoch::NONE => ErrorCode::BrokerNotAvailable,
            // Kafka answers so because its look-up of the epoch fails.
            None => ErrorCode::UnknownServerError,
            Some(known) if request.broker_epoch != BrokerEpoch::NONE && request.broker_epoch < known.epoch => {
                ErrorCode::StaleBrokerEpoch
            }
            Some(_) => ErrorCode::None,
        };
        if error != ErrorCode::None {
            let refused = ControlledShutdownResponse { error, remaining: Vec::new() };
            self.outbox.answer(id, ControllerResponse::ControlledShutdown(refused));
            return;
        }
        self.facts.shut_down(request.broker);
        let partitions = self.replicated_on(request.broker);
        let leads = |name: &TopicPartition| self.leader_of(name) == Some(request.broker);
        let followed = partitions.iter().filter(|name| !leads(name)).cloned().collect();
        self.settle_all(&partitions);
        let waiting = partitions.into_iter().filter(|name| self.is_in_flight(name)).collect();
        self.shutting_down.push(ShuttingDown { request: id, broker: request.broker, waiting, followed });
    }

    /// Answers the shutdowns whose moves have all been made.
    pub(super) fn finish_shutdowns(&mut self) {
        for mut shutdown in std::mem::take(&mut self.shutting_down) {
            shutdown.waiting.retain(|name| self.is_in_flight(name));
            if !shutdown.waiting.is_empty() {
                self.shutting_down.push(shutdown);
                continue;
            }
            let leads = |name: &TopicPartition| self.leader_of(name) == Some(shutdown.broker);
            let remaining = self.replicated_on(shutdown.broker).into_iter().filter(leads).collect();
            for name in shutdown.followed {
                let epoch = self.facts.partition(&name).and_then(|one| one.state.as_ref()).map(|one| one.leader_epoch);
                if let Some(epoch) = epoch {
                    self.outbox.stop(shutdown.broker, name, epoch, false);
                }
            }
            let response = ControlledShutdownResponse { error: ErrorCode::None, remaining };
            self.outbox.answer(shutdown.request, ControllerResponse::ControlledShutdown(response));
        }
    }

    /// The partitions on a broker that have other replicas too.
    fn replicated_on(&self, broker: NodeId) -> Vec<TopicPartition> {
        let has_others =
            |name: &TopicPartition| self.facts.partition(name).is_some_and(|partition| 1 < partition.replicas.len());
        self.facts.partitions_on(broker).into_iter().filter(has_others).collect()
    }

    pub(super) fn leader_of(&self, name: &TopicPartition) -> Option<NodeId> {
        Some(self.facts.partition(name)?.state.as_ref()?.leader)
    }

    pub(super) fn is_in_flight(&self, name: &TopicPartition) -> bool {
        self.facts.partition(name).is_some_and(|partition| partition.in_flight.is_some())
    }
}
