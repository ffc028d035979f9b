//! What many partitions cost: `many_partitions DIR COUNT create|crash-start|clean-start`.
//!
//! `create` appends one batch to each partition and ends as a crash would; the starts say how long loading took, and
//! with how much memory and how many open files.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use whimbrel_model::record::{BatchBuilder, BatchOptions, Header};
use whimbrel_model::{LeaderEpoch, TopicPartition, Uuid};
use whimbrel_storage::{AppendOrigin, Creation, LeaderAppend, LogConfig, LogManager, LogManagerConfig};

type Failure = Box<dyn std::error::Error>;

const NOW_MS: i64 = 1_700_000_000_000;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("which directory?")?);
    let count: i32 = arguments.next().ok_or("how many?")?.parse()?;
    let what = arguments.next().ok_or("create, crash-start or clean-start?")?;
    let started = Instant::now();
    let (manager, report) = LogManager::open(LogManagerConfig::new(vec![dir]), NOW_MS)?;
    for dir in &report.dirs {
        println!("{} logs, clean {}, {} threads, {:?}", dir.logs, dir.was_clean, dir.threads, started.elapsed());
    }
    if what == "create" {
        create(&manager, count)?;
    }
    usage(&manager)?;
    if what == "crash-start" {
        let started = Instant::now();
        manager.close();
        println!("closed in {:?}", started.elapsed());
        return Ok(());
    }
    std::process::exit(0);
}

fn create(manager: &LogManager, count: i32) -> Result<(), Failure> {
    let config = Arc::new(LogConfig::default());
    let how = Creation { topic_id: Some(Uuid([5; 16])), is_new: true, now_ms: NOW_MS };
    let started = Instant::now();
    let mut logs = Vec::new();
    for partition in 0..count {
        logs.push(manager.get_or_create(&TopicPartition::new("many", partition), config.clone(), how)?);
    }
    println!("created in {:?}", started.elapsed());
    let started = Instant::now();
    for log in &logs {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(NOW_MS, None, Some(&[7; 100]), std::iter::empty::<Header<'_>>())?;
        let how = LeaderAppend { leader_epoch: LeaderEpoch(0), origin: AppendOrigin::Client, now_ms: NOW_MS };
        log.append_as_leader(&builder.build()?, how)?;
    }
    println!("appended in {:?}", started.elapsed());
    let started = Instant::now();
    manager.checkpoint_recovery_points();
    manager.checkpoint_high_watermarks();
    println!("checkpoints in {:?}", started.elapsed());
    Ok(())
}

fn usage(manager: &LogManager) -> Result<(), Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let rss = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    println!("{rss}, {} segment files open", manager.open_files());
    Ok(())
}
