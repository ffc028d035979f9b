//! Any bytes as any request or response, at any version: `cargo +nightly fuzz run requests`.
//!
//! The first byte chooses the API and the second one the version, so that every input reaches some decoder; the rest is
//! the body. Nothing may panic. What decodes must encode again, to no more bytes, and that must decode to the same.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use whimbrel_wire::{API_TABLE, ApiKey, Message, Reader, RequestHeader, Writer};

fuzz_target!(|input: &[u8]| {
    let input = Bytes::copy_from_slice(input);
    // Any outcome is fine, but a panic.
    let _ = RequestHeader::decode(&mut Reader::new(&input));
    if let [api, version, ..] = *input
        && let Some(api) = API_TABLE.get(usize::from(api) % API_TABLE.len())
    {
        let version = i16::from(version) % (api.versions.high + 1);
        decode_body(api.key, version, &input.slice(2..));
    }
});

macro_rules! decode_body {
    ($($name:ident = $code:literal, $module:ident::{$request:ident, $response:ident};)*) => {
        fn decode_body(key: ApiKey, version: i16, body: &Bytes) {
            match key {
                $(ApiKey::$name => {
                    check::<whimbrel_wire::$request>(version, body);
                    check::<whimbrel_wire::$response>(version, body);
                })*
            }
        }
    };
}
whimbrel_wire::for_each_api!(decode_body);

fn check<M: Message>(version: i16, body: &Bytes) {
    let Ok(message) = M::decode(&mut Reader::new(body), version) else { return };
    let mut writer = Writer::new();
    message.encode(&mut writer, version).expect("what was decoded can be encoded");
    let bytes = writer.into_bytes();
    assert!(bytes.len() <= body.len(), "{message:?} grew from {} to {} bytes", body.len(), bytes.len());
    assert_eq!(message.size(version), Ok(bytes.len()));
    let again = M::decode(&mut Reader::new(&bytes), version).expect("what was encoded can be decoded");
    assert_eq!(again, message);
}
