use std::fs::File;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use whimbrel_model::{FileSlice, Piece, SliceSource};

use crate::*;

#[test]
fn versions_read_kafkas_notation() {
    use spec::Versions;
    assert_eq!(Versions::parse("3+"), Versions { low: 3, high: i16::MAX });
    assert_eq!(Versions::parse("0-12"), Versions { low: 0, high: 12 });
    assert_eq!(Versions::parse("7"), Versions { low: 7, high: 7 });
    assert_eq!(Versions::parse("none"), Versions::NONE);
    for text in ["3+", "0-12", "7", "none"] {
        assert_eq!(Versions::parse(text).to_string(), text);
    }
}

#[test]
fn request_frame_is_what_kafka_sends() {
    let request = ApiVersionsRequest {
        client_software_name: Str::from_static("apache-kafka-java"),
        client_software_version: Str::from_static("3.9.2"),
    };
    let frame = Frame::request(&request, 3, 7, Some("c")).expect("encodes");
    let expected = b"\0\0\0\x25\0\x12\0\x03\0\0\0\x07\0\x01c\0\x12apache-kafka-java\x063.9.2\0";
    assert_eq!(frame.into_bytes(), expected[..]);

    let frame = Bytes::from_static(&expected[4..]);
    let mut reader = Reader::new(&frame);
    let header = RequestHeader::decode(&mut reader).expect("header");
    assert_eq!((header.api(), header.api_version), (Some(ApiKey::ApiVersions), 3));
    assert_eq!(header.client_id, Some(Str::from("c")));
    assert_eq!(ApiVersionsRequest::decode(&mut reader, 3), Ok(request));
    assert_eq!(reader.remaining(), 0);
}

#[test]
fn header_of_an_unknown_version_is_readable() {
    let frame = Bytes::from_static(b"\0\x12\0\x63\0\0\0\x07\xff\xff\0body");
    let mut reader = Reader::new(&frame);
    let header = RequestHeader::decode(&mut reader).expect("header");
    assert_eq!((header.api_version, header.client_id), (99, None));
    assert_eq!(reader.remaining(), 4);
    let refused = ApiVersionsRequest::decode(&mut reader, 99);
    assert_eq!(refused, Err(DecodeError::Version { message: "ApiVersionsRequest", version: 99 }));
}

#[test]
fn header_of_an_unknown_key_is_readable() {
    let frame = Bytes::from_static(b"\x7f\xff\0\x01\0\0\0\x07\xff\xff");
    let header = RequestHeader::decode(&mut Reader::new(&frame)).expect("header");
    assert_eq!((header.api(), header.correlation_id), (None, 7));
}

#[test]
fn api_versions_response_never_has_the_flexible_header() {
    assert_eq!(ApiKey::ApiVersions.response_header_version(4), 0);
    assert_eq!(ApiKey::ApiVersions.request_header_version(4), 2);
    assert_eq!(ApiKey::Fetch.response_header_version(11), 0);
    assert_eq!(ApiKey::Fetch.response_header_version(12), 1);
}

#[test]
fn first_controlled_shutdown_has_no_client_id() {
    let request = ControlledShutdownRequest { broker_id: 5, ..Default::default() };
    let frame = Frame::request(&request, 0, 9, Some("unsent")).expect("encodes").into_bytes();
    assert_eq!(frame, b"\0\0\0\x0c\0\x07\0\0\0\0\0\x09\0\0\0\x05"[..]);
    let frame = frame.slice(4..);
    let mut reader = Reader::new(&frame);
    let header = RequestHeader::decode(&mut reader).expect("header");
    assert_eq!((header.api(), header.client_id), (Some(ApiKey::ControlledShutdown), None));
    assert_eq!(ControlledShutdownRequest::decode(&mut reader, 0), Ok(request));
}

fn fetch_response(records: &Bytes) -> FetchResponse {
    let partition = fetch::PartitionData { records: Some(records.clone().into()), ..Default::default() };
    let topic = fetch::FetchableTopicResponse { partitions: vec![partition; 2], ..Default::default() };
    FetchResponse { responses: vec![topic], ..Default::default() }
}

fn response(response: &FetchResponse, version: i16) -> Frame {
    let frame = Frame::response::<FetchRequest>(response, version, 1).expect("encodes");
    frame.into_memory().expect("nothing of it lies in a file")
}

#[test]
fn large_records_are_pieces_of_their_own_and_not_copied() {
    let records = Bytes::from(vec![7; 4096]);
    let frame = response(&fetch_response(&records), 12);
    let shared: Vec<_> = frame.pieces().iter().filter(|piece| piece.as_ptr() == records.as_ptr()).collect();
    assert_eq!((shared.len(), frame.pieces().len()), (2, 5));

    let all = frame.clone().into_bytes();
    assert_eq!(all.len(), frame.len());
    assert_eq!(all[..4], (frame.len() as u32 - 4).to_be_bytes());
}

#[test]
fn decoded_records_are_slices_of_the_frame() {
    let sent = fetch_response(&Bytes::from(vec![7; 4096]));
    let mut frame = response(&sent, 12).into_bytes();
    frame.advance(4);
    let mut reader = Reader::new(&frame);
    ResponseHeader::decode(&mut reader, 1).expect("header");
    let got = FetchResponse::decode(&mut reader, 12).expect("decodes");
    assert_eq!(got, sent);
    let bytes =
        got.responses[0].partitions[1].records.clone().and_then(Records::into_bytes).expect("records in memory");
    assert!(frame.as_ptr_range().contains(&bytes.as_ptr()));
}

struct Lent(File);

impl SliceSource for Lent {
    fn file(&self) -> &File {
        &self.0
    }

    fn is_intact(&self) -> bool {
        true
    }
}

#[test]
fn records_in_a_file_keep_their_place_in_a_response_and_have_none_in_a_request() {
    let source = Arc::new(Lent(File::open("/dev/null").expect("opens")));
    // Short, too: who wants it in memory would have read it.
    for len in [1, 4096] {
        let slice = FileSlice::new(source.clone(), 7, len);
        let in_memory = response(&fetch_response(&Bytes::from(vec![0; len])), 12);
        let mut lent = fetch_response(&Bytes::new());
        lent.responses[0].partitions[0].records = Some(slice.clone().into());
        lent.responses[0].partitions[1].records = Some(Bytes::from(vec![0; len]).into());
        let frame = Frame::response::<FetchRequest>(&lent, 12, 1).expect("encodes");
        assert_eq!(frame.len(), in_memory.len());
        let (mut bytes, mut files) = (Vec::new(), 0);
        for piece in frame.pieces() {
            match piece {
                Piece::Bytes(piece) => bytes.extend_from_slice(piece),
                Piece::File(piece) => {
                    assert_eq!(*piece, slice);
                    files += 1;
                    bytes.resize(bytes.len() + len, 0);
                }
            }
        }
        assert_eq!((files, Bytes::from(bytes)), (1, in_memory.into_bytes()));
        assert!(frame.into_memory().is_none());

        let data = produce::PartitionProduceData { records: Some(slice.into()), ..Default::default() };
        let topic = produce::TopicProduceData { partition_data: vec![data], ..Default::default() };
        let request = ProduceRequest { topic_data: vec![topic], ..Default::default() };
        assert_eq!(Frame::request(&request, 9, 1, None).err(), Some(EncodeError::NotInMemory));
        assert_eq!(request.encode(&mut Writer::new(), 9), Err(EncodeError::NotInMemory));
    }
}

#[test]
fn frame_is_consumed_across_pieces() {
    let frame = response(&fetch_response(&Bytes::from(vec![7; 600])), 11);
    let all = frame.clone().into_bytes();
    for step in [1, 7, 599, 4096] {
        let mut left = frame.clone();
        let mut got = Vec::new();
        while left.has_remaining() {
            let count = step.min(left.chunk().len());
            got.extend_from_slice(&left.chunk()[..count]);
            left.advance(count);
        }
        assert_eq!(got, all);
    }
}

#[test]
fn value_that_a_version_cannot_express_is_refused_unless_ignorable() {
    let request = MetadataRequest { allow_auto_topic_creation: false, ..Default::default() };
    let refused = EncodeError::Field { field: "allow_auto_topic_creation", version: 3 };
    assert_eq!(request.size(3), Err(refused));
    assert_eq!(
        MetadataRequest { topics: None, ..Default::default() }.size(0),
        Err(EncodeError::Null { field: "topics", version: 0 })
    );
    // The rack is ignorable.
    let request = FetchRequest { rack_id: "a".into(), ..Default::default() };
    assert_eq!(request.size(10), FetchRequest::default().size(10));
}

#[test]
fn array_longer_than_the_frame_is_refused() {
    let frame = Bytes::from_static(b"\x7f\xff\xff\xff\0\0");
    let refused = MetadataRequest::decode(&mut Reader::new(&frame), 1);
    assert_eq!(refused, Err(DecodeError::Truncated { needed: 2 * 0x7fff_ffff, remaining: 2 }));
}

#[test]
fn unknown_tagged_fields_are_skipped() {
    let frame = Bytes::from_static(b"\x02a\x02b\x01\x63\x03abc");
    let mut reader = Reader::new(&frame);
    let request = ApiVersionsRequest::decode(&mut reader, 3).expect("decodes");
    assert_eq!((&*request.client_software_name, reader.remaining()), ("a", 0));
}

#[test]
fn tagged_field_must_have_the_size_it_claims() {
    // FinalizedFeaturesEpoch (tag 1) in nine bytes instead of eight.
    let frame = Bytes::from_static(b"\0\0\x01\0\0\0\0\x01\x01\x09\0\0\0\0\0\0\0\x05\0");
    let refused = ApiVersionsResponse::decode(&mut Reader::new(&frame), 3);
    assert_eq!(refused, Err(DecodeError::TaggedField { tag: 1, excess: 1 }));
}

#[test]
fn strings_compare_hash_and_detach() {
    let frame = Bytes::from_static(b"\0\x03abc");
    let text = Str::from_utf8(frame.slice(2..)).expect("utf-8");
    let map = std::collections::HashMap::from([(text.clone(), 1)]);
    assert_eq!(map.get("abc"), Some(&1));
    assert_ne!(text.detach().as_ptr(), text.as_ptr());
    assert_eq!(text.detach(), "abc");
    assert_eq!(Str::from_utf8(Bytes::from_static(b"\xff")), Err(DecodeError::Utf8));
    let mut sorted = [Str::from("b"), Str::from("a")];
    sorted.sort();
    assert_eq!(sorted, ["a", "b"]);
}

#[test]
fn defaults_are_kafkas() {
    let request = FetchRequest::default();
    assert_eq!((request.max_bytes, request.session_epoch, request.replica_id), (i32::MAX, -1, -1));
    assert_eq!(MetadataRequest::default().topics, Some(Vec::new()));
    assert!(MetadataRequest::default().allow_auto_topic_creation);
}

#[test]
fn stored_messages_start_with_their_version() {
    let key = group_records::OffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 3 };
    let bytes = encode_versioned(&key, 1).expect("encodes");
    assert_eq!(bytes, b"\0\x01\0\x01g\0\x01t\0\0\0\x03"[..]);
    assert_eq!(stored_version(&bytes), Some(1));
    assert_eq!(decode_versioned(&bytes), Ok((1, key)));
    let refused = decode_versioned::<group_records::GroupMetadataKey>(&bytes);
    assert_eq!(refused, Err(DecodeError::Version { message: "GroupMetadataKey", version: 1 }));
}

#[test]
fn metadata_of_newer_consumers_is_read_as_the_newest_known() {
    use consumer_assignment::ConsumerProtocolAssignment;
    let bytes = Bytes::from_static(b"\0\x09\0\0\0\0\xff\xff\xff\xffnewer");
    assert_eq!(decode_versioned_or_newer(&bytes), Ok((9, ConsumerProtocolAssignment::default())));
    let refused = decode_versioned::<ConsumerProtocolAssignment>(&bytes);
    assert_eq!(refused, Err(DecodeError::Version { message: "ConsumerProtocolAssignment", version: 9 }));
}
