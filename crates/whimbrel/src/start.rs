//! `whimbrel start`: configuration, banner, signals. The broker itself is `whimbrel_broker`'s.

mod holder;

use std::error::Error;
use std::io;

use anyhow::Context;
use whimbrel_broker::config::{BrokerConfig, ConfigError, Layers, Origin, Standing};
use whimbrel_broker::{Broker, RunningBroker, StartError};

use crate::args::StartArgs;
use crate::signals::StopSignals;
use crate::{UsageError, logging};

/// Threads of the runtime that carries the background work; connections have threads of their own.
const RUNTIME_THREADS: usize = 2;

pub fn run(args: &StartArgs) -> anyhow::Result<()> {
    logging::for_server(&args.logging)?;
    let config = configuration(args).map_err(|error| UsageError(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(async {
        let mut signals = StopSignals::new()?;
        let durability = durability(&config);
        let data = config.log.dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ");
        let is_embedded = config.coordination.zookeeper_connect.is_none();
        let ports: Vec<u16> = config.listeners.bind.iter().map(|endpoint| endpoint.port).collect();
        let running = tokio::select! {
            started = Broker::start(config) => started.map_err(|error| explain(error, &ports))?,
            signal = signals.next() => anyhow::bail!("stopped by {signal} while starting"),
        };
        banner(&running, &data, &durability, is_embedded);
        let signal = signals.next().await;
        tracing::info!(signal, "stopping; a second signal stops at once");
        tokio::select! {
            () = running.shutdown() => Ok(()),
            // The next start recovers the logs as after a crash.
            _ = signals.next() => anyhow::bail!("stopped at once by a second signal"),
        }
    })
}

/// Everything that was given, in the order in which the later wins; says what of it has no effect.
fn configuration(args: &StartArgs) -> Result<BrokerConfig, ConfigError> {
    let mut layers = Layers::default();
    if let Some(path) = &args.config {
        layers.read_file(path)?;
    }
    let text = |name: std::ffi::OsString| name.into_string().ok();
    layers.read_environment(std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))));
    for pair in &args.set {
        layers.set_pair(pair)?;
    }
    if let Some(dir) = &args.data {
        layers.set("log.dirs".into(), dir.display().to_string(), Origin::Option { option: "--data" });
    }
    for notice in layers.notices()? {
        match notice.standing {
            Standing::Needless => tracing::info!("{}", notice.text),
            Standing::Unimplemented | Standing::Refused => tracing::warn!("{}", notice.text),
        }
    }
    BrokerConfig::resolve(layers)
}

/// What an acknowledgement means with this configuration.
fn durability(config: &BrokerConfig) -> String {
    let topics = &config.topics.config;
    if topics.flush_messages == Some(1) {
        return "acks=all is answered when every in-sync replica has flushed: survives power loss everywhere"
            .to_owned();
    }
    // One replica is all that there is with one broker; with more, the others hold what this one has not yet flushed.
    format!(
        "acks=all is answered when {} in sync have the record, after a flush to disk where there is one replica",
        topics.min_insync_replicas
    )
}

fn banner(running: &RunningBroker, data: &str, durability: &str, is_embedded: bool) {
    let listens: Vec<String> = running.listeners.iter().map(|(name, address)| format!("{name} {address}")).collect();
    let coordination = if is_embedded { "embedded keeper" } else { "ZooKeeper" };
    let http = running.http.map_or_else(|| "none".to_owned(), |address| format!("http://{address}/metrics"));
    println!("listens       {}", listens.join(", "));
    println!("data          {data}");
    println!("durability    {durability}");
    println!("coordination  {coordination} {}", running.coordination);
    println!("http          {http}");
}

/// Adds who holds the port, if that is what keeps the broker from starting.
fn explain(error: StartError, ports: &[u16]) -> anyhow::Error {
    let is_taken = |cause: &(dyn Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::AddrInUse)
    };
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    let mut taken = false;
    while let Some(current) = cause {
        taken |= is_taken(current);
        cause = current.source();
    }
    let holder = ports.iter().copied().filter(|_| taken).find_map(|port| Some((port, holder::of_port(port)?)));
    match holder {
        Some((port, holder)) => anyhow::anyhow!(
            "{error}: port {port} is held by {holder}; stop it, or choose another port with --set listeners=PLAINTEXT://127.0.0.1:PORT"
        ),
        None => error.into(),
    }
}
