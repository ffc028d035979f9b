//! Cases for `ProducersCases.java`, which drives Kafka's `ProducerStateManager`.

use crate::Random;
use std::fmt::Write as _;
use std::io::{self, Write};
use whimbrel_model::record::{
    BatchBuilder, BatchOptions, EndTxnMarker, HEADER_BYTES, RecordBatch, assign_offset, increment_sequence,
};
use whimbrel_model::{ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use whimbrel_storage::producer_state::{ProducerEntry, ProducerStates, Verdict, decode_snapshot};
use whimbrel_storage::validator::AppendOrigin;

const LOGS: usize = 6_000;
const EXPIRATION_MS: i64 = 60;

pub fn run(random: &mut Random, cases: &mut impl Write, verdicts: &mut impl Write) -> io::Result<()> {
    for _ in 0..LOGS {
        cases.write_all(b"n")?;
        let first_sequence = if random.one_in(3) { i32::MAX - 6 } else { 0 };
        let mut log = Log { states: ProducerStates::new(), end: Offset(0), now: 1_000, first_sequence };
        for _ in 0..random.below(50) {
            log.now += random.below(9);
            let verdict = match random.below(14) {
                0 => log.settle(random, cases)?,
                1 => log.expire(cases)?,
                2 => log.reload(cases)?,
                3 | 4 => log.marker(random, cases)?,
                _ => log.data(random, cases)?,
            };
            writeln!(verdicts, "{verdict} {}", describe(&log.states))?;
        }
    }
    Ok(())
}

struct Log {
    states: ProducerStates,
    end: Offset,
    now: i64,
    first_sequence: i32,
}

impl Log {
    fn settle(&mut self, random: &mut Random, cases: &mut impl Write) -> io::Result<String> {
        let high_watermark = self.end.0 - random.below(4);
        write_number(cases, b'h', high_watermark)?;
        self.states.settle_below(Offset(high_watermark));
        Ok("h".into())
    }

    fn expire(&mut self, cases: &mut impl Write) -> io::Result<String> {
        write_number(cases, b'e', self.now)?;
        self.states.remove_expired(self.now, EXPIRATION_MS);
        Ok("e".into())
    }

    fn reload(&mut self, cases: &mut impl Write) -> io::Result<String> {
        write_number(cases, b's', self.now)?;
        let entries = decode_snapshot(&self.states.snapshot()).map_err(io::Error::other)?;
        self.states.load(&entries, self.now, EXPIRATION_MS);
        Ok("s".into())
    }

    fn marker(&mut self, random: &mut Random, cases: &mut impl Write) -> io::Result<String> {
        let (id, epoch, _) = self.producer(random);
        let coordinator_epoch = random.below(4) as i32;
        let marker = EndTxnMarker { is_commit: random.one_in(2), coordinator_epoch, timestamp: self.now };
        let batch = marker.to_batch(id, epoch).map_err(io::Error::other)?;
        let origin = random.pick(&[AppendOrigin::Coordinator, AppendOrigin::Coordinator, AppendOrigin::Replication]);
        self.append(&batch, Some(&marker), origin, cases)
    }

    fn data(&mut self, random: &mut Random, cases: &mut impl Write) -> io::Result<String> {
        let (id, epoch, known) = self.producer(random);
        let (base_sequence, count) = self.sequences(random, known.as_ref());
        let is_in_txn = known.is_some_and(|entry| entry.current_txn_first_offset.is_some());
        let is_transactional = if random.one_in(10) { !is_in_txn } else { is_in_txn || random.one_in(3) };
        let mut builder = BatchBuilder::new(BatchOptions {
            producer_id: id,
            producer_epoch: epoch,
            base_sequence,
            is_transactional,
            ..BatchOptions::default()
        });
        for _ in 0..count {
            builder.append(self.now, None, None, []).map_err(io::Error::other)?;
        }
        let batch = builder.build().map_err(io::Error::other)?;
        let origin = match random.below(8) {
            0 => AppendOrigin::Replication,
            1 => AppendOrigin::Coordinator,
            _ => AppendOrigin::Client,
        };
        self.append(&batch, None, origin, cases)
    }

    /// One of three producers, mostly with its present epoch.
    fn producer(&self, random: &mut Random) -> (ProducerId, ProducerEpoch, Option<ProducerEntry>) {
        let id = ProducerId(random.below(3));
        let known = self.states.get(id).cloned();
        let epoch = known.as_ref().map_or(0, |entry| entry.epoch.0);
        let step = if random.one_in(8) { random.below(3) as i16 - 1 } else { 0 };
        (id, ProducerEpoch((epoch + step).max(0)), known)
    }

    /// The next sequences, those of a batch that is there already, or wrong ones.
    fn sequences(&self, random: &mut Random, known: Option<&ProducerEntry>) -> (i32, i32) {
        let count = 1 + random.below(3) as i32;
        let Some(entry) = known else { return (self.first_sequence, count) };
        if !entry.batches().is_empty() && random.one_in(4) {
            let again = random.pick(entry.batches());
            return (again.base_sequence(), again.offset_delta + 1);
        }
        if random.one_in(10) {
            return (random.below(4) as i32, count);
        }
        let next = entry.last_batch().map_or(0, |batch| increment_sequence(batch.last_sequence, 1));
        (next, count)
    }

    fn append(
        &mut self,
        batch: &[u8],
        marker: Option<&EndTxnMarker>,
        origin: AppendOrigin,
        cases: &mut impl Write,
    ) -> io::Result<String> {
        let mut bytes = batch.to_vec();
        if let Some(header) = bytes.first_chunk_mut::<HEADER_BYTES>() {
            assign_offset(header, self.end, LeaderEpoch(0));
        }
        let header = RecordBatch::parse(&bytes).map_err(io::Error::other)?.header;
        let origin_id = match origin {
            AppendOrigin::Client => 0,
            AppendOrigin::Coordinator => 1,
            AppendOrigin::Replication => 2,
        };
        cases.write_all(&[b'b', origin_id])?;
        cases.write_all(&(bytes.len() as u32).to_be_bytes())?;
        cases.write_all(&bytes)?;
        Ok(match self.states.check(&header, marker, origin) {
            Err(error) => format!("b {}", error.error_code().name()),
            Ok(Verdict::Duplicate(batch)) => {
                format!("b DUPLICATE {} {} {}", batch.base_offset(), batch.last_offset, batch.timestamp)
            }
            // Kafka does not know what is older than the batches that it remembers.
            Ok(Verdict::Forgotten { .. }) => format!("b {}", ErrorCode::OutOfOrderSequenceNumber.name()),
            Ok(Verdict::Append(update)) => {
                self.end = header.next_offset();
                match self.states.apply(&update) {
                    None => "b OK".into(),
                    Some(txn) => format!(
                        "b OK txn {} {} {} {} {}",
                        txn.producer_id, txn.first_offset, txn.last_offset, txn.is_aborted, txn.last_stable_offset
                    ),
                }
            }
        })
    }
}

fn write_number(cases: &mut impl Write, operation: u8, number: i64) -> io::Result<()> {
    cases.write_all(&[operation])?;
    cases.write_all(&number.to_be_bytes())
}

/// The whole state, in the words of the Java program.
fn describe(states: &ProducerStates) -> String {
    let offset = |offset: Option<Offset>| offset.map_or(-1, |offset| offset.0);
    let (unstable, undecided) = (offset(states.first_unstable_offset()), offset(states.first_undecided_offset()));
    let mut text = format!("unstable={unstable} undecided={undecided} ");
    let mut producers: Vec<_> = states.iter().collect();
    producers.sort_unstable_by_key(|(id, _)| *id);
    for (id, entry) in producers {
        let txn = offset(entry.current_txn_first_offset);
        let _ = write!(text, "{id}:{},{},{},{txn}[", entry.epoch, entry.coordinator_epoch, entry.last_timestamp);
        for batch in entry.batches() {
            let (first, last) = (batch.base_sequence(), batch.last_sequence);
            let _ = write!(text, "({first},{last},{},{},{})", batch.base_offset(), batch.last_offset, batch.timestamp);
        }
        text.push(']');
    }
    text
}
