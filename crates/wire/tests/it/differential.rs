//! The `kafka-protocol` crate, generated from Kafka's schemas by others, reads what we write and writes the same bytes,
//! and the other way round. Release 0.15 knows the versions of Kafka 3.9, and 0.18 those of 4.1, which has lost the
//! requests of a ZooKeeper controller.

use bytes::Bytes;
use proptest::prelude::*;
use whimbrel_wire::Message;

use crate::round_trip::{decode, encode};
use crate::sample::{Random, message};

/// Expanded once per release, where `check` and `messages` are that release's.
macro_rules! check_apis {
    ($($name:ident = $code:literal, $module:ident::{$request:ident, $response:ident};)*) => {
        fn check_apis(seed: u64, compared: &mut usize) { $(
            check::<whimbrel_wire::$request, messages::$request>(seed, compared);
            check::<whimbrel_wire::$response, messages::$response>(seed, compared);
        )* }
    };
}

macro_rules! against {
    ($release:ident, $krate:ident, without $gone:tt) => {
        mod $release {
            use super::*;
            use $krate::protocol::{Decodable, Encodable, Message as Theirs};

            mod messages {
                pub use $krate::messages::*;
                without!($krate, $gone);
            }

            fn check<M: Message, T: Theirs + Decodable + Encodable + std::fmt::Debug>(seed: u64, compared: &mut usize) {
                let name = M::SPEC.body.name;
                let low = M::SPEC.valid.low.max(T::VERSIONS.min);
                let high = M::SPEC.valid.high.min(T::VERSIONS.max);
                for version in low..=high {
                    let sample = Bytes::from(message(&M::SPEC, version, &mut Random::new(seed)));
                    let ours: M = decode(&sample, version);
                    let mut sent = encode(&ours, version);
                    let theirs = T::decode(&mut sent, version)
                        .unwrap_or_else(|error| panic!("{name} {version}: they cannot read ours: {error}"));
                    assert!(sent.is_empty(), "{name} {version}: they leave {} bytes", sent.len());
                    let mut answer = bytes::BytesMut::new();
                    theirs
                        .encode(&mut answer, version)
                        .unwrap_or_else(|error| panic!("{name} {version}: they cannot write it: {error}"));
                    let answer = answer.freeze();
                    assert_eq!(answer, sample, "{name} {version}: {theirs:?}");
                    assert_eq!(decode::<M>(&answer, version), ours, "{name} {version}");
                    *compared += 1;
                }
            }

            whimbrel_wire::for_each_api!(check_apis);

            proptest! {
                #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() })]

                #[test]
                fn both_read_and_write_the_same_bytes(seed: u64) {
                    let mut compared = 0;
                    check_apis(seed, &mut compared);
                    // Guards against an empty comparison: 38 APIs of Kafka's, two messages each, several versions.
                    prop_assert!(300 < compared, "only {compared} messages compared");
                }
            }
        }
    };
}

/// A message of no version, under each of the names.
macro_rules! without {
    ($krate:ident, [$($name:ident),+]) => {
        use $krate::protocol::{Decodable, Encodable, Message, VersionRange, buf};

        #[derive(Debug)]
        pub struct Gone;
        $(pub use Gone as $name;)+

        impl Message for Gone {
            const VERSIONS: VersionRange = VersionRange { min: 0, max: -1 };
            const DEPRECATED_VERSIONS: Option<VersionRange> = None;
        }

        impl Decodable for Gone {
            fn decode<B: buf::ByteBuf>(_: &mut B, version: i16) -> anyhow::Result<Self> {
                anyhow::bail!("no version {version}")
            }
        }

        impl Encodable for Gone {
            fn encode<B: buf::ByteBufMut>(&self, _: &mut B, version: i16) -> anyhow::Result<()> {
                anyhow::bail!("no version {version}")
            }

            fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
                anyhow::bail!("no version {version}")
            }
        }
    };
}

against!(kafka_3_9, kafka_protocol_015, without [WhimbrelLivenessRequest, WhimbrelLivenessResponse]);
against!(kafka_4_1, kafka_protocol_018, without [
    LeaderAndIsrRequest,
    LeaderAndIsrResponse,
    StopReplicaRequest,
    StopReplicaResponse,
    UpdateMetadataRequest,
    UpdateMetadataResponse,
    ControlledShutdownRequest,
    ControlledShutdownResponse,
    WhimbrelLivenessRequest,
    WhimbrelLivenessResponse
]);
