//! Cases for `ValidatorCases.java`, which drives Kafka's `LogValidator`.

#[path = "../../../model/tests/it/describe.rs"]
#[allow(dead_code, reason = "shared with a test that uses more of it")]
mod describe;

use crate::Random;
use bytes::Bytes;
use std::io::{self, Write};
use whimbrel_model::record::{
    Attributes, BatchBuilder, BatchHeader, BatchOptions, Codec, Compression, HEADER_BYTES, Header, TimestampType,
    compression, offsets_of,
};
use whimbrel_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use whimbrel_storage::validator::{AppendOrigin, AppendRules, TargetCompression, validate};

const CASES: usize = 200_000;
const NOW: i64 = 1_700_000_000_000;

pub fn run(random: &mut Random, cases: &mut impl Write, verdicts: &mut impl Write) -> io::Result<()> {
    // What is accepted but cannot be read is a verdict here, not a fault of the program.
    std::panic::set_hook(Box::new(|_| {}));
    for _ in 0..CASES {
        let rules = rules(random);
        let origin = if random.one_in(4) { AppendOrigin::Coordinator } else { AppendOrigin::Client };
        let records = records(random);
        write_case(cases, &rules, origin, &records)?;
        writeln!(verdicts, "{}", verdict(&Bytes::from(records), origin, &rules))?;
    }
    Ok(())
}

fn rules(random: &mut Random) -> AppendRules {
    let fixed = TargetCompression::Fixed(Compression::new(random.pick(&Codec::ALL)));
    AppendRules {
        is_compacted: random.one_in(4),
        timestamp_type: if random.one_in(4) { TimestampType::LogAppendTime } else { TimestampType::CreateTime },
        timestamp_before_max_ms: if random.one_in(2) { i64::MAX } else { random.below(20) },
        timestamp_after_max_ms: if random.one_in(2) { 3_600_000 } else { random.below(20) },
        message_bytes_max: 200 + random.index(400),
        compression: if random.one_in(3) { fixed } else { TargetCompression::Producer },
        ..AppendRules::default()
    }
}

/// A batch that is good or has a few defects, most of them under a checksum that fits.
fn records(random: &mut Random) -> Vec<u8> {
    let codec = if random.one_in(2) { Codec::None } else { random.pick(&Codec::ALL) };
    let plain = plain_batch(random);
    let mut body = plain[HEADER_BYTES..].to_vec();
    if random.one_in(3) {
        let at = random.index(body.len());
        body[at] = if random.one_in(2) { random.bits() as u8 } else { body[at].wrapping_add(1) };
    }
    if random.one_in(20) {
        body.push(0);
    }
    if random.one_in(20) {
        body.pop();
    }
    let mut compressed = Vec::new();
    compression::compress(Compression::new(codec), &body, &mut compressed).unwrap();
    let mut header = BatchHeader::parse(&plain).unwrap();
    header.attributes = Attributes::new(codec, TimestampType::CreateTime, false, false);
    header.batch_length = (HEADER_BYTES - 12 + compressed.len()) as i32;
    if random.one_in(3) {
        spoil_header(random, &mut header);
    }
    let mut bytes = [&header.encode()[..], &compressed].concat();
    let crc = crc32c::crc32c(&bytes[offsets_of::ATTRIBUTES..]);
    bytes[offsets_of::CRC..][..4].copy_from_slice(&crc.to_be_bytes());
    spoil_set(random, &mut bytes);
    bytes
}

fn plain_batch(random: &mut Random) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let headers = [Header { key: b"hk", value: Some(b"hv") }, Header { key: b"", value: None }];
    for _ in 0..=random.below(4) {
        let timestamp = if random.one_in(10) { -1 } else { NOW + random.below(40) - 20 };
        let key = (!random.one_in(5)).then_some(&b"key"[..]);
        let value = vec![b'v'; random.index(90)];
        let value = (!random.one_in(6)).then_some(&value[..]);
        builder.append(timestamp, key, value, headers.into_iter().take(random.index(3))).unwrap();
    }
    builder.build().unwrap()
}

fn spoil_header(random: &mut Random, header: &mut BatchHeader) {
    match random.below(9) {
        0 => header.base_offset = Offset(random.below(3)),
        1 => header.last_offset_delta = random.below(6) as i32 - 2,
        2 => header.record_count = random.below(6) as i32 - 2,
        3 => {
            header.record_count = random.below(6) as i32 - 1;
            header.last_offset_delta = header.record_count - 1;
        }
        4 => header.attributes.0 |= 1 << random.below(9),
        5 => {
            header.producer_id = ProducerId(random.below(3) - 1);
            header.producer_epoch = ProducerEpoch(0);
            header.base_sequence = random.below(3) as i32 - 1;
        }
        6 => header.max_timestamp = random.below(5) - 2,
        7 => header.base_timestamp = NOW + random.below(100),
        _ => header.attributes.0 = (header.attributes.0 & !7) | random.below(8) as i16,
    }
}

fn spoil_set(random: &mut Random, bytes: &mut Vec<u8>) {
    if random.one_in(40) {
        let at = offsets_of::MAGIC + random.index(bytes.len() - offsets_of::MAGIC);
        bytes[at] ^= 1 << random.below(8);
    }
    if random.one_in(60) {
        bytes.extend_from_within(..random.index(61));
    }
    if random.one_in(60) {
        bytes.extend_from_within(..);
    }
}

fn write_case(out: &mut impl Write, rules: &AppendRules, origin: AppendOrigin, records: &[u8]) -> io::Result<()> {
    let target = match rules.compression {
        TargetCompression::Producer => u8::MAX,
        TargetCompression::Fixed(compression) => compression.codec.id(),
    };
    let stamps = rules.timestamp_type == TimestampType::LogAppendTime;
    let is_coordinator = origin == AppendOrigin::Coordinator;
    out.write_all(&[u8::from(rules.is_compacted), u8::from(stamps), target, u8::from(is_coordinator)])?;
    for number in [rules.timestamp_before_max_ms, rules.timestamp_after_max_ms, NOW] {
        out.write_all(&number.to_be_bytes())?;
    }
    out.write_all(&(rules.message_bytes_max as u32).to_be_bytes())?;
    out.write_all(&(records.len() as u32).to_be_bytes())?;
    out.write_all(records)
}

fn verdict(records: &Bytes, origin: AppendOrigin, rules: &AppendRules) -> String {
    match validate(records, origin, NOW, rules) {
        Err(error) => {
            let indexes: Vec<_> = error.rejections().iter().map(|record| record.index.to_string()).collect();
            format!("ERR {} [{}]", error.error_code().name(), indexes.join(","))
        }
        Ok(mut batch) => {
            batch.assign(Offset(1_000), LeaderEpoch(3));
            let bytes = [&batch.header_bytes()[..], batch.body()].concat();
            let text = std::panic::catch_unwind(|| describe::describe(&bytes));
            let text = text.map_or("unreadable".into(), |text| format!("{:08x}", crc32c::crc32c(text.as_bytes())));
            // Codecs differ in the bytes they write; what they hold is compared then.
            let whole = if batch.is_rebuilt() { "-".into() } else { format!("{:08x}", crc32c::crc32c(&bytes)) };
            let header = batch.header();
            let (max, last) = (header.max_timestamp, header.last_offset());
            format!("OK rebuilt={} max={max} last={last} {text} {whole}", batch.is_rebuilt())
        }
    }
}
