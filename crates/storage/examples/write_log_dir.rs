//! Writes a log directory for Apache Kafka's own classes to open: `write_log_dir DIR [--crash]`.
//!
//! Several partitions with many segments, idempotent producers, an aborted and a committed transaction, a raised log
//! start. With `--crash` the process ends without closing anything.

use std::path::PathBuf;
use std::sync::Arc;

use whimbrel_model::record::{BatchBuilder, BatchOptions, EndTxnMarker, Header};
use whimbrel_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicPartition, Uuid};
use whimbrel_storage::{
    AppendOrigin, Creation, LeaderAppend, Log, LogConfig, LogManager, LogManagerConfig, MetaProperties,
    write_meta_properties,
};

type Failure = Box<dyn std::error::Error>;

const NOW_MS: i64 = 1_700_000_000_000;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("which directory?")?);
    let is_crash = arguments.next().as_deref() == Some("--crash");
    let mut config = LogConfig { segment_bytes: 64 * 1024, index_interval_bytes: 1024, ..LogConfig::default() };
    config.rules.segment_bytes = 64 * 1024;
    let manager_config = LogManagerConfig { default_log: config.clone(), ..LogManagerConfig::new(vec![dir.clone()]) };
    let (manager, _) = LogManager::open(manager_config, NOW_MS)?;
    let meta =
        MetaProperties { cluster_id: Some("abcdefghijklmnopqrstuv".into()), broker_id: Some(1), ..Default::default() };
    write_meta_properties(&dir, &meta)?;
    let config = Arc::new(config);
    let how = Creation { topic_id: Some(Uuid([5; 16])), is_new: true, now_ms: NOW_MS };
    let create =
        |name: &str, partition| manager.get_or_create(&TopicPartition::new(name, partition), config.clone(), how);
    create("empty", 0)?;
    write_plain(&create("plain", 0)?)?;
    write_transactions(&create("txn", 0)?)?;
    write_epochs(&create("epochs", 0)?)?;
    let started = create("started", 0)?;
    write_plain(&started)?;
    started.set_high_watermark(started.log_end_offset());
    started.delete_records_before(Offset(1234))?;
    manager.retention_pass(NOW_MS);
    manager.checkpoint_recovery_points();
    manager.checkpoint_log_starts();
    if is_crash {
        std::process::exit(0);
    }
    manager.close();
    for log in manager.all() {
        println!("{} {} {}", log.topic_partition(), log.log_start_offset(), log.log_end_offset());
    }
    Ok(())
}

fn leader(origin: AppendOrigin, epoch: i32) -> LeaderAppend {
    LeaderAppend { leader_epoch: LeaderEpoch(epoch), origin, now_ms: NOW_MS }
}

fn batch(options: BatchOptions, count: usize, i: usize) -> Result<bytes::Bytes, Failure> {
    let mut builder = BatchBuilder::new(options);
    for n in 0..count {
        let value = format!("value {i} {n} {}", "x".repeat(i % 90));
        let header = Header { key: b"h", value: Some(b"v") };
        builder.append(NOW_MS + (i % 700) as i64, Some(b"key"), Some(value.as_bytes()), [header])?;
    }
    Ok(builder.build()?)
}

fn write_plain(log: &Arc<Log>) -> Result<(), Failure> {
    for i in 0..1000 {
        log.append_as_leader(&batch(BatchOptions::default(), 1 + i % 4, i)?, leader(AppendOrigin::Client, 0))?;
    }
    Ok(())
}

fn write_epochs(log: &Arc<Log>) -> Result<(), Failure> {
    for i in 0..300 {
        let epoch = i as i32 / 100 * 3;
        log.append_as_leader(&batch(BatchOptions::default(), 2, i)?, leader(AppendOrigin::Client, epoch))?;
    }
    Ok(())
}

fn write_transactions(log: &Arc<Log>) -> Result<(), Failure> {
    let mut sequences = [0; 3];
    for i in 0..600 {
        let producer = i % 3;
        let options = BatchOptions {
            producer_id: ProducerId(100 + producer as i64),
            producer_epoch: ProducerEpoch(1),
            base_sequence: sequences[producer],
            is_transactional: producer != 0,
            ..BatchOptions::default()
        };
        log.append_as_leader(&batch(options, 3, i)?, leader(AppendOrigin::Client, 0))?;
        sequences[producer] += 3;
        if producer != 0 && i % 10 == 7 {
            let marker = EndTxnMarker { is_commit: i % 20 == 7, coordinator_epoch: 4, timestamp: NOW_MS };
            let batch = marker.to_batch(options.producer_id, options.producer_epoch)?;
            log.append_as_leader(&batch, leader(AppendOrigin::Coordinator, 0))?;
        }
    }
    Ok(())
}
