//! Starts a broker, in the order in which each part needs the one before, and stops it in the reverse.
//!
//! ```text
//! log directories locked and loaded ─▶ keeper (if it is ours) ─▶ coordination ─▶ ids ─▶ topic settings
//!   ─▶ listeners bound ─▶ registered ─▶ controller, coordinators ─▶ controllers are heard ─▶ clients are served
//! ```
//!
//! The lock of the first log directory comes first: it proves that no earlier life of this broker is alive, which is
//! what lets its ZooKeeper session be cleared away instead of waited for.

mod identity;
mod listeners;
mod reconfigure;
mod stop;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use whimbrel_keeper::{Keeper, KeeperConfig, KeeperHandle};
use whimbrel_model::NodeId;
use whimbrel_state::controller::DefaultSettings;
use whimbrel_storage::{LoadReport, LogManager, LogManagerConfig, OpenError, StorageError};

use crate::Broker;
use crate::config::{BrokerConfig, ConfigError};
use crate::controller::{self, ControllerSettings};
use crate::coordination::{ConnectSettings, Coordination, CoordinationError, Registration, RegistrationError};
use crate::interbroker::PeerOptions;
use crate::local_broker::FlushedTo;
use crate::metrics::Metrics;
use crate::repair::repair_damaged;
use crate::replica_manager::{log_config, send_proposals, watch_laggards};
use crate::server::BindError;
use crate::{housekeeping, http, liveness, time};

use identity::identify;
use listeners::{Service, bind_all};
use reconfigure::OpenListeners;

/// Before the controller is told again of a log directory that failed.
const REPORT_PAUSE: Duration = Duration::from_secs(1);

/// A start waits this long for a controller before it serves clients without one.
const CONTROLLER_WAIT: Duration = Duration::from_secs(10);

/// Why a broker does not start. The text says what to do where that is not plain.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Logs(#[from] OpenError),
    #[error("meta.properties: {0}")]
    MetaProperties(#[from] StorageError),
    #[error("{path}: belongs to cluster {found}, but coordination is that of cluster {expected}; point zookeeper.connect to the other cluster, or give an empty directory", path = path.display())]
    WrongCluster { path: PathBuf, found: String, expected: String },
    #[error("{first} and {second} are of different brokers ({first_id} and {second_id}); give each broker directories of its own", first = first.display(), second = second.display())]
    MixedBrokers { first: PathBuf, first_id: i32, second: PathBuf, second_id: i32 },
    #[error("the embedded keeper: {0}")]
    Keeper(#[from] whimbrel_keeper::StartError),
    #[error(transparent)]
    Coordination(#[from] CoordinationError),
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("threads cannot be started: {0}")]
    Threads(std::io::Error),
    #[error("a part of the start panicked; see the log")]
    Panicked,
}

/// A broker that serves clients.
pub struct RunningBroker {
    pub broker: Arc<Broker>,
    /// Name and address of each listener as it was bound at the start.
    pub listeners: Vec<(String, SocketAddr)>,
    /// Where metrics are served, if anywhere.
    pub http: Option<SocketAddr>,
    /// Where coordination is: the ensemble, or the embedded keeper's address.
    pub coordination: String,
    pub load: LoadReport,
    keeper: Option<Arc<KeeperHandle>>,
    /// Keeps the listeners as they are configured, until `stop`; gives back what serves them.
    listeners_task: tokio::task::JoinHandle<Service>,
    /// Ends the listeners and background tasks.
    stop: CancellationToken,
    controller: tokio::task::JoinHandle<()>,
}

impl Broker {
    /// Starts a broker and returns once clients are served.
    ///
    /// # Errors
    /// What keeps it from starting; nothing of it is left running then.
    pub async fn start(config: BrokerConfig) -> Result<RunningBroker, StartError> {
        let (logs, load) = open_logs(&config).await?;
        let (keeper, coordination, connect) = connect(&config, &logs).await?;
        let (node_id, cluster_id) = identify(&config, &coordination).await?;
        coordination.check_progress().await?;
        coordination.load_topic_configs().await?;
        let (of_all, of_this) = coordination.read_broker_configs(node_id).await?;
        // What was changed while the broker ran wins over what it is started with: its listeners above all.
        let config = config.with_dynamic(&of_all, &of_this).unwrap_or_else(|error| {
            tracing::error!("the dynamic broker configuration is not used: {error}");
            config
        });
        let bound = bind_all(&config)?;
        let listening: Vec<_> = bound.iter().map(|(listening, _)| listening.clone()).collect();
        let advertised = reconfigure::endpoints(&config.listeners, &listening, &[]);
        let metrics = Arc::new(Metrics::new());
        let broker = Arc::new(Self::assemble(config, node_id, cluster_id.into(), coordination, logs.clone(), metrics));
        if !of_all.is_empty() || !of_this.is_empty() {
            broker.set_dynamic(Some(&of_all), Some(&of_this));
        }
        logs.set_listener(Arc::new(FlushedTo(broker.replicas.clone())));
        broker.configure_found_logs();
        let registration = Registration { id: node_id, endpoints: advertised, rack: broker.config().rack.clone() };
        broker.coordination.continue_logs(
            load.dirs.iter().filter(|dir| dir.offline.is_none()).map(|dir| dir.path.clone()).collect(),
            load.dirs.iter().all(|dir| dir.was_clean),
        );
        let epoch = broker.coordination.register(registration).await?;
        broker.replicas.set_broker_epoch(epoch);
        let stop = CancellationToken::new();
        let (controller, driver) = controller::start(
            broker.coordination.clone(),
            controller_settings(&broker.config(), node_id),
            broker.clone(),
        );
        broker.set_controller(controller);
        broker.start_groups();
        broker.observe(keeper.as_ref().map(Arc::downgrade));
        broker.start_background(&stop);
        let listeners = listening.iter().map(|one| (one.endpoint.listener.clone(), one.address)).collect();
        let service = Service::start(&broker).map_err(StartError::Threads)?;
        let listeners_task = tokio::spawn(OpenListeners::serve(&broker, service, bound, &stop).follow());
        broker.watch_others(&stop);
        broker.wait_for_controller().await;
        broker.open_for_clients();
        let http = broker.serve_http(&stop).await;
        Ok(RunningBroker {
            broker,
            listeners,
            http,
            coordination: connect,
            load,
            keeper,
            listeners_task,
            stop,
            controller: driver,
        })
    }
}

async fn open_logs(config: &BrokerConfig) -> Result<(Arc<LogManager>, LoadReport), StartError> {
    let holder = config.listeners.advertised.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let settings = LogManagerConfig {
        recovery_threads: (1 < config.log.recovery_threads_per_dir).then_some(config.log.recovery_threads_per_dir),
        open_files_max: config.log.open_segments_max,
        tail_bytes_max: config.log.tail_cache_bytes,
        reserved_bytes: config.log.disk_reserve_bytes,
        holder,
        default_log: (*log_config(&config.topics.config)).clone(),
        producer_id_expiration_ms: ms(config.producer_id_expiration),
        ..LogManagerConfig::new(config.log.dirs.clone())
    };
    // Loads all logs, after a crash with a scan of their ends.
    let opened = tokio::task::spawn_blocking(move || LogManager::open(settings, time::wall_clock_ms()));
    Ok(opened.await.map_err(|_| StartError::Panicked)??)
}

/// Connects to the ensemble, or to a keeper of our own. The text says where that is.
async fn connect(
    config: &BrokerConfig,
    logs: &LogManager,
) -> Result<(Option<Arc<KeeperHandle>>, Coordination, String), StartError> {
    let settings = &config.coordination;
    let (keeper, servers) = match &settings.zookeeper_connect {
        Some(servers) => (None, servers.clone()),
        None => {
            let keeper = Keeper::start(KeeperConfig::new(&settings.keeper_dir, settings.keeper_listener)).await?;
            let servers = keeper.local_addr().to_string();
            (Some(Arc::new(keeper)), servers)
        }
    };
    let connect = ConnectSettings {
        connect: servers.clone(),
        session_timeout: settings.session_timeout,
        connection_timeout: settings.connection_timeout,
        in_flight_max: settings.in_flight_max,
        auth: settings.auth.clone(),
        set_acl: settings.set_acl,
    };
    let first = logs.dirs().first().map(|dir| dir.path.clone()).unwrap_or_default();
    let coordination = Coordination::open(connect, &first).await?;
    Ok((keeper, coordination, servers))
}

fn controller_settings(config: &BrokerConfig, id: NodeId) -> ControllerSettings {
    ControllerSettings {
        id,
        control_listener: config.listeners.control().into(),
        inter_broker_listener: config.listeners.inter_broker.as_str().into(),
        peers: PeerOptions::of_broker(id, &config.network),
        defaults: DefaultSettings {
            unclean_leader_election: config.topics.config.unclean_leader_election,
            min_insync_replicas: config.topics.config.min_insync_replicas as usize,
        },
        leader_balance: config.topics.leader_balance,
        delete_topics: config.topics.delete_enabled,
    }
}

impl Broker {
    /// Logs were opened before their topics' settings were known.
    fn configure_found_logs(&self) {
        for log in self.replicas.logs().all() {
            log.set_config(log_config(&self.topic_config(&log.topic_partition().topic)));
        }
    }

    fn start_groups(&self) {
        self.groups.start();
        let groups = self.groups.clone();
        self.metrics.add_probe(move |gauges| groups.report(gauges));
    }

    /// Waits until this broker has heard from the controller: its first client would otherwise be told that nothing
    /// exists. The controller is heard already, and may be this broker itself.
    async fn wait_for_controller(&self) {
        let Some(controller) = self.controller() else { return };
        let heard = async {
            controller.elected().await;
            self.metadata.wait_for(|image| image.controller).await
        };
        if tokio::time::timeout(CONTROLLER_WAIT, heard).await.is_err() {
            tracing::warn!("no controller within {CONTROLLER_WAIT:?}; clients are served without one");
        }
    }

    /// From here on this broker notices when others die.
    fn watch_others(self: &Arc<Self>, stop: &CancellationToken) {
        let Some(controller) = self.controller() else { return };
        if let Some(monitor) = liveness::start(self, controller, stop.clone()) {
            self.set_liveness(monitor);
        }
    }

    fn start_background(self: &Arc<Self>, stop: &CancellationToken) {
        let config = self.config();
        let producers = housekeeping::ProducerExpiry {
            after: config.producer_id_expiration,
            check_interval: config.producer_id_expiration_check_interval,
        };
        tokio::spawn(housekeeping::run(self.replicas.logs().clone(), config.log.clone(), producers, stop.clone()));
        tokio::spawn(watch_laggards(self.replicas.clone(), config.replication.lag_max, stop.clone()));
        tokio::spawn(send_proposals(self.clone(), stop.clone()));
        tokio::spawn(self.clone().report_failed_directories(stop.clone()));
        tokio::spawn(repair_damaged(self.clone(), stop.clone()));
        tokio::spawn(self.coordination.clone().keep_session());
        tokio::spawn(self.clone().follow_registrations(stop.clone()));
        let (changes, mut changed) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(self.coordination.clone().follow_configs(changes));
        let broker = self.clone();
        tokio::spawn(async move {
            while let Some(change) = changed.recv().await {
                broker.apply_config_change(&change);
            }
        });
    }

    /// Tells the controller of each log directory that fails, until it is told.
    async fn report_failed_directories(self: Arc<Self>, stop: CancellationToken) {
        let mut failures = self.replicas.directory_failures();
        while let Some(Ok(())) = stop.run_until_cancelled(failures.changed()).await {
            while let Err(error) = self.coordination.report_log_dir_failure(self.node_id).await {
                tracing::warn!("the controller does not know of the failed log directory yet: {error}");
                if stop.run_until_cancelled(tokio::time::sleep(REPORT_PAUSE)).await.is_none() {
                    return;
                }
            }
        }
    }

    /// Each new session has registered this broker anew: control requests to the earlier registration are then refused.
    async fn follow_registrations(self: Arc<Self>, stop: CancellationToken) {
        let mut sessions = self.coordination.sessions();
        while let Some(Ok(())) = stop.run_until_cancelled(sessions.changed()).await {
            self.replicas.set_broker_epoch(self.coordination.broker_epoch());
        }
    }

    /// A broker does not stay down for its metrics: trouble is logged.
    async fn serve_http(self: &Arc<Self>, stop: &CancellationToken) -> Option<SocketAddr> {
        let wanted = self.config().http?;
        let (listener, is_other) = match http::bind(wanted).await {
            Ok(bound) => bound,
            Err(error) => {
                tracing::error!("metrics are not served: {wanted}: {error}");
                return None;
            }
        };
        let at = listener.local_addr().ok();
        if is_other && let Some(at) = at {
            tracing::warn!("{wanted} is taken; metrics and health are at {at} (whimbrel.http.listener)");
        }
        let (metrics, broker, stop) = (self.metrics.clone(), self.clone(), stop.clone());
        tokio::spawn(async move {
            let ready = move || broker.ready();
            if let Err(error) = http::serve(listener, metrics, ready, stop.cancelled_owned()).await {
                tracing::error!("the HTTP port ended: {error}");
            }
        });
        at
    }
}
