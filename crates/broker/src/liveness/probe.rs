//! Watches one broker: a connection, a small request each interval, and a look at how it ends when it ends.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until};
use whimbrel_model::NodeId;
use whimbrel_state::controller::control::Endpoint;
use whimbrel_state::liveness::{Input, Sighting};
use whimbrel_wire::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, WhimbrelLivenessRequest, WhimbrelLivenessResponse,
};

use super::Monitor;
use crate::coordination::Coordination;
use crate::interbroker::{PeerConnection, PeerError, PeerOptions};

/// Between two dials of a broker whose connection has just ended: long enough for a listener that is replaced.
const REDIAL_PAUSE: Duration = Duration::from_millis(5);

/// The longest wait for an answer before a new connection is tried. A frozen broker's connections pile up in its kernel
/// until it runs again, so they are made more and more seldom; one across a cut link must be made again to be of use.
const PATIENCE_MAX: Duration = Duration::from_secs(10);

/// The version of ApiVersions from which on brokers introduce themselves.
const INTRODUCTION: i16 = 3;

/// Where brokers are probed.
pub(super) type Endpoints = Arc<Mutex<BTreeMap<NodeId, Endpoint>>>;

/// What watches one broker.
pub(super) struct Probe {
    pub own: NodeId,
    pub peer: NodeId,
    pub endpoints: Endpoints,
    pub monitor: Arc<Monitor>,
    pub coordination: Coordination,
    pub options: PeerOptions,
    pub interval: Duration,
    pub silence: Duration,
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.monitor.links.forget(self.peer);
    }
}

/// How a conversation ended.
enum End {
    /// The connection is gone; what a new dial meets tells whether the broker is.
    Closed { answers: u32 },
    /// It stands, and nothing comes.
    Silent,
    /// It stands, and the broker is to be reached elsewhere by now.
    Moved,
}

impl Probe {
    /// Watches until it is dropped.
    pub(super) async fn run(self) {
        let mut patience = self.silence;
        let mut failures: u32 = 0;
        loop {
            let pause = match self.dial().await {
                Ok(connection) => match self.converse(connection, &mut patience).await {
                    End::Closed { answers: 0 } => self.pause_after(&mut failures),
                    End::Closed { .. } => {
                        self.monitor.links.end(self.peer);
                        failures = 0;
                        continue;
                    }
                    End::Silent => {
                        self.monitor.links.forget(self.peer);
                        patience = (patience * 2).min(PATIENCE_MAX);
                        continue;
                    }
                    End::Moved => {
                        self.monitor.links.forget(self.peer);
                        continue;
                    }
                },
                Err(error) => {
                    if is_refused(&error) {
                        self.monitor.feed(Input::Refused { peer: self.peer });
                    }
                    tracing::debug!(broker = self.peer.0, "not reached: {error}");
                    self.pause_after(&mut failures)
                }
            };
            sleep(pause).await;
        }
    }

    /// Twice in quick succession, which is what it takes to know that nobody listens, then once an interval.
    fn pause_after(&self, failures: &mut u32) -> Duration {
        *failures = failures.saturating_add(1);
        if *failures <= 2 { REDIAL_PAUSE.min(self.interval) } else { self.interval }
    }

    /// Lets others look at the connection. It is open as long as this handle is, too, so `run` takes it back.
    fn show(&self, connection: &PeerConnection) {
        match connection.socket() {
            Ok(socket) => self.monitor.links.up(self.peer, socket),
            Err(error) => tracing::debug!(broker = self.peer.0, "no second handle to the connection: {error}"),
        }
    }

    async fn dial(&self) -> Result<PeerConnection, PeerError> {
        let endpoint = self.endpoints.lock().get(&self.peer).cloned();
        match endpoint {
            Some(endpoint) => PeerConnection::connect(&endpoint, &self.options).await,
            None => {
                let address = self.peer.to_string().into();
                Err(PeerError::Connect { address, source: io::ErrorKind::AddrNotAvailable.into() })
            }
        }
    }

    async fn converse(&self, mut connection: PeerConnection, patience: &mut Duration) -> End {
        let mut answers = 0;
        let mut is_ours = None;
        let mut next = Instant::now();
        loop {
            let answered = match is_ours {
                None => self.introduce(&mut connection, *patience).await.map(|ours| {
                    is_ours = Some(ours);
                    Vec::new()
                }),
                Some(true) => self.ask(&mut connection, *patience).await,
                Some(false) => self.knock(&mut connection, *patience).await,
            };
            match answered {
                Ok(sightings) => {
                    if answers == 0 {
                        self.show(&connection);
                    }
                    (answers, *patience) = (answers + 1, self.silence);
                    self.monitor.feed(Input::Answered { peer: self.peer, sightings });
                }
                Err(PeerError::Timeout { .. }) => return End::Silent,
                Err(error) => {
                    tracing::debug!(broker = self.peer.0, "the probe's connection ended: {error}");
                    return End::Closed { answers };
                }
            }
            next = (next + self.interval).max(Instant::now());
            tokio::select! {
                () = sleep_until(next) => {}
                () = connection.closed() => return End::Closed { answers },
            }
            if self.endpoints.lock().get(&self.peer).is_some_and(|endpoint| endpoint != connection.endpoint()) {
                return End::Moved;
            }
        }
    }

    /// Whether the peer serves our request. Kafka's brokers do not, and are not told that there is one.
    async fn introduce(&self, connection: &mut PeerConnection, patience: Duration) -> Result<bool, PeerError> {
        let request = ApiVersionsRequest {
            client_software_name: "whimbrel".into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
        };
        let response: ApiVersionsResponse = connection.call_within(&request, INTRODUCTION, patience).await?;
        Ok(response.api_keys.iter().any(|api| api.api_key == ApiKey::WhimbrelLiveness.code()))
    }

    async fn ask(&self, connection: &mut PeerConnection, patience: Duration) -> Result<Vec<Sighting>, PeerError> {
        let mut suspects = self.monitor.suspects();
        suspects.retain(|id| *id != self.peer);
        let request = WhimbrelLivenessRequest {
            broker_id: self.own.0,
            broker_epoch: self.coordination.broker_epoch().0,
            suspects: suspects.into_iter().map(|id| id.0).collect(),
        };
        let response: WhimbrelLivenessResponse = connection.call_within(&request, 0, patience).await?;
        let sighting = |sighting: &whimbrel_wire::whimbrel_liveness::WhimbrelSighting| Sighting {
            broker: NodeId(sighting.broker_id),
            silent_for: Duration::from_millis(u64::try_from(sighting.silent_ms).unwrap_or(0)),
            is_refused: sighting.is_refused,
        };
        Ok(response.sightings.iter().map(sighting).collect())
    }

    /// The smallest request that every broker answers.
    async fn knock(&self, connection: &mut PeerConnection, patience: Duration) -> Result<Vec<Sighting>, PeerError> {
        connection.call_within(&ApiVersionsRequest::default(), 0, patience).await.map(|_| Vec::new())
    }
}

/// Whether a host has said that nobody listens.
fn is_refused(error: &PeerError) -> bool {
    matches!(error, PeerError::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused)
}
