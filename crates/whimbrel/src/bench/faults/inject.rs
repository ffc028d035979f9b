//! Carries faults out, and undoes them.
//!
//! A server that is started again is watched until it serves, and that time is noted. If it ends before, it is started
//! anew after a pause, as a supervisor would. Kafka does end, as long as ZooKeeper knows the session of its former life.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::ms_since;
use super::plan::{Action, FaultPlan, Side, Victim};
use crate::UsageError;
use crate::bench::result::Fault;
use crate::bench::target::{Place, Server, Target, pause};

/// Pause between two looks at what is due.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// Pause between two looks at whether all replicas are in sync: a question to every broker.
const SETTLED_LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How long a server has to end when it is asked to; then it is killed.
const STOP_WAIT: Duration = Duration::from_secs(60);
/// How long the system has to be whole again at the end: several starts in vain, and one that is not.
const RETURN_WAIT: Duration = Duration::from_secs(120);
/// Pause between two looks at whether a server that was started again serves.
const SERVES_LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// Before a server that ended is started anew: shorter, and a JVM that starts in vain would take the processors from
/// the servers that are measured.
const START_AGAIN_PAUSE: Duration = Duration::from_secs(5);

/// Whether the plans can be carried out on a target.
///
/// # Errors
/// The bench did not start it, a victim does not exist in it, or it cannot be cut off.
pub fn check(target: &Target, plans: &[FaultPlan]) -> Result<(), UsageError> {
    for plan in plans {
        let trouble = match plan.victim {
            _ if !target.is_ours() => "the bench harms only what it started itself".to_owned(),
            _ if plan.is_cut() && !target.can_cut() => {
                "the servers run on loopback, where nobody can be cut off".to_owned()
            }
            Victim::Broker(number) if target.broker_count() < number => {
                format!("there are {} brokers", target.broker_count())
            }
            Victim::Zookeeper(number) if target.coordination_count() < number => {
                format!("there are {} ZooKeeper servers that are processes of their own", target.coordination_count())
            }
            _ if !is_cut_from_somebody(target, plan) => "there is nobody that it would be cut off from".to_owned(),
            _ => continue,
        };
        return Err(UsageError(format!("\"{plan}\" cannot be done: {trouble}")));
    }
    Ok(())
}

/// Whether a side has members besides the victim.
fn is_cut_from_somebody(target: &Target, plan: &FaultPlan) -> bool {
    let is_zookeeper = matches!(plan.victim, Victim::Zookeeper(_));
    match plan.action {
        Action::Cut { from: Side::Brokers } => usize::from(!is_zookeeper) < target.broker_count(),
        Action::Cut { from: Side::Zookeeper } => usize::from(is_zookeeper) < target.coordination_count(),
        _ => true,
    }
}

/// Carries out `plans`, counted from `began`, until `is_over`. Then whatever is not undone yet is undone, and all
/// servers serve again: what was acknowledged is to be read.
///
/// A fault that cannot be carried out is in the list too, with the reason. Blocks; for a thread of its own.
pub fn inject(target: &mut Target, plans: &[FaultPlan], began: Instant, is_over: &AtomicBool) -> Vec<Fault> {
    let mut plans: Vec<&FaultPlan> = plans.iter().collect();
    plans.sort_by_key(|plan| plan.at);
    let mut injection = Injection::new(target, began);
    let mut plans = plans.into_iter().peekable();
    while !is_over.load(Ordering::Relaxed) {
        while let Some(plan) = plans.next_if(|plan| began + plan.at <= Instant::now()) {
            injection.carry_out(plan);
        }
        injection.undo_what_is_due();
        injection.look_after_starts();
        injection.restart_next();
        pause(LOOK_INTERVAL);
    }
    injection.finish()
}

/// What takes a fault back.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Undo {
    Start,
    Thaw,
    Heal(Vec<IpAddr>),
}

/// A fault that is in force.
struct Pending {
    place: Place,
    undo: Undo,
    /// `None`: at the end.
    due: Option<Instant>,
    /// When a server that was asked to stop is killed.
    patience: Instant,
    /// Its place in the list of faults.
    fault: usize,
}

/// A server that was started again and does not serve yet.
struct Watched {
    place: Place,
    /// When it ended, if it did.
    ended: Option<Instant>,
    starts: u32,
    looked_at: Instant,
    /// Where its start is noted.
    fault: usize,
}

struct Injection<'a> {
    target: &'a mut Target,
    began: Instant,
    faults: Vec<Fault>,
    undos: Vec<Pending>,
    watched: Vec<Watched>,
    /// Still to be restarted, one after the other.
    in_turn: VecDeque<Place>,
    /// When it was last asked whether the next one may be.
    looked_at: Instant,
}

impl<'a> Injection<'a> {
    fn new(target: &'a mut Target, began: Instant) -> Self {
        let (faults, undos, watched, in_turn) = Default::default();
        Self { target, began, faults, undos, watched, in_turn, looked_at: began }
    }

    fn carry_out(&mut self, plan: &FaultPlan) {
        if let Err(error) = self.try_to(plan) {
            self.note(self.now_ms(), format!("\"{plan}\" could not be done: {error:#}"));
        }
    }

    fn try_to(&mut self, plan: &FaultPlan) -> anyhow::Result<()> {
        if plan.victim == Victim::Brokers {
            self.in_turn.extend((0..self.target.broker_count()).map(Place::Broker));
            return Ok(());
        }
        let (place, role) = self.find(&plan.victim)?;
        self.harm(plan.action, place, &role, plan.lasts)
    }

    /// Restarts the next of those that are restarted in turn, once the one before is in sync again.
    fn restart_next(&mut self) {
        let is_one_on_its_way = self.undos.iter().any(|pending| pending.due.is_some() && pending.undo == Undo::Start);
        if self.in_turn.is_empty() || is_one_on_its_way || self.looked_at.elapsed() < SETTLED_LOOK_INTERVAL {
            return;
        }
        if self.target.is_settled()
            && let Some(place) = self.in_turn.pop_front()
            && let Err(error) = self.harm(Action::Restart, place, "", None)
        {
            self.note(self.now_ms(), format!("a restart in turn could not be done: {error:#}"));
        }
        self.looked_at = Instant::now();
    }

    fn harm(&mut self, action: Action, place: Place, role: &str, lasts: Option<Duration>) -> anyhow::Result<()> {
        let hosts = self.hosts(action, place);
        let server = server(self.target, place)?;
        let name = format!("{}{role}", server.name());
        // Dead or frozen, it would not notice.
        anyhow::ensure!(server.address_if_answering().is_some(), "{name} is down already");
        let is_stopping = self.undos.iter().any(|pending| pending.place == place && pending.undo == Undo::Start);
        anyhow::ensure!(!is_stopping, "{name} is on its way down already");
        let now = Instant::now();
        let fault = self.note(self.now_ms(), format!("{name} {}", participle(action)));
        let undo = self.strike(action, place, hosts).inspect_err(|_| drop(self.faults.pop()))?;
        let due = if action == Action::Restart { Some(now) } else { lasts.map(|lasts| now + lasts) };
        // A server that is down on purpose is not watched.
        self.watched.retain(|watched| watched.place != place);
        self.undos.push(Pending { place, undo, due, patience: now + STOP_WAIT, fault });
        Ok(())
    }

    /// Who it is now, and as what it was found.
    fn find(&mut self, victim: &Victim) -> anyhow::Result<(Place, String)> {
        let of_number = |number: usize| Place::Broker(number - 1);
        let of_id = |id: i32| usize::try_from(id - 1).map(Place::Broker);
        Ok(match victim {
            Victim::Broker(number) => (of_number(*number), String::new()),
            Victim::Zookeeper(number) => (Place::Coordination(number - 1), String::new()),
            Victim::Brokers => anyhow::bail!("these are several"),
            Victim::Controller => (of_id(self.target.controller()?)?, " (controller)".to_owned()),
            Victim::Leader(topic) => {
                let (partition, leader, _) = self.target.replicas(topic.as_deref())?;
                (of_id(leader)?, format!(" (leader of {partition})"))
            }
            Victim::Follower(topic) => {
                let (partition, _, followers) = self.target.replicas(topic.as_deref())?;
                let follower =
                    followers.first().ok_or_else(|| anyhow::anyhow!("{partition} has no follower in sync"))?;
                (of_id(*follower)?, format!(" (follower of {partition})"))
            }
        })
    }

    /// What takes it back.
    fn strike(&mut self, action: Action, place: Place, hosts: Vec<IpAddr>) -> anyhow::Result<Undo> {
        let server = server(self.target, place)?;
        match action {
            Action::Kill => server.kill(),
            Action::Stop | Action::Restart => server.ask_to_stop(),
            Action::Freeze => {
                server.freeze();
                return Ok(Undo::Thaw);
            }
            Action::Cut { .. } => {
                let site = server.site().clone();
                self.target.set_cut(&site, &hosts, true)?;
                return Ok(Undo::Heal(hosts));
            }
        }
        Ok(Undo::Start)
    }

    /// Whom a cut is from.
    fn hosts(&mut self, action: Action, place: Place) -> Vec<IpAddr> {
        let Action::Cut { from } = action else { return Vec::new() };
        let brokers = (0..self.target.broker_count()).map(Place::Broker);
        let coordinators = (0..self.target.coordination_count()).map(Place::Coordination);
        let places: Vec<Place> = match from {
            Side::All => brokers.chain(coordinators).collect(),
            Side::Brokers => brokers.collect(),
            Side::Zookeeper => coordinators.collect(),
            Side::Clients => Vec::new(),
        };
        let others = places.into_iter().filter(|other| *other != place);
        let mut hosts: Vec<IpAddr> =
            others.filter_map(|other| Some(server(self.target, other).ok()?.site().host)).collect();
        if matches!(from, Side::All | Side::Clients) {
            hosts.push(self.target.client_host());
        }
        hosts
    }

    fn undo_what_is_due(&mut self) {
        let now = Instant::now();
        let is_due = |pending: &Pending| pending.due.is_some_and(|due| due <= now);
        let (due, later) = std::mem::take(&mut self.undos).into_iter().partition(is_due);
        self.undos = later;
        for pending in due {
            match self.undo(&pending) {
                Ok(true) => {
                    self.note_end(pending.fault);
                    if pending.undo == Undo::Start {
                        self.watch(pending.place);
                    }
                }
                // It is still on its way to its end.
                Ok(false) => self.undos.push(pending),
                Err(error) => {
                    self.note(self.now_ms(), format!("it could not be undone: {error:#}"));
                }
            }
        }
    }

    /// Whether it is done.
    fn undo(&mut self, pending: &Pending) -> anyhow::Result<bool> {
        let server = server(self.target, pending.place)?;
        match &pending.undo {
            Undo::Thaw => server.thaw(),
            Undo::Heal(hosts) => {
                let site = server.site().clone();
                self.target.set_cut(&site, hosts, false)?;
            }
            Undo::Start => {
                if server.is_running() && Instant::now() < pending.patience {
                    return Ok(false);
                }
                server.kill();
                server.start()?;
            }
        }
        Ok(true)
    }

    fn watch(&mut self, place: Place) {
        let Ok(server) = server(self.target, place) else { return };
        let what = format!("{} starts again", server.name());
        let fault = self.note(self.now_ms(), what);
        self.watched.push(Watched { place, ended: None, starts: 1, looked_at: Instant::now(), fault });
    }

    /// Looks after servers that were started again, until they serve.
    fn look_after_starts(&mut self) {
        let mut watched = std::mem::take(&mut self.watched);
        watched.retain_mut(|watched| !self.serves_again(watched));
        self.watched = watched;
    }

    fn serves_again(&mut self, watched: &mut Watched) -> bool {
        let Ok(server) = server(self.target, watched.place) else { return true };
        if let Some(death) = server.take_death() {
            tracing::info!("{death}");
            watched.ended = Some(Instant::now());
        }
        match watched.ended {
            Some(ended) if ended.elapsed() < START_AGAIN_PAUSE => {}
            Some(_) => self.start_anew(watched),
            None if watched.looked_at.elapsed() < SERVES_LOOK_INTERVAL => {}
            None => {
                let does_serve = self.target.does_serve(watched.place);
                watched.looked_at = Instant::now();
                if does_serve {
                    self.note_end(watched.fault);
                }
                return does_serve;
            }
        }
        false
    }

    fn start_anew(&mut self, watched: &mut Watched) {
        let Ok(server) = server(self.target, watched.place) else { return };
        if let Err(error) = server.start() {
            tracing::warn!("{error:#}");
        }
        (watched.ended, watched.starts) = (None, watched.starts + 1);
        let what = format!("{} starts again ({} attempts)", server.name(), watched.starts);
        if let Some(fault) = self.faults.get_mut(watched.fault) {
            fault.what = what;
        }
    }

    /// Undoes what is left, which was in force to the end, and waits until all is well.
    fn finish(mut self) -> Vec<Fault> {
        let left = std::mem::take(&mut self.undos);
        for pending in left {
            let undone = loop {
                match self.undo(&pending) {
                    Ok(false) => pause(LOOK_INTERVAL),
                    undone => break undone,
                }
            };
            match undone {
                Ok(_) if pending.undo == Undo::Start => self.watch(pending.place),
                Ok(_) => {}
                Err(error) => {
                    self.note(self.now_ms(), format!("it could not be undone: {error:#}"));
                }
            }
        }
        if !self.in_turn.is_empty() {
            let what = format!("{} brokers were not restarted: replicas were not in sync", self.in_turn.len());
            self.note(self.now_ms(), what);
        }
        let deadline = Instant::now() + RETURN_WAIT;
        while Instant::now() < deadline {
            self.look_after_starts();
            if self.watched.is_empty() && self.target.is_whole() {
                return self.faults;
            }
            pause(LOOK_INTERVAL);
        }
        self.note(self.now_ms(), format!("the system does not come back within {RETURN_WAIT:?}"));
        self.faults
    }

    /// Its place in the list.
    fn note(&mut self, at_ms: i64, what: String) -> usize {
        tracing::info!(at_ms, what, "fault");
        self.faults.push(Fault { at_ms, until_ms: None, what });
        self.faults.len() - 1
    }

    fn note_end(&mut self, fault: usize) {
        let now = self.now_ms();
        if let Some(fault) = self.faults.get_mut(fault) {
            fault.until_ms = Some(now);
        }
    }

    /// Since the measured part began; negative in the warm-up.
    fn now_ms(&self) -> i64 {
        ms_since(self.began)
    }
}

fn server(target: &mut Target, place: Place) -> anyhow::Result<&mut Server> {
    target.server(place).ok_or_else(|| anyhow::anyhow!("there is no server {place:?}"))
}

fn participle(action: Action) -> String {
    match action {
        Action::Kill => "killed".to_owned(),
        Action::Freeze => "frozen".to_owned(),
        Action::Stop => "stopped".to_owned(),
        Action::Restart => "restarted".to_owned(),
        Action::Cut { from } => format!("cut off from {from}"),
    }
}
