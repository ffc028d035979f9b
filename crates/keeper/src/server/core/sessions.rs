//! Sessions: their start, their end, and coming back to them.

use std::sync::Arc;

use super::{Core, Now, Output};
use crate::proto::{ConnectRequest, ConnectResponse};
use crate::tree::{Op, PASSWORD_BYTES, SessionId, Txn, TxnOp};
use crate::watch::WatcherId;

/// A connect request that gets no answer; the connection just ends.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::server) enum ConnectRefusal {
    /// The client has talked to a server with a later state; it must find that one again.
    #[error("the client has seen transaction {seen:#x}, the last one here is {last:#x}")]
    ZxidAhead { seen: i64, last: i64 },
}

/// Ids start at the time of day, so that a server that lost its disk does not give out the same ones again
/// (`SessionTrackerImpl.initializeNextSessionId`, server id 0).
pub(super) fn first_session_id(wall_ms: i64) -> i64 {
    (((wall_ms as u64) << 24) >> 8) as i64
}

impl Core {
    /// Starts a session, or takes up the one that the client had.
    pub(in crate::server) fn connect(
        &mut self,
        id: WatcherId,
        request: &ConnectRequest,
        new_password: [u8; PASSWORD_BYTES],
        now: Now,
    ) -> Result<(), ConnectRefusal> {
        if self.zxid < request.last_zxid_seen {
            return Err(ConnectRefusal::ZxidAhead { seen: request.last_zxid_seen, last: self.zxid });
        }
        let timeout_ms = self.negotiate(request.timeout_ms);
        let session = match request.session_id {
            0 => Some((self.start_session(timeout_ms, new_password, now), new_password)),
            wanted => self.take_up(id, SessionId(wanted), &request.password, timeout_ms, now),
        };
        let with_read_only = request.read_only.is_some();
        let response = match session {
            Some((session, password)) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.session = Some(session);
                    connection.timeout_ms = timeout_ms;
                }
                self.by_session.insert(session, id);
                ConnectResponse { timeout_ms, session_id: session.0, password, with_read_only }
            }
            None => {
                let password = [0; PASSWORD_BYTES];
                ConnectResponse { timeout_ms: 0, session_id: 0, password, with_read_only }
            }
        };
        self.emit(id, Output::Frame(response.encode()), now);
        if session.is_none() {
            self.end(id, now);
        }
        Ok(())
    }

    /// Closes the sessions that nothing was heard of for too long. Returns them.
    pub(in crate::server) fn expire_sessions(&mut self, now: Now) -> Vec<SessionId> {
        if self.failed {
            return Vec::new();
        }
        let expired = self.clock.expired(now.steady_ms());
        for session in &expired {
            self.close_session(*session, now);
            if let Some(id) = self.by_session.remove(session) {
                self.end(id, now);
            }
        }
        expired
    }

    /// Removes empty containers and nodes whose time to live is over. Returns how many.
    pub(in crate::server) fn reap(&mut self, now: Now) -> usize {
        if self.failed {
            return 0;
        }
        let due = self.tree.reapable(now.wall_ms);
        for path in &due {
            let op = TxnOp::Single(Op::DeleteContainer { path: path.to_string() });
            // A refusal means that the node is in use after all.
            let _refused = self.apply(SessionId::default(), Arc::new([]), op, now);
        }
        due.len()
    }

    /// The transaction that ends a session and removes its nodes.
    pub(super) fn close_session(&mut self, session: SessionId, now: Now) {
        self.clock.remove(session);
        let _done = self.apply(session, Arc::new([]), TxnOp::CloseSession, now);
    }

    /// Applies one transaction and tells the watchers.
    pub(super) fn apply(
        &mut self,
        session: SessionId,
        auth: Arc<[crate::tree::Id]>,
        op: TxnOp,
        now: Now,
    ) -> Result<crate::tree::TxnResult, crate::tree::ErrorCode> {
        self.zxid += 1;
        let txn = Txn { zxid: self.zxid, time_ms: now.wall_ms, session, auth, op };
        let applied = self.tree.apply(&txn);
        self.fire(&applied.events, now);
        applied.result
    }

    fn start_session(&mut self, timeout_ms: i32, password: [u8; PASSWORD_BYTES], now: Now) -> SessionId {
        while self.tree.session(SessionId(self.next_session)).is_some() {
            self.next_session += 1;
        }
        let session = SessionId(self.next_session);
        self.next_session += 1;
        let _done = self.apply(session, Arc::new([]), TxnOp::CreateSession { timeout_ms, password }, now);
        self.clock.touch(session, u64::try_from(timeout_ms).unwrap_or(0), now.steady_ms());
        session
    }

    /// The session, if it lives and the password is right. A connection that it had before is ended.
    fn take_up(
        &mut self,
        id: WatcherId,
        session: SessionId,
        password: &[u8],
        timeout_ms: i32,
        now: Now,
    ) -> Option<(SessionId, [u8; PASSWORD_BYTES])> {
        let stored = self.tree.session(session)?.password;
        if stored != password {
            return None;
        }
        if let Some(previous) = self.by_session.remove(&session).filter(|previous| *previous != id) {
            if let Some(connection) = self.connections.get_mut(&previous) {
                connection.session = None;
            }
            self.watches.remove_watcher(previous);
            self.end(previous, now);
        }
        self.clock.touch(session, u64::try_from(timeout_ms).unwrap_or(0), now.steady_ms());
        Some((session, stored))
    }

    fn negotiate(&self, wanted_ms: i32) -> i32 {
        let bound = |limit: std::time::Duration| i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
        wanted_ms.max(bound(self.config.min_session_timeout)).min(bound(self.config.max_session_timeout))
    }
}
