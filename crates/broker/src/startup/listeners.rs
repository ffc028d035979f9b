//! The broker's listeners: bound first, told to the cluster next, served last.
//!
//! The listener of the control plane has a thread, memory and a count of connections of its own: what the controller
//! says gets through however busy the clients keep the rest.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::stop::DRAIN_WAIT;
use crate::Broker;
use crate::config::{BrokerConfig, Endpoint};
use crate::gate::Gate;
use crate::handlers::ConnectionContext;
use crate::server::{
    Acceptor, BindError, ConnectionLimits, ConnectionQuota, ConnectionSettings, Listening, RequestMemory,
    SocketOptions, Workers, bind,
};

/// Connections that are idle "for ever" are looked at this often.
const IDLE_MAX_FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// A listener that is bound, with what was asked for.
pub(super) type Bound = (Listening, TcpListener);

pub(super) fn bind_all(config: &BrokerConfig) -> Result<Vec<Bound>, BindError> {
    let options = SocketOptions::from(&config.network);
    config.listeners.bind.iter().map(|endpoint| bind_one(endpoint, &options)).collect()
}

pub(super) fn bind_one(endpoint: &Endpoint, options: &SocketOptions) -> Result<Bound, BindError> {
    let listener = bind(endpoint, options)?;
    // Fails only for a socket that is not bound.
    let address = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
    Ok((Listening { endpoint: endpoint.clone(), address }, listener))
}

/// The threads that serve connections, and what bounds them.
pub(super) struct Service {
    clients: Plane,
    control: Option<Plane>,
}

/// A listener whose connections are served.
pub(super) struct Served {
    pub(super) listening: Listening,
    stop: CancellationToken,
    cut: Arc<Gate>,
    accepting: JoinHandle<()>,
}

impl Served {
    /// Closes the listener: whoever connects is refused once this returns. Connections have a moment to get the answers
    /// to what they have asked, and are closed then.
    pub(super) async fn close(self) {
        self.stop.cancel();
        if self.accepting.await.is_err() {
            tracing::error!(listener = %self.listening.address, "accepting connections panicked");
        }
        let cut = self.cut;
        tokio::spawn(async move {
            tokio::time::sleep(DRAIN_WAIT).await;
            cut.open();
        });
    }
}

/// What connections of the same kind share.
struct Plane {
    workers: Arc<Workers>,
    quota: Arc<ConnectionQuota>,
    memory: RequestMemory,
}

impl Plane {
    fn start(threads: usize, quota: Arc<ConnectionQuota>, memory: RequestMemory) -> io::Result<Self> {
        let workers = Arc::new(Workers::start(threads)?);
        Ok(Self { workers, quota, memory })
    }
}

impl Service {
    /// Starts the threads; nothing is accepted yet.
    ///
    /// # Errors
    /// When a thread cannot be created.
    pub(super) fn start(broker: &Broker) -> io::Result<Self> {
        let config = broker.config();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let memory = RequestMemory::new(config.network.queued_request_bytes_max);
        let clients = Plane::start(threads, broker.connections.clone(), memory)?;
        let control = match config.listeners.control_plane {
            None => None,
            Some(_) => {
                let quota = ConnectionQuota::new(ConnectionLimits::unlimited());
                Some(Plane::start(1, quota, RequestMemory::new(None))?)
            }
        };
        Ok(Self { clients, control })
    }

    /// Accepts connections on the listener until it is closed, or until `stop`.
    pub(super) fn serve(&self, broker: &Arc<Broker>, (listening, listener): Bound, stop: &CancellationToken) -> Served {
        let config = broker.config();
        let is_control = config.listeners.control_plane.as_ref() == Some(&listening.endpoint.listener);
        let plane = self.control.as_ref().filter(|_| is_control).unwrap_or(&self.clients);
        let (stop, cut) = (stop.child_token(), Arc::new(Gate::default()));
        let settings = ConnectionSettings {
            frame_bytes_max: config.network.request_bytes_max,
            idle_max: config.network.connection_idle_max.unwrap_or(IDLE_MAX_FOR_EVER),
            memory: plane.memory.clone(),
            stop: stop.clone(),
            cut: cut.clone(),
        };
        let acceptor = Acceptor {
            workers: plane.workers.clone(),
            quota: plane.quota.clone(),
            settings,
            metrics: broker.metrics.clone(),
        };
        let name: Arc<str> = listening.endpoint.listener.as_str().into();
        let (broker, address, ended) = (broker.clone(), listening.address, stop.clone());
        let context_for = move |peer| {
            broker.metrics.connection_opened(&name);
            Arc::new(ConnectionContext::new(broker.clone(), name.clone(), peer))
        };
        let accepting = tokio::spawn(async move {
            if let Err(error) = acceptor.run(listener, context_for, ended).await {
                tracing::error!(listener = %address, "the listener ended: {error}");
            }
        });
        Served { listening, stop, cut, accepting }
    }

    /// Ends the threads, and with them what they still serve. Blocks.
    pub(super) fn stop(self) {
        let planes = [Some(self.clients), self.control];
        for plane in planes.into_iter().flatten() {
            // An acceptor that has not ended yet holds it too, and ends it then.
            if let Some(workers) = Arc::into_inner(plane.workers) {
                workers.stop();
            }
        }
    }
}
