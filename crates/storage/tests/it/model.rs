//! A log against a list of batches, under random operations, stops and crashes.

use std::sync::Arc;

use proptest::prelude::*;
use whimbrel_model::record::Batches;
use whimbrel_model::{LeaderEpoch, Offset};
use whimbrel_storage::{Log, LogConfig, LogManager, ReadMode};

use crate::helpers::*;

#[derive(Debug, Clone)]
enum Op {
    Append { count: usize, size: usize },
    Replicate { gap: i64, count: usize },
    Truncate { back: i64 },
    DeleteRecords { forward: i64 },
    Retention,
    Flush,
    Checkpoint,
    Restart,
    Crash,
    Read { at: i64, max: usize },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1..6usize, 1..120usize).prop_map(|(count, size)| Op::Append { count, size }),
        2 => (0..40i64, 1..5usize).prop_map(|(gap, count)| Op::Replicate { gap, count }),
        1 => (0..30i64).prop_map(|back| Op::Truncate { back }),
        1 => (0..30i64).prop_map(|forward| Op::DeleteRecords { forward }),
        1 => Just(Op::Retention),
        1 => Just(Op::Flush),
        1 => Just(Op::Checkpoint),
        1 => Just(Op::Restart),
        1 => Just(Op::Crash),
        4 => (0..400i64, 1..2000usize).prop_map(|(at, max)| Op::Read { at, max }),
    ]
}

/// What the log should hold.
#[derive(Default)]
struct Model {
    batches: Vec<(i64, i64)>,
    start: i64,
    end: i64,
}

struct World {
    dir: tempfile::TempDir,
    config: LogConfig,
    manager: Arc<LogManager>,
    log: Arc<Log>,
    model: Model,
    crashes: Vec<tempfile::TempDir>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let config = LogConfig { retention_bytes: 3000, retention_ms: -1, ..small_segments(900) };
        let (manager, _) = open_with(&[dir.path()], &config);
        let log = create(&manager, 0, &config);
        Self { dir, config, manager, log, model: Model::default(), crashes: Vec::new() }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Append { count, size } => {
                let info = append(&self.log, &batch(count, size, NOW_MS));
                assert_eq!(info.first_offset, Offset(self.model.end));
                self.push(info.last_offset.0);
            }
            Op::Replicate { gap, count } => {
                self.model.end += gap;
                let records = replica_batch(self.model.end, 1, count);
                let info = self.log.append_as_follower(&records, NOW_MS).expect("appended").expect("a batch");
                self.push(info.last_offset.0);
            }
            Op::Truncate { back } => self.truncate((self.model.end - back).max(0)),
            Op::DeleteRecords { forward } => {
                let to = (self.model.start + forward).min(self.model.end);
                self.log.set_high_watermark(Offset(self.model.end));
                self.log.delete_records_before(Offset(to)).expect("deleted");
                self.model.start = self.model.start.max(to);
            }
            Op::Retention => {
                self.log.set_high_watermark(Offset(self.model.end));
                self.manager.retention_pass(NOW_MS);
                let start = self.log.log_start_offset().0;
                assert!(self.model.start <= start);
                self.model.start = start;
                self.manager.deletion_pass(i64::MAX);
            }
            Op::Flush => {
                self.log.request_flush();
            }
            Op::Checkpoint => {
                self.manager.checkpoint_recovery_points();
                self.manager.checkpoint_log_starts();
                self.manager.checkpoint_high_watermarks();
            }
            Op::Restart => {
                self.manager.close();
                let path = self.dir.path().to_owned();
                self.reopen(&path);
            }
            Op::Crash => {
                // A log start that was not checkpointed would be gone; the records are there.
                self.manager.checkpoint_log_starts();
                let copy = tempfile::tempdir().expect("a directory");
                copy_tree(self.dir.path(), copy.path());
                self.manager.close();
                let path = copy.path().to_owned();
                self.crashes.push(std::mem::replace(&mut self.dir, copy));
                self.reopen(&path);
            }
            Op::Read { at, max } => self.read(at, max),
        }
        assert_eq!(self.log.log_start_offset(), Offset(self.model.start), "{op:?}");
        assert!(self.log.flushed_offset() <= self.log.log_end_offset());
    }

    fn push(&mut self, last: i64) {
        let base = if let Some(&(_, before)) = self.model.batches.last() { before + 1 } else { 0 };
        self.model.batches.push((self.model.end.max(base), last));
        self.model.end = last + 1;
        assert_eq!(self.log.log_end_offset(), Offset(self.model.end));
    }

    fn truncate(&mut self, to: i64) {
        self.log.truncate_to(Offset(to), NOW_MS).expect("truncated");
        if to < self.model.end {
            self.model.batches.retain(|(_, last)| *last < to);
            self.model.end = to;
            self.model.start = self.model.start.min(to);
            // Below the first segment the log starts anew.
            let start = self.log.log_start_offset().0;
            assert!(start == self.model.start || start == to);
            self.model.start = start;
        }
        assert_eq!(self.log.log_end_offset(), Offset(self.model.end));
    }

    fn reopen(&mut self, path: &std::path::Path) {
        let (manager, report) = open_with(&[path], &self.config);
        assert!(report.dirs[0].failed.is_empty(), "{report:?}");
        self.log = manager.get(&tp(0)).expect("the log");
        self.manager = manager;
        // Offsets that hold no record at the end are not written anywhere.
        let end = self.log.log_end_offset().0;
        let last = self.model.batches.last().map_or(0, |(_, last)| last + 1);
        assert!(
            last.max(self.model.start) <= end && end <= self.model.end.max(last),
            "{last} {end} {}",
            self.model.end
        );
        self.model.end = end;
    }

    fn read(&self, at: i64, max: usize) {
        let from = (self.model.start + at).min(self.model.end);
        let result = self.log.read(Offset(from), Offset(self.model.end), max, true, ReadMode::MayBlock).expect("read");
        let expected: Vec<_> = self.model.batches.iter().filter(|(_, last)| from <= *last).copied().collect();
        let found: Vec<_> = Batches::new(&result.records.clone().into_bytes())
            .map(|b| b.expect("a batch").header)
            .map(|h| (h.base_offset.0, h.last_offset().0))
            .collect();
        assert_eq!(found.is_empty(), expected.is_empty(), "from {from}");
        assert_eq!(found, expected[..found.len()], "from {from}");
        assert!(result.records.len() <= max || found.len() == 1);
    }

    fn check_all(&self) {
        let expected: Vec<_> =
            self.model.batches.iter().filter(|(_, last)| self.model.start <= *last).copied().collect();
        assert_eq!(read_all(&self.log, self.model.start), expected);
        if let Some(epoch) = self.log.latest_epoch() {
            assert!(LeaderEpoch(0) <= epoch);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_log_behaves_as_a_list_of_batches(ops in proptest::collection::vec(op(), 1..60)) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
        }
        world.check_all();
    }
}
