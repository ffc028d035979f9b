//! One fetcher: fetch, append, fetch again.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};
use tokio::time::Instant;
use whimbrel_model::{ErrorCode, NodeId, TopicPartition, Uuid};
use whimbrel_wire::fetch::ReplicaState;
use whimbrel_wire::{FetchRequest, FetchResponse};

use super::session::{Coverage, Session, Wanted};
use super::tracked::Tracked;
use super::{Inbox, Shared};
use crate::interbroker::{PeerConnection, PeerError, PeerOptions};

/// The version of Fetch that goes with Kafka 3.9's inter-broker protocol.
const VERSION: i16 = 17;
/// The newest that names topics: for those without an id.
const VERSION_WITHOUT_IDS: i16 = 12;

/// A fetcher that only has throttled partitions looks at their rate this often.
const THROTTLE_PAUSE: Duration = Duration::from_millis(100);

/// The first pause after a connection that failed; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The state of one fetcher thread.
pub(super) struct Fetcher {
    pub(super) shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    pub(super) leader: NodeId,
    options: PeerOptions,
    pub(super) tracked: BTreeMap<TopicPartition, Tracked>,
    /// The names of the tracked topics.
    names: HashMap<Uuid, Arc<str>>,
    session: Session,
    pub(super) connection: Option<PeerConnection>,
    pause: Duration,
    /// Partitions wait for their rate.
    has_throttled: bool,
}

/// How a round of fetching ended without an answer.
enum NoAnswer {
    /// There are partitions to be fetched that the request did not ask for.
    Interrupted,
    Failed(PeerError),
}

impl Fetcher {
    pub fn new(shared: Arc<Shared>, inbox: Arc<Inbox>, leader: NodeId, index: u32) -> Self {
        let client_id = format!("broker-{}-fetcher-{index}", shared.replicas.own());
        let options = PeerOptions { request_timeout: shared.request_timeout(), ..PeerOptions::new(client_id) };
        Self {
            shared,
            inbox,
            leader,
            options,
            tracked: BTreeMap::new(),
            names: HashMap::new(),
            session: Session::default(),
            connection: None,
            pause: FIRST_PAUSE,
            has_throttled: false,
        }
    }

    /// Fetches until it is told to stop.
    pub fn run(self) {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(self.follow()),
            Err(error) => tracing::error!("a fetcher cannot start: {error}"),
        }
    }

    async fn follow(mut self) {
        tracing::debug!(leader = %self.leader, "fetcher started");
        while !self.take_orders() {
            let now = Instant::now();
            let wanted = self.wanted(now);
            if wanted.is_empty() {
                self.rest(self.next_due(now)).await;
                continue;
            }
            match self.fetch(wanted, self.longest_wait(now)).await {
                Ok(response) => self.answered(response).await,
                Err(NoAnswer::Interrupted) => self.connection = None,
                Err(NoAnswer::Failed(error)) => self.connection_failed(&error).await,
            }
        }
        tracing::debug!(leader = %self.leader, "fetcher ended");
    }

    /// Carries out what the controller said meanwhile. Returns whether the fetcher ends.
    fn take_orders(&mut self) -> bool {
        let (orders, stop) = {
            let mut orders = self.inbox.orders.lock();
            (std::mem::take(&mut orders.partitions), orders.stop)
        };
        if stop {
            return true;
        }
        let mut beginners = Vec::new();
        for (key, order) in orders {
            match order {
                None => {
                    self.tracked.remove(&key);
                }
                Some(role) => {
                    self.names.insert(role.partition.topic_id, key.topic.clone());
                    beginners.push(key.clone());
                    self.tracked.insert(key, Tracked::new(role.partition, role.epoch));
                }
            }
        }
        let tracked = &self.tracked;
        self.names.retain(|_, name| {
            let first = TopicPartition { topic: name.clone(), partition: i32::MIN };
            tracked.range(first..).next().is_some_and(|(key, _)| key.topic == *name)
        });
        self.begin(&beginners);
        false
    }

    /// What to ask for now.
    fn wanted(&mut self, now: Instant) -> BTreeMap<TopicPartition, Wanted> {
        let bytes_max = self.shared.config.fetch_partition_bytes_max;
        let (throttles, mut has_throttled) = (self.shared.replicas.throttles(), false);
        let ready = self.tracked.iter_mut().filter_map(|(key, tracked)| {
            if tracked.is_held_back(throttles) {
                has_throttled = true;
                return None;
            }
            let wanted = tracked.is_ready(now).then(|| tracked.wanted(bytes_max))?;
            Some((key.clone(), wanted))
        });
        let wanted = ready.collect();
        self.has_throttled = has_throttled;
        wanted
    }

    /// Until `deadline` or until there are orders.
    async fn rest(&self, deadline: Option<Instant>) {
        match deadline {
            Some(deadline) => {
                let _either = tokio::time::timeout_at(deadline, self.inbox.news.notified()).await;
            }
            None => self.inbox.news.notified().await,
        }
    }

    /// When a partition that is not asked for now is to be asked for.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        let paused = self.tracked.values().filter_map(|tracked| tracked.paused_until);
        paused.chain(self.has_throttled.then(|| now + THROTTLE_PAUSE)).min()
    }

    /// How long the leader may hold the answer back: not past the time at which another partition is due. One whose
    /// leader was not ready yet would otherwise wait for all the others.
    fn longest_wait(&self, now: Instant) -> Duration {
        let longest = self.shared.config.fetch_wait_max;
        self.next_due(now).map_or(longest, |due| longest.min(due.saturating_duration_since(now)))
    }

    async fn fetch(
        &mut self,
        wanted: BTreeMap<TopicPartition, Wanted>,
        wait_max: Duration,
    ) -> Result<FetchResponse, NoAnswer> {
        let (shared, inbox) = (self.shared.clone(), self.inbox.clone());
        let config = &shared.config;
        let names_topics = wanted.values().any(|wanted| wanted.topic_id.is_zero());
        let connected = self.connection.take().filter(|it| it.is_usable() && !self.has_moved(it));
        let mut connection = match connected {
            Some(connection) => connection,
            None => {
                self.session.restart();
                interruptible(&inbox, self.connect()).await?
            }
        };
        let version = if names_topics { VERSION_WITHOUT_IDS } else { VERSION };
        let own = shared.replicas.own().0;
        // Rounded up: a due partition is asked for in the next round.
        let wait_ms = i32::try_from(wait_max.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        let mut request = FetchRequest {
            max_wait_ms: wait_ms,
            min_bytes: config.fetch_bytes_min,
            max_bytes: config.fetch_bytes_max,
            ..FetchRequest::default()
        };
        if names_topics {
            request.replica_id = own;
        } else {
            request.replica_state = ReplicaState { replica_id: own, replica_epoch: shared.replicas.broker_epoch().0 };
        }
        let _coverage: Coverage = self.session.fill(&mut request, wanted, names_topics);
        let within = self.options.request_timeout + config.fetch_wait_max;
        let response = interruptible(&inbox, connection.call_within(&request, version, within)).await?;
        self.connection = Some(connection);
        self.pause = FIRST_PAUSE;
        Ok(response)
    }

    /// Whether the leader is to be reached elsewhere by now. The old endpoint may go on answering; nobody is told of it
    /// any more.
    fn has_moved(&self, connection: &PeerConnection) -> bool {
        self.shared.endpoint(self.leader).is_some_and(|endpoint| endpoint != *connection.endpoint())
    }

    async fn connect(&self) -> Result<PeerConnection, PeerError> {
        let Some(endpoint) = self.shared.endpoint(self.leader) else {
            let address: Arc<str> = format!("broker {}", self.leader).into();
            return Err(PeerError::Connect { address, source: std::io::ErrorKind::AddrNotAvailable.into() });
        };
        PeerConnection::connect(&endpoint, &self.options).await
    }

    async fn connection_failed(&mut self, error: &PeerError) {
        if self.pause == FIRST_PAUSE {
            tracing::warn!(leader = %self.leader, "cannot fetch: {error}");
        }
        self.connection = None;
        let pause = self.pause.min(self.shared.config.fetch_backoff_max);
        self.pause = (self.pause * 2).min(self.shared.config.fetch_backoff_max.max(FIRST_PAUSE));
        self.rest(Some(Instant::now() + pause)).await;
    }

    async fn answered(&mut self, response: FetchResponse) {
        match ErrorCode::from_code(response.error_code) {
            ErrorCode::None => self.session.answered(response.session_id),
            ErrorCode::FetchSessionIdNotFound => return self.session.forget(),
            ErrorCode::InvalidFetchSessionEpoch | ErrorCode::FetchSessionTopicIdError => {
                return self.session.restart();
            }
            code => {
                tracing::warn!(leader = %self.leader, "the leader refuses to be fetched from: {code}");
                self.session.restart();
                let now = Instant::now();
                for tracked in self.tracked.values_mut() {
                    tracked.back_off(now, self.shared.config.fetch_backoff_max);
                }
                return;
            }
        }
        let mut round = super::apply::Round::default();
        for topic in response.responses {
            let name: Arc<str> = match self.names.get(&topic.topic_id) {
                Some(name) if !topic.topic_id.is_zero() => name.clone(),
                _ => topic.topic.as_str().into(),
            };
            for data in topic.partitions {
                let key = TopicPartition { topic: name.clone(), partition: data.partition_index };
                // What was not asked for is not looked at.
                if self.session.asked_for(&key) {
                    self.take_in(key, data, &mut round);
                }
            }
        }
        self.finish(round).await;
    }
}

/// Waits for `call`, but gives it up when partitions are added: a leader may hold an answer back for
/// `replica.fetch.wait.max.ms`, and a partition whose leader has just changed cannot wait that long.
async fn interruptible<T>(inbox: &Inbox, call: impl Future<Output = Result<T, PeerError>>) -> Result<T, NoAnswer> {
    let mut call = pin!(call);
    loop {
        tokio::select! {
            biased;
            result = &mut call => return result.map_err(NoAnswer::Failed),
            () = inbox.news.notified() => {
                let orders = inbox.orders.lock();
                if orders.stop || orders.partitions.values().any(Option::is_some) {
                    return Err(NoAnswer::Interrupted);
                }
            }
        }
    }
}
