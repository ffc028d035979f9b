//! Which brokers are gone, judged by evidence instead of by their ZooKeeper sessions alone.
//!
//! Every broker watches the controller and a few neighbours; the controller watches all. Watching is a small request
//! that is answered within an interval or is not. Two things count as evidence:
//!
//! - **Refused**: the host says twice in a row that nobody listens there. The process is gone; nobody else is asked.
//! - **Silence**: nothing was heard for a time, and other brokers, asked, heard nothing for as long. One of them that
//!   hears it is enough to wait: then a link is cut, not a broker dead.
//!
//! The active controller reports brokers, and is told itself when they answer again; other brokers report the
//! controller. A report may be wrong: what follows from it is fenced by epochs elsewhere, so that it costs a move of
//! leaderships and nothing else. A broker that sees fewer than half of those that it watches, itself included, takes
//! the silence for its own trouble. So does one that was itself not running: a stop of its clock is not held against
//! others.
//!
//! The session of a dead broker ends in any case. Nothing here has to happen for the cluster to recover, only to recover
//! soon. Time is the time since the driver started.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use whimbrel_model::{BrokerEpoch, NodeId};

/// Neighbours that each broker watches, those with the next higher ids: in clusters of up to eight everybody watches
/// everybody, and in larger ones the cost for each broker does not grow.
const NEIGHBOURS: usize = 7;

/// In a row; the first may have met a restart, or an end of the listener alone.
const REFUSALS_MIN: u32 = 2;

/// A broker that was reported counts as alive after so many answers in a row.
const ANSWERS_MIN: u32 = 2;

/// For so long after it was cut off a broker may lead what others lead by now: until it is probed again, connected to
/// again, and told.
const CUT_OFF_ECHO: Duration = Duration::from_secs(5);

/// What others saw is worth asking again after this many intervals.
const SIGHTING_INTERVALS_MAX: u32 = 4;

/// How the evidence is judged.
#[derive(Debug, Clone)]
pub struct Options {
    pub own: NodeId,
    /// Between two probes of a broker (`whimbrel.liveness.interval.ms`).
    pub interval: Duration,
    /// How long nothing must be heard (`whimbrel.liveness.silence.ms`).
    pub silence: Duration,
}

/// What this broker is to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Office {
    /// Nobody is controller, as far as this broker knows.
    #[default]
    None,
    /// This broker is the active controller.
    Controller,
    /// Another one is.
    Follower { controller: NodeId },
}

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The registered brokers, with their incarnations where they are known, and this broker's office.
    Cluster { members: BTreeMap<NodeId, Option<BrokerEpoch>>, office: Office },
    /// A probe was answered, with what the peer sees of the brokers that it was asked about.
    Answered { peer: NodeId, sightings: Vec<Sighting> },
    /// The peer's host refused a connection.
    Refused { peer: NodeId },
    /// An interval has passed.
    Tick,
}

/// What one broker sees of another that it watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    pub broker: NodeId,
    pub silent_for: Duration,
    /// Its host refuses connections.
    pub is_refused: bool,
}

/// What the driver must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Begin to probe this broker.
    Watch(NodeId),
    /// Stop it.
    Unwatch(NodeId),
    /// Tell the controller in this process that this incarnation is gone.
    Suspect { broker: NodeId, epoch: BrokerEpoch, evidence: Evidence },
    /// Tell it that the broker answers again.
    Clear { broker: NodeId },
    /// Take the office from a controller that is gone. Repeated as long as it has it.
    RemoveController { controller: NodeId, evidence: Evidence },
    /// Nothing is done about a silence, and why; told once for each reason.
    Hold { broker: NodeId, silent_for: Duration, reason: Reason },
}

/// Why a broker counts as gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    Refused,
    /// `witnesses` heard nothing either.
    Silence {
        silent_for: Duration,
        witnesses: Vec<NodeId>,
    },
}

/// Why a silence has no consequence yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Of `total` brokers, this one included, so few are heard that the trouble may be its own.
    FewSeen { seen: usize, total: usize },
    /// These hear it.
    HeardBy(Vec<NodeId>),
    /// No other broker can say anything about it.
    NoWitness,
}

/// What is known of one watched broker.
#[derive(Debug)]
struct Peer {
    epoch: Option<BrokerEpoch>,
    /// The last answer, or the begin of watching.
    heard: Duration,
    /// In a row, since the last answer.
    refusals: u32,
    /// In a row, since it was reported.
    answers: u32,
    /// When it was last reported in the present office.
    reported: Option<Duration>,
    /// The last reason told in this silence.
    held: Option<Reason>,
    /// What others see of it, and when they said so.
    sightings: BTreeMap<NodeId, (Duration, Sighting)>,
}

impl Peer {
    fn new(now: Duration, epoch: Option<BrokerEpoch>) -> Self {
        let sightings = BTreeMap::new();
        Self { epoch, heard: now, refusals: 0, answers: 0, reported: None, held: None, sightings }
    }

    const fn is_refused(&self) -> bool {
        REFUSALS_MIN <= self.refusals
    }

    fn silent_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.heard)
    }
}

/// One broker's view of the others.
#[derive(Debug)]
pub struct Liveness {
    options: Options,
    office: Office,
    peers: BTreeMap<NodeId, Peer>,
    /// The last time the machine was certainly running.
    ticked: Duration,
    /// The last time this broker looked cut off.
    cut_off: Option<Duration>,
}

impl Liveness {
    /// Knows nobody yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, office: Office::None, peers: BTreeMap::new(), ticked: Duration::ZERO, cut_off: None }
    }

    /// Takes in one input; `actions` receives what follows from it.
    pub fn handle(&mut self, now: Duration, input: Input, actions: &mut Vec<Action>) {
        match input {
            Input::Cluster { members, office } => self.cluster_changed(now, &members, office, actions),
            Input::Answered { peer, sightings } => self.answered(now, peer, &sightings, actions),
            Input::Refused { peer } => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.refusals = peer.refusals.saturating_add(1);
                    peer.answers = 0;
                }
            }
            Input::Tick => {
                self.tick(now);
                if self.is_cut_off(now) {
                    self.cut_off = Some(now);
                }
            }
        }
        self.judge(now, actions);
    }

    /// The brokers that others are to be asked about: those that are silent for half of the time already.
    #[must_use]
    pub fn suspects(&self, now: Duration) -> Vec<NodeId> {
        let silent = self.peers.iter().filter(|(_, peer)| self.options.silence / 2 <= peer.silent_for(now));
        silent.map(|(id, _)| *id).collect()
    }

    /// Whether more than half of the brokers that this one watches are silent, so that it may be cut off and is not the one
    /// to lead the others. A host that refuses is no silence: the network is there.
    #[must_use]
    pub fn is_cut_off(&self, now: Duration) -> bool {
        let is_silent = |peer: &&Peer| !peer.is_refused() && self.options.silence <= peer.silent_for(now);
        let silent = self.peers.values().filter(is_silent).count();
        1 + self.peers.len() < silent * 2
    }

    /// Whether this broker is cut off, or was a moment ago: others may lead by now what it thinks it leads.
    #[must_use]
    pub fn was_cut_off(&self, now: Duration) -> bool {
        self.is_cut_off(now) || self.cut_off.is_some_and(|at| now.saturating_sub(at) < CUT_OFF_ECHO)
    }

    /// The silent brokers about which a decision is near: others may lead in a moment what they lead.
    #[must_use]
    pub fn undecided(&self, now: Duration) -> Vec<NodeId> {
        let silence = self.options.silence;
        let near = silence / 2..silence * 2;
        self.peers.iter().filter(|(_, peer)| near.contains(&peer.silent_for(now))).map(|(id, _)| *id).collect()
    }

    /// What this broker sees of those that another asks about. Who is not watched is left out.
    #[must_use]
    pub fn sightings(&self, now: Duration, brokers: &[NodeId]) -> Vec<Sighting> {
        let seen = brokers.iter().filter_map(|id| {
            let peer = self.peers.get(id)?;
            Some(Sighting { broker: *id, silent_for: peer.silent_for(now), is_refused: peer.is_refused() })
        });
        seen.collect()
    }

    /// How many brokers are reported at present.
    #[must_use]
    pub fn reported(&self) -> usize {
        self.peers.values().filter(|peer| peer.reported.is_some()).count()
    }

    fn cluster_changed(
        &mut self,
        now: Duration,
        members: &BTreeMap<NodeId, Option<BrokerEpoch>>,
        office: Office,
        actions: &mut Vec<Action>,
    ) {
        if self.office != office {
            self.office = office;
            // A new controller has been told nothing, by this broker or about it.
            self.peers.values_mut().for_each(|peer| peer.reported = None);
        }
        let watched = self.to_watch(members);
        self.peers.retain(|id, _| {
            let stays = watched.contains_key(id);
            if !stays {
                actions.push(Action::Unwatch(*id));
            }
            stays
        });
        for (id, epoch) in watched {
            match self.peers.get_mut(&id) {
                // Of another incarnation nothing is known. (A broker that is not the controller knows no incarnations.)
                Some(peer) if peer.epoch.is_some() && epoch.is_some() && peer.epoch != epoch => {
                    *peer = Peer::new(now, epoch);
                }
                Some(peer) => peer.epoch = epoch.or(peer.epoch),
                None => {
                    self.peers.insert(id, Peer::new(now, epoch));
                    actions.push(Action::Watch(id));
                }
            }
        }
    }

    /// The controller watches all. Others watch the controller and their neighbours in the ring of ids.
    fn to_watch(&self, members: &BTreeMap<NodeId, Option<BrokerEpoch>>) -> BTreeMap<NodeId, Option<BrokerEpoch>> {
        let own = self.options.own;
        let others = members.iter().filter(|(id, _)| **id != own).map(|(id, epoch)| (*id, *epoch));
        let controller = match self.office {
            Office::Controller => return others.collect(),
            Office::Follower { controller } => Some(controller),
            Office::None => None,
        };
        let behind = others.clone().filter(|(id, _)| own < *id);
        let ring = behind.chain(others.clone().filter(|(id, _)| *id < own)).take(NEIGHBOURS);
        ring.chain(others.clone().filter(|(id, _)| Some(*id) == controller)).collect()
    }

    fn answered(&mut self, now: Duration, from: NodeId, sightings: &[Sighting], actions: &mut Vec<Action>) {
        for sighting in sightings {
            if let Some(peer) = self.peers.get_mut(&sighting.broker) {
                peer.sightings.insert(from, (now, *sighting));
            }
        }
        let is_controller = self.office == Office::Controller;
        let Some(peer) = self.peers.get_mut(&from) else { return };
        (peer.heard, peer.refusals, peer.held) = (now, 0, None);
        peer.answers = peer.answers.saturating_add(1);
        peer.sightings.clear();
        if ANSWERS_MIN <= peer.answers && peer.reported.take().is_some() && is_controller {
            actions.push(Action::Clear { broker: from });
        }
    }

    /// Time in which this broker did not run (it was stopped, or its machine was busy) is nobody's silence.
    fn tick(&mut self, now: Duration) {
        let lost = now.saturating_sub(self.ticked).saturating_sub(self.options.interval * 2);
        self.ticked = now;
        if lost.is_zero() {
            return;
        }
        for peer in self.peers.values_mut() {
            peer.heard = (peer.heard + lost).min(now);
            peer.sightings.clear();
        }
    }

    /// Reports what the evidence suffices for.
    fn judge(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let due: Vec<NodeId> = self.peers.keys().copied().filter(|id| self.is_due(now, *id)).collect();
        for id in due {
            let verdict = self.verdict(now, id);
            let office = self.office;
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            match verdict {
                Ok(evidence) => {
                    let action = match (office, peer.epoch) {
                        (Office::Controller, Some(epoch)) => Action::Suspect { broker: id, epoch, evidence },
                        (Office::Controller, None) => continue,
                        _ => Action::RemoveController { controller: id, evidence },
                    };
                    (peer.reported, peer.answers) = (Some(now), 0);
                    actions.push(action);
                }
                Err(Some(reason))
                    if peer.held.as_ref().map(std::mem::discriminant) != Some(std::mem::discriminant(&reason)) =>
                {
                    peer.held = Some(reason.clone());
                    actions.push(Action::Hold { broker: id, silent_for: peer.silent_for(now), reason });
                }
                Err(_) => {}
            }
        }
    }

    fn is_heard(&self, now: Duration, peer: &Peer) -> bool {
        !peer.is_refused() && peer.silent_for(now) < self.options.silence
    }

    /// Those that are heard and those that are watched, this broker among both.
    fn seen(&self, now: Duration) -> (usize, usize) {
        (1 + self.peers.values().filter(|peer| self.is_heard(now, peer)).count(), 1 + self.peers.len())
    }

    /// Whether this broker's office lets it report the peer, and it has not just done so.
    fn is_due(&self, now: Duration, id: NodeId) -> bool {
        let Some(peer) = self.peers.get(&id) else { return false };
        match self.office {
            Office::None => false,
            Office::Controller => peer.reported.is_none(),
            // The attempt may fail, and the evidence stands as long as nothing is heard.
            Office::Follower { controller } => {
                controller == id && peer.reported.is_none_or(|at| self.options.silence <= now.saturating_sub(at))
            }
        }
    }

    /// `Err(None)` if there is nothing to say, `Err(Some(_))` if a silence has no consequence.
    fn verdict(&self, now: Duration, id: NodeId) -> Result<Evidence, Option<Reason>> {
        let silence = self.options.silence;
        let peer = self.peers.get(&id).ok_or(None)?;
        if peer.is_refused() {
            return Ok(Evidence::Refused);
        }
        let silent_for = peer.silent_for(now);
        if silent_for < silence {
            return Err(None);
        }
        let is_heard = |peer: &Peer| self.is_heard(now, peer);
        let (seen, total) = self.seen(now);
        if seen * 2 < total {
            return Err(Some(Reason::FewSeen { seen, total }));
        }
        let fresh = self.options.interval * SIGHTING_INTERVALS_MAX;
        let mut witnesses = Vec::new();
        let mut hearing = Vec::new();
        for (witness, (at, sighting)) in &peer.sightings {
            let is_worth_asking = self.peers.get(witness).is_some_and(is_heard);
            if !is_worth_asking || fresh < now.saturating_sub(*at) {
                continue;
            }
            let agrees = sighting.is_refused || silence <= sighting.silent_for;
            if agrees { witnesses.push(*witness) } else { hearing.push((*witness, sighting.silent_for)) }
        }
        match (witnesses.is_empty(), hearing.is_empty()) {
            (false, true) => Ok(Evidence::Silence { silent_for, witnesses }),
            // They heard it last a little later than this broker did, and will agree in a moment.
            (_, false) if hearing.iter().all(|(_, silent_for)| silence / 2 <= *silent_for) => Err(None),
            (_, false) => Err(Some(Reason::HeardBy(hearing.into_iter().map(|(witness, _)| witness).collect()))),
            // Those who were asked have not answered yet.
            (true, true) if silent_for < silence + fresh => Err(None),
            (true, true) => Err(Some(Reason::NoWitness)),
        }
    }
}
