//! What all handlers share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use whimbrel_model::NodeId;
use whimbrel_state::controller::control::{ControllerRequest, ControllerResponse};
use whimbrel_state::fetch_session::FetchSessions;
use whimbrel_storage::LogManager;

use crate::config::{BrokerConfig, ConfigError, TopicConfig};
use crate::controller::ControllerHandle;
use crate::coordination::Coordination;
use crate::gate::Gate;
use crate::group_coordinator::GroupCoordinator;
use crate::interbroker::{PeerOptions, ToController};
use crate::liveness::Monitor;
use crate::metadata_cache::{MetadataCache, MetadataImage};
use crate::metrics::Metrics;
use crate::replica_fetcher::ReplicaFetchers;
use crate::replica_manager::ReplicaManager;
use crate::server::{ConnectionLimits, ConnectionQuota, Listening};

/// One broker.
pub struct Broker {
    pub node_id: NodeId,
    pub cluster_id: Arc<str>,
    /// Replaced when a dynamic value changes.
    config: ArcSwap<BrokerConfig>,
    /// The settings of all topics that have none of their own.
    default_topic_config: ArcSwap<TopicConfig>,
    /// Dynamic values as last heard: of all brokers, and of this one.
    dynamic: Mutex<(BTreeMap<String, String>, BTreeMap<String, String>)>,
    pub coordination: Coordination,
    controller: OnceLock<ControllerHandle>,
    /// What this broker asks of whoever is controller.
    pub to_controller: ToController,
    pub metadata: Arc<MetadataCache>,
    pub replicas: Arc<ReplicaManager>,
    /// What fetches the partitions that others lead.
    pub fetchers: ReplicaFetchers,
    pub groups: Arc<GroupCoordinator>,
    pub fetch_sessions: Mutex<FetchSessions>,
    /// How many connections there may be.
    pub connections: Arc<ConnectionQuota>,
    pub metrics: Arc<Metrics>,
    liveness: OnceLock<Arc<Monitor>>,
    /// The listeners that are open.
    listening: Mutex<Vec<Listening>>,
    /// Told when other listeners are configured.
    pub(crate) listeners_changed: Notify,
    /// Closed until this broker has heard from the controller.
    clients_gate: Gate,
    /// True once a stop has begun.
    is_stopping: AtomicBool,
    /// True while produce requests are passed on to the next leaders.
    is_handing_over: AtomicBool,
    /// True once every replica here has been in sync at the same moment since the start.
    has_caught_up: AtomicBool,
}

impl Broker {
    pub(crate) fn assemble(
        config: BrokerConfig,
        node_id: NodeId,
        cluster_id: Arc<str>,
        coordination: Coordination,
        logs: Arc<LogManager>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let metadata = Arc::new(MetadataCache::default());
        let replicas = Arc::new(ReplicaManager::new(node_id, logs, metadata.clone(), &config.replication));
        let to_controller = ToController::new(
            node_id,
            config.listeners.control().into(),
            metadata.clone(),
            PeerOptions::of_broker(node_id, &config.network),
        );
        let fetchers = ReplicaFetchers::new(
            replicas.clone(),
            metadata.clone(),
            config.replication.clone(),
            &config.listeners.inter_broker,
        );
        Self {
            to_controller,
            fetchers,
            node_id,
            cluster_id,
            default_topic_config: ArcSwap::from_pointee(config.topics.config.clone()),
            connections: ConnectionQuota::new(ConnectionLimits::from(&config.network)),
            fetch_sessions: Mutex::new(FetchSessions::new(config.network.fetch_sessions_max)),
            groups: GroupCoordinator::new(&config, metadata.clone(), tokio::runtime::Handle::current()),
            config: ArcSwap::from_pointee(config),
            dynamic: Mutex::default(),
            coordination,
            controller: OnceLock::new(),
            replicas,
            metadata,
            metrics,
            liveness: OnceLock::new(),
            listening: Mutex::default(),
            listeners_changed: Notify::new(),
            clients_gate: Gate::default(),
            is_stopping: AtomicBool::new(false),
            is_handing_over: AtomicBool::new(false),
            has_caught_up: AtomicBool::new(false),
        }
    }

    /// What this broker sees of others; `None` while it does not watch them.
    pub fn liveness(&self) -> Option<&Arc<Monitor>> {
        self.liveness.get()
    }

    pub(crate) fn set_liveness(&self, monitor: Arc<Monitor>) {
        // Set once, by the start; a second call would change nothing.
        let _ = self.liveness.set(monitor);
    }

    /// Returns once clients are served. Until then only controllers are: a client would be told that nothing exists.
    pub(crate) async fn open_to_clients(&self) {
        self.clients_gate.passed().await;
    }

    /// Whether records for partitions that were led here a moment ago are passed on.
    pub(crate) fn is_handing_over(&self) -> bool {
        self.is_handing_over.load(Ordering::Relaxed)
    }

    pub(crate) fn set_handing_over(&self, is_handing_over: bool) {
        self.is_handing_over.store(is_handing_over, Ordering::Relaxed);
    }

    /// From here on this broker is not ready for new clients.
    pub(crate) fn begin_stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
    }

    pub(crate) fn open_for_clients(&self) {
        self.clients_gate.open();
    }

    /// The configuration in force. Cheap; take it once per request.
    pub fn config(&self) -> arc_swap::Guard<Arc<BrokerConfig>> {
        self.config.load()
    }

    /// The settings of topics that have none of their own.
    pub fn default_topic_config(&self) -> Arc<TopicConfig> {
        self.default_topic_config.load_full()
    }

    /// Takes other dynamic values of all brokers or of this one; the rest stays.
    pub(crate) fn set_dynamic(
        &self,
        of_all: Option<&BTreeMap<String, String>>,
        of_this: Option<&BTreeMap<String, String>>,
    ) {
        let mut dynamic = self.dynamic.lock();
        if let Some(of_all) = of_all {
            dynamic.0.clone_from(of_all);
        }
        if let Some(of_this) = of_this {
            dynamic.1.clone_from(of_this);
        }
        match self.with_dynamic(&dynamic.0, &dynamic.1) {
            Ok(config) => {
                let has_other_listeners = config.listeners != self.config.load().listeners;
                self.connections.set_limits(ConnectionLimits::from(&config.network));
                self.replicas.throttles().set_rates(&config.replication);
                self.default_topic_config.store(Arc::new(config.topics.config.clone()));
                self.config.store(Arc::new(config));
                tracing::info!("dynamic broker configuration changed");
                if has_other_listeners {
                    self.listeners_changed.notify_one();
                }
            }
            Err(error) => tracing::error!("the dynamic broker configuration is not used: {error}"),
        }
        drop(dynamic);
        for topic in self.replicas.topics() {
            self.replicas.set_topic_config(&topic, &self.topic_config(&topic));
        }
    }

    /// The configuration in force with these dynamic values, of all brokers and of this one, in place of those it has.
    ///
    /// # Errors
    /// The values do not go together, or cannot follow those in force while the broker runs.
    pub(crate) fn with_dynamic(
        &self,
        of_all: &BTreeMap<String, String>,
        of_this: &BTreeMap<String, String>,
    ) -> Result<BrokerConfig, ConfigError> {
        let current = self.config.load();
        let next = current.with_dynamic(of_all, of_this)?;
        current.listeners.check_change(&next.listeners)?;
        Ok(next)
    }

    /// The listeners that are open.
    pub(crate) fn listening(&self) -> Vec<Listening> {
        self.listening.lock().clone()
    }

    pub(crate) fn set_listening(&self, listening: Vec<Listening>) {
        *self.listening.lock() = listening;
    }

    pub(crate) fn set_controller(&self, controller: ControllerHandle) {
        self.to_controller.set_controller(controller.clone());
        // Set once, by the start; a second call would change nothing.
        let _ = self.controller.set(controller);
    }

    /// Whether this broker serves the requests that only the controller does.
    pub fn is_active_controller(&self) -> bool {
        self.controller.get().is_some_and(ControllerHandle::is_active)
    }

    /// Asks the controller in this process; `None` when it is not active.
    pub(crate) async fn ask_own_controller(&self, request: ControllerRequest) -> Option<ControllerResponse> {
        self.controller.get()?.request(request).await.ok()
    }

    /// The dynamic values as last heard: of all brokers, and of this one.
    pub(crate) fn dynamic_config(&self) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
        self.dynamic.lock().clone()
    }

    /// Who is controller; `None` before this broker looks.
    pub fn controller(&self) -> Option<&ControllerHandle> {
        self.controller.get()
    }

    /// Whether this broker does all of its work: it is registered and not being stopped, knows the controller, has its
    /// log directories, and since its start each of its replicas has been in sync, so that stopping the next broker of
    /// a rolling restart leaves nobody without enough replicas. One that falls behind later is not news for whoever
    /// sends clients here; `whimbrel_under_replicated_partitions` tells of it.
    ///
    /// # Errors
    /// What is waited for.
    pub fn ready(&self) -> Result<(), String> {
        if self.is_stopping.load(Ordering::Acquire) {
            return Err("stopping".to_owned());
        }
        if self.coordination.broker_epoch().0 < 0 {
            return Err("waiting for the registration".to_owned());
        }
        let image = self.metadata.image();
        if image.controller.is_none() {
            return Err("waiting for the controller".to_owned());
        }
        if let Some((path, reason)) =
            self.replicas.logs().dirs().into_iter().find_map(|dir| Some((dir.path, dir.offline?)))
        {
            return Err(format!("log directory {} is offline: {reason}", path.display()));
        }
        self.check_caught_up(&image)
    }

    fn check_caught_up(&self, image: &MetadataImage) -> Result<(), String> {
        if self.has_caught_up.load(Ordering::Acquire) {
            return Ok(());
        }
        let partitions = image.topics().flat_map(|topic| topic.partitions.values());
        let behind =
            partitions.filter(|one| one.replicas.contains(&self.node_id) && !one.isr.contains(&self.node_id)).count();
        if behind != 0 {
            return Err(format!("{behind} replicas are not in sync yet"));
        }
        self.has_caught_up.store(true, Ordering::Release);
        Ok(())
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("node_id", &self.node_id).field("cluster_id", &self.cluster_id).finish()
    }
}
