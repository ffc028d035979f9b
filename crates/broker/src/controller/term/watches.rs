//! What a term reads of coordination, and the watches that have it read again. A watch is set before the read.

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::info;
use whimbrel_model::{NodeId, TopicPartition};
use whimbrel_state::controller::{Broker, Input, TopicAssignment};

use super::{Event, Reread, Term};
use crate::coordination::{CoordinationError, Notifications, Reassignments};

impl Term<'_> {
    pub(super) async fn read_again(&mut self, what: Reread) -> Result<(), CoordinationError> {
        if what.brokers {
            let brokers = self.watch_brokers().await?;
            self.feed(Input::Brokers(brokers));
        }
        let mut names: Vec<Arc<str>> = what.assignments.into_iter().collect();
        if what.topics {
            let listed = self.watch_topics().await?;
            let known = std::mem::take(&mut self.topics);
            self.topics = listed.iter().filter(|name| known.contains(*name)).cloned().collect();
            names.extend(listed.iter().filter(|name| !known.contains(*name)).cloned());
            names.sort();
            names.dedup();
            self.feed(Input::TopicsListed(listed));
        }
        if !names.is_empty() {
            let topics = self.watch_assignments(names).await?;
            self.feed(Input::TopicsChanged(topics));
        }
        if what.deletions {
            let deletions = self.watch_deletions().await?;
            self.feed(Input::DeletionsRequested(deletions));
        }
        self.read_requests(what.reassignments, what.preferred_elections).await?;
        self.read_notifications(what.log_dirs, what.isrs).await
    }

    /// The legacy requests of operators.
    pub(super) async fn read_requests(&mut self, reassign: bool, elect: bool) -> Result<(), CoordinationError> {
        if reassign {
            let asked = self.watch_reassignments().await?.unwrap_or_default();
            self.feed(Input::ReassignmentsRequested(asked));
        }
        if elect && let Some(partitions) = self.watch_preferred_elections().await? {
            self.feed(Input::PreferredElectionRequested(partitions));
        }
        Ok(())
    }

    /// What brokers tell the controller through coordination.
    pub(super) async fn read_notifications(&mut self, log_dirs: bool, isrs: bool) -> Result<(), CoordinationError> {
        if log_dirs {
            let events = self.watch_log_dir_events().await?;
            let failed: BTreeSet<NodeId> = events.content.iter().copied().collect();
            for broker in failed {
                info!(broker = broker.0, "a log directory of the broker has failed");
                self.feed(Input::LogDirFailed { broker });
            }
            self.writer.clear(&events).await?;
        }
        if isrs {
            let changes = self.watch_isr_changes().await?;
            let states = self.coordination.partition_states(&changes.content).await?;
            self.feed(Input::StatesChanged(states));
            self.writer.clear(&changes).await?;
        }
        Ok(())
    }

    pub(super) async fn watch_reassignments(&mut self) -> Result<Option<Reassignments>, CoordinationError> {
        let (asked, change) = self.coordination.watch_reassignments().await?.split();
        self.report(change, Event::ReassignmentsAsked);
        Ok(asked)
    }

    pub(super) async fn watch_preferred_elections(&mut self) -> Result<Option<Vec<TopicPartition>>, CoordinationError> {
        let (asked, change) = self.coordination.watch_preferred_elections().await?.split();
        self.report(change, Event::PreferredElectionAsked);
        Ok(asked)
    }

    pub(super) async fn watch_log_dir_events(&mut self) -> Result<Notifications<NodeId>, CoordinationError> {
        let (events, change) = self.coordination.watch_log_dir_events().await?.split();
        self.report(change, Event::LogDirsChanged);
        Ok(events)
    }

    pub(super) async fn watch_isr_changes(&mut self) -> Result<Notifications<TopicPartition>, CoordinationError> {
        let (changes, change) = self.coordination.watch_isr_changes().await?.split();
        self.report(change, Event::IsrsChanged);
        Ok(changes)
    }

    pub(super) async fn watch_brokers(&mut self) -> Result<Vec<Broker>, CoordinationError> {
        let (brokers, change) = self.coordination.watch_brokers().await?.split();
        self.report(change, Event::BrokersChanged);
        let alive: BTreeSet<NodeId> = brokers.iter().map(|broker| broker.id).collect();
        for &id in alive.difference(&self.brokers.clone()) {
            let watch = self.coordination.watch_broker(id).await?;
            self.report(watch, Event::BrokerChanged(id));
        }
        self.brokers = alive;
        self.driver.registered.send_replace(brokers.clone().into());
        Ok(brokers)
    }

    pub(super) async fn watch_topics(&mut self) -> Result<Vec<Arc<str>>, CoordinationError> {
        let (names, change) = self.coordination.watch_topics().await?.split();
        self.report(change, Event::TopicsChanged);
        Ok(names)
    }

    pub(super) async fn watch_deletions(&mut self) -> Result<Vec<Arc<str>>, CoordinationError> {
        let (names, change) = self.coordination.watch_deletions().await?.split();
        self.report(change, Event::DeletionsChanged);
        Ok(names)
    }

    /// Reads topics, watches them, and gives an id to those without.
    pub(super) async fn watch_assignments(
        &mut self,
        names: Vec<Arc<str>>,
    ) -> Result<Vec<TopicAssignment>, CoordinationError> {
        self.coordination.read_missing_topic_configs(&names).await?;
        let mut topics = Vec::with_capacity(names.len());
        for watched in self.coordination.watch_assignments(&names).await? {
            let (mut topic, change) = watched.split();
            self.report(change, Event::TopicChanged(Arc::clone(&topic.name)));
            self.topics.insert(Arc::clone(&topic.name));
            if topic.id.is_zero() {
                self.writer.give_id(&mut topic).await?;
            }
            topics.push(topic);
        }
        Ok(topics)
    }
}
