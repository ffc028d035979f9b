//! The loop around the machine: who is to be watched, and what its decisions mean.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use whimbrel_model::{BrokerEpoch, NodeId};
use whimbrel_state::controller::Broker as RegisteredBroker;
use whimbrel_state::controller::control::Endpoint;
use whimbrel_state::liveness::{Action, Evidence, Input, Office, Options, Reason};

use super::Monitor;
use super::probe::{Endpoints, Probe};
use crate::Broker;
use crate::controller::{ControllerHandle, ControllerView};
use crate::interbroker::PeerOptions;

/// Starts watching, on a thread of its own. `None` when `whimbrel.liveness.enable` is off, or the thread cannot be made:
/// the sessions of dead brokers end all the same.
pub fn start(broker: &Arc<Broker>, controller: &ControllerHandle, stop: CancellationToken) -> Option<Arc<Monitor>> {
    let config = broker.config();
    let settings = &config.liveness;
    if !settings.is_enabled {
        return None;
    }
    let options = Options { own: broker.node_id, interval: settings.interval, silence: settings.silence };
    let (monitor, todo) = Monitor::new(options);
    let driver = Driver {
        listener: config.listeners.control().into(),
        interval: settings.interval,
        silence: settings.silence,
        broker: broker.clone(),
        controller: controller.clone(),
        monitor: monitor.clone(),
        endpoints: Endpoints::default(),
        probes: BTreeMap::new(),
        watched_office: Arc::default(),
        registrations: watch::Sender::default(),
        is_removing: Arc::default(),
        main: Handle::current(),
    };
    let started = std::thread::Builder::new().name("liveness".into()).spawn(move || {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(driver.run(todo, stop)),
            Err(error) => error!("brokers are not watched: {error}"),
        }
    });
    match started {
        Ok(_) => Some(monitor),
        Err(error) => {
            error!("brokers are not watched: {error}");
            None
        }
    }
}

struct Driver {
    broker: Arc<Broker>,
    controller: ControllerHandle,
    monitor: Arc<Monitor>,
    /// Where brokers are probed: the listener on which the controller reaches them.
    listener: Arc<str>,
    interval: Duration,
    silence: Duration,
    endpoints: Endpoints,
    probes: BTreeMap<NodeId, AbortHandle>,
    /// The controller that is watched, with the version of the epoch's node in its term, once that is read.
    watched_office: Arc<Mutex<Option<(NodeId, i32)>>>,
    /// The registered brokers as found at the start, before a controller has told of them.
    registrations: watch::Sender<Arc<[RegisteredBroker]>>,
    /// One attempt to remove a controller at a time: coordination may be away.
    is_removing: Arc<AtomicBool>,
    /// Where the broker's other tasks run.
    main: Handle,
}

impl Driver {
    async fn run(mut self, mut todo: mpsc::UnboundedReceiver<Action>, stop: CancellationToken) {
        let mut views = self.controller.views();
        let mut registered = self.controller.registered();
        let mut found = self.registrations.subscribe();
        let mut updates = self.broker.metadata.updates();
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.office_changed(*views.borrow_and_update());
        self.cluster_changed();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                // First, so that time in which nothing ran is known before anything is judged by it.
                _ = ticks.tick() => self.monitor.feed(Input::Tick),
                Some(action) = todo.recv() => self.perform(action),
                Ok(()) = views.changed() => {
                    let view = *views.borrow_and_update();
                    self.office_changed(view);
                    self.cluster_changed();
                }
                Ok(()) = registered.changed() => self.cluster_changed(),
                Ok(()) = found.changed() => self.cluster_changed(),
                Ok(()) = updates.changed() => self.cluster_changed(),
                else => break,
            }
        }
        self.probes.values().for_each(AbortHandle::abort);
    }

    /// Tells the machine who is registered: on the controller by the registrations themselves, elsewhere by what the
    /// controller says.
    fn cluster_changed(&self) {
        let view = self.controller.view();
        let office = match view {
            ControllerView { is_active: true, .. } => Office::Controller,
            ControllerView { id: Some(controller), .. } if controller != self.broker.node_id => {
                Office::Follower { controller }
            }
            _ => Office::None,
        };
        let mut members: BTreeMap<NodeId, Option<BrokerEpoch>> = BTreeMap::new();
        let mut endpoints = BTreeMap::new();
        let mut add = |id, epoch, listeners: &[Endpoint]| {
            let endpoint = listeners.iter().find(|endpoint| *endpoint.listener == *self.listener);
            // One that cannot be reached says nothing about the broker.
            if let Some(endpoint) = endpoint {
                members.insert(id, epoch);
                endpoints.insert(id, endpoint.clone());
            }
        };
        if office == Office::Controller {
            self.controller.registered().borrow().iter().for_each(|it| add(it.id, Some(it.epoch), &it.endpoints));
        } else {
            let image = self.broker.metadata.image();
            if image.brokers.is_empty() {
                self.registrations.borrow().iter().for_each(|it| add(it.id, None, &it.endpoints));
            }
            image.brokers.values().for_each(|it| add(it.id, None, &it.endpoints));
        }
        *self.endpoints.lock() = endpoints;
        self.monitor.feed(Input::Cluster { members, office });
    }

    /// Reads what is not told about a controller: which term it is in, so that its removal cannot meet the next one, and
    /// where it is, while this broker has not heard from any controller yet (one that is dead tells nothing).
    fn office_changed(&self, view: ControllerView) {
        *self.watched_office.lock() = None;
        let Some(id) = view.id.filter(|id| *id != self.broker.node_id) else { return };
        let (coordination, watched) = (self.broker.coordination.clone(), self.watched_office.clone());
        let (views, registrations) = (self.controller.views(), self.registrations.clone());
        let is_unknown = self.broker.metadata.image().brokers.is_empty();
        self.main.spawn(async move {
            if is_unknown && let Ok(registered) = coordination.brokers().await {
                registrations.send_replace(registered.into());
            }
            let Ok(version) = coordination.controller_term(id).await else { return };
            let mut watched = watched.lock();
            if views.borrow().id == Some(id) {
                *watched = version.map(|version| (id, version));
            }
        });
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Watch(peer) => self.watch(peer),
            Action::Unwatch(peer) => {
                if let Some(probe) = self.probes.remove(&peer) {
                    probe.abort();
                }
            }
            Action::Suspect { broker, epoch, evidence } => {
                self.controller.suspect(broker, epoch);
                self.broker.metrics.broker_suspected(reason(&evidence));
                let what = describe(&evidence);
                warn!(
                    broker = broker.0,
                    broker_epoch = epoch.0,
                    "the broker counts as gone: {what}; others lead and it leaves the ISR until it answers"
                );
            }
            Action::Clear { broker } => {
                self.controller.clear(broker);
                self.broker.metrics.broker_cleared();
                info!(broker = broker.0, "the broker answers again; it is told its roles and may rejoin the ISR");
            }
            Action::RemoveController { controller, evidence } => self.remove_controller(controller, &evidence),
            Action::Hold { broker, silent_for, reason } => {
                let silent_ms = silent_for.as_millis() as u64;
                let why = match reason {
                    Reason::FewSeen { seen, total } => {
                        format!("only {seen} of {total} brokers are heard, so the trouble may be this broker's own")
                    }
                    Reason::HeardBy(others) => format!("brokers {} hear it", list(&others)),
                    Reason::NoWitness => "no other broker can tell; its ZooKeeper session decides".to_owned(),
                };
                warn!(broker = broker.0, silent_ms, "the broker does not answer, and nothing is done about it: {why}");
            }
        }
    }

    fn watch(&mut self, peer: NodeId) {
        let probe = Probe {
            own: self.broker.node_id,
            peer,
            endpoints: self.endpoints.clone(),
            monitor: self.monitor.clone(),
            coordination: self.broker.coordination.clone(),
            options: PeerOptions {
                connect_timeout: self.silence / 2,
                ..PeerOptions::new(format!("broker-{}-liveness", self.broker.node_id))
            },
            interval: self.interval,
            silence: self.silence,
        };
        if let Some(earlier) = self.probes.insert(peer, tokio::spawn(probe.run()).abort_handle()) {
            earlier.abort();
        }
    }

    fn remove_controller(&self, controller: NodeId, evidence: &Evidence) {
        if self.is_removing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (reason, what) = (reason(evidence), describe(evidence));
        let term = self.watched_office.lock().filter(|(id, _)| *id == controller).map(|(_, version)| version);
        let (broker, is_removing) = (self.broker.clone(), self.is_removing.clone());
        self.main.spawn(async move {
            let id = controller.0;
            match broker.coordination.depose_controller(controller, term).await {
                Ok(true) => {
                    broker.metrics.controller_removed(reason);
                    warn!(controller = id, "the controller counts as gone: {what}; its office is open");
                }
                Ok(false) => {
                    info!(controller = id, "the controller counts as gone ({what}), and has lost its office already");
                }
                Err(error) => {
                    warn!(controller = id, "the controller counts as gone ({what}), but cannot be deposed: {error}");
                }
            }
            is_removing.store(false, Ordering::Release);
        });
    }
}

const fn reason(evidence: &Evidence) -> &'static str {
    match evidence {
        Evidence::Refused => "refused",
        Evidence::Silence { .. } => "silence",
    }
}

fn describe(evidence: &Evidence) -> String {
    match evidence {
        Evidence::Refused => "its host refused two connections in a row".to_owned(),
        Evidence::Silence { silent_for, witnesses } => {
            format!("nothing was heard of it for {} ms, nor by brokers {}", silent_for.as_millis(), list(witnesses))
        }
    }
}

fn list(brokers: &[NodeId]) -> String {
    brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
