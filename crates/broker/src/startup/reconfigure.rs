//! The listeners of a running broker follow its configuration (KIP-226). Source: Kafka 3.9 `DynamicBrokerConfig.scala`
//! (`DynamicListenerConfig`), `SocketServer.scala` (`addListeners`, `removeListeners`).
//!
//! ```text
//! configured ─▶ what is new is opened ─▶ registered ─▶ heard of from the controller ─▶ what is no longer listed is closed
//! ```
//!
//! Kafka closes first and registers last. Here nobody is told of an address at which nobody listens: a broker that is
//! refused where it was sent takes this one for dead (`liveness`). For the same reason a listener whose address is
//! another one moves, where Kafka tells clients of the new address and listens at the old one until its next start.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use whimbrel_state::controller::control::Endpoint as AdvertisedEndpoint;

use super::listeners::{Bound, Served, Service, bind_one};
use crate::Broker;
use crate::config::{BrokerConfig, Endpoint, Listeners};
use crate::server::{BindError, Listening, SocketOptions};

/// Before a registration that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The controller has this long to tell everybody of other endpoints; then the old ones are closed all the same.
const TOLD_WAIT: Duration = Duration::from_secs(10);

/// Other brokers are told at about the same time as this one.
const SPREAD_TIME: Duration = Duration::from_millis(200);

/// The listeners that are open, and what serves them.
pub(super) struct OpenListeners {
    broker: Arc<Broker>,
    service: Service,
    stop: CancellationToken,
    open: Vec<Served>,
    is_registered: bool,
    /// Why the registration failed last, so that this is said once.
    trouble: Option<String>,
}

impl OpenListeners {
    /// Accepts connections on what is bound, until `stop`.
    pub(super) fn serve(broker: &Arc<Broker>, service: Service, bound: Vec<Bound>, stop: &CancellationToken) -> Self {
        let open = bound.into_iter().map(|one| service.serve(broker, one, stop)).collect();
        let (broker, stop) = (broker.clone(), stop.clone());
        let listeners = Self { broker, service, stop, open, is_registered: true, trouble: None };
        listeners.publish();
        listeners
    }

    /// Follows the configuration until the broker stops, and gives back what serves the connections that are left.
    pub(super) async fn follow(mut self) -> Service {
        let stop = self.stop.clone();
        while stop.run_until_cancelled(self.step()).await.is_some() {}
        self.service
    }

    async fn step(&mut self) {
        let retry = async {
            match self.is_registered {
                true => std::future::pending().await,
                false => tokio::time::sleep(RETRY_PAUSE).await,
            }
        };
        let has_changed = tokio::select! {
            () = self.broker.listeners_changed.notified() => true,
            () = retry => false,
        };
        let config = Arc::clone(&self.broker.config());
        if has_changed {
            self.open_new(&config).await;
        }
        self.is_registered = self.register(&config.listeners).await;
        if self.is_registered {
            self.close_old(&config.listeners).await;
        }
    }

    /// Opens what is configured and is not open. What cannot be opened is tried again with the next change.
    async fn open_new(&mut self, config: &BrokerConfig) {
        let options = SocketOptions::from(&config.network);
        let wanted = &config.listeners.bind;
        for endpoint in wanted {
            if self.open.iter().any(|served| served.listening.is(endpoint)) {
                continue;
            }
            let holds_port = |served: &Served| served.listening.address.port() == endpoint.port;
            let in_the_way = self.open.iter().position(|served| holds_port(served) && !is_listed(wanted, served));
            let closed = match in_the_way {
                Some(index) => Some(self.close(index).await),
                None => None,
            };
            match bind_in_background(endpoint, &options).await {
                Ok(bound) => self.add(bound),
                Err(error) => {
                    tracing::error!("a configured listener is not open, and nobody is told of it: {error}");
                    if let Some(closed) = closed {
                        self.reopen(&closed.endpoint, &options).await;
                    }
                }
            }
        }
    }

    async fn reopen(&mut self, endpoint: &Endpoint, options: &SocketOptions) {
        match bind_in_background(endpoint, options).await {
            Ok(bound) => self.add(bound),
            Err(error) => tracing::error!("the listener that had the port cannot be opened again: {error}"),
        }
    }

    fn add(&mut self, bound: Bound) {
        tracing::info!(listener = bound.0.endpoint.listener, address = %bound.0.address, "listener opened");
        self.open.push(self.service.serve(&self.broker, bound, &self.stop));
        self.publish();
    }

    async fn close(&mut self, index: usize) -> Listening {
        let served = self.open.remove(index);
        let listening = served.listening.clone();
        served.close().await;
        tracing::info!(listener = listening.endpoint.listener, address = %listening.address, "listener closed");
        self.publish();
        listening
    }

    fn publish(&self) {
        self.broker.set_listening(self.listening());
    }

    fn listening(&self) -> Vec<Listening> {
        self.open.iter().map(|served| served.listening.clone()).collect()
    }

    /// Registers the endpoints of what is open, if they are others than before. False when that has to be repeated.
    async fn register(&mut self, listeners: &Listeners) -> bool {
        let coordination = &self.broker.coordination;
        let registered = coordination.registered_endpoints();
        let endpoints = endpoints(listeners, &self.listening(), &registered);
        // One that failed may have been taken in, and yet not be where others read it.
        if self.is_registered && endpoints == registered {
            return true;
        }
        match coordination.update_registration(endpoints).await {
            Ok(()) => {
                self.trouble = None;
                true
            }
            Err(error) => {
                let trouble = error.to_string();
                if self.trouble.as_ref() != Some(&trouble) {
                    tracing::error!("other endpoints of this broker are not registered yet: {trouble}");
                }
                self.trouble = Some(trouble);
                false
            }
        }
    }

    /// Closes what is no longer configured, once others have been told where to go instead.
    async fn close_old(&mut self, listeners: &Listeners) {
        if !self.open.iter().any(|served| self.is_leaving(listeners, served)) {
            return;
        }
        let endpoints = self.broker.coordination.registered_endpoints();
        let id = self.broker.node_id;
        let told = self.broker.metadata.wait_for(|image| {
            let own = image.brokers.get(&id)?;
            (own.endpoints == endpoints).then_some(())
        });
        match tokio::time::timeout(TOLD_WAIT, told).await {
            Ok(()) => tokio::time::sleep(SPREAD_TIME).await,
            Err(_) => tracing::warn!("the controller has not told of this broker's other endpoints in {TOLD_WAIT:?}"),
        }
        while let Some(index) = self.open.iter().position(|served| self.is_leaving(listeners, served)) {
            self.close(index).await;
        }
    }

    /// Whether a listener is to be closed. One that could not be opened at its new address stays at the old one.
    fn is_leaving(&self, listeners: &Listeners, served: &Served) -> bool {
        let name = &served.listening.endpoint.listener;
        let wanted = listeners.bind.iter().find(|endpoint| endpoint.listener == *name);
        let is_open = |wanted: &Endpoint| self.open.iter().any(|served| served.listening.is(wanted));
        !is_listed(&listeners.bind, served) && wanted.is_none_or(is_open)
    }
}

fn is_listed(wanted: &[Endpoint], served: &Served) -> bool {
    wanted.iter().any(|endpoint| served.listening.is(endpoint))
}

/// What the cluster is told: where each advertised listener is that is open as configured. One that is not open stays
/// told of as it was, if it was.
pub(super) fn endpoints(
    listeners: &Listeners,
    listening: &[Listening],
    registered: &[AdvertisedEndpoint],
) -> Vec<AdvertisedEndpoint> {
    let told = |endpoint: &Endpoint| {
        let wanted = listeners.bind.iter().find(|wanted| wanted.listener == endpoint.listener)?;
        match listening.iter().find(|one| one.is(wanted)) {
            Some(open) => Some(endpoint.advertised_at(open.address.port())),
            None => registered.iter().find(|known| *known.listener == *endpoint.listener).cloned(),
        }
    };
    listeners.advertised.iter().filter_map(told).collect()
}

/// Names may have to be resolved, which blocks.
async fn bind_in_background(endpoint: &Endpoint, options: &SocketOptions) -> Result<Bound, BindError> {
    let (endpoint, options) = (endpoint.clone(), options.clone());
    let name = endpoint.listener.clone();
    let bound = tokio::task::spawn_blocking(move || bind_one(&endpoint, &options)).await;
    bound.unwrap_or_else(|_| Err(BindError::Panicked { name }))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::config::SecurityProtocol;

    fn at(name: &str, port: u16) -> Endpoint {
        Endpoint { listener: name.into(), host: "h".into(), port, protocol: SecurityProtocol::Plaintext }
    }

    fn open(configured: Endpoint, port: u16) -> Listening {
        Listening { endpoint: configured, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    #[test]
    fn a_free_port_is_any_and_one_that_was_taken_may_be_named() {
        let free = open(at("A", 0), 9000);
        assert!(free.is(&at("A", 0)) && free.is(&at("A", 9000)));
        assert!(!free.is(&at("A", 9001)) && !free.is(&at("B", 0)));
        assert!(open(at("A", 9000), 9000).is(&at("A", 0)));
        assert!(!free.is(&Endpoint { host: String::new(), ..at("A", 0) }));
    }

    #[test]
    fn what_is_not_open_is_told_of_as_before_or_not_at_all() {
        let listeners = Listeners {
            bind: vec![at("A", 0), at("B", 2), at("C", 3)],
            advertised: vec![at("A", 0), at("B", 2), at("C", 3)],
            inter_broker: "A".into(),
            control_plane: None,
        };
        let registered = [at("A", 7).advertised_at(7), at("B", 8).advertised_at(8)];
        let listening = [open(at("A", 0), 9), open(at("B", 8), 8)];
        let told = endpoints(&listeners, &listening, &registered);
        let told: Vec<(&str, i32)> = told.iter().map(|one| (&*one.listener, one.port)).collect();
        assert_eq!(told, [("A", 9), ("B", 8)]);
    }
}
