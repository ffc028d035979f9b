//! Drives `whimbrel_state::liveness`: probes other brokers, asks them what they see, and has the consequences drawn.
//!
//! The driver has a thread of its own, so that a busy broker neither is late to hear of a death nor takes its own
//! business for another's silence. Why the evidence is judged as it is: docs/adr/0007.

mod driver;
mod links;
mod probe;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use whimbrel_model::NodeId;
use whimbrel_state::liveness::{Action, Input, Liveness, Options, Sighting};

pub use driver::start;
use links::Links;

/// The machine, shared by the driver, its probes, and those who answer other brokers' questions.
pub struct Monitor {
    machine: Mutex<Liveness>,
    started: Instant,
    links: Links,
    actions: mpsc::UnboundedSender<Action>,
}

impl Monitor {
    fn new(options: Options) -> (Arc<Self>, mpsc::UnboundedReceiver<Action>) {
        let (actions, todo) = mpsc::unbounded_channel();
        let machine = Mutex::new(Liveness::new(options));
        (Arc::new(Self { machine, started: Instant::now(), links: Links::default(), actions }), todo)
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn feed(&self, input: Input) {
        let mut actions = Vec::new();
        let mut machine = self.machine.lock();
        machine.handle(self.now(), input, &mut actions);
        // In the order of the machine's decisions, so under its lock. Nobody listens once the driver has ended.
        for action in actions {
            let _ended = self.actions.send(action);
        }
    }

    fn suspects(&self) -> Vec<NodeId> {
        self.machine.lock().suspects(self.now())
    }

    /// What this broker sees of others, for one that asks.
    pub fn sightings(&self, brokers: &[NodeId]) -> Vec<Sighting> {
        self.machine.lock().sightings(self.now(), brokers)
    }

    /// The brokers whose connection has just ended, for whatever reason, and those that are silent for a while: news of
    /// other leaders may follow in a moment.
    pub fn doubted(&self) -> BTreeSet<NodeId> {
        let mut doubted = self.links.ended();
        doubted.extend(self.machine.lock().undecided(self.now()));
        doubted
    }

    /// Whether this broker hears so few others that it may be the one that is cut off.
    pub fn is_cut_off(&self) -> bool {
        self.machine.lock().is_cut_off(self.now())
    }

    /// Whether it is, or was until a moment ago, so that it may think that it leads what others lead by now.
    pub fn was_cut_off(&self) -> bool {
        self.machine.lock().was_cut_off(self.now())
    }

    /// How many brokers this one has reported as gone, and not yet as back.
    pub fn reported(&self) -> usize {
        self.machine.lock().reported()
    }
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").finish_non_exhaustive()
    }
}
