//! Opens a log directory and prints one line per partition: name, log start, log end, batches, records, segments,
//! producers, leader epochs. What the start had to repair goes to standard error.

use std::path::PathBuf;

use whimbrel_model::record::{Batches, DecompressionBuffer};
use whimbrel_storage::{Log, LogConfig, LogManager, LogManagerConfig, ReadMode};

type Failure = Box<dyn std::error::Error>;

const NOW_MS: i64 = 1_700_000_000_000;
const RECORDS_BYTES_MAX: usize = 64 * 1024 * 1024;

fn main() -> Result<(), Failure> {
    let dir = PathBuf::from(std::env::args().nth(1).ok_or("which directory?")?);
    let config = LogConfig { index_interval_bytes: 1024, ..LogConfig::default() };
    let config = LogManagerConfig { default_log: config, ..LogManagerConfig::new(vec![dir]) };
    let (manager, report) = LogManager::open(config, NOW_MS)?;
    eprintln!("{report:#?}");
    let mut logs = manager.all();
    logs.sort_by_key(|log| log.topic_partition().clone());
    for log in logs {
        print(&log)?;
    }
    manager.close();
    Ok(())
}

fn print(log: &std::sync::Arc<Log>) -> Result<(), Failure> {
    let mut next = log.log_start_offset();
    let (mut batches, mut records, mut producers) = (0, 0, 0);
    while next < log.log_end_offset() {
        let read = log.read(next, log.log_end_offset(), 10_000, true, ReadMode::MayBlock)?;
        if read.records.is_empty() {
            return Err(format!("no progress at {next}").into());
        }
        for batch in Batches::new(&read.records.into_bytes()) {
            let batch = batch?;
            batch.verify_crc()?;
            let mut buffer = DecompressionBuffer::default();
            batches += 1;
            records += batch.records(batch.decompressed(RECORDS_BYTES_MAX, &mut buffer)?).count();
        }
        next = read.next_offset;
    }
    log.for_each_producer(|_, _| producers += 1);
    let (start, end, segments) = (log.log_start_offset(), log.log_end_offset(), log.segment_count());
    let epochs: Vec<_> = log.epoch_entries().iter().map(|e| format!("{}@{}", e.epoch, e.start)).collect();
    let name = log.topic_partition();
    println!("{name} {start} {end} {batches} {records} segments {segments} producers {producers} epochs {epochs:?}");
    let by_time = log.offset_for_timestamp(NOW_MS + 400)?;
    let max = log.offset_of_max_timestamp()?;
    println!(
        "  at +400 ms: {:?}, latest timestamp: {:?}",
        by_time.map(|t| t.offset),
        max.map(|t| (t.timestamp, t.offset))
    );
    Ok(())
}
