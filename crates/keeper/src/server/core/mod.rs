//! The keeper's one state, behind one lock: tree, watches, sessions, connections, and what waits to be durable.
//!
//! Everything here is synchronous work on memory. Time is passed in. A request is carried out when it arrives, in
//! order of arrival; what it gives (the answer, events to others) is an *output*.
//!
//! ```text
//!   request ──▶ tree changed ──▶ outputs held, ticket n ──▶ commit n durable ──▶ outputs delivered, in order
//!   read    ──▶ nothing changed, nothing pending ──────────────────────────────▶ delivered at once
//! ```
//!
//! While anything is pending, every output is held, reads too: they may have seen it. So the order of delivery is
//! the order of execution, a watch event goes out before any answer that could reveal its change, and nobody ever
//! sees a state that a crash could undo. Apache's server holds reads behind pending writes in the same way
//! (`SyncRequestProcessor`).

mod reads;
mod requests;
mod sessions;

pub(super) use requests::RequestFault;
pub(super) use sessions::ConnectRefusal;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::outbound::Outbound;
use super::stats::{ConnectionStats, RequestNote, ServerStats};
use crate::config::KeeperConfig;
use crate::proto::encode_event;
use crate::session::SessionClock;
use crate::tree::{ChangeSet, Event, Id, SessionId, Tree, check_acl, perms};
use crate::watch::{WatcherId, Watches};

/// Transaction ids are promised to the store in blocks, so that a refused request, which takes an id as in
/// ZooKeeper but changes nothing, needs no commit. After a crash the ids go on behind the block.
const ZXID_BLOCK: i64 = 1 << 12;

/// The two clocks, read once per batch of requests.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Now {
    /// Milliseconds since 1970: what nodes are stamped with.
    pub wall_ms: i64,
    /// Microseconds on a clock that never jumps: what sessions live by.
    pub steady_us: u64,
}

impl Now {
    pub(in crate::server) fn steady_ms(self) -> u64 {
        self.steady_us / 1000
    }
}

/// One client.
#[derive(Debug)]
pub(in crate::server) struct Connection {
    pub peer: SocketAddr,
    pub session: Option<SessionId>,
    /// What was negotiated when the client connected.
    pub timeout_ms: i32,
    pub auth: Arc<[Id]>,
    pub outbound: Arc<Outbound>,
    pub stats: ConnectionStats,
    /// Its end is among the outputs: whatever else it sends is ignored.
    pub closing: bool,
}

/// An output and the commit that it waits for.
#[derive(Debug)]
struct Held {
    ticket: u64,
    connection: WatcherId,
    output: Output,
}

#[derive(Debug)]
enum Output {
    Frame(Bytes),
    Reply(Bytes, RequestNote),
    /// The connection ends here.
    End,
}

/// What the commit thread is to write.
#[derive(Debug)]
pub(in crate::server) struct Commit {
    pub changes: ChangeSet,
    pub zxid_ceiling: i64,
}

/// See the module.
#[derive(Debug)]
pub(in crate::server) struct Core {
    pub(in crate::server) config: Arc<KeeperConfig>,
    pub(in crate::server) tree: Tree,
    pub(in crate::server) watches: Watches,
    pub(in crate::server) clock: SessionClock,
    pub(in crate::server) connections: HashMap<WatcherId, Connection>,
    pub(in crate::server) stats: ServerStats,
    by_session: HashMap<SessionId, WatcherId>,
    next_connection: u64,
    next_session: i64,
    /// The last transaction id given out.
    zxid: i64,
    /// Ids up to here are promised to the store.
    zxid_ceiling: i64,
    held: VecDeque<Held>,
    /// The commit that will cover what changes now.
    open_ticket: u64,
    /// The commit that is being written, with the ceiling that it promises.
    in_flight: Option<(u64, i64)>,
    /// The store failed: the memory is ahead of it and must not be served.
    failed: bool,
    pub(in crate::server) stopping: bool,
}

impl Core {
    /// A core on what the store held. Sessions that were alive start their timeouts anew.
    pub(in crate::server) fn new(config: Arc<KeeperConfig>, tree: Tree, zxid: i64, now: Now) -> Self {
        let tick_ms = u64::try_from(config.tick_time.as_millis()).unwrap_or(u64::MAX);
        let mut clock = SessionClock::new(tick_ms);
        for (id, record) in tree.sessions() {
            clock.touch(id, u64::try_from(record.timeout_ms).unwrap_or(0), now.steady_ms());
        }
        let next_session = sessions::first_session_id(now.wall_ms);
        Self {
            config,
            tree,
            watches: Watches::default(),
            clock,
            connections: HashMap::new(),
            stats: ServerStats::new(now),
            by_session: HashMap::new(),
            next_connection: 1,
            next_session,
            zxid,
            zxid_ceiling: zxid,
            held: VecDeque::new(),
            open_ticket: 1,
            in_flight: None,
            failed: false,
            stopping: false,
        }
    }

    /// A client has dialled. `None` while the keeper cannot serve.
    pub(in crate::server) fn accept(
        &mut self,
        peer: SocketAddr,
        outbound: Arc<Outbound>,
        now: Now,
    ) -> Option<WatcherId> {
        if self.failed || self.stopping {
            return None;
        }
        let id = WatcherId(self.next_connection);
        self.next_connection += 1;
        let auth: Arc<[Id]> = Arc::new([Id::new("ip", peer.ip().to_canonical().to_string())]);
        let stats = ConnectionStats::new(now);
        let connection = Connection { peer, session: None, timeout_ms: 0, auth, outbound, stats, closing: false };
        self.connections.insert(id, connection);
        Some(id)
    }

    /// A connection is gone. Its session stays until it expires.
    pub(in crate::server) fn disconnected(&mut self, id: WatcherId) {
        let Some(connection) = self.connections.remove(&id) else { return };
        self.watches.remove_watcher(id);
        if let Some(session) = connection.session
            && self.by_session.get(&session) == Some(&id)
        {
            self.by_session.remove(&session);
        }
    }

    /// Whether there is something to commit.
    pub(in crate::server) fn needs_commit(&self) -> bool {
        let promised = self.in_flight.map_or(self.zxid_ceiling, |(_, ceiling)| ceiling);
        !self.failed && (self.tree.is_dirty() || promised < self.zxid)
    }

    /// Takes everything that is not durable. `finish_commit` must follow before the next call.
    pub(in crate::server) fn begin_commit(&mut self) -> Commit {
        assert!(self.in_flight.is_none(), "commit {:?} is still being written", self.in_flight);
        let zxid_ceiling = self.zxid_ceiling.max(self.zxid + ZXID_BLOCK);
        self.in_flight = Some((self.open_ticket, zxid_ceiling));
        self.open_ticket += 1;
        Commit { changes: self.tree.take_changes(), zxid_ceiling }
    }

    /// The commit is durable: what waited for it goes out.
    pub(in crate::server) fn finish_commit(&mut self, now: Now) {
        let Some((durable, ceiling)) = self.in_flight.take() else { return };
        self.zxid_ceiling = ceiling;
        while let Some(held) = self.held.pop_front_if(|held| held.ticket <= durable) {
            self.deliver(held.connection, held.output, now);
        }
    }

    /// The store cannot be written. What is in memory may never become durable: nobody may see it.
    pub(in crate::server) fn fail(&mut self) {
        self.failed = true;
        self.held.clear();
        for connection in self.connections.values() {
            connection.outbound.abort("the store failed");
        }
    }

    pub(in crate::server) fn has_failed(&self) -> bool {
        self.failed
    }

    /// The last transaction id, to be stored when the keeper stops in good order.
    pub(in crate::server) fn last_zxid(&self) -> i64 {
        self.zxid
    }

    /// Outputs that wait for a commit.
    pub(in crate::server) fn outstanding(&self) -> usize {
        self.held.len()
    }

    /// Ends every connection, once what is held has gone out.
    pub(in crate::server) fn end_all(&mut self, now: Now) {
        let ids: Vec<_> = self.connections.keys().copied().collect();
        for id in ids {
            self.end(id, now);
        }
    }

    /// Ends a connection behind everything that is on its way to it.
    pub(in crate::server) fn end(&mut self, id: WatcherId, now: Now) {
        if let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.closing) {
            connection.closing = true;
            self.emit(id, Output::End, now);
        }
    }

    /// Queues an output behind everything that it may depend on.
    fn emit(&mut self, id: WatcherId, output: Output, now: Now) {
        let Some(connection) = self.connections.get(&id) else { return };
        if let Output::Frame(frame) | Output::Reply(frame, _) = &output {
            connection.outbound.reserve(frame.len());
        }
        let ticket = if self.needs_commit() { Some(self.open_ticket) } else { self.in_flight.map(|(t, _)| t) };
        match ticket {
            None => self.deliver(id, output, now),
            Some(ticket) => self.held.push_back(Held { ticket, connection: id, output }),
        }
    }

    fn deliver(&mut self, id: WatcherId, output: Output, now: Now) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match output {
            Output::Frame(frame) => {
                connection.stats.sent += 1;
                self.stats.sent += 1;
                connection.outbound.send(frame);
            }
            Output::Reply(frame, note) => {
                connection.stats.answered(&note, now);
                self.stats.answered(&note, frame.len(), now);
                connection.outbound.send(frame);
            }
            Output::End => connection.outbound.end(),
        }
    }

    /// Tells the watchers of each event, in order, those who may read the node.
    fn fire(&mut self, events: &[Event], now: Now) {
        for event in events {
            let watchers = self.watches.trigger(event.kind, &event.path);
            if watchers.is_empty() {
                continue;
            }
            let frame = encode_event(event.kind, &event.path, Some(event.zxid));
            for id in watchers {
                let may_read = |c: &Connection| check_acl(&event.acl, perms::READ, &c.auth).is_ok();
                if self.connections.get(&id).is_some_and(may_read) {
                    self.emit(id, Output::Frame(frame.clone()), now);
                }
            }
        }
    }
}
