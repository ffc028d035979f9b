use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::tree::{Acl, CreateKind, EventKind, Id, Op, OpResult, Stat};

/// A frame's body, written by hand.
#[derive(Default)]
struct Body(Vec<u8>);

impl Body {
    fn i32(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn i64(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn bytes(self, value: &[u8]) -> Self {
        let mut body = self.i32(value.len() as i32);
        body.0.extend(value);
        body
    }

    fn bool(mut self, value: bool) -> Self {
        self.0.push(value.into());
        self
    }

    fn header(self, code: i32) -> Self {
        self.i32(code).bool(false).i32(-1)
    }

    fn decode(&self, code: i32) -> Result<Request, DecodeError> {
        Request::decode(code, &mut Reader::new(&self.0))
    }
}

fn body() -> Body {
    Body::default()
}

#[test]
fn a_create_request_is_read_field_by_field() {
    let acl = body().bytes(b"/a").bytes(b"x").i32(1).i32(31).bytes(b"world").bytes(b"anyone").i32(1).i64(9);
    let expected = |kind, ttl_ms| {
        Request::Write(Op::Create {
            kind,
            path: "/a".into(),
            data: Some(Bytes::from_static(b"x")),
            acl: vec![Acl { perms: 31, id: Id::new("world", "anyone") }],
            flags: 1,
            ttl_ms,
        })
    };
    assert_eq!(acl.decode(op::CREATE), Ok(expected(CreateKind::Create, -1)));
    assert_eq!(acl.decode(op::CREATE_TTL), Ok(expected(CreateKind::Ttl, 9)));
}

#[test]
fn null_and_empty_data_are_told_apart() {
    let data = |bytes: Body| match bytes.i32(0).decode(op::SET_DATA) {
        Ok(Request::Write(Op::SetData { data, .. })) => data,
        other => panic!("{other:?}"),
    };
    assert_eq!(data(body().bytes(b"/a").i32(-1)), None);
    assert_eq!(data(body().bytes(b"/a").bytes(b"")), Some(Bytes::new()));
}

#[test]
fn a_connect_request_of_an_old_client_has_no_read_only_flag() {
    let old = body().i32(0).i64(5).i32(6000).i64(7).bytes(&[1; 16]);
    let decoded = ConnectRequest::decode(&old.0).expect("complete");
    assert_eq!((decoded.session_id, decoded.read_only), (7, None));
    let new = old.bool(true);
    assert_eq!(ConnectRequest::decode(&new.0).expect("complete").read_only, Some(true));
}

#[test]
fn lengths_beyond_the_frame_are_refused_before_anything_is_allocated() {
    let huge = body().bytes(b"/a").i32(i32::MAX);
    assert_eq!(huge.decode(op::SET_DATA), Err(DecodeError::Truncated { wanted: i32::MAX as usize, left: 0 }));
    assert_eq!(body().i32(-2).decode(op::GET_ACL), Err(DecodeError::BadLength(-2)));
    assert_eq!(body().i32(-1).decode(op::GET_ACL), Err(DecodeError::Null));
    let watches = body().i64(0).i32(i32::MAX);
    assert!(matches!(watches.decode(op::SET_WATCHES), Err(DecodeError::Truncated { .. })));
}

#[test]
fn a_transaction_ends_where_it_says_so() {
    let check = |body: Body| body.header(op::CHECK).bytes(b"/a").i32(3);
    let whole = check(check(body())).i32(-1).bool(true).i32(-1);
    let one = Op::Check { path: "/a".into(), version: 3 };
    assert_eq!(whole.decode(op::MULTI), Ok(Request::Multi(vec![one.clone(), one])));
    assert!(matches!(check(body()).decode(op::MULTI), Err(DecodeError::Truncated { .. })));
    assert_eq!(body().header(op::PING).decode(op::MULTI), Err(DecodeError::NotInMulti(op::PING)));
    assert_eq!(body().header(op::GET_DATA).decode(op::MULTI), Err(DecodeError::MixedMulti));
}

#[test]
fn replies_have_the_bytes_that_zookeeper_sends() {
    let header = ReplyHeader { xid: 3, zxid: 9 };
    let frame = encode_reply(header, Ok(&Reply::Path("/a".into())));
    assert_eq!(frame[..], body().i32(22).i32(3).i64(9).i32(0).bytes(b"/a").0);
    let frame = encode_reply(header, Err(crate::tree::ErrorCode::NoNode));
    assert_eq!(frame[..], body().i32(16).i32(3).i64(9).i32(-101).0);
    let multi = Reply::Multi(vec![MultiItem::Written(OpResult::Deleted), MultiItem::Error(None)]);
    let frame = encode_reply(header, Ok(&multi));
    let expected = body().i32(47).i32(3).i64(9).i32(0).i32(2).bool(false).i32(0);
    let expected = expected.i32(-1).bool(false).i32(0).i32(0).i32(-1).bool(true).i32(-1);
    assert_eq!(frame[..], expected.0);
    let frame = encode_event(EventKind::NodeDeleted, "/a", None);
    assert_eq!(frame[..], body().i32(30).i32(-1).i64(-1).i32(0).i32(2).i32(3).bytes(b"/a").0);
    let stat = encode_reply(header, Ok(&Reply::Stat(Stat::default())));
    assert_eq!(stat.len(), 4 + 16 + 68);
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(code in -12..110_i32, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _anything = Request::decode(code, &mut Reader::new(&bytes));
        let _anything = ConnectRequest::decode(&bytes);
    }

    #[test]
    fn no_cut_or_changed_transaction_makes_the_decoder_panic(cut in 0..60_usize, at in 0..60_usize, byte: u8) {
        let whole = body().header(op::CREATE2).bytes(b"/a").bytes(b"x").i32(1).i32(31).bytes(b"ip").bytes(b"::1").i32(0);
        let mut bytes = whole.i32(-1).bool(true).i32(-1).0;
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        let _anything = Request::decode(op::MULTI, &mut Reader::new(&bytes));
    }
}
