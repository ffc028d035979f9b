//! What clients send.

use bytes::Bytes;

use super::read::{DecodeError, Reader};
use crate::tree::{Acl, CreateKind, Id, Op, flags_are_known};

/// The operation codes (`ZooDefs.OpCode`).
pub mod op {
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_ACL: i32 = 6;
    pub const SET_ACL: i32 = 7;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const GET_CHILDREN2: i32 = 12;
    pub const CHECK: i32 = 13;
    pub const MULTI: i32 = 14;
    pub const CREATE2: i32 = 15;
    pub const RECONFIG: i32 = 16;
    pub const CHECK_WATCHES: i32 = 17;
    pub const REMOVE_WATCHES: i32 = 18;
    pub const CREATE_CONTAINER: i32 = 19;
    pub const DELETE_CONTAINER: i32 = 20;
    pub const CREATE_TTL: i32 = 21;
    pub const MULTI_READ: i32 = 22;
    pub const AUTH: i32 = 100;
    pub const SET_WATCHES: i32 = 101;
    pub const GET_EPHEMERALS: i32 = 103;
    pub const GET_ALL_CHILDREN_NUMBER: i32 = 104;
    pub const SET_WATCHES2: i32 = 105;
    pub const ADD_WATCH: i32 = 106;
    pub const WHO_AM_I: i32 = 107;
    pub const CLOSE_SESSION: i32 = -11;
    pub const ERROR: i32 = -1;
}

/// The first frame of a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectRequest {
    pub protocol_version: i32,
    pub last_zxid_seen: i64,
    pub timeout_ms: i32,
    pub session_id: i64,
    pub password: Vec<u8>,
    /// `None` from clients before 3.4, which do not send the flag and must not be sent it either.
    pub read_only: Option<bool>,
}

impl ConnectRequest {
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        Ok(Self {
            protocol_version: reader.i32()?,
            last_zxid_seen: reader.i64()?,
            timeout_ms: reader.i32()?,
            session_id: reader.i64()?,
            password: reader.buffer()?.unwrap_or_default().to_vec(),
            read_only: if reader.remaining() == 0 { None } else { Some(reader.bool()?) },
        })
    }
}

/// What every request starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    pub xid: i32,
    pub op: i32,
}

impl RequestHeader {
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { xid: reader.i32()?, op: reader.i32()? })
    }
}

/// The watches of a client that comes back, by kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CreatedWatches {
    pub relative_zxid: i64,
    pub data: Vec<String>,
    pub exist: Vec<String>,
    pub child: Vec<String>,
    pub persistent: Vec<String>,
    pub persistent_recursive: Vec<String>,
}

/// One entry of a multi-read.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadOp {
    GetData(String),
    GetChildren(String),
}

/// A request in its session.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Write(Op),
    Multi(Vec<Op>),
    MultiRead(Vec<ReadOp>),
    Exists {
        path: String,
        watch: bool,
    },
    GetData {
        path: String,
        watch: bool,
    },
    GetAcl {
        path: String,
    },
    GetChildren {
        path: String,
        watch: bool,
    },
    GetChildren2 {
        path: String,
        watch: bool,
    },
    GetAllChildrenNumber {
        path: String,
    },
    GetEphemerals {
        prefix: Option<String>,
    },
    Sync {
        path: String,
    },
    Ping,
    Auth {
        scheme: String,
        auth: Vec<u8>,
    },
    SetWatches(CreatedWatches),
    AddWatch {
        path: String,
        mode: i32,
    },
    CheckWatches {
        path: String,
        kind: i32,
    },
    RemoveWatches {
        path: String,
        kind: i32,
    },
    WhoAmI,
    Reconfig,
    CloseSession,
    /// An operation that does not exist, or that clients may not ask for.
    Unknown,
}

impl Request {
    /// The body of a request with operation code `code`.
    pub fn decode(code: i32, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match code {
            op::CREATE | op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL | op::DELETE | op::SET_DATA => {
                Request::Write(write_op(code, reader)?)
            }
            op::SET_ACL => Request::Write(Op::SetAcl {
                path: reader.required_string()?,
                acl: acl(reader)?,
                version: reader.i32()?,
            }),
            op::DELETE_CONTAINER => Request::Write(Op::DeleteContainer { path: reader.required_string()? }),
            op::EXISTS => Request::Exists { path: reader.required_string()?, watch: reader.bool()? },
            op::GET_DATA => Request::GetData { path: reader.required_string()?, watch: reader.bool()? },
            op::GET_ACL => Request::GetAcl { path: reader.required_string()? },
            op::GET_CHILDREN => Request::GetChildren { path: reader.required_string()?, watch: reader.bool()? },
            op::GET_CHILDREN2 => Request::GetChildren2 { path: reader.required_string()?, watch: reader.bool()? },
            op::GET_ALL_CHILDREN_NUMBER => Request::GetAllChildrenNumber { path: reader.required_string()? },
            op::GET_EPHEMERALS => Request::GetEphemerals { prefix: reader.string()? },
            op::SYNC => Request::Sync { path: reader.required_string()? },
            op::PING => Request::Ping,
            op::MULTI => Request::Multi(multi(reader)?),
            op::MULTI_READ => Request::MultiRead(multi_read(reader)?),
            op::AUTH => auth(reader)?,
            op::SET_WATCHES => Request::SetWatches(created_watches(reader, false)?),
            op::SET_WATCHES2 => Request::SetWatches(created_watches(reader, true)?),
            op::ADD_WATCH => Request::AddWatch { path: reader.required_string()?, mode: reader.i32()? },
            op::CHECK_WATCHES => Request::CheckWatches { path: reader.required_string()?, kind: reader.i32()? },
            op::REMOVE_WATCHES => Request::RemoveWatches { path: reader.required_string()?, kind: reader.i32()? },
            op::WHO_AM_I => Request::WhoAmI,
            op::RECONFIG => Request::Reconfig,
            op::CLOSE_SESSION => Request::CloseSession,
            _ => Request::Unknown,
        })
    }
}

fn write_op(code: i32, reader: &mut Reader<'_>) -> Result<Op, DecodeError> {
    Ok(match code {
        op::CREATE => create(CreateKind::Create, reader)?,
        op::CREATE2 => create(CreateKind::Create2, reader)?,
        op::CREATE_CONTAINER => create(CreateKind::Container, reader)?,
        op::CREATE_TTL => create(CreateKind::Ttl, reader)?,
        op::DELETE => Op::Delete { path: reader.required_string()?, version: reader.i32()? },
        op::SET_DATA => Op::SetData { path: reader.required_string()?, data: data(reader)?, version: reader.i32()? },
        op::CHECK => Op::Check { path: reader.required_string()?, version: reader.i32()? },
        other => return Err(DecodeError::NotInMulti(other)),
    })
}

fn create(kind: CreateKind, reader: &mut Reader<'_>) -> Result<Op, DecodeError> {
    Ok(Op::Create {
        kind,
        path: reader.required_string()?,
        data: data(reader)?,
        acl: acl(reader)?,
        flags: reader.i32()?,
        ttl_ms: if kind == CreateKind::Ttl { reader.i64()? } else { -1 },
    })
}

/// Copied out of the frame, which would otherwise live as long as the node.
fn data(reader: &mut Reader<'_>) -> Result<Option<Bytes>, DecodeError> {
    Ok(reader.buffer()?.map(Bytes::copy_from_slice))
}

/// A null scheme or id reads as an empty one, which no provider accepts.
fn acl(reader: &mut Reader<'_>) -> Result<Vec<Acl>, DecodeError> {
    reader.list(|reader| {
        let perms = reader.i32()?;
        let scheme = reader.string()?.unwrap_or_default();
        let id = reader.string()?.unwrap_or_default();
        Ok(Acl { perms, id: Id { scheme, id } })
    })
}

fn auth(reader: &mut Reader<'_>) -> Result<Request, DecodeError> {
    let _kind = reader.i32()?;
    let scheme = reader.required_string()?;
    let auth = reader.buffer()?.unwrap_or_default().to_vec();
    Ok(Request::Auth { scheme, auth })
}

fn created_watches(reader: &mut Reader<'_>, with_persistent: bool) -> Result<CreatedWatches, DecodeError> {
    let mut watches = CreatedWatches {
        relative_zxid: reader.i64()?,
        data: reader.list(Reader::required_string)?,
        exist: reader.list(Reader::required_string)?,
        child: reader.list(Reader::required_string)?,
        ..CreatedWatches::default()
    };
    if with_persistent {
        watches.persistent = reader.list(Reader::required_string)?;
        watches.persistent_recursive = reader.list(Reader::required_string)?;
    }
    Ok(watches)
}

/// The header before each entry of a transaction: operation, whether this is the end, error.
fn multi_header(reader: &mut Reader<'_>) -> Result<Option<i32>, DecodeError> {
    let code = reader.i32()?;
    let done = reader.bool()?;
    let _error = reader.i32()?;
    Ok(if done { None } else { Some(code) })
}

/// The flags of modes with a time to live, which only one operation carries.
const TTL_FLAGS: [i32; 2] = [5, 6];
const CONTAINER_FLAGS: i32 = 4;

/// The writes of a transaction.
fn multi(reader: &mut Reader<'_>) -> Result<Vec<Op>, DecodeError> {
    let mut ops = Vec::new();
    while let Some(code) = multi_header(reader)? {
        if matches!(code, op::GET_DATA | op::GET_CHILDREN) {
            return Err(DecodeError::MixedMulti);
        }
        ops.push(op_in_multi(write_op(code, reader)?)?);
    }
    Ok(ops)
}

/// Inside a transaction the flags choose the kind of a creation, outside the operation does
/// (`MultiOperationRecord`, `Op.Create`).
fn op_in_multi(mut next: Op) -> Result<Op, DecodeError> {
    if let Op::Create { kind, flags, ttl_ms, .. } = &mut next {
        let has_ttl = TTL_FLAGS.contains(flags);
        match kind {
            CreateKind::Ttl if has_ttl => {}
            CreateKind::Ttl => {
                *ttl_ms = -1;
                *kind = if *flags == CONTAINER_FLAGS { CreateKind::Container } else { CreateKind::Create };
            }
            _ if has_ttl || !flags_are_known(*flags) => {
                return Err(DecodeError::BadValue { what: "create mode", value: *flags });
            }
            _ if *flags == CONTAINER_FLAGS => *kind = CreateKind::Container,
            _ => {}
        }
    }
    Ok(next)
}

fn multi_read(reader: &mut Reader<'_>) -> Result<Vec<ReadOp>, DecodeError> {
    let mut ops = Vec::new();
    while let Some(code) = multi_header(reader)? {
        ops.push(read_op(code, reader)?);
    }
    Ok(ops)
}

fn read_op(code: i32, reader: &mut Reader<'_>) -> Result<ReadOp, DecodeError> {
    let read: fn(String) -> ReadOp = match code {
        op::GET_DATA => ReadOp::GetData,
        op::GET_CHILDREN => ReadOp::GetChildren,
        other => return Err(DecodeError::NotInMulti(other)),
    };
    let path = reader.required_string()?;
    let _watch = reader.bool()?;
    Ok(read(path))
}
