//! The values that the tree is made of: identities, access rules, statistics, error codes.

use std::sync::Arc;

use bytes::Bytes;

/// A session's id. Zero is "no session" on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub i64);

/// The bits of an access rule (`ZooDefs.Perms`).
pub mod perms {
    pub const READ: i32 = 1;
    pub const WRITE: i32 = 2;
    pub const CREATE: i32 = 4;
    pub const DELETE: i32 = 8;
    pub const ADMIN: i32 = 16;
    pub const ALL: i32 = 31;
}

/// Who somebody is: `world:anyone`, `ip:10.0.0.1`, `digest:user:hash`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    pub scheme: String,
    pub id: String,
}

impl Id {
    pub fn new(scheme: impl Into<String>, id: impl Into<String>) -> Self {
        Self { scheme: scheme.into(), id: id.into() }
    }
}

/// One access rule: what the identity may do with a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Acl {
    pub perms: i32,
    pub id: Id,
}

/// The rules of one node. Shared, because nearly all nodes have the same ones.
pub type AclList = Arc<[Acl]>;

/// What a client is told about a node (`org.apache.zookeeper.data.Stat`). Times are milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    pub czxid: i64,
    pub mzxid: i64,
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    pub cversion: i32,
    pub aversion: i32,
    pub ephemeral_owner: i64,
    pub data_length: i32,
    pub num_children: i32,
    pub pzxid: i64,
}

/// The error codes that a reply can carry (`KeeperException.Code`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[repr(i32)]
pub enum ErrorCode {
    #[error("runtime inconsistency")]
    RuntimeInconsistency = -2,
    #[error("marshalling error")]
    MarshallingError = -5,
    #[error("unimplemented")]
    Unimplemented = -6,
    #[error("bad arguments")]
    BadArguments = -8,
    #[error("no node")]
    NoNode = -101,
    #[error("no auth")]
    NoAuth = -102,
    #[error("bad version")]
    BadVersion = -103,
    #[error("no children for ephemerals")]
    NoChildrenForEphemerals = -108,
    #[error("node exists")]
    NodeExists = -110,
    #[error("not empty")]
    NotEmpty = -111,
    #[error("session expired")]
    SessionExpired = -112,
    #[error("invalid acl")]
    InvalidAcl = -114,
    #[error("auth failed")]
    AuthFailed = -115,
    #[error("no watcher")]
    NoWatcher = -121,
    #[error("reconfig disabled")]
    ReconfigDisabled = -123,
}

impl ErrorCode {
    /// The number on the wire.
    pub fn code(self) -> i32 {
        self as i32
    }
}

/// What kind of request asked for a node. The kind, not only the flags, decides what is made of it:
/// a plain `create` with the container flag makes a persistent node (`DataTree.processTxn`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateKind {
    /// `create`: the reply is the path alone.
    Create,
    /// `create2`: the reply carries the new node's statistics.
    Create2,
    Container,
    Ttl,
}

/// One change that a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    Create {
        kind: CreateKind,
        path: String,
        data: Option<Bytes>,
        acl: Vec<Acl>,
        flags: i32,
        ttl_ms: i64,
    },
    Delete {
        path: String,
        version: i32,
    },
    SetData {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    SetAcl {
        path: String,
        acl: Vec<Acl>,
        version: i32,
    },
    Check {
        path: String,
        version: i32,
    },
    /// Removes a container or TTL node that is empty; refused for others.
    DeleteContainer {
        path: String,
    },
}

/// What a transaction does.
#[derive(Clone, Debug, PartialEq)]
pub enum TxnOp {
    CreateSession { timeout_ms: i32, password: [u8; PASSWORD_BYTES] },
    CloseSession,
    Single(Op),
    Multi(Vec<Op>),
}

/// Length of a session's password.
pub const PASSWORD_BYTES: usize = 16;

/// One step of the tree. Everything that varies (time, ids, who asks) comes in with it, so that the same
/// transactions give the same tree on any machine.
#[derive(Clone, Debug)]
pub struct Txn {
    /// Must be above every zxid applied before.
    pub zxid: i64,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    pub session: SessionId,
    /// The identities of the connection that asks.
    pub auth: Arc<[Id]>,
    pub op: TxnOp,
}

/// What one operation came to.
#[derive(Clone, Debug, PartialEq)]
pub enum OpResult {
    Created { kind: CreateKind, path: String, stat: Stat },
    Deleted,
    DataSet { stat: Stat },
    AclSet { stat: Stat },
    Checked,
}

/// What a transaction came to.
#[derive(Clone, Debug, PartialEq)]
pub enum TxnResult {
    Session,
    Single(OpResult),
    /// One entry per operation. If any failed, nothing was changed and every entry is an error or an
    /// `Err(None)`, which stands for "would have worked" (code 0 on the wire).
    Multi(Vec<Result<OpResult, Option<ErrorCode>>>),
}

/// The kinds of watch events (`Watcher.Event.EventType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum EventKind {
    NodeCreated = 1,
    NodeDeleted = 2,
    NodeDataChanged = 3,
    NodeChildrenChanged = 4,
}

/// Something that happened to a node and that watches may ask about, in the order in which it happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub kind: EventKind,
    pub path: Arc<str>,
    pub zxid: i64,
    /// Who may read the node. A watcher who may not is told nothing.
    pub acl: AclList,
}

/// The two meanings that a node's `ephemeralOwner` has beside a session's id (`EphemeralType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    None,
    Session(SessionId),
    Container,
    Ttl { ttl_ms: i64 },
}

const CONTAINER_OWNER: i64 = i64::MIN;
const EXTENDED_MASK: i64 = 0xff00_0000_0000_0000_u64 as i64;
const TTL_VALUE_MASK: i64 = 0x0000_00ff_ffff_ffff;

/// The longest time to live: 40 bits of milliseconds.
pub const TTL_MAX_MS: i64 = TTL_VALUE_MASK;

impl Owner {
    pub fn from_raw(raw: i64) -> Self {
        match raw {
            0 => Owner::None,
            CONTAINER_OWNER => Owner::Container,
            raw if raw & EXTENDED_MASK == EXTENDED_MASK => Owner::Ttl { ttl_ms: raw & TTL_VALUE_MASK },
            raw => Owner::Session(SessionId(raw)),
        }
    }

    pub fn to_raw(self) -> i64 {
        match self {
            Owner::None => 0,
            Owner::Container => CONTAINER_OWNER,
            Owner::Ttl { ttl_ms } => EXTENDED_MASK | (ttl_ms & TTL_VALUE_MASK),
            Owner::Session(session) => session.0,
        }
    }
}
