//! The probes' connections, for a look from outside: whether one has ended, before its probe has noticed.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use socket2::Socket;
use whimbrel_model::NodeId;

/// For so long after its end a connection says that something has happened to the broker. Afterwards either others lead,
/// or nobody can.
const NEWS_AGE_MAX: Duration = Duration::from_secs(1);

/// One connection for each watched broker, or the time at which the last one ended.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<BTreeMap<NodeId, Link>>);

#[derive(Debug)]
enum Link {
    /// Another handle to the probe's socket. Must go when the probe's does, or the connection would stay open.
    Up(Socket),
    Ended(Instant),
}

impl Links {
    /// The broker answers on this connection.
    pub(super) fn up(&self, broker: NodeId, socket: Socket) {
        self.0.lock().insert(broker, Link::Up(socket));
    }

    /// The broker ended its connection. Said again, nothing changes: the news gets old.
    pub(super) fn end(&self, broker: NodeId) {
        let mut links = self.0.lock();
        if !matches!(links.get(&broker), Some(Link::Ended(_))) {
            links.insert(broker, Link::Ended(Instant::now()));
        }
    }

    /// The broker is not probed any more, or the probe has given the connection up. That it has ended stays known: a broker
    /// that leaves is often not registered any more before others lead in its place.
    pub(super) fn forget(&self, broker: NodeId) {
        let mut links = self.0.lock();
        match links.remove(&broker) {
            Some(Link::Up(socket)) if has_ended(&socket) => drop(links.insert(broker, Link::Ended(Instant::now()))),
            Some(ended @ Link::Ended(_)) => drop(links.insert(broker, ended)),
            Some(Link::Up(_)) | None => {}
        }
    }

    /// Whose connection ended a moment ago. The kernel is asked, because whoever wants to know may be told of the death by
    /// a client that saw it on its own connection, before any task of this broker has run.
    pub(super) fn ended(&self) -> BTreeSet<NodeId> {
        let links = self.0.lock();
        let is_ended = |link: &Link| match link {
            Link::Ended(at) => at.elapsed() < NEWS_AGE_MAX,
            Link::Up(socket) => has_ended(socket),
        };
        links.iter().filter(|(_, link)| is_ended(link)).map(|(broker, _)| *broker).collect()
    }
}

fn has_ended(socket: &Socket) -> bool {
    match socket.peek(&mut [MaybeUninit::uninit()]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}
