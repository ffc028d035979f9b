//! A keeper alone: `keeper --data DIR [--listen ADDRESS] [--tick MS]`. Prints the address that it listens on.

use std::net::SocketAddr;
use std::time::Duration;

use whimbrel_keeper::{Keeper, KeeperConfig};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut handle = Keeper::start(config(std::env::args().skip(1))?).await?;
    println!("listens  {}", handle.local_addr());
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
        result = handle.ended() => return Ok(result?),
    }
    handle.shutdown().await?;
    Ok(())
}

fn config(mut arguments: impl Iterator<Item = String>) -> Result<KeeperConfig, Failure> {
    let mut data = None;
    let mut listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut tick = Duration::from_secs(2);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--data" => data = Some(value),
            "--listen" => listen = value.parse()?,
            "--tick" => tick = Duration::from_millis(value.parse()?),
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    Ok(KeeperConfig::new(data.ok_or("--data DIR is needed")?, listen).with_tick_time(tick))
}
