//! From a request to its answer.

use std::sync::Arc;

use super::{Core, Now, Output};
use crate::proto::{DecodeError, MultiItem, Reply, ReplyHeader, Request, RequestHeader, encode_reply, op, xid};
use crate::server::digest;
use crate::server::stats::{RequestNote, op_name};
use crate::tree::{ErrorCode, Id, SessionId, TxnOp, TxnResult};
use crate::watch::WatcherId;

/// Why a connection is ended by what it sent.
#[derive(Debug, thiserror::Error)]
pub(in crate::server) enum RequestFault {
    #[error("a request that cannot be decoded: {0}")]
    Undecodable(#[from] DecodeError),
    #[error("unknown operation {0}")]
    UnknownOperation(i32),
    #[error("authentication failed for scheme {0:?}")]
    AuthFailed(String),
}

/// The answer, and whether the connection ends with it.
type Answer = (Result<Reply, ErrorCode>, Result<(), RequestFault>);

impl Core {
    /// Carries out one request of a connection that has a session.
    ///
    /// # Errors
    /// A fault that ends the connection; its answer, if ZooKeeper gives one, is already queued.
    pub(in crate::server) fn request(
        &mut self,
        id: WatcherId,
        header: RequestHeader,
        request: Result<Request, DecodeError>,
        now: Now,
    ) -> Result<(), RequestFault> {
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.closing) else {
            return Ok(());
        };
        let Some(session) = connection.session else { return Ok(()) };
        connection.stats.received += 1;
        self.stats.received += 1;
        let auth = Arc::clone(&connection.auth);
        let timeout_ms = connection.timeout_ms;
        if self.tree.session(session).is_none() {
            self.answer(id, header, &Err(ErrorCode::SessionExpired), now);
            self.end(id, now);
            return Ok(());
        }
        self.clock.touch(session, u64::try_from(timeout_ms).unwrap_or(0), now.steady_ms());
        if header.op == op::MULTI && request.as_ref().is_err_and(DecodeError::spends_zxid) {
            self.zxid += 1;
        }
        let (result, fault) = match request {
            Ok(Request::Auth { scheme, auth: secret }) => self.authenticate(id, scheme, &secret),
            Ok(Request::Unknown) => (Err(ErrorCode::Unimplemented), Err(RequestFault::UnknownOperation(header.op))),
            Ok(request) => (self.execute(id, session, auth, request, now), Ok(())),
            Err(error) if error.is_garbage() => (Err(ErrorCode::MarshallingError), Err(error.into())),
            Err(_) => (Err(ErrorCode::MarshallingError), Ok(())),
        };
        self.answer(id, header, &result, now);
        if fault.is_err() || header.op == op::CLOSE_SESSION {
            self.end(id, now);
        }
        fault
    }

    fn execute(
        &mut self,
        id: WatcherId,
        session: SessionId,
        auth: Arc<[Id]>,
        request: Request,
        now: Now,
    ) -> Result<Reply, ErrorCode> {
        match request {
            Request::Write(op) => match self.apply(session, auth, TxnOp::Single(op), now)? {
                TxnResult::Single(result) => Ok(Reply::Written(result)),
                TxnResult::Session | TxnResult::Multi(_) => Ok(Reply::Empty),
            },
            Request::Multi(ops) => match self.apply(session, auth, TxnOp::Multi(ops), now)? {
                TxnResult::Multi(results) => {
                    let item = |result: Result<_, _>| result.map_or_else(MultiItem::Error, MultiItem::Written);
                    Ok(Reply::Multi(results.into_iter().map(item).collect()))
                }
                TxnResult::Session | TxnResult::Single(_) => Ok(Reply::Empty),
            },
            Request::CloseSession => {
                self.by_session.remove(&session);
                self.close_session(session, now);
                Ok(Reply::Empty)
            }
            Request::Exists { path, watch } => self.exists(id, &auth, &path, watch),
            Request::GetData { path, watch } => self.get_data(id, &auth, &path, watch),
            Request::GetAcl { path } => self.get_acl(&auth, &path),
            Request::GetChildren { path, watch } => {
                self.get_children(id, &auth, &path, watch).map(|(children, _)| Reply::Children(children))
            }
            Request::GetChildren2 { path, watch } => {
                let (children, stat) = self.get_children(id, &auth, &path, watch)?;
                Ok(Reply::Children2 { children, stat })
            }
            Request::GetAllChildrenNumber { path } => self.descendants(&auth, &path),
            Request::GetEphemerals { prefix } => Ok(self.ephemerals(session, prefix.as_deref())),
            Request::MultiRead(ops) => Ok(self.multi_read(&auth, &ops)),
            Request::Sync { path } => Ok(Reply::Path(path)),
            Request::SetWatches(watches) => {
                self.set_watches(id, &watches, now);
                Ok(Reply::Empty)
            }
            Request::AddWatch { path, mode } => self.add_watch(id, &path, mode),
            Request::CheckWatches { path, kind } => self.check_watches(id, &path, kind),
            Request::RemoveWatches { path, kind } => self.remove_watches(id, &path, kind),
            Request::WhoAmI => Ok(Reply::Identities(auth.iter().map(shown_identity).collect())),
            Request::Reconfig => {
                // Refused while being prepared, as a write is: the transaction id is spent.
                self.zxid += 1;
                Err(ErrorCode::ReconfigDisabled)
            }
            Request::Ping | Request::Auth { .. } | Request::Unknown => Ok(Reply::Empty),
        }
    }

    /// Adds an identity to the connection. A failure ends it (`ZooKeeperServer.processPacket`).
    fn authenticate(&mut self, id: WatcherId, scheme: String, secret: &[u8]) -> Answer {
        let Some(connection) = self.connections.get_mut(&id) else { return (Ok(Reply::Empty), Ok(())) };
        let identity = match scheme.as_str() {
            "digest" => Id::new("digest", digest::identity(secret)),
            "ip" => Id::new("ip", connection.peer.ip().to_canonical().to_string()),
            _ => return (Err(ErrorCode::AuthFailed), Err(RequestFault::AuthFailed(scheme))),
        };
        if !connection.auth.contains(&identity) {
            connection.auth = connection.auth.iter().cloned().chain([identity]).collect();
        }
        (Ok(Reply::Empty), Ok(()))
    }

    fn answer(&mut self, id: WatcherId, header: RequestHeader, result: &Result<Reply, ErrorCode>, now: Now) {
        let reply_xid = if header.op == op::PING { xid::PING } else { header.xid };
        // As in ZooKeeper, these answers say nothing about the tree.
        let says_nothing = header.op == op::AUTH || *result == Err(ErrorCode::Unimplemented);
        let zxid = if says_nothing { 0 } else { self.zxid };
        let frame = encode_reply(ReplyHeader { xid: reply_xid, zxid }, result.as_ref().map_err(|error| *error));
        let note = RequestNote { xid: header.xid, zxid, op: op_name(header.op), received_us: now.steady_us };
        self.emit(id, Output::Reply(frame, note), now);
    }
}

/// An identity as `whoAmI` shows it: without the hash of a password.
fn shown_identity(id: &Id) -> Id {
    let user = if id.scheme == "digest" { id.id.split(':').next().unwrap_or_default() } else { &id.id };
    Id::new(id.scheme.clone(), user)
}
