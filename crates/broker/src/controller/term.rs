//! One term of office: load, start the machine, and feed it until something ends the term.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::{info, warn};
use whimbrel_model::{NodeId, TopicPartition};
use whimbrel_state::controller::control::{ControllerResponse, LeaderRecoveryState, RequestId};
use whimbrel_state::controller::{
    Action, Broker, Controller, ControllerOptions, DefaultSettings, Input, Snapshot, TopicAssignment, WaitingDeletion,
    Write,
};

use super::channel::{Channel, Request, Updates};
use super::{Asked, ControllerView, Driver};
use crate::coordination::{
    ConfigChange, ConfigEntity, ControllerChange, Coordination, CoordinationError, FencedWriter, Watched,
};
use crate::failpoint;

mod watches;

/// Events taken in one go. Many watches that fire together then cost one read each kind, and one round of requests.
const EVENTS_MAX: usize = 4096;

/// How often the machine is told the time. What depends on it is measured in seconds.
const TICK: Duration = Duration::from_secs(1);

/// Something for the driver's loop.
pub(super) enum Event {
    /// For the machine as it is.
    Input(Input),
    /// The term must end.
    Failed(CoordinationError),
    /// The own broker has been told all that the controller knew when it took office.
    Settled,
    BrokersChanged,
    BrokerChanged(NodeId),
    TopicsChanged,
    TopicChanged(Arc<str>),
    DeletionsChanged,
    ReassignmentsAsked,
    PreferredElectionAsked,
    LogDirsChanged,
    IsrsChanged,
}

/// What one round of events asks to be read again.
#[derive(Default)]
struct Reread {
    brokers: bool,
    topics: bool,
    deletions: bool,
    assignments: BTreeSet<Arc<str>>,
    reassignments: bool,
    preferred_elections: bool,
    log_dirs: bool,
    isrs: bool,
}

struct Term<'a> {
    coordination: &'a Coordination,
    writer: &'a FencedWriter,
    driver: &'a Driver,
    events: mpsc::UnboundedSender<Event>,
    channels: BTreeMap<NodeId, Channel>,
    /// What the channels to other brokers share.
    updates: Arc<Updates>,
    /// One task per watch and per batch of writes; all end with the term.
    tasks: JoinSet<()>,
    /// The topics whose node is watched.
    topics: BTreeSet<Arc<str>>,
    /// The brokers whose node is watched.
    brokers: BTreeSet<NodeId>,
    controller: Option<Controller>,
    /// Who waits for an answer of the machine.
    asking: BTreeMap<RequestId, oneshot::Sender<ControllerResponse>>,
    next_request: u64,
    /// The deletions that were last said to wait.
    waiting_deletions: Vec<WaitingDeletion>,
}

/// Serves until the term ends; never returns `Ok` by itself.
pub(super) async fn serve(
    driver: &Driver,
    writer: &FencedWriter,
    requests: &mut mpsc::UnboundedReceiver<Asked>,
) -> Result<(), CoordinationError> {
    let (events, mut receiver) = mpsc::unbounded_channel();
    let mut config_changes = driver.coordination.config_changes();
    let mut term = Term {
        coordination: &driver.coordination,
        writer,
        driver,
        events,
        channels: BTreeMap::new(),
        updates: Arc::default(),
        tasks: JoinSet::new(),
        topics: BTreeSet::new(),
        brokers: BTreeSet::new(),
        controller: None,
        asking: BTreeMap::new(),
        next_request: 0,
        waiting_deletions: Vec::new(),
    };
    term.take_office().await?;

    let mut round = Vec::new();
    let started = tokio::time::Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => term.tick(started.elapsed()),
            _ = receiver.recv_many(&mut round, EVENTS_MAX) => {}
            Some(asked) = requests.recv() => term.asked(asked),
            Some(change) = config_changes.recv() => round.extend(term.config_changed(change).await?),
        }
        driver.stats.queued(receiver.len() + requests.len() + round.len());
        let mut reread = Reread::default();
        for event in round.drain(..) {
            match event {
                Event::Input(input) => term.feed(input),
                Event::Failed(error) => return Err(error),
                Event::Settled => {
                    driver.view.send_replace(ControllerView { id: Some(driver.settings.id), is_active: true });
                }
                Event::BrokersChanged => reread.brokers = true,
                Event::BrokerChanged(id) => {
                    term.brokers.remove(&id);
                    reread.brokers = true;
                }
                Event::TopicsChanged => reread.topics = true,
                Event::TopicChanged(name) => {
                    // Its watch has fired; if it is gone, a topic of the same name is to count as new.
                    term.topics.remove(&name);
                    reread.assignments.insert(name);
                }
                Event::DeletionsChanged => reread.deletions = true,
                Event::ReassignmentsAsked => reread.reassignments = true,
                Event::PreferredElectionAsked => reread.preferred_elections = true,
                Event::LogDirsChanged => reread.log_dirs = true,
                Event::IsrsChanged => reread.isrs = true,
            }
        }
        term.read_again(reread).await?;
        while term.tasks.try_join_next().is_some() {}
    }
}

impl Term<'_> {
    /// Kafka's order of a failover: watches before reads, everything read before anything is said.
    async fn take_office(&mut self) -> Result<(), CoordinationError> {
        let began = tokio::time::Instant::now();
        self.writer.enable_features().await?;
        let brokers = self.watch_brokers().await?;
        let names = self.watch_topics().await?;
        let deletions = self.watch_deletions().await?;
        // Notifications for earlier controllers point at what is about to be read anyway.
        let log_dirs = self.watch_log_dir_events().await?;
        self.writer.clear(&log_dirs).await?;
        let isrs = self.watch_isr_changes().await?;
        self.writer.clear(&isrs).await?;
        let reassignments = self.watch_reassignments().await?.unwrap_or_default();
        let preferred_elections = self.watch_preferred_elections().await?;

        let topics = self.watch_assignments(names).await?;
        let partitions: Vec<TopicPartition> = topics.iter().flat_map(partitions_of).collect();
        let states = self.coordination.partition_states(&partitions).await?;
        info!(
            brokers = brokers.len(),
            topics = topics.len(),
            partitions = partitions.len(),
            deletions = deletions.len(),
            elapsed_ms = began.elapsed().as_millis() as u64,
            "controller has read the state of the cluster"
        );
        let options = ControllerOptions {
            id: self.driver.settings.id,
            epoch: self.writer.epoch(),
            control_listener: Arc::clone(&self.driver.settings.inter_broker_listener),
            defaults: self.default_settings().await?,
            delete_topics: self.driver.settings.delete_topics,
            leader_balance: self.driver.settings.leader_balance,
        };
        let mut actions = Vec::new();
        let snapshot = Snapshot { brokers, topics, states, deletions, reassignments, preferred_elections };
        self.controller = Some(Controller::start(options, snapshot, &mut actions));
        self.perform(actions);
        info!(elapsed_ms = began.elapsed().as_millis() as u64, "controller has taken office");
        // Requests for the controller are served once its own broker knows what it knows: a topic that exists is then
        // never taken for a new one.
        match self.channels.get(&self.driver.settings.id) {
            Some(channel) => channel.send(Request::Barrier),
            // Our registration is not in what was read; it will come as a change.
            None => drop(self.events.send(Event::Settled)),
        }
        Ok(())
    }

    fn asked(&mut self, asked: Asked) {
        let input = match asked {
            Asked::Request(request, answer) => {
                let id = RequestId(self.next_request);
                self.next_request += 1;
                self.asking.insert(id, answer);
                Input::Request { id, request }
            }
            Asked::Suspected(broker, epoch) => Input::BrokerSuspected { broker, epoch },
            Asked::Cleared(broker) => {
                if let Some(channel) = self.channels.get(&broker) {
                    channel.reconnect();
                }
                Input::BrokerCleared { broker }
            }
        };
        self.feed(input);
    }

    fn feed(&mut self, input: Input) {
        let mut actions = Vec::new();
        if let Some(controller) = &mut self.controller {
            controller.handle(input, &mut actions);
        }
        self.perform(actions);
    }

    fn tick(&mut self, now: Duration) {
        self.feed(Input::Tick { now });
        let waiting = self.controller.as_ref().map(Controller::waiting_deletions).unwrap_or_default();
        for one in waiting.iter().filter(|one| !self.waiting_deletions.contains(one)) {
            let brokers: Vec<i32> = one.brokers.iter().map(|broker| broker.0).collect();
            warn!(topic = %one.topic, ?brokers, "the deletion of the topic waits until these brokers can delete their replicas");
        }
        self.waiting_deletions = waiting;
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::OpenChannel(broker) => self.open_channel(&broker),
                Action::MoveChannel(broker) => self.move_channel(&broker),
                Action::CloseChannel(id) => drop(self.channels.remove(&id)),
                Action::Write(writes) => self.write(writes),
                Action::LeaderAndIsr(to, request) => self.send(to, Request::LeaderAndIsr(request)),
                Action::UpdateMetadata(to, request) => self.send(to, Request::UpdateMetadata(request)),
                Action::StopReplica(to, request) => self.send(to, Request::StopReplica(request)),
                Action::Answer { id, response } => {
                    if let Some(answer) = self.asking.remove(&id) {
                        // Whoever asked may have gone.
                        let _gone = answer.send(response);
                    }
                }
            }
        }
    }

    fn open_channel(&mut self, broker: &Broker) {
        let settings = &self.driver.settings;
        let channel = if broker.id == settings.id {
            Some(Channel::local(broker.id, self.driver.receiver.clone(), self.events.clone()))
        } else {
            let (updates, events) = (Arc::clone(&self.updates), self.events.clone());
            Channel::remote(broker, &settings.control_listener, settings.peers.clone(), updates, events)
        };
        match channel {
            Some(channel) => drop(self.channels.insert(broker.id, channel)),
            None => drop(self.channels.remove(&broker.id)),
        }
    }

    fn move_channel(&mut self, broker: &Broker) {
        match self.channels.get(&broker.id) {
            Some(channel) => channel.move_to(broker, &self.driver.settings.control_listener),
            None => self.open_channel(broker),
        }
    }

    fn send(&self, to: NodeId, request: Request) {
        if let Some(channel) = self.channels.get(&to) {
            if let Err(error) = failpoint::reached("controller-tell") {
                let _ended = self.events.send(Event::Failed(error));
                return;
            }
            channel.send(request);
        }
    }

    fn write(&mut self, writes: Vec<Write>) {
        log_elections(&writes);
        let (writer, events, stats) = (self.writer.clone(), self.events.clone(), self.driver.stats.clone());
        self.tasks.spawn(async move {
            let began = tokio::time::Instant::now();
            let written = writer.write(writes).await;
            stats.wrote(began.elapsed());
            let event = match written {
                Ok(written) => Event::Input(Input::Written(written)),
                Err(error) => Event::Failed(error),
            };
            // Nobody listens once the term is over.
            let _ended = events.send(event);
        });
    }

    /// Reports `event` when the watched thing changes, and the end of the term when the session ends.
    fn report(&mut self, watch: Watched<()>, event: Event) {
        let events = self.events.clone();
        self.tasks.spawn(async move {
            let event = match watch.changed().await {
                ControllerChange::Changed => event,
                ControllerChange::SessionEnded => Event::Failed(CoordinationError::SessionLost),
            };
            let _ended = events.send(event);
        });
    }

    /// Only what elections depend on is of concern here.
    async fn config_changed(&self, change: ConfigChange) -> Result<Option<Event>, CoordinationError> {
        let input = match change.entity {
            ConfigEntity::Topic(topic) => {
                let settings = self.coordination.topic_settings(&topic);
                Input::TopicSettings { topic, settings }
            }
            ConfigEntity::Broker(id) if id != self.driver.settings.id => return Ok(None),
            ConfigEntity::Broker(_) | ConfigEntity::AllBrokers => {
                Input::DefaultSettings(self.default_settings().await?)
            }
        };
        Ok(Some(Event::Input(input)))
    }

    /// Of each setting this broker's dynamic value, else that of all brokers, else the one it was started with.
    async fn default_settings(&self) -> Result<DefaultSettings, CoordinationError> {
        let own = self.coordination.read_config(&ConfigEntity::Broker(self.driver.settings.id)).await?;
        let all = self.coordination.read_config(&ConfigEntity::AllBrokers).await?;
        let dynamic = |key: &str| own.get(key).or_else(|| all.get(key));
        let started = self.driver.settings.defaults;
        Ok(DefaultSettings {
            unclean_leader_election: dynamic("unclean.leader.election.enable")
                .map_or(started.unclean_leader_election, |value| value.eq_ignore_ascii_case("true")),
            min_insync_replicas: dynamic("min.insync.replicas")
                .and_then(|value| value.parse().ok())
                .unwrap_or(started.min_insync_replicas),
        })
    }
}

/// Says what becomes of partitions: all in one line, and each that may have lost records in one of its own.
fn log_elections(writes: &[Write]) {
    let states = writes.iter().filter_map(|write| match write {
        Write::SetState { partition, state } => Some((partition, state)),
        _ => None,
    });
    let (mut changed, mut leaderless) = (0_usize, 0_usize);
    for (partition, state) in states {
        changed += 1;
        leaderless += usize::from(state.leader == NodeId::NONE);
        if state.recovery_state == LeaderRecoveryState::Recovering {
            warn!(
                %partition,
                leader = state.leader.0,
                epoch = state.leader_epoch.0,
                "elected without proof that it has every acknowledged record"
            );
        }
    }
    if 0 < changed {
        info!(partitions = changed, without_leader = leaderless, "partitions change their leader or in-sync replicas");
    }
}

fn partitions_of(topic: &TopicAssignment) -> impl Iterator<Item = TopicPartition> {
    topic.partitions.iter().map(|one| TopicPartition { topic: Arc::clone(&topic.name), partition: one.index })
}
