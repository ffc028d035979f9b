//! The broker's listeners: bound first, told to the cluster next, served last.
//!
//! The listener of the control plane has a thread, memory and a count of connections of its own: what the controller
//! says gets through however busy the clients keep the rest.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use whimbrel_state::controller::control::Endpoint as AdvertisedEndpoint;

use crate::Broker;
use crate::config::{BrokerConfig, Endpoint, NetworkConfig, host_port};
use crate::handlers::ConnectionContext;
use crate::server::{
    Acceptor, BindError, ConnectionLimits, ConnectionQuota, ConnectionSettings, RequestMemory, SocketOptions, Workers,
    bind,
};

/// Connections that are idle "for ever" are looked at this often.
const IDLE_MAX_FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// A listener that is bound, with what was asked for.
pub(super) type Bound = (Endpoint, TcpListener);

fn socket_options(network: &NetworkConfig) -> SocketOptions {
    SocketOptions {
        send_buffer_bytes: network.send_buffer_bytes,
        receive_buffer_bytes: network.receive_buffer_bytes,
        backlog: i32::try_from(network.listen_backlog).unwrap_or(i32::MAX),
    }
}

pub(super) fn bind_all(config: &BrokerConfig) -> Result<Vec<Bound>, BindError> {
    let options = socket_options(&config.network);
    let bound = config.listeners.bind.iter().map(|endpoint| {
        let listener = bind(&endpoint.listener, &endpoint.host, endpoint.port, &options)?;
        Ok((endpoint.clone(), listener))
    });
    bound.collect()
}

pub(super) fn address(listener: &TcpListener) -> SocketAddr {
    // Fails only for a socket that is not bound.
    listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)))
}

/// What clients are told. Port 0 stands for the port that the listener of that name got.
pub(super) fn advertised(config: &BrokerConfig, bound: &[Bound]) -> Vec<AdvertisedEndpoint> {
    let port_of = |name: &str| {
        bound.iter().find(|(endpoint, _)| endpoint.listener == name).map_or(0, |(_, listener)| address(listener).port())
    };
    let endpoints = config.listeners.advertised.iter().map(|endpoint| AdvertisedEndpoint {
        listener: endpoint.listener.as_str().into(),
        protocol: endpoint.protocol,
        host: endpoint.host.as_str().into(),
        port: i32::from(if endpoint.port == 0 { port_of(&endpoint.listener) } else { endpoint.port }),
    });
    endpoints.collect()
}

/// The threads that serve connections, and what bounds them.
pub(super) struct Service {
    clients: Plane,
    control: Option<Plane>,
}

/// What connections of the same kind share.
struct Plane {
    workers: Arc<Workers>,
    quota: Arc<ConnectionQuota>,
    memory: RequestMemory,
    next_worker: Arc<AtomicUsize>,
}

impl Plane {
    fn start(threads: usize, quota: Arc<ConnectionQuota>, memory: RequestMemory) -> io::Result<Self> {
        let workers = Arc::new(Workers::start(threads)?);
        Ok(Self { workers, quota, memory, next_worker: Arc::default() })
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

    /// Accepts connections on every listener until `stop`.
    pub(super) fn serve(&self, broker: &Arc<Broker>, bound: Vec<Bound>, stop: &CancellationToken) {
        for (endpoint, listener) in bound {
            let is_control = broker.config().listeners.control_plane.as_ref() == Some(&endpoint.listener);
            let plane = self.control.as_ref().filter(|_| is_control).unwrap_or(&self.clients);
            self.accept(plane, broker, endpoint, listener, stop);
        }
    }

    fn accept(
        &self,
        plane: &Plane,
        broker: &Arc<Broker>,
        endpoint: Endpoint,
        listener: TcpListener,
        stop: &CancellationToken,
    ) {
        let network = &broker.config().network;
        let settings = ConnectionSettings {
            frame_bytes_max: network.request_bytes_max,
            idle_max: network.connection_idle_max.unwrap_or(IDLE_MAX_FOR_EVER),
            memory: plane.memory.clone(),
            stop: stop.clone(),
        };
        let acceptor = Acceptor {
            workers: plane.workers.clone(),
            quota: plane.quota.clone(),
            settings,
            next_worker: plane.next_worker.clone(),
            metrics: broker.metrics.clone(),
        };
        let name: Arc<str> = endpoint.listener.as_str().into();
        let (broker, stop) = (broker.clone(), stop.clone());
        let context_for = move |peer| {
            broker.metrics.connection_opened(&name);
            Arc::new(ConnectionContext::new(broker.clone(), name.clone(), peer))
        };
        tokio::spawn(async move {
            if let Err(error) = acceptor.run(listener, context_for, stop).await {
                tracing::error!(listener = %host_port(&endpoint.host, endpoint.port), "the listener ended: {error}");
            }
        });
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
