//! What the broker tells its metrics when somebody looks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use whimbrel_keeper::KeeperHandle;
use whimbrel_model::NodeId;
use whimbrel_state::controller::control::UpdateMetadataPartition;

use crate::Broker;
use crate::metrics::{ClusterCounts, ClusterGauges, Gauges, LogDirFigures, set};
use crate::replica_manager::{Partition, Standing};

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
        set(&gauges.damaged, self.replicas.logs().damaged_count());
        set(&gauges.fetch_sessions, self.fetch_sessions.lock().len());
        set(&gauges.open_segments, self.replicas.logs().open_files());
        gauges.waiting("partitions", partitions.iter().map(|partition| partition.waiting()).sum());
        let is_controller = self.controller().is_some_and(crate::controller::ControllerHandle::is_active);
        gauges.active_controller.set(i64::from(is_controller));
        set(&gauges.suspected_brokers, self.liveness().map_or(0, |monitor| monitor.reported()));
        gauges.zookeeper_connected.set(i64::from(self.coordination.is_connected()));
        self.report_cluster(&gauges.cluster, &partitions, is_controller);
        self.report_log_dirs(gauges);
    }

    fn report_cluster(&self, gauges: &ClusterGauges, partitions: &[Arc<Partition>], is_controller: bool) {
        let led: Vec<Standing> = partitions.iter().filter_map(|partition| partition.standing()).collect();
        let count = |holds: fn(&Standing) -> bool| led.iter().filter(|standing| holds(standing)).count();
        set(&gauges.under_replicated, count(|standing| standing.in_sync < standing.replicas));
        set(&gauges.under_min_isr, count(|standing| standing.in_sync < standing.required));
        set(&gauges.at_min_isr, count(|standing| standing.in_sync == standing.required));
        let mut lags: BTreeMap<NodeId, (i64, i64)> = BTreeMap::new();
        for (node, lag) in led.iter().flat_map(|standing| &standing.lags) {
            let (total, worst) = lags.entry(*node).or_default();
            (*total, *worst) = (total.saturating_add(*lag), (*worst).max(*lag));
        }
        gauges.clear_followers();
        for (node, (total, worst)) in lags {
            gauges.follower_lag(node.0, total, worst);
        }
        let image = self.metadata.image();
        let of_all = |holds: fn(&UpdateMetadataPartition) -> bool| {
            let partitions = image.topics().flat_map(|topic| topic.partitions.values());
            if is_controller { partitions.filter(|partition| holds(partition)).count() } else { 0 }
        };
        set(&gauges.offline, of_all(|partition| partition.leader.0 < 0));
        set(&gauges.preferred_imbalance, of_all(|partition| partition.replicas.first() != Some(&partition.leader)));
        set(&gauges.alive_brokers, image.brokers.len());
        gauges.controller_epoch.set(image.controller.map_or(0, |(_, epoch)| i64::from(epoch.0)));
        gauges.broker_epoch.set(self.coordination.broker_epoch().0);
        set(&gauges.controller_queue, self.controller().map_or(0, |controller| controller.stats().queue()));
        self.count_cluster(gauges, image.elections);
    }

    fn count_cluster(&self, gauges: &ClusterGauges, elections: u64) {
        let (isr_shrinks, isr_expands) = self.replicas.isr_changes();
        let calls = self.coordination.latency();
        let (controller_writes, controller_write_time) =
            self.controller().map(|controller| controller.stats().writes()).unwrap_or_default();
        gauges.zookeeper_longest.set(calls.longest.as_secs_f64());
        gauges.count(&ClusterCounts {
            isr_shrinks,
            isr_expands,
            elections,
            controller_writes,
            controller_write_time,
            zookeeper_calls: calls.calls,
            zookeeper_time: calls.total,
            zookeeper_expirations: self.coordination.expirations(),
        });
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
