//! Binds listeners and hands accepted connections to the workers.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::connection::{ConnectionSettings, Moving};
use super::limits::{ConnectionPermit, ConnectionQuota};
use super::workers::Workers;
use crate::config::{Endpoint, NetworkConfig};
use crate::handlers::ConnectionContext;
use crate::metrics::Metrics;

/// After `accept` failed (no descriptor is free, say) the next try waits this long instead of spinning.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// How sockets are set up (`socket.*` keys). A buffer size of `None` leaves the system's automatic tuning on.
#[derive(Debug, Clone)]
pub struct SocketOptions {
    pub send_buffer_bytes: Option<usize>,
    pub receive_buffer_bytes: Option<usize>,
    pub backlog: i32,
}

impl From<&NetworkConfig> for SocketOptions {
    fn from(network: &NetworkConfig) -> Self {
        Self {
            send_buffer_bytes: network.send_buffer_bytes,
            receive_buffer_bytes: network.receive_buffer_bytes,
            backlog: i32::try_from(network.listen_backlog).unwrap_or(i32::MAX),
        }
    }
}

/// A listener that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// As it was configured.
    pub endpoint: Endpoint,
    /// Where it is bound.
    pub address: SocketAddr,
}

impl Listening {
    /// Whether this is the listener that `wanted` asks for. Any port will do where a free one is to be taken.
    pub fn is(&self, wanted: &Endpoint) -> bool {
        let port = self.address.port();
        *wanted == Endpoint { port: if wanted.port == 0 { 0 } else { port }, ..self.endpoint.clone() }
    }
}

/// A listener that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("listener {name}: {host}:{port} cannot be resolved: {source}")]
    Resolve { name: String, host: String, port: u16, source: io::Error },
    #[error("listener {name}: cannot listen on {address}: {source}")]
    Bind { name: String, address: SocketAddr, source: io::Error },
    #[error("listener {name}: opening it panicked; see the log")]
    Panicked { name: String },
}

/// Opens a listening socket, which accepts nobody yet. An empty host means all interfaces; port 0 takes a free one. Blocks
/// while a name is resolved.
///
/// # Errors
/// The name does not resolve, or the address is taken or not of this machine.
pub fn bind(endpoint: &Endpoint, options: &SocketOptions) -> Result<StdListener, BindError> {
    open(endpoint, options, |socket| socket.listen(options.backlog)).map(StdListener::from)
}

/// Whether [`bind`] would succeed at this moment. Nobody can connect meanwhile.
///
/// # Errors
/// As [`bind`].
pub fn check_bind(endpoint: &Endpoint, options: &SocketOptions) -> Result<(), BindError> {
    open(endpoint, options, |_| Ok(())).map(drop)
}

/// A socket at the endpoint's address, once `then` has been done with it.
fn open(
    endpoint: &Endpoint,
    options: &SocketOptions,
    then: impl FnOnce(&Socket) -> io::Result<()>,
) -> Result<Socket, BindError> {
    let Endpoint { listener: name, host, port, .. } = endpoint;
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let unresolved = |source| BindError::Resolve { name: name.clone(), host: host.to_owned(), port: *port, source };
    let mut addresses = (host, *port).to_socket_addrs().map_err(unresolved)?;
    let address = addresses.next().ok_or_else(|| unresolved(io::ErrorKind::AddrNotAvailable.into()))?;
    let opened = socket_at(address, options).and_then(|socket| then(&socket).map(|()| socket));
    opened.map_err(|source| BindError::Bind { name: name.clone(), address, source })
}

fn socket_at(address: SocketAddr, options: &SocketOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted broker takes its port back while old connections are still in TIME_WAIT.
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit the buffer sizes; the receive window is agreed in the handshake.
    if let Some(bytes) = options.receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Gives each accepted connection to the next worker in turn.
pub struct Acceptor {
    pub workers: Arc<Workers>,
    pub quota: Arc<ConnectionQuota>,
    pub settings: ConnectionSettings,
    pub metrics: Arc<Metrics>,
}

impl Acceptor {
    /// Accepts until `stop`. `context_for` makes what the handlers see of a connection.
    ///
    /// # Errors
    /// The socket cannot be registered with the runtime.
    pub async fn run(
        self,
        listener: StdListener,
        context_for: impl Fn(SocketAddr) -> Arc<ConnectionContext>,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let accept = async {
                self.quota.room().await;
                listener.accept().await
            };
            let accepted = tokio::select! {
                accepted = accept => accepted,
                () = stop.cancelled() => return Ok(()),
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!("accept failed: {error}");
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                    continue;
                }
            };
            match self.quota.open(peer.ip()) {
                Ok(permit) => match prepare(stream) {
                    Ok(stream) => self.hand_over(stream, permit, context_for(peer)),
                    Err(error) => tracing::debug!(%peer, "connection lost before it was set up: {error}"),
                },
                Err(refused) => {
                    self.metrics.connection_refused("max.connections.per.ip");
                    tracing::warn!(%peer, "connection refused: {refused}");
                }
            }
        }
    }

    fn hand_over(&self, stream: StdStream, permit: ConnectionPermit, context: Arc<ConnectionContext>) {
        let (settings, colleagues) = (self.settings.clone(), self.workers.colleagues());
        let connection = Moving::new(stream, context, settings, permit);
        self.workers.spawn(move || connection.serve(colleagues));
    }
}

/// Detaches an accepted socket from the acceptor's runtime and sets its options.
fn prepare(stream: TcpStream) -> io::Result<StdStream> {
    let stream = stream.into_std()?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_nodelay(true)?;
    // Without it a client whose machine vanished would hold its place until the idle limit.
    socket.set_tcp_keepalive(&TcpKeepalive::new())?;
    Ok(stream)
}
