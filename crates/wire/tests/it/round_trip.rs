//! Decoding and encoding undo each other.

use bytes::Bytes;
use proptest::prelude::*;
use whimbrel_wire::{Frame, Message, Reader, Request, RequestHeader, ResponseHeader, Writer};

use crate::sample::{Random, message};

/// Reads the whole of `bytes`, which must be one message.
pub fn decode<M: Message>(bytes: &Bytes, version: i16) -> M {
    let name = M::SPEC.body.name;
    let mut reader = Reader::new(bytes);
    let value = M::decode(&mut reader, version).unwrap_or_else(|error| panic!("{name} {version}: {error}"));
    assert_eq!(reader.remaining(), 0, "{name} {version} leaves bytes");
    value
}

pub fn encode<M: Message>(value: &M, version: i16) -> Bytes {
    let name = M::SPEC.body.name;
    let mut writer = Writer::new();
    value.encode(&mut writer, version).unwrap_or_else(|error| panic!("{name} {version}: {error}"));
    writer.into_bytes()
}

fn check<M: Message>(seed: u64) {
    let valid = M::SPEC.valid;
    for version in valid.low..=valid.high {
        let bytes = Bytes::from(message(&M::SPEC, version, &mut Random::new(seed)));
        let value: M = decode(&bytes, version);
        let again = encode(&value, version);
        assert_eq!(again, bytes, "{} {version}: {value:?}", M::SPEC.body.name);
        assert_eq!(value.size(version), Ok(again.len()));
        assert_eq!(decode::<M>(&again, version), value);
    }
}

fn check_frames<R: Request>(seed: u64) {
    let valid = R::SPEC.valid;
    for version in valid.low..=valid.high {
        let mut random = Random::new(seed);
        let request: R = decode(&message(&R::SPEC, version, &mut random).into(), version);
        let response: R::Response = decode(&message(&R::Response::SPEC, version, &mut random).into(), version);

        let frame = Frame::request(&request, version, 5, Some("client")).expect("encodes").into_bytes();
        let frame = frame.slice(4..);
        let mut reader = Reader::new(&frame);
        let header = RequestHeader::decode(&mut reader).expect("header");
        assert_eq!((header.api(), header.api_version, header.correlation_id), (Some(R::KEY), version, 5));
        assert_eq!(R::decode(&mut reader, version), Ok(request));
        assert_eq!(reader.remaining(), 0);

        let frame = Frame::response::<R>(&response, version, 6).expect("encodes").into_memory().expect("in memory");
        let frame = frame.into_bytes();
        let frame = frame.slice(4..);
        let mut reader = Reader::new(&frame);
        let header = ResponseHeader::decode(&mut reader, R::KEY.response_header_version(version)).expect("header");
        assert_eq!(header.correlation_id, 6);
        assert_eq!(R::Response::decode(&mut reader, version), Ok(response));
        assert_eq!(reader.remaining(), 0);
    }
}

macro_rules! check_apis {
    ($($name:ident = $code:literal, $module:ident::{$request:ident, $response:ident};)*) => {
        fn check_apis(seed: u64) { $(
            check::<whimbrel_wire::$request>(seed);
            check::<whimbrel_wire::$response>(seed);
            check_frames::<whimbrel_wire::$request>(seed);
        )* }
    };
}
whimbrel_wire::for_each_api!(check_apis);

macro_rules! check_stored {
    ($($module:ident::$message:ident;)*) => {
        fn check_stored(seed: u64) {
            $(check::<whimbrel_wire::$module::$message>(seed);)*
        }
    };
}
whimbrel_wire::for_each_stored_message!(check_stored);

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_message_at_every_version_round_trips(seed: u64) {
        check_apis(seed);
        check_stored(seed);
    }
}

macro_rules! check_defaults {
    ($($name:ident = $code:literal, $module:ident::{$request:ident, $response:ident};)*) => {
        /// A default value has null or empty where a version wants it, so every version can express it.
        #[test]
        fn defaults_can_be_sent_at_every_version() { $(
            for version in whimbrel_wire::$request::SPEC.valid.low..=whimbrel_wire::$request::SPEC.valid.high {
                let request = whimbrel_wire::$request::default();
                assert_eq!(decode::<whimbrel_wire::$request>(&encode(&request, version), version), request);
                let response = whimbrel_wire::$response::default();
                assert_eq!(decode::<whimbrel_wire::$response>(&encode(&response, version), version), response);
            }
        )* }
    };
}
whimbrel_wire::for_each_api!(check_defaults);
