//! Accepting connections.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::{Shared, StartError, connection};
use crate::config::KeeperConfig;

/// After a failed accept (no file handles left, most likely) the listener rests.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// How long clients may take to receive their last answers when the keeper stops.
const FAREWELL: Duration = Duration::from_secs(3);

/// Binds every address, or none.
pub(super) async fn bind(addresses: &[SocketAddr]) -> Result<(Vec<TcpListener>, Vec<SocketAddr>), StartError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    let mut local = Vec::with_capacity(addresses.len());
    for address in addresses {
        let failed = |source| StartError::Listen { address: *address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        local.push(listener.local_addr().map_err(failed)?);
        listeners.push(listener);
    }
    if listeners.is_empty() { Err(StartError::NoAddress) } else { Ok((listeners, local)) }
}

/// How many connections there are, by address.
#[derive(Debug, Default)]
pub(super) struct Admission {
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place. Dropping it frees the place.
#[derive(Debug)]
struct Place {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Admission {
    fn admit(self: &Arc<Self>, address: IpAddr, config: &KeeperConfig) -> Result<Place, &'static str> {
        let mut by_address = self.by_address.lock();
        let has_room = |count: usize, max: usize| max == 0 || count < max;
        if !has_room(by_address.values().sum(), config.max_connections) {
            return Err("too many connections");
        }
        let count = by_address.entry(address).or_default();
        if !has_room(*count, config.max_client_connections) {
            return Err("too many connections from this address");
        }
        *count += 1;
        Ok(Place { admission: Arc::clone(self), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_address = self.admission.by_address.lock();
        if let Some(count) = by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

/// Accepts connections until told to stop, then waits until all have ended.
pub(super) async fn accept(
    shared: Arc<Shared>,
    listener: TcpListener,
    admission: Arc<Admission>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_ended) = connections.join_next() => continue,
            _ = stopped.changed() => break,
        };
        match accepted {
            Ok((stream, peer)) => admit(&shared, &admission, stream, peer, &mut connections),
            Err(error) => {
                warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(FAREWELL, all_ended).await.is_err() {
        connections.shutdown().await;
    }
}

fn admit(
    shared: &Arc<Shared>,
    admission: &Arc<Admission>,
    stream: TcpStream,
    peer: SocketAddr,
    connections: &mut JoinSet<()>,
) {
    let place = match admission.admit(peer.ip().to_canonical(), &shared.config) {
        Ok(place) => place,
        Err(reason) => {
            info!(%peer, reason, "connection refused");
            return;
        }
    };
    if let Err(error) = stream.set_nodelay(true) {
        info!(%peer, %error, "connection refused");
        return;
    }
    let shared = Arc::clone(shared);
    connections.spawn(async move {
        connection::serve(shared, stream, peer).await;
        drop(place);
    });
}
