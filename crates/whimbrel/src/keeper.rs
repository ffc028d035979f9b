//! `whimbrel keeper start`: the ZooKeeper-compatible server on its own.

use whimbrel_keeper::{Keeper, KeeperConfig};

use crate::args::{KeeperArgs, KeeperCommand};
use crate::logging;
use crate::signals::StopSignals;

pub fn run(args: &KeeperArgs) -> anyhow::Result<()> {
    let KeeperCommand::Start { data, listen, logging } = &args.command;
    logging::for_server(logging)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut signals = StopSignals::new()?;
        let mut keeper = Keeper::start(KeeperConfig::new(data, *listen)).await?;
        println!("whimbrel keeper {}", env!("CARGO_PKG_VERSION"));
        println!("listens  {}", keeper.local_addr());
        println!("data     {}", std::path::absolute(data)?.display());
        let signal = tokio::select! {
            signal = signals.next() => signal,
            ended = keeper.ended() => return Ok(ended?),
        };
        tracing::info!(signal, "stopping");
        tokio::select! {
            stopped = keeper.shutdown() => stopped?,
            _ = signals.next() => anyhow::bail!("stopped at once by a second signal"),
        }
        Ok(())
    })
}
