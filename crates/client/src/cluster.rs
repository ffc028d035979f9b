//! A Kafka cluster as a client sees it: where to ask what, one connection per broker, and patience.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use whimbrel_model::ErrorCode;
use whimbrel_wire::metadata::MetadataRequestTopic;
use whimbrel_wire::{FindCoordinatorRequest, MetadataRequest, Request};

use crate::connection::{Connection, ConnectionOptions};
use crate::metadata::Metadata;
use crate::{ClientError, Str};

/// Where a cluster is, and how patient to be with it.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// `host:port` of some of its brokers; the others are learnt from them.
    pub bootstrap: Vec<String>,
    pub connection: ConnectionOptions,
    /// How long an operation is repeated while its errors are of the kind that passes.
    pub retry_for: Duration,
    pub backoff_min: Duration,
    pub backoff_max: Duration,
    /// Metadata older than this is asked for again.
    pub metadata_age_max: Duration,
}

impl ClusterOptions {
    /// The defaults, for brokers separated by commas.
    #[must_use]
    pub fn new(bootstrap: &str) -> Self {
        let brokers = bootstrap.split(',').map(str::trim).filter(|broker| !broker.is_empty());
        Self {
            bootstrap: brokers.map(str::to_owned).collect(),
            connection: ConnectionOptions::default(),
            retry_for: Duration::from_secs(30),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(1),
            metadata_age_max: Duration::from_secs(300),
        }
    }
}

/// Which broker a connection is to. Bootstrap addresses stay apart from the brokers behind them: a proxy or a load
/// balancer may stand there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Peer {
    Bootstrap(usize),
    Broker(i32),
}

/// One place for the connection to a peer. Its lock is held while connecting, so that others wait instead of dialling.
type Slot = Arc<Mutex<Option<Connection>>>;

/// A cluster. Cheap to clone; clones share connections and metadata.
#[derive(Debug, Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: ClusterOptions,
    connections: std::sync::Mutex<HashMap<Peer, Slot>>,
    metadata: std::sync::Mutex<Snapshot>,
}

#[derive(Debug, Default)]
struct Snapshot {
    metadata: Arc<Metadata>,
    /// When each topic was last told of.
    topics_at: HashMap<String, Instant>,
}

impl Cluster {
    /// Nothing is connected before something is asked.
    #[must_use]
    pub fn new(options: ClusterOptions) -> Self {
        let (connections, metadata) = Default::default();
        Self { inner: Arc::new(Inner { options, connections, metadata }) }
    }

    #[must_use]
    pub fn options(&self) -> &ClusterOptions {
        &self.inner.options
    }

    /// A connection to any broker: one that is open, else the first bootstrap address that answers.
    ///
    /// # Errors
    /// None of them answers.
    pub async fn any(&self) -> Result<Connection, ClientError> {
        let open: Vec<Slot> = lock(&self.inner.connections).values().cloned().collect();
        for slot in open {
            // A slot that is locked is being connected.
            if let Ok(slot) = slot.try_lock()
                && let Some(connection) = slot.as_ref().filter(|connection| connection.is_open())
            {
                return Ok(connection.clone());
            }
        }
        let mut last = None;
        let known: Vec<i32> = lock(&self.inner.metadata).metadata.brokers.keys().copied().collect();
        let bootstrap = (0..self.inner.options.bootstrap.len()).map(Peer::Bootstrap);
        for peer in bootstrap.chain(known.into_iter().map(Peer::Broker)) {
            match self.connect(peer).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(error),
            }
        }
        let tried = self.inner.options.bootstrap.clone();
        let last = last.unwrap_or(ClientError::UnknownBroker(-1));
        // One address needs no list of those that were tried.
        if tried.len() < 2 { Err(last) } else { Err(ClientError::NoBroker { tried, last: Box::new(last) }) }
    }

    /// The connection to a broker of the cluster.
    ///
    /// # Errors
    /// The broker is not known, or does not answer.
    pub async fn broker(&self, id: i32) -> Result<Connection, ClientError> {
        self.connect(Peer::Broker(id)).await
    }

    async fn connect(&self, peer: Peer) -> Result<Connection, ClientError> {
        let address = self.address(&peer)?;
        let slot = lock(&self.inner.connections).entry(peer).or_default().clone();
        let mut slot = slot.lock().await;
        // A broker may have come back elsewhere under its number.
        let usable = |connection: &&Connection| connection.is_open() && connection.address() == address;
        if let Some(connection) = slot.as_ref().filter(usable) {
            return Ok(connection.clone());
        }
        let connection = Connection::connect(&address, &self.inner.options.connection).await?;
        *slot = Some(connection.clone());
        Ok(connection)
    }

    fn address(&self, peer: &Peer) -> Result<String, ClientError> {
        match *peer {
            Peer::Bootstrap(index) => {
                self.inner.options.bootstrap.get(index).cloned().ok_or(ClientError::UnknownBroker(-1))
            }
            Peer::Broker(id) => {
                let metadata = lock(&self.inner.metadata).metadata.clone();
                metadata.brokers.get(&id).map(|broker| broker.address()).ok_or(ClientError::UnknownBroker(id))
            }
        }
    }

    /// Asks for the brokers and these topics; `None`: for all topics.
    ///
    /// # Errors
    /// No broker answers. Errors of single topics are in the answer.
    pub async fn refresh(&self, topics: Option<&[&str]>, create: bool) -> Result<Arc<Metadata>, ClientError> {
        let connection = self.any().await?;
        let named =
            |name: &&str| MetadataRequestTopic { name: Some((*name).into()), ..MetadataRequestTopic::default() };
        // Version 0 has no null, and says "all" by an empty list.
        let is_oldest = connection.version_of::<MetadataRequest>()? == 0;
        let wanted = match topics {
            Some(topics) => Some(topics.iter().map(named).collect()),
            None if is_oldest => Some(Vec::new()),
            None => None,
        };
        // The oldest brokers create what is asked for in any case, and the field that says so does not exist there.
        let create = create || connection.version_of::<MetadataRequest>()? < 4;
        let request =
            MetadataRequest { topics: wanted, allow_auto_topic_creation: create, ..MetadataRequest::default() };
        let response = connection.call(request).await?;
        ClientError::check(response.error_code, None, || "metadata".into())?;
        let newer = Metadata::from(response);
        let now = Instant::now();
        let mut snapshot = lock(&self.inner.metadata);
        for name in newer.topics.keys() {
            snapshot.topics_at.insert(name.clone(), now);
        }
        snapshot.metadata = Arc::new(snapshot.metadata.merge(&newer));
        Ok(Arc::new(newer))
    }

    /// Asks for the brokers, unless they are known.
    ///
    /// # Errors
    /// No broker answers.
    pub async fn refresh_if_unknown(&self) -> Result<(), ClientError> {
        if self.metadata().brokers.is_empty() {
            self.refresh(Some(&[]), false).await?;
        }
        Ok(())
    }

    /// What is known, without asking.
    #[must_use]
    pub fn metadata(&self) -> Arc<Metadata> {
        lock(&self.inner.metadata).metadata.clone()
    }

    /// Has what is known about a topic asked for again at its next use.
    pub fn forget(&self, topic: &str) {
        lock(&self.inner.metadata).topics_at.remove(topic);
    }

    /// Metadata that tells of `topic`, from memory while it is fresh. A topic that is missing is asked for until it is
    /// there or patience ends, because it may be on its way (`create`) or unknown to one broker only.
    ///
    /// # Errors
    /// The broker's error for the topic, or no broker answers.
    pub async fn topic(&self, topic: &str, create: bool) -> Result<Arc<Metadata>, ClientError> {
        let age_max = self.inner.options.metadata_age_max;
        {
            let snapshot = lock(&self.inner.metadata);
            if snapshot.topics_at.get(topic).is_some_and(|at| at.elapsed() < age_max) {
                return Ok(snapshot.metadata.clone());
            }
        }
        let patience = if create { self.inner.options.retry_for } else { Duration::from_secs(2) };
        retry!(patience self.patience_for(patience), {
            let metadata = self.refresh(Some(&[topic]), create).await?;
            metadata.topic(topic)?;
            Ok(metadata)
        })
    }

    /// The leader of a partition, and its epoch (-1 if unknown).
    ///
    /// # Errors
    /// There is none at the moment, or the partition does not exist.
    pub async fn leader(&self, topic: &str, partition: i32) -> Result<(i32, i32), ClientError> {
        let metadata = self.topic(topic, false).await?;
        let leader = metadata.leader(topic, partition);
        if leader.is_err() {
            self.forget(topic);
        }
        leader
    }

    /// A connection to the controller: where topics are created and changed.
    ///
    /// # Errors
    /// No broker answers.
    pub async fn controller(&self) -> Result<Connection, ClientError> {
        let metadata = self.refresh(Some(&[]), false).await?;
        match self.broker(metadata.controller_id).await {
            // Brokers of KRaft name any broker and pass requests on; very old ones name none.
            Err(ClientError::UnknownBroker(_)) => self.any().await,
            connected => connected,
        }
    }

    /// A connection to the coordinator of a group.
    ///
    /// # Errors
    /// The broker's error, or no broker answers.
    pub async fn coordinator(&self, group: &str) -> Result<Connection, ClientError> {
        let connection = self.any().await?;
        let version = connection.version_of::<FindCoordinatorRequest>()?;
        let mut request = FindCoordinatorRequest::default();
        if version < 4 {
            request.key = group.into();
        } else {
            request.coordinator_keys = vec![group.into()];
        }
        let response = connection.call(request).await?;
        let subject = || format!("coordinator of group {group}");
        let node = match response.coordinators.first() {
            None => {
                ClientError::check(response.error_code, response.error_message.as_ref(), subject)?;
                response.node_id
            }
            Some(found) => {
                ClientError::check(found.error_code, found.error_message.as_ref(), subject)?;
                found.node_id
            }
        };
        match self.broker(node).await {
            Err(ClientError::UnknownBroker(_)) => {
                self.refresh(Some(&[]), false).await?;
                self.broker(node).await
            }
            connected => connected,
        }
    }

    /// Asks every broker the same and collects the answers, with the broker's number.
    ///
    /// # Errors
    /// One of them does not answer.
    pub async fn ask_all<R: Request + Send + Sync + 'static>(
        &self,
        request: &R,
    ) -> Result<Vec<(i32, R::Response)>, ClientError> {
        let metadata = self.refresh(Some(&[]), false).await?;
        let mut answers = Vec::new();
        for id in metadata.brokers.keys() {
            answers.push((*id, self.broker(*id).await?.call(request.clone()).await?));
        }
        Ok(answers)
    }

    /// Patience for one operation, as long as the options say.
    #[must_use]
    pub fn patience(&self) -> Patience {
        self.patience_for(self.inner.options.retry_for)
    }

    fn patience_for(&self, patience: Duration) -> Patience {
        let give_up_at = Instant::now() + patience;
        Patience { cluster: self.clone(), give_up_at, pause: self.inner.options.backoff_min }
    }
}

/// The pauses between the attempts of one operation, each twice as long as the one before.
#[derive(Debug)]
pub struct Patience {
    cluster: Cluster,
    give_up_at: Instant,
    pause: Duration,
}

impl Patience {
    /// Waits before the next attempt.
    ///
    /// # Errors
    /// `error` itself, when it is not of the kind that passes or the time is over.
    pub async fn pause(&mut self, error: ClientError) -> Result<(), ClientError> {
        if !self.is_worth_repeating(&error) || self.give_up_at <= Instant::now() + self.pause {
            return Err(error);
        }
        tracing::debug!(%error, pause = ?self.pause, "trying again");
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(self.cluster.inner.options.backoff_max);
        Ok(())
    }

    fn is_worth_repeating(&self, error: &ClientError) -> bool {
        match error {
            // What refuses connections from the start is more likely a wrong address than a passing trouble.
            ClientError::Connect { .. } | ClientError::NoBroker { .. } => !self.cluster.metadata().brokers.is_empty(),
            other => other.is_retriable(),
        }
    }
}

/// Repeats a block that ends in a `Result<_, ClientError>` with [`Patience`]. A macro because a future made from an
/// async closure cannot be spawned.
macro_rules! retry {
    ($cluster:expr, $attempt:block) => {
        retry!(patience $cluster.patience(), $attempt)
    };
    (patience $patience:expr, $attempt:block) => {{
        let mut patience = $patience;
        loop {
            let attempt: Result<_, crate::ClientError> = async { $attempt }.await;
            match attempt {
                Err(error) => {
                    if let Err(error) = patience.pause(error).await {
                        break Err(error);
                    }
                }
                done => break done,
            }
        }
    }};
}
pub(crate) use retry;

/// Whether an error says that what is known of a partition's leader is out of date.
pub(crate) fn is_stale_leader(error: &ClientError) -> bool {
    match error.code() {
        Some(code) => matches!(
            code,
            ErrorCode::NotLeaderOrFollower
                | ErrorCode::LeaderNotAvailable
                | ErrorCode::UnknownTopicOrPartition
                | ErrorCode::FencedLeaderEpoch
                | ErrorCode::UnknownLeaderEpoch
                | ErrorCode::KafkaStorageError
                | ErrorCode::ReplicaNotAvailable
        ),
        None => error.is_retriable(),
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // The guarded sections only move values; what they leave is whole.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Strings of names, for requests.
pub(crate) fn strs<T: AsRef<str>>(names: &[T]) -> Vec<Str> {
    names.iter().map(|name| name.as_ref().into()).collect()
}
