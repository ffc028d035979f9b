//! What appends and reads cost one thread: `throughput DIR BATCH_BYTES TOTAL_MIB`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use whimbrel_model::record::{BatchBuilder, BatchOptions, Header};
use whimbrel_model::{LeaderEpoch, TopicPartition};
use whimbrel_storage::{AppendOrigin, Creation, LeaderAppend, LogConfig, LogManager, LogManagerConfig, ReadMode};

type Failure = Box<dyn std::error::Error>;

const NOW_MS: i64 = 1_700_000_000_000;
const RECORD_BYTES: usize = 1024;
const FETCH_BYTES: usize = 1024 * 1024;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("which directory?")?);
    let batch_bytes: usize = arguments.next().ok_or("how large a batch?")?.parse()?;
    let total_mib: usize = arguments.next().ok_or("how much?")?.parse()?;
    let (manager, _) = LogManager::open(LogManagerConfig::new(vec![dir]), NOW_MS)?;
    let how = Creation { topic_id: None, is_new: true, now_ms: NOW_MS };
    let log = manager.get_or_create(&TopicPartition::new("fast", 0), Arc::new(LogConfig::default()), how)?;
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for _ in 0..batch_bytes.div_ceil(RECORD_BYTES) {
        let size = RECORD_BYTES.min(batch_bytes);
        builder.append(NOW_MS, None, Some(&vec![7; size]), std::iter::empty::<Header<'_>>())?;
    }
    let batch = builder.build()?;
    let count = total_mib * 1024 * 1024 / batch.len();
    let how = LeaderAppend { leader_epoch: LeaderEpoch(0), origin: AppendOrigin::Client, now_ms: NOW_MS };
    let started = Instant::now();
    for _ in 0..count {
        log.append_as_leader(&batch, how)?;
    }
    let each = started.elapsed() / u32::try_from(count)?;
    println!("{count} appends of {} bytes: {each:?} each", batch.len());
    let started = Instant::now();
    let (mut next, mut reads) = (log.log_start_offset(), 0);
    while next < log.log_end_offset() {
        next = log.read(next, log.log_end_offset(), FETCH_BYTES, true, ReadMode::NoWait)?.next_offset;
        reads += 1;
    }
    println!("{reads} reads of {FETCH_BYTES} bytes: {:?} each", started.elapsed() / reads);
    Ok(())
}
