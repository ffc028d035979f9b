//! How nodes and sessions are written to the store.
//!
//! A leading byte names the layout, so that a later one can be told apart. Numbers are big-endian.

use std::sync::Arc;

use bytes::{BufMut, Bytes};

use crate::proto::{DecodeError, Reader};
use crate::tree::{Acl, AclList, Id, NodeRecord, PASSWORD_BYTES, SessionRecord};

const LAYOUT: u8 = 1;

/// Why a stored value cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error("layout {0} is not known")]
    Layout(u8),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("a password of {0} bytes")]
    Password(usize),
    #[error("the value is empty")]
    Empty,
}

pub(super) fn encode_node(record: &NodeRecord) -> Vec<u8> {
    let mut out = Vec::with_capacity(96 + record.data_len());
    out.put_u8(LAYOUT);
    for long in [record.czxid, record.mzxid, record.pzxid, record.ctime, record.mtime, record.owner] {
        out.put_i64(long);
    }
    for int in [record.version, record.cversion, record.aversion] {
        out.put_i32(int);
    }
    put_buffer(&mut out, record.data.as_deref());
    out.put_i32(i32::try_from(record.acl.len()).unwrap_or(i32::MAX));
    for rule in record.acl.iter() {
        out.put_i32(rule.perms);
        put_buffer(&mut out, Some(rule.id.scheme.as_bytes()));
        put_buffer(&mut out, Some(rule.id.id.as_bytes()));
    }
    out
}

pub(super) fn decode_node(value: &[u8], shared: &mut Option<AclList>) -> Result<NodeRecord, CodecError> {
    let mut reader = versioned(value)?;
    let mut record = NodeRecord {
        czxid: reader.i64()?,
        mzxid: reader.i64()?,
        pzxid: reader.i64()?,
        ctime: reader.i64()?,
        mtime: reader.i64()?,
        owner: reader.i64()?,
        version: reader.i32()?,
        cversion: reader.i32()?,
        aversion: reader.i32()?,
        data: reader.buffer()?.map(Bytes::copy_from_slice),
        acl: Arc::new([]),
    };
    let acl = reader.list(|reader| {
        let perms = reader.i32()?;
        Ok(Acl { perms, id: Id { scheme: reader.required_string()?, id: reader.required_string()? } })
    })?;
    record.acl = share(acl, shared);
    Ok(record)
}

/// Nearly all nodes have the rules of the node before them: one list then serves them all.
fn share(acl: Vec<Acl>, shared: &mut Option<AclList>) -> AclList {
    match shared {
        Some(list) if **list == *acl => Arc::clone(list),
        _ => Arc::clone(shared.insert(acl.into())),
    }
}

pub(super) fn encode_session(record: &SessionRecord) -> Vec<u8> {
    let mut out = vec![LAYOUT];
    out.put_i32(record.timeout_ms);
    put_buffer(&mut out, Some(&record.password));
    out
}

pub(super) fn decode_session(value: &[u8]) -> Result<SessionRecord, CodecError> {
    let mut reader = versioned(value)?;
    let timeout_ms = reader.i32()?;
    let password = reader.buffer()?.unwrap_or_default();
    let password: [u8; PASSWORD_BYTES] = password.try_into().map_err(|_| CodecError::Password(password.len()))?;
    Ok(SessionRecord { timeout_ms, password })
}

fn versioned(value: &[u8]) -> Result<Reader<'_>, CodecError> {
    match value.split_first() {
        None => Err(CodecError::Empty),
        Some((&LAYOUT, rest)) => Ok(Reader::new(rest)),
        Some((&layout, _)) => Err(CodecError::Layout(layout)),
    }
}

fn put_buffer(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => out.put_i32(-1),
        Some(bytes) => {
            out.put_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
            out.put_slice(bytes);
        }
    }
}
