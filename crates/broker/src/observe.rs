//! What the broker tells its metrics when somebody looks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use whimbrel_keeper::KeeperHandle;

use crate::Broker;
use crate::metrics::{Gauges, LogDirFigures, set};

impl Broker {
    /// Has the metrics look at this broker, and at its keeper if it has one. Neither is kept alive by that.
    pub(crate) fn observe(self: &Arc<Self>, keeper: Option<Weak<KeeperHandle>>) {
        let broker = Arc::downgrade(self);
        self.metrics.add_probe(move |gauges| {
            if let Some(broker) = broker.upgrade() {
                broker.report(gauges);
            }
            if let Some(keeper) = keeper.as_ref().and_then(Weak::upgrade) {
                report_keeper(&keeper, gauges);
            }
        });
    }

    fn report(&self, gauges: &Gauges) {
        let partitions = self.replicas.partitions();
        set(&gauges.partitions, partitions.len());
        set(&gauges.leaders, self.replicas.leader_count());
        set(&gauges.fetch_sessions, self.fetch_sessions.lock().len());
        set(&gauges.open_segments, self.replicas.logs().open_files());
        gauges.waiting("partitions", partitions.iter().map(|partition| partition.waiting()).sum());
        let is_controller = self.controller().is_some_and(crate::controller::ControllerHandle::is_active);
        gauges.active_controller.set(i64::from(is_controller));
        set(&gauges.suspected_brokers, self.liveness().map_or(0, |monitor| monitor.reported()));
        gauges.zookeeper_connected.set(i64::from(self.coordination.is_connected()));
        self.report_log_dirs(gauges);
    }

    fn report_log_dirs(&self, gauges: &Gauges) {
        let logs = self.replicas.logs();
        let mut log_bytes: BTreeMap<PathBuf, u64> = BTreeMap::new();
        for log in logs.all() {
            // The directory of a log is below its log directory.
            let dir = log.path().parent().map(PathBuf::from).unwrap_or_default();
            *log_bytes.entry(dir).or_default() += log.size_bytes();
        }
        for dir in logs.dirs() {
            let figures = LogDirFigures {
                log_bytes: log_bytes.get(&dir.path).copied().unwrap_or(0),
                free_bytes: u64::try_from(dir.usable_bytes).unwrap_or(0),
                is_online: dir.offline.is_none(),
                flushes: dir.flushes,
                flush_time: Duration::from_nanos(dir.flush_nanos),
            };
            gauges.log_dir(&dir.path.display().to_string(), &figures);
        }
    }
}

fn report_keeper(keeper: &KeeperHandle, gauges: &Gauges) {
    let stats = keeper.stats();
    set(&gauges.keeper_nodes, stats.znodes);
    set(&gauges.keeper_sessions, stats.sessions);
    set(&gauges.keeper_watches, stats.watches);
}
