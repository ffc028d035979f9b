//! Bytes from peers that are broken or mean harm.

use bytes::Bytes;
use whimbrel_wire::{Message, Reader, Request, RequestHeader};

use crate::allocation::peak_during;
use crate::sample::{Random, message};

/// Memory per byte received, at worst: an empty string takes one byte on the wire and four words decoded, and each
/// level of nesting may have believed a count that the bytes left could have held.
const MEMORY_PER_BYTE_MAX: usize = 64;

/// Mutations per message and version. `WIRE_MUTATIONS` asks for more.
fn mutations() -> u64 {
    std::env::var("WIRE_MUTATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(60)
}

/// Changes, cuts or stretches a message.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next() as u8),
            // Lengths near the ends of their types.
            2 => bytes.splice(at..at, [0x7f, 0xff, 0xff, 0xff]).for_each(drop),
            3 => bytes.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0x0f]).for_each(drop),
            4 => bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
        }
    }
}

fn attack<M: Message>(seed: u64) {
    let valid = M::SPEC.valid;
    for version in valid.low..=valid.high {
        for round in 0..mutations() {
            let mut random = Random::new(seed + (round << 8) + version as u64);
            let mut bytes = message(&M::SPEC, version, &mut random);
            mutate(&mut bytes, &mut random);
            let bytes = Bytes::from(bytes);
            check_decode::<M>(&bytes, version);
        }
    }
}

fn check_decode<M: Message>(bytes: &Bytes, version: i16) {
    let (decoded, peak) = peak_during(|| M::decode(&mut Reader::new(bytes), version));
    let name = M::SPEC.body.name;
    // The constant is the reference count that a frame gets with its first slice.
    let bound = 128 + MEMORY_PER_BYTE_MAX * bytes.len();
    assert!(peak <= bound, "{name} {version}: {} bytes made it hold {peak}: {bytes:?}", bytes.len());
    // What was understood can be said again, if in other words: unknown tagged fields are gone.
    if let Ok(value) = decoded {
        assert!(value.size(version).is_ok_and(|size| size <= bytes.len()), "{name} {version}: {value:?}");
    }
}

macro_rules! attack_apis {
    ($($name:ident = $code:literal, $module:ident::{$request:ident, $response:ident};)*) => {
        #[test]
        fn mutated_messages_never_panic_nor_allocate_much() { $(
            attack::<whimbrel_wire::$request>($code);
            attack::<whimbrel_wire::$response>($code);
        )* }

        #[test]
        fn random_bytes_never_panic_nor_allocate_much() {
            let mut random = Random::new(1);
            for _ in 0..mutations() {
                let len = random.below(200);
                let bytes: Bytes = (0..len).map(|_| random.next() as u8 >> random.below(8)).collect();
                $( for version in whimbrel_wire::$request::SPEC.valid.low..=whimbrel_wire::$request::SPEC.valid.high {
                    check_decode::<whimbrel_wire::$request>(&bytes, version);
                    check_decode::<whimbrel_wire::$response>(&bytes, version);
                } )*
                let mut reader = Reader::new(&bytes);
                if let Ok(header) = RequestHeader::decode(&mut reader) {
                    assert!(reader.remaining() < bytes.len(), "{header:?}");
                }
            }
        }
    };
}
whimbrel_wire::for_each_api!(attack_apis);

#[test]
fn large_claims_are_not_believed() {
    // The highest count that 1 MiB of zero bytes can hold, at each version of a request with nested arrays.
    for version in 0..=<whimbrel_wire::FetchRequest as Message>::SPEC.valid.high {
        let mut bytes = vec![0; 1 << 20];
        for at in [8, 12, 13, 16, 17, 21, 25] {
            bytes[at..at + 4].copy_from_slice(&[0x00, 0x01, 0xff, 0xff]);
        }
        check_decode::<whimbrel_wire::FetchRequest>(&bytes.into(), version);
    }
    // Three bytes for each topic: an empty name, no partitions, no tagged fields.
    let mut bytes = vec![0, 0, 0, 0];
    bytes.extend([0xff, 0xff, 0x3f]);
    bytes.resize(3 << 20, 1);
    check_decode::<whimbrel_wire::OffsetFetchRequest>(&bytes.into(), 8);
}

/// The key is in the type; this is about reading any frame.
#[test]
fn shortest_frames_are_refused() {
    for len in 0..10 {
        let bytes = Bytes::from(vec![0; len]);
        assert!(RequestHeader::decode(&mut Reader::new(&bytes)).is_err(), "{len} bytes");
    }
    assert_eq!(<whimbrel_wire::ProduceRequest as Request>::KEY.code(), 0);
}
