//! Who this broker is: its id, its registration, and what an earlier life left behind.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};
use whimbrel_model::{BrokerEpoch, ControllerEpoch, NodeId};
use whimbrel_state::controller::Broker;
use whimbrel_state::controller::control::Endpoint;
use zookeeper_client::{Error, MultiWriteError, MultiWriteResult, Stat};

use super::codec::{BrokerNode, FeatureNode};
use super::error::{CoordinationError, RegistrationError};
use super::{Coordination, now_ms, paths};

/// Where a broker's id comes from, in this order: configured, stored, given by the cluster.
#[derive(Debug, Clone, Copy)]
pub struct BrokerIdSettings {
    /// `broker.id`, if it is not -1.
    pub configured: Option<NodeId>,
    /// The one in `meta.properties`.
    pub stored: Option<NodeId>,
    /// `broker.id.generation.enable`
    pub may_generate: bool,
    /// `reserved.broker.max.id`
    pub reserved_max: i32,
}

/// What a broker registers.
#[derive(Debug, Clone)]
pub struct Registration {
    pub id: NodeId,
    /// The advertised listeners.
    pub endpoints: Vec<Endpoint>,
    pub rack: Option<String>,
}

impl Registration {
    fn addresses(&self) -> String {
        let address = |endpoint: &Endpoint| format!("{}://{}:{}", endpoint.listener, endpoint.host, endpoint.port);
        self.endpoints.iter().map(address).collect::<Vec<_>>().join(", ")
    }
}

/// What an attempt to register met.
enum Attempt {
    Registered(BrokerEpoch),
    Exists,
    /// The connection broke; whether the node is ours has to be read.
    Unknown,
}

/// How long an address of another registration has to accept a connection.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// Whether somebody listens where the registration says.
async fn answers(found: &Found) -> bool {
    let Some(node) = found.node.clone() else { return false };
    let Ok(broker) = node.into_broker(NodeId::NONE, BrokerEpoch(found.stat.czxid)) else { return false };
    for endpoint in &broker.endpoints {
        let Ok(port) = u16::try_from(endpoint.port) else { continue };
        let attempt = tokio::net::TcpStream::connect((&*endpoint.host, port));
        if matches!(tokio::time::timeout(PROBE_WAIT, attempt).await, Ok(Ok(_))) {
            return true;
        }
    }
    false
}

/// A registration that was there first.
struct Found {
    stat: Stat,
    node: Option<BrokerNode>,
}

impl Coordination {
    /// The id of this broker.
    ///
    /// # Errors
    /// When there is none and none may be given, or the sources contradict each other.
    pub async fn broker_id(&self, settings: BrokerIdSettings) -> Result<NodeId, RegistrationError> {
        match (settings.configured, settings.stored) {
            (Some(id), Some(stored)) if id != stored => {
                Err(RegistrationError::IdChanged { configured: id.0, stored: stored.0 })
            }
            (Some(id), _) if settings.may_generate && settings.reserved_max < id.0 => {
                Err(RegistrationError::IdReserved { id: id.0, max: settings.reserved_max })
            }
            (Some(id), _) | (None, Some(id)) => Ok(id),
            (None, None) if settings.may_generate => self.next_broker_id(settings.reserved_max).await,
            (None, None) => Err(RegistrationError::NoBrokerId),
        }
    }

    /// Each write of the sequence node raises its version by one. An answer that is lost wastes an id, no more.
    async fn next_broker_id(&self, reserved_max: i32) -> Result<NodeId, RegistrationError> {
        let path = paths::BROKER_SEQUENCE;
        let stat = self.inner.session.call(path, async |client| client.set_data(path, b"", None).await).await?;
        Ok(NodeId(stat.version + reserved_max))
    }

    /// Makes this broker a member of the cluster; the result is its epoch.
    ///
    /// A registration that an earlier life of this broker left is removed at once when that life is surely over, and
    /// waited for when it may be. One of another live broker is never touched.
    ///
    /// # Errors
    /// `IdTaken` and `AddressTaken` name both brokers.
    pub async fn register(&self, registration: Registration) -> Result<BrokerEpoch, RegistrationError> {
        self.check_features().await?;
        self.check_addresses(registration.id, &registration.endpoints).await?;
        self.store_session()?;
        // What was in that session is dead, so the node of an old controllership must not keep others from election.
        self.clear_dead_controller().await?;
        let epoch = self.create_registration(&registration).await?;
        // One that is there is newer: its endpoints may have changed while this was under way.
        self.inner.registration.lock().get_or_insert(registration);
        self.set_broker_epoch(epoch);
        self.inner.continuity.registered(epoch);
        self.inner.progress.note_zxid(epoch.0);
        Ok(epoch)
    }

    /// Tells the cluster of other endpoints of this broker: the registration gets new content and keeps its session and
    /// epoch. What registers again later, after a session that ended, has them too. Source: Kafka 3.9
    /// `KafkaZkClient.updateBrokerInfo`.
    ///
    /// # Errors
    /// `AddressTaken`, with nothing changed. Any other: to be repeated until it succeeds, since the registration may have
    /// the endpoints of before.
    pub async fn update_registration(&self, endpoints: Vec<Endpoint>) -> Result<(), RegistrationError> {
        let Some(registration) = self.inner.registration.lock().clone() else { return Ok(()) };
        let next = Registration { endpoints, ..registration };
        self.check_addresses(next.id, &next.endpoints).await?;
        // First, so that a session that ends meanwhile is followed by a registration with these.
        *self.inner.registration.lock() = Some(next.clone());
        let path = paths::broker(next.id);
        let (json, stat) = self.read(&path).await?.ok_or(CoordinationError::SessionLost)?;
        if stat.ephemeral_owner != self.client().session_id().0 {
            return Err(CoordinationError::SessionLost.into());
        }
        let has_them = |node: BrokerNode| {
            node.into_broker(next.id, BrokerEpoch(stat.czxid)).is_ok_and(|found| found.endpoints == next.endpoints)
        };
        if BrokerNode::decode(&json).is_ok_and(has_them) {
            return Ok(());
        }
        let json = self.broker_node(&next);
        let set =
            self.inner.session.call(&path, async |client| client.set_data(&path, &json, Some(stat.version)).await);
        set.await?;
        info!(endpoints = next.addresses(), "registered other endpoints");
        Ok(())
    }

    /// The endpoints of this broker that the cluster is told of; none before it has registered.
    #[must_use]
    pub fn registered_endpoints(&self) -> Vec<Endpoint> {
        self.inner.registration.lock().as_ref().map(|registration| registration.endpoints.clone()).unwrap_or_default()
    }

    /// Hears of a controller epoch; one that coordination is behind is refused from then on.
    pub fn note_controller_epoch(&self, epoch: ControllerEpoch) {
        self.inner.progress.note_controller_epoch(epoch.0);
    }

    fn store_session(&self) -> Result<(), RegistrationError> {
        let file = &self.inner.session_file;
        file.store(self.client().session_id().0)
            .map_err(|source| RegistrationError::SessionFile { path: file.path(), source })
    }

    async fn create_registration(&self, registration: &Registration) -> Result<BrokerEpoch, RegistrationError> {
        let path = paths::broker(registration.id);
        let mut deadline = None;
        loop {
            if let Attempt::Registered(epoch) = self.try_register(&path, registration).await? {
                return Ok(epoch);
            }
            let Some(found) = self.found(&path).await? else { continue };
            let own = self.client().session_id().0;
            if found.stat.ephemeral_owner == own {
                return Ok(BrokerEpoch(found.stat.czxid));
            }
            if Some(found.stat.ephemeral_owner) == *self.inner.dead_session.lock() {
                info!(
                    session = format!("{:#x}", found.stat.ephemeral_owner),
                    "removing the registration of an earlier life of this broker"
                );
                self.delete_guarded(&path, found.stat.version).await?;
                continue;
            }
            // The session timeout of the earlier life may have been another; twice ours covers the usual range.
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.inner.session_timeout * 2);
            self.wait_for_expiry(&path, registration, &found, deadline).await?;
        }
    }

    async fn try_register(&self, path: &str, registration: &Registration) -> Result<Attempt, CoordinationError> {
        let json = self.broker_node(registration);
        let client = self.client();
        let mut multi = client.new_multi_writer();
        let prepared = multi
            .add_create(path, b"", &self.inner.session.ephemeral(path))
            .and_then(|()| multi.add_set_data(path, &json, Some(0)));
        prepared.map_err(|source| CoordinationError::operation(path, source))?;
        match multi.commit().await {
            Ok(results) => {
                let czxid = results.iter().find_map(|result| match result {
                    MultiWriteResult::SetData { stat } => Some(stat.czxid),
                    _ => None,
                });
                Ok(czxid.map_or(Attempt::Unknown, |czxid| Attempt::Registered(BrokerEpoch(czxid))))
            }
            Err(MultiWriteError::OperationFailed { source: Error::NodeExists, .. }) => Ok(Attempt::Exists),
            Err(MultiWriteError::RequestFailed { source: Error::ConnectionLoss | Error::Custom(_) }) => {
                Ok(Attempt::Unknown)
            }
            Err(error) => Err(CoordinationError::operation(path, error.into())),
        }
    }

    /// The content of a registration that is made now.
    fn broker_node(&self, registration: &Registration) -> Vec<u8> {
        let node = BrokerNode::new(&registration.endpoints, registration.rack.as_deref(), now_ms());
        node.continuing(self.inner.continuity.claim()).encode()
    }

    async fn found(&self, path: &str) -> Result<Option<Found>, CoordinationError> {
        let node = self.read(path).await?;
        Ok(node.map(|(json, stat)| Found { stat, node: BrokerNode::decode(&json).ok() }))
    }

    /// Waits until the registration of an earlier life is gone, which was on a directory or machine that proves nothing. A
    /// registration with our own addresses can be nothing else, since we listen there. Any other may be a different
    /// broker: one that answers at its addresses is refused at once, and one that is still registered at `deadline` then.
    async fn wait_for_expiry(
        &self,
        path: &str,
        ours: &Registration,
        found: &Found,
        deadline: Instant,
    ) -> Result<(), RegistrationError> {
        let (theirs, since) = match &found.node {
            Some(node) => (node.addresses(), node.timestamp().to_owned()),
            None => ("an unreadable registration".into(), "an unknown time".into()),
        };
        let taken = || RegistrationError::IdTaken {
            id: ours.id.0,
            theirs: theirs.clone(),
            since: since.clone(),
            session: found.stat.ephemeral_owner,
            ours: ours.addresses(),
        };
        if theirs != ours.addresses() && answers(found).await {
            return Err(taken());
        }
        let watch = self.inner.session.call(path, async |client| {
            let (stat, watcher) = client.check_and_watch_stat(path).await?;
            Ok(stat.map(|stat| (stat, watcher)))
        });
        let Some((stat, watcher)) = watch.await? else { return Ok(()) };
        if stat.czxid != found.stat.czxid {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        warn!(
            broker = ours.id.0,
            session = format!("{:#x}", stat.ephemeral_owner),
            "a registration with this broker's id is still there, probably of a crash; waiting up to {left:?} for its \
             ZooKeeper session to expire"
        );
        match tokio::time::timeout(left.max(Duration::from_millis(1)), watcher.changed()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(taken()),
        }
    }

    /// Deletes a node of this version; that it is gone or changed meanwhile is fine, the caller looks again.
    async fn delete_guarded(&self, path: &str, version: i32) -> Result<(), CoordinationError> {
        let deleted = self.inner.session.call(path, async |client| client.delete(path, Some(version)).await).await;
        match deleted {
            Err(CoordinationError::Operation { source: Error::NoNode | Error::BadVersion, .. }) => Ok(()),
            result => result,
        }
    }

    /// Every registered broker with its epoch; registrations that vanish meanwhile are left out.
    pub async fn brokers(&self) -> Result<Vec<Broker>, CoordinationError> {
        let ids = self.children(paths::BROKER_IDS).await?;
        let ids: Vec<NodeId> = ids.iter().filter_map(|id| id.parse().ok().map(NodeId)).collect();
        let nodes: Vec<String> = ids.iter().map(|&id| paths::broker(id)).collect();
        let mut brokers = Vec::with_capacity(ids.len());
        for ((id, path), node) in ids.into_iter().zip(&nodes).zip(self.read_all(&nodes).await?) {
            let Some((json, stat)) = node else { continue };
            let broker = BrokerNode::decode(&json).and_then(|node| node.into_broker(id, BrokerEpoch(stat.czxid)));
            brokers.push(broker.map_err(|source| CoordinationError::content(path, source))?);
        }
        brokers.sort_by_key(|broker| broker.id);
        Ok(brokers)
    }

    /// Whether this broker may be told of at these endpoints.
    ///
    /// # Errors
    /// `AddressTaken` when another broker is registered at one of them.
    pub async fn check_addresses(&self, id: NodeId, endpoints: &[Endpoint]) -> Result<(), RegistrationError> {
        for other in self.brokers().await?.into_iter().filter(|broker| broker.id != id) {
            let same = |endpoint: &&Endpoint| {
                endpoints.iter().any(|own| own.host == endpoint.host && own.port == endpoint.port)
            };
            if let Some(endpoint) = other.endpoints.iter().find(same) {
                let address = format!("{}:{}", endpoint.host, endpoint.port);
                return Err(RegistrationError::AddressTaken { other: other.id.0, address });
            }
        }
        Ok(())
    }

    async fn check_features(&self) -> Result<(), RegistrationError> {
        let Some((json, _)) = self.read(paths::FEATURE).await? else { return Ok(()) };
        let node = FeatureNode::decode(&json).map_err(|source| CoordinationError::content(paths::FEATURE, source))?;
        let finalized = node.finalized();
        if finalized.is_empty() { Ok(()) } else { Err(RegistrationError::UnknownFeatures(finalized.join(", "))) }
    }
}
