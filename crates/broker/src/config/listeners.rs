//! Listeners and the addresses told to clients, parsed and checked as Kafka does (`SocketServerConfigs`, `EndPoint`).

use std::collections::BTreeMap;
use std::fmt;

use whimbrel_state::controller::control::Endpoint as AdvertisedEndpoint;
pub use whimbrel_state::controller::control::SecurityProtocol;

use super::error::{ConfigError, Origin};
use super::layers::Layers;
use super::setting::Setting;
use super::table::{
    ADVERTISED_LISTENERS, CONTROL_PLANE_LISTENER_NAME, INTER_BROKER_LISTENER_NAME, LISTENER_SECURITY_PROTOCOL_MAP,
    LISTENERS, SECURITY_INTER_BROKER_PROTOCOL,
};

/// A named address: where to listen, or what to tell clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// In capitals, as Kafka keeps it.
    pub listener: String,
    /// A name or an address without brackets; empty for every interface (never so when advertised).
    pub host: String,
    /// 0 when listening takes a free port; what is advertised is then known once it listens.
    pub port: u16,
    pub protocol: SecurityProtocol,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.listener, host_port(&self.host, self.port))
    }
}

impl Endpoint {
    /// What the cluster is told of it, with the port that port 0 stands for.
    #[must_use]
    pub fn advertised_at(&self, bound_port: u16) -> AdvertisedEndpoint {
        AdvertisedEndpoint {
            listener: self.listener.as_str().into(),
            protocol: self.protocol,
            host: self.host.as_str().into(),
            port: i32::from(if self.port == 0 { bound_port } else { self.port }),
        }
    }
}

/// `host:port`, an IPv6 address in brackets.
#[must_use]
pub fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The parsed `listeners`, `advertised.listeners` and the choice of the one between brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listeners {
    /// At least one; names differ.
    pub bind: Vec<Endpoint>,
    /// A subset of the names in `bind`. Port 0 stands for the port of the listener of that name.
    pub advertised: Vec<Endpoint>,
    /// A name in `advertised`.
    pub inter_broker: String,
    /// A name in `advertised` other than `inter_broker`; `None`: control requests come in on that one.
    pub control_plane: Option<String>,
}

impl Listeners {
    pub(super) fn resolve(layers: &Layers, host_name: impl Fn() -> String) -> Result<Self, ConfigError> {
        let map = protocol_map(layers)?;
        let bind = endpoints(layers, &LISTENERS, &map)?;
        check_bind(layers, &bind)?;
        let given = text(layers, &ADVERTISED_LISTENERS)?;
        // An empty one in a file is one that is not filled in; as a change it would take every address away.
        let is_unset = given.is_empty() && layers.origin(&ADVERTISED_LISTENERS) != Origin::Dynamic;
        let advertised = if is_unset {
            advertise_bound(layers, &bind, host_name)?
        } else {
            endpoints(layers, &ADVERTISED_LISTENERS, &map)?
        };
        check_advertised(layers, &bind, &advertised)?;
        let inter_broker = inter_broker(layers, &advertised)?;
        let control_plane = control_plane(layers, &advertised, &inter_broker)?;
        Ok(Self { bind, advertised, inter_broker, control_plane })
    }

    /// The listener on which brokers hear of the controller.
    #[must_use]
    pub fn control(&self) -> &str {
        self.control_plane.as_deref().unwrap_or(&self.inter_broker)
    }

    /// Checks what a broker with these listeners may become while it runs. Source: Kafka 3.9
    /// `DynamicListenerConfig.validateReconfiguration`.
    ///
    /// # Errors
    /// A listener would change its security protocol, or that between brokers its name.
    pub fn check_change(&self, next: &Self) -> Result<(), ConfigError> {
        let dynamic = |setting: &Setting, part: &dyn fmt::Display, allowed: String| {
            Err(ConfigError::invalid(setting.name, part, Origin::Dynamic, allowed))
        };
        for endpoint in &next.bind {
            let known = self.bind.iter().find(|known| known.listener == endpoint.listener);
            if let Some(known) = known.filter(|known| known.protocol != endpoint.protocol) {
                let part = format!("{}:{}", endpoint.listener, endpoint.protocol.name());
                let kept = known.protocol.name();
                let allowed =
                    format!("{kept}, as it is: the protocol of a listener cannot change while the broker runs");
                return dynamic(&LISTENER_SECURITY_PROTOCOL_MAP, &part, allowed);
            }
        }
        if next.inter_broker != self.inter_broker {
            let list = next.advertised.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            let name = &self.inter_broker;
            let allowed =
                format!("a list with {name}, the listener between brokers, which stays while the broker runs");
            return dynamic(&ADVERTISED_LISTENERS, &list, allowed);
        }
        Ok(())
    }
}

fn text(layers: &Layers, setting: &Setting) -> Result<String, ConfigError> {
    Ok(layers.value(setting)?.map(|value| value.to_string()).unwrap_or_default())
}

fn invalid(layers: &Layers, setting: &Setting, part: &str, allowed: impl Into<String>) -> ConfigError {
    ConfigError::invalid(setting.name, part, layers.origin(setting), allowed)
}

fn protocol_map(layers: &Layers) -> Result<BTreeMap<String, SecurityProtocol>, ConfigError> {
    let setting = &LISTENER_SECURITY_PROTOCOL_MAP;
    let mut map = BTreeMap::new();
    for pair in text(layers, setting)?.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let parsed =
            pair.split_once(':').and_then(|(name, protocol)| Some((name, SecurityProtocol::from_name(protocol)?)));
        let Some((name, protocol)) = parsed else {
            let allowed = "NAME:PROTOCOL with one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL";
            return Err(invalid(layers, setting, pair, allowed));
        };
        map.insert(name.to_uppercase(), protocol);
    }
    Ok(map)
}

fn endpoints(
    layers: &Layers,
    setting: &Setting,
    map: &BTreeMap<String, SecurityProtocol>,
) -> Result<Vec<Endpoint>, ConfigError> {
    let list = text(layers, setting)?;
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let allowed = "NAME://host:port, such as PLAINTEXT://127.0.0.1:9092 or PLAINTEXT://[::1]:9092";
        let (listener, host, port) = split_endpoint(part).ok_or_else(|| invalid(layers, setting, part, allowed))?;
        let Some(&protocol) = map.get(&listener) else {
            let allowed = format!("a listener that {} names", LISTENER_SECURITY_PROTOCOL_MAP.name);
            return Err(invalid(layers, setting, part, allowed));
        };
        if endpoints.iter().any(|other| other.listener == listener && !one_each_family(&other.host, &host)) {
            return Err(invalid(
                layers,
                setting,
                &list,
                format!("listeners of different names; {listener} is there twice"),
            ));
        }
        endpoints.push(Endpoint { listener, host, port, protocol });
    }
    Ok(endpoints)
}

/// `NAME://host:port` in its parts; `None` when it is not of that form.
fn split_endpoint(part: &str) -> Option<(String, String, u16)> {
    let (name, address) = part.split_once("://")?;
    let (host, port) = address.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    // More than one colon without brackets is an IPv6 address whose end cannot be told from the port; Kafka takes the
    // last part as the port, and so it is here.
    let host = bare.unwrap_or(host);
    let in_charset =
        !name.is_empty() && name.chars().all(known) && host.chars().all(|c| known(c) || matches!(c, ':' | '%'));
    in_charset.then_some((name.to_uppercase(), host.to_owned(), port.parse().ok()?))
}

/// Kafka lets one IPv4 and one IPv6 listener share a port; nothing else is shared.
fn one_each_family(a: &str, b: &str) -> bool {
    let v6 = |host: &str| host.parse::<std::net::Ipv6Addr>().is_ok();
    let v4 = |host: &str| host.parse::<std::net::Ipv4Addr>().is_ok();
    (v4(a) && v6(b)) || (v6(a) && v4(b))
}

fn check_bind(layers: &Layers, bind: &[Endpoint]) -> Result<(), ConfigError> {
    if bind.is_empty() {
        return Err(invalid(layers, &LISTENERS, "", "at least one NAME://host:port"));
    }
    for (i, endpoint) in bind.iter().enumerate() {
        if endpoint.protocol != SecurityProtocol::Plaintext {
            let allowed = "listeners with the protocol PLAINTEXT: TLS and SASL are not part of this version";
            return Err(invalid(layers, &LISTENERS, &endpoint.to_string(), allowed));
        }
        let earlier = bind.iter().take(i);
        let clashes = |other: &Endpoint| {
            other.listener == endpoint.listener
                || (other.port == endpoint.port && endpoint.port != 0 && !one_each_family(&other.host, &endpoint.host))
        };
        if let Some(other) = earlier.into_iter().find(|other| clashes(other)) {
            let allowed = format!("listeners of different names and ports; {endpoint} and {other} clash");
            return Err(invalid(layers, &LISTENERS, &endpoint.to_string(), allowed));
        }
    }
    Ok(())
}

/// Without `advertised.listeners` the bound addresses are told to clients; an empty host becomes the machine's name.
fn advertise_bound(
    layers: &Layers,
    bind: &[Endpoint],
    host_name: impl Fn() -> String,
) -> Result<Vec<Endpoint>, ConfigError> {
    let advertise = |endpoint: &Endpoint| {
        if is_unspecified(&endpoint.host) {
            let allowed = format!(
                "given together with {}, because clients cannot connect to this address",
                ADVERTISED_LISTENERS.name
            );
            return Err(ConfigError::invalid(LISTENERS.name, endpoint, layers.origin(&LISTENERS), allowed));
        }
        let host = if endpoint.host.is_empty() { host_name() } else { endpoint.host.clone() };
        Ok(Endpoint { host, ..endpoint.clone() })
    };
    bind.iter().map(advertise).collect()
}

fn is_unspecified(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_unspecified())
}

fn check_advertised(layers: &Layers, bind: &[Endpoint], advertised: &[Endpoint]) -> Result<(), ConfigError> {
    let wrong =
        |part: &Endpoint, allowed: &str| Err(invalid(layers, &ADVERTISED_LISTENERS, &part.to_string(), allowed));
    for endpoint in advertised {
        if endpoint.host.is_empty() || is_unspecified(&endpoint.host) {
            return wrong(endpoint, "an address that clients can connect to");
        }
        if !bind.iter().any(|bound| bound.listener == endpoint.listener) {
            return wrong(endpoint, "one of the names in listeners");
        }
    }
    if advertised.is_empty() {
        return Err(invalid(layers, &ADVERTISED_LISTENERS, "", "at least one NAME://host:port"));
    }
    Ok(())
}

fn inter_broker(layers: &Layers, advertised: &[Endpoint]) -> Result<String, ConfigError> {
    let name = text(layers, &INTER_BROKER_LISTENER_NAME)?.to_uppercase();
    let protocol = text(layers, &SECURITY_INTER_BROKER_PROTOCOL)?;
    if !name.is_empty() && layers.origin(&SECURITY_INTER_BROKER_PROTOCOL) != Origin::Default {
        let allowed = format!("unset while {} is set", SECURITY_INTER_BROKER_PROTOCOL.name);
        return Err(invalid(layers, &INTER_BROKER_LISTENER_NAME, &name, allowed));
    }
    let (setting, found) = if name.is_empty() {
        let of_protocol = || advertised.iter().filter(|endpoint| endpoint.protocol.name() == protocol);
        // Kafka knows only the one that has the name of its protocol.
        let named = of_protocol().find(|endpoint| endpoint.listener == protocol);
        (&SECURITY_INTER_BROKER_PROTOCOL, named.or_else(|| of_protocol().next()))
    } else {
        (&INTER_BROKER_LISTENER_NAME, advertised.iter().find(|endpoint| endpoint.listener == name))
    };
    let shown = if name.is_empty() { &protocol } else { &name };
    let allowed = "that of a listener in advertised.listeners";
    found.map(|endpoint| endpoint.listener.clone()).ok_or_else(|| invalid(layers, setting, shown, allowed))
}

fn control_plane(layers: &Layers, advertised: &[Endpoint], inter_broker: &str) -> Result<Option<String>, ConfigError> {
    let name = text(layers, &CONTROL_PLANE_LISTENER_NAME)?.to_uppercase();
    if name.is_empty() {
        return Ok(None);
    }
    let wrong = |allowed: &str| Err(invalid(layers, &CONTROL_PLANE_LISTENER_NAME, &name, allowed));
    if !advertised.iter().any(|endpoint| endpoint.listener == name) {
        return wrong("that of a listener in advertised.listeners");
    }
    if name == inter_broker {
        return wrong("another listener than the one between brokers");
    }
    Ok(Some(name))
}
