//! What the server sends.

use bytes::Bytes;

use super::request::op;
use super::write::Writer;
use crate::tree::{Acl, AclList, CreateKind, ErrorCode, EventKind, Id, OpResult, PASSWORD_BYTES, Stat};

/// The request ids with a meaning of their own.
pub mod xid {
    pub const NOTIFICATION: i32 = -1;
    pub const PING: i32 = -2;
}

/// The zxid of an event that no transaction caused.
const NO_ZXID: i64 = -1;
/// The client's state that every event reports.
const SYNC_CONNECTED: i32 = 3;

/// The answer to a connect request.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectResponse {
    /// Zero for a session that does not exist (any more).
    pub timeout_ms: i32,
    pub session_id: i64,
    pub password: [u8; PASSWORD_BYTES],
    /// Whether the client knows of the read-only flag.
    pub with_read_only: bool,
}

impl ConnectResponse {
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.i32(0);
        writer.i32(self.timeout_ms);
        writer.i64(self.session_id);
        writer.buffer(Some(&self.password));
        if self.with_read_only {
            writer.bool(false);
        }
        writer.finish()
    }
}

/// What every reply starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyHeader {
    pub xid: i32,
    /// The last transaction that the answer takes into account.
    pub zxid: i64,
}

/// One entry of the answer to a transaction or a multi-read.
#[derive(Clone, Debug, PartialEq)]
pub enum MultiItem {
    Written(OpResult),
    Data {
        data: Option<Bytes>,
        stat: Stat,
    },
    Children(Vec<String>),
    /// `None` is code 0: the operation itself was fine, but another one was not.
    Error(Option<ErrorCode>),
}

/// The body of a reply without error.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Empty,
    Written(OpResult),
    Stat(Stat),
    Data {
        data: Option<Bytes>,
        stat: Stat,
    },
    Acl {
        acl: Vec<Acl>,
        stat: Stat,
    },
    SharedAcl {
        acl: AclList,
        stat: Stat,
    },
    Children(Vec<String>),
    Children2 {
        children: Vec<String>,
        stat: Stat,
    },
    Number(i32),
    Path(String),
    Multi(Vec<MultiItem>),
    /// `whoAmI`: scheme and user of each identity.
    Identities(Vec<Id>),
    /// A body that holds only an error code of zero, as `addWatch` has it.
    Done,
}

/// A whole reply frame. A reply with an error has no body.
pub fn encode_reply(header: ReplyHeader, reply: Result<&Reply, ErrorCode>) -> Bytes {
    let mut writer = Writer::new();
    writer.i32(header.xid);
    writer.i64(header.zxid);
    match reply {
        Err(error) => writer.i32(error.code()),
        Ok(reply) => {
            writer.i32(0);
            encode_body(&mut writer, reply);
        }
    }
    writer.finish()
}

/// A watch event. Without a zxid it answers `setWatches`: the change happened while the client was away.
pub fn encode_event(kind: EventKind, path: &str, zxid: Option<i64>) -> Bytes {
    let mut writer = Writer::new();
    writer.i32(xid::NOTIFICATION);
    writer.i64(zxid.unwrap_or(NO_ZXID));
    writer.i32(0);
    writer.i32(kind as i32);
    writer.i32(SYNC_CONNECTED);
    writer.string(path);
    writer.finish()
}

fn encode_body(writer: &mut Writer, reply: &Reply) {
    match reply {
        Reply::Empty => {}
        Reply::Written(result) => encode_written(writer, result),
        Reply::Stat(stat) => writer.stat(stat),
        Reply::Data { data, stat } => {
            writer.buffer(data.as_deref());
            writer.stat(stat);
        }
        Reply::Acl { acl, stat } => {
            writer.acl(acl);
            writer.stat(stat);
        }
        Reply::SharedAcl { acl, stat } => {
            writer.acl(acl);
            writer.stat(stat);
        }
        Reply::Children(children) => writer.strings(children.iter().map(String::as_str)),
        Reply::Children2 { children, stat } => {
            writer.strings(children.iter().map(String::as_str));
            writer.stat(stat);
        }
        Reply::Number(number) => writer.i32(*number),
        Reply::Path(path) => writer.string(path),
        Reply::Multi(items) => encode_multi(writer, items),
        Reply::Identities(ids) => {
            writer.count(ids.len());
            for id in ids {
                writer.string(&id.scheme);
                writer.string(&id.id);
            }
        }
        Reply::Done => writer.i32(0),
    }
}

fn encode_written(writer: &mut Writer, result: &OpResult) {
    match result {
        OpResult::Created { kind: CreateKind::Create, path, .. } => writer.string(path),
        OpResult::Created { path, stat, .. } => {
            writer.string(path);
            writer.stat(stat);
        }
        OpResult::DataSet { stat } | OpResult::AclSet { stat } => writer.stat(stat),
        OpResult::Deleted | OpResult::Checked => {}
    }
}

fn encode_multi(writer: &mut Writer, items: &[MultiItem]) {
    for item in items {
        match item {
            MultiItem::Written(result) => {
                multi_header(writer, multi_code(result), 0);
                encode_written(writer, result);
            }
            MultiItem::Data { data, stat } => {
                multi_header(writer, op::GET_DATA, 0);
                writer.buffer(data.as_deref());
                writer.stat(stat);
            }
            MultiItem::Children(children) => {
                multi_header(writer, op::GET_CHILDREN, 0);
                writer.strings(children.iter().map(String::as_str));
            }
            MultiItem::Error(error) => {
                let code = error.map_or(0, ErrorCode::code);
                multi_header(writer, op::ERROR, code);
                writer.i32(code);
            }
        }
    }
    writer.i32(-1);
    writer.bool(true);
    writer.i32(-1);
}

fn multi_header(writer: &mut Writer, code: i32, error: i32) {
    writer.i32(code);
    writer.bool(false);
    writer.i32(error);
}

/// All creations with statistics answer as `create2` (`OpResult.CreateResult`).
fn multi_code(result: &OpResult) -> i32 {
    match result {
        OpResult::Created { kind: CreateKind::Create, .. } => op::CREATE,
        OpResult::Created { .. } => op::CREATE2,
        OpResult::Deleted => op::DELETE,
        OpResult::DataSet { .. } => op::SET_DATA,
        OpResult::AclSet { .. } => op::SET_ACL,
        OpResult::Checked => op::CHECK,
    }
}
