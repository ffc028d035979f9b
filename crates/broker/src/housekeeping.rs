//! What a broker does from time to time, whether or not anybody asks: checkpoints, retention, deletion of old files, and
//! of idempotent producers that fell silent.
//!
//! One task for the passes over all logs, and one for the deletion, which may take minutes and keeps no checkpoint waiting.
//! Each pass is on a thread that may block; one that takes longer than its interval is not started twice.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use whimbrel_storage::LogManager;

use crate::config::LogSettings;
use crate::time;

/// How often files whose time has come are removed (`file.delete.delay.ms` after their deletion).
const DELETION_INTERVAL: Duration = Duration::from_secs(1);

/// `log.flush.scheduler.interval.ms` is off by default in Kafka; the topics' own `flush.ms` is looked at this often.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// When producers are forgotten (`producer.id.expiration.*`).
#[derive(Debug, Clone, Copy)]
pub struct ProducerExpiry {
    pub after: Duration,
    pub check_interval: Duration,
}

/// Runs until `stop`.
pub async fn run(logs: Arc<LogManager>, settings: LogSettings, producers: ProducerExpiry, stop: CancellationToken) {
    tokio::join!(passes(&logs, settings, producers, &stop), deletions(&logs, &stop));
}

fn every(period: Duration, first: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + first, period.max(Duration::from_millis(1)));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn deletions(logs: &Arc<LogManager>, stop: &CancellationToken) {
    let mut interval = every(DELETION_INTERVAL, DELETION_INTERVAL);
    while stop.run_until_cancelled(interval.tick()).await.is_some() {
        if logs.next_deletion_ms().is_some_and(|due| due <= time::wall_clock_ms()) {
            run_pass(Pass::Deletion, logs).await;
        }
    }
}

async fn run_pass(pass: Pass, logs: &Arc<LogManager>) {
    let logs = logs.clone();
    if tokio::task::spawn_blocking(move || pass.run(&logs)).await.is_err() {
        tracing::error!(?pass, "a housekeeping pass panicked");
    }
}

async fn passes(logs: &Arc<LogManager>, settings: LogSettings, producers: ProducerExpiry, stop: &CancellationToken) {
    // What lies below the checkpointed recovery point is never cut after a crash, damaged or not: the sooner a flush is
    // noted the better. Kafka's minute is kept as the upper bound, and a pass without news writes nothing.
    let recovery = settings.recovery_point_checkpoint_interval.min(settings.high_watermark_checkpoint_interval);
    let start = settings.start_offset_checkpoint_interval;
    let high_watermark = settings.high_watermark_checkpoint_interval;
    let flush = settings.flush_scheduler_interval.unwrap_or(FLUSH_INTERVAL);
    let mut recovery = every(recovery, recovery);
    let mut start = every(start, start);
    let mut high_watermark = every(high_watermark, high_watermark);
    let mut retention = every(settings.retention_check_interval, settings.initial_task_delay);
    let mut flush = every(flush, flush);
    let mut expiry = every(producers.check_interval, producers.check_interval);
    loop {
        let pass = tokio::select! {
            () = stop.cancelled() => return,
            _ = recovery.tick() => Pass::RecoveryPoints,
            _ = start.tick() => Pass::LogStarts,
            _ = high_watermark.tick() => Pass::HighWatermarks,
            _ = retention.tick() => Pass::Retention,
            _ = flush.tick() => Pass::Flush,
            _ = expiry.tick() => Pass::Producers { expire_after: producers.after },
        };
        run_pass(pass, logs).await;
    }
}

#[derive(Debug, Clone, Copy)]
enum Pass {
    RecoveryPoints,
    LogStarts,
    HighWatermarks,
    Retention,
    Flush,
    Deletion,
    Producers { expire_after: Duration },
}

impl Pass {
    fn run(self, logs: &LogManager) {
        let now_ms = time::wall_clock_ms();
        match self {
            Self::RecoveryPoints => logs.checkpoint_recovery_points(),
            Self::LogStarts => logs.checkpoint_log_starts(),
            Self::HighWatermarks => logs.checkpoint_high_watermarks(),
            Self::Flush => logs.flush_pass(now_ms),
            Self::Retention => {
                let totals = logs.retention_pass(now_ms);
                if 0 < totals.segments {
                    tracing::info!(segments = totals.segments, bytes = totals.bytes, "retention removed segments");
                }
            }
            Self::Producers { expire_after } => {
                let after_ms = i64::try_from(expire_after.as_millis()).unwrap_or(i64::MAX);
                for log in logs.all() {
                    log.expire_producers(now_ms, after_ms);
                }
            }
            Self::Deletion => {
                logs.deletion_pass(now_ms);
            }
        }
    }
}
