//! Fills the file system of a directory, to see that a full disk is refused and left again: `fill_disk DIR RESERVE`.
//!
//! Meant for a small file system (`mount -t tmpfs -o size=8m`). With a reserve of 0 the disk is full in the middle of
//! writes; with one above 0 before.

use std::path::PathBuf;
use std::sync::Arc;

use whimbrel_model::record::{BatchBuilder, BatchOptions, Header};
use whimbrel_model::{LeaderEpoch, TopicPartition};
use whimbrel_storage::{
    AppendError, AppendOrigin, Creation, LeaderAppend, LogConfig, LogManager, LogManagerConfig, ReadMode,
};

type Failure = Box<dyn std::error::Error>;

const NOW_MS: i64 = 1_700_000_000_000;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("which directory?")?);
    let reserved_bytes = arguments.next().ok_or("which reserve?")?.parse()?;
    let mut config = LogConfig { segment_bytes: 300_000, retention_bytes: 1_000_000, ..LogConfig::default() };
    config.rules.segment_bytes = 300_000;
    let manager_config = LogManagerConfig { reserved_bytes, ..LogManagerConfig::new(vec![dir.clone()]) };
    let (manager, _) = LogManager::open(manager_config, NOW_MS)?;
    let how = Creation { topic_id: None, is_new: true, now_ms: NOW_MS };
    let log = manager.get_or_create(&TopicPartition::new("full", 0), Arc::new(config), how)?;
    for round in 0..3 {
        let mut refusals = 0;
        while refusals < 50 {
            let mut builder = BatchBuilder::new(BatchOptions::default());
            builder.append(NOW_MS, None, Some(&[7; 9_973]), std::iter::empty::<Header<'_>>())?;
            let how = LeaderAppend { leader_epoch: LeaderEpoch(round), origin: AppendOrigin::Client, now_ms: NOW_MS };
            match log.append_as_leader(&builder.build()?, how) {
                Ok(_) => {}
                Err(AppendError::Storage(error)) if error.is_full() => refusals += 1,
                Err(error) => return Err(error.into()),
            }
        }
        println!("full at offset {}, offline: {:?}", log.log_end_offset(), manager.dirs()[0].offline);
        log.set_high_watermark(log.log_end_offset());
        let freed = manager.retention_pass(NOW_MS);
        manager.deletion_pass(i64::MAX);
        println!("freed {freed:?}");
    }
    let mut next = log.log_start_offset();
    while next < log.log_end_offset() {
        next = log.read(next, log.log_end_offset(), 1, true, ReadMode::NoWait)?.next_offset;
    }
    manager.close();
    drop((log, manager));
    let (manager, report) = LogManager::open(LogManagerConfig::new(vec![dir]), NOW_MS)?;
    println!("read back to {next}; clean {}, {:?}", report.dirs[0].was_clean, report.dirs[0].failed);
    manager.close();
    Ok(())
}
