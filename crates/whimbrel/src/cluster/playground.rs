//! `whimbrel cluster start`: a whole cluster on one machine, each broker a process of its own, so that one can be killed
//! and the others be watched.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use rustix::process::{Pid, Signal};
use tokio::sync::mpsc;

use crate::args::LoggingArgs;
use crate::local_servers::{replication, send_signal, tail};
use crate::signals::StopSignals;
use crate::{UsageError, logging};

/// How long a process has until it says where it listens.
const START_WAIT: Duration = Duration::from_secs(30);
/// How long a process has to end when it is asked to.
const STOP_WAIT: Duration = Duration::from_secs(30);
/// Lines of a log that say why its process ended.
const TAIL_LINES: usize = 5;
/// Where metrics of the first broker are served; the next ones follow.
const HTTP_PORT: u16 = 9644;

#[derive(Debug, Clone, Args)]
pub struct PlaygroundArgs {
    /// How many brokers
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u16).range(1..=100))]
    brokers: u16,
    /// The port of the first broker; the next ones follow. 0: free ports
    #[arg(long, default_value = "9092")]
    port: u16,
    /// Where everything is kept
    #[arg(long, value_name = "DIR", default_value = "./whimbrel-cluster")]
    data: PathBuf,
    /// A ZooKeeper that runs already; by default a keeper is started too
    #[arg(long, value_name = "HOST:PORT,...[/CHROOT]")]
    zookeeper: Option<String>,
    /// The port of the keeper. 0: a free one
    #[arg(long, default_value = "2181", conflicts_with = "zookeeper")]
    keeper_port: u16,
    /// A setting of every broker
    #[arg(long, value_name = "KEY=VALUE", value_parser = crate::args::key_value)]
    set: Vec<(String, String)>,
}

/// A process of the cluster.
struct Member {
    name: String,
    pid: Pid,
    /// Where it listens.
    address: String,
    /// How to start it by hand.
    command: String,
}

/// The end of a process.
struct Ended {
    pid: Pid,
    status: ExitStatus,
}

pub(super) fn run(args: &PlaygroundArgs, logs: &LoggingArgs) -> anyhow::Result<()> {
    logging::for_server(logs)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = StopSignals::new()?;
        let (ends, mut ended) = mpsc::unbounded_channel();
        let mut members = Vec::new();
        let started = tokio::select! {
            started = start_all(args, &ends, &mut members) => started,
            signal = signals.next() => Err(anyhow::anyhow!("stopped by {signal} while starting")),
        };
        if started.is_ok() {
            print(&members);
            watch(&mut members, &mut ended, &mut signals).await;
        }
        stop_all(members, &mut ended).await;
        started
    })
}

async fn start_all(
    args: &PlaygroundArgs,
    ends: &mpsc::UnboundedSender<Ended>,
    members: &mut Vec<Member>,
) -> anyhow::Result<()> {
    let data = std::path::absolute(&args.data)?;
    fs::create_dir_all(&data).with_context(|| format!("{} cannot be made", data.display()))?;
    let zookeeper = match &args.zookeeper {
        Some(zookeeper) => zookeeper.clone(),
        None => {
            let listen = format!("{}:{}", Ipv4Addr::LOCALHOST, args.keeper_port);
            let keeper_data = data.join("keeper").display().to_string();
            let words = ["keeper", "start", "--data", &keeper_data, "--listen", &listen];
            let keeper = start("keeper", &words, &data.join("keeper.log"), ends).await?;
            let address = keeper.address.clone();
            members.push(keeper);
            address
        }
    };
    for id in 1..=args.brokers {
        let name = format!("broker-{id}");
        let file = data.join(format!("{name}.properties"));
        fs::write(&file, properties(args, id, &data.join(&name), &zookeeper)?)?;
        let words = ["start", "--config", &file.display().to_string()];
        members.push(start(&name, &words, &data.join(format!("{name}.log")), ends).await?);
    }
    Ok(())
}

/// What a broker of the cluster is told. Every topic survives the loss of one broker, as far as there are enough.
fn properties(args: &PlaygroundArgs, id: u16, data: &Path, zookeeper: &str) -> Result<String, UsageError> {
    let port = |first: u16| match (args.port, first.checked_add(id - 1)) {
        (0, _) => Ok(0),
        (_, Some(port)) => Ok(port),
        (_, None) => Err(UsageError(format!("--port {first}: there are no {} ports from there on", args.brokers))),
    };
    let mut lines = vec![
        format!("broker.id={id}"),
        format!("listeners=PLAINTEXT://{}:{}", Ipv4Addr::LOCALHOST, port(args.port)?),
        format!("log.dirs={}", data.display()),
        format!("zookeeper.connect={zookeeper}"),
        format!("whimbrel.http.listener={}:{}", Ipv4Addr::LOCALHOST, port(HTTP_PORT)?),
    ];
    lines.extend(replication(usize::from(args.brokers)).iter().map(|(key, value)| format!("{key}={value}")));
    lines.extend(args.set.iter().map(|(key, value)| format!("{key}={value}")));
    Ok(lines.join("\n") + "\n")
}

/// Starts a process of this program, and returns when it has said where it listens. Its output goes to `log`.
async fn start(name: &str, words: &[&str], log: &Path, ends: &mpsc::UnboundedSender<Ended>) -> anyhow::Result<Member> {
    let program = std::env::current_exe()?;
    let log_file = File::options().create(true).append(true).open(log)?;
    let mut child = Command::new(&program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log_file)
        // A Ctrl-C in the terminal is for this process alone, which then stops the others in order.
        .process_group(0)
        .spawn()
        .with_context(|| format!("{name} cannot be started"))?;
    let pid = Pid::from_child(&child);
    let (said, listens) = tokio::sync::oneshot::channel();
    let output = child.stdout.take();
    let ends = ends.clone();
    std::thread::spawn(move || follow(child, output, said, &ends));
    match tokio::time::timeout(START_WAIT, listens).await {
        Ok(Ok(address)) => {
            let command = format!("{} {}", program.display(), words.join(" "));
            Ok(Member { name: name.to_owned(), pid, address, command })
        }
        Ok(Err(_)) => anyhow::bail!("{name} ended; {} says why:\n{}", log.display(), tail(log, TAIL_LINES)),
        Err(_) => {
            send_signal(pid, Signal::TERM);
            anyhow::bail!("{name} is not up within {START_WAIT:?}; look into {}", log.display())
        }
    }
}

/// Reads what a process prints, tells where it listens, and reports its end.
fn follow(
    mut child: Child,
    output: Option<impl std::io::Read>,
    said: tokio::sync::oneshot::Sender<String>,
    ends: &mpsc::UnboundedSender<Ended>,
) {
    let mut said = Some(said);
    for line in output.into_iter().flat_map(|output| BufReader::new(output).lines()).map_while(Result::ok) {
        // `listens       PLAINTEXT 127.0.0.1:9092`
        if let Some(rest) = line.strip_prefix("listens")
            && let Some(said) = said.take()
        {
            let address = rest.split_whitespace().last().unwrap_or_default().to_owned();
            // Nobody listens any more after a time-out.
            let _ = said.send(address);
        }
    }
    drop(said);
    let pid = Pid::from_child(&child);
    if let Ok(status) = child.wait() {
        let _ = ends.send(Ended { pid, status });
    }
}

fn print(members: &[Member]) {
    for member in members {
        println!("{:<10}  {:<21}  pid {}", member.name, member.address, member.pid.as_raw_nonzero());
    }
    let brokers: Vec<&str> =
        members.iter().filter(|member| member.name != "keeper").map(|member| member.address.as_str()).collect();
    println!("\nWHIMBREL_BOOTSTRAP_SERVER={}", brokers.join(","));
    println!("Kill one with `kill -9 PID`; stop all with Ctrl-C.");
}

/// Says which processes end, until the cluster is to stop.
async fn watch(members: &mut Vec<Member>, ended: &mut mpsc::UnboundedReceiver<Ended>, signals: &mut StopSignals) {
    loop {
        tokio::select! {
            signal = signals.next() => {
                println!("stopping ({signal})");
                return;
            }
            Some(end) = ended.recv() => {
                if let Some(at) = members.iter().position(|member| member.pid == end.pid) {
                    let member = members.remove(at);
                    let how = match (end.status.signal(), end.status.code()) {
                        (Some(signal), _) => format!("signal {signal}"),
                        (None, code) => format!("exit code {}", code.unwrap_or(-1)),
                    };
                    println!("{} ended ({how}); start it again with\n  {}", member.name, member.command);
                }
                if members.is_empty() {
                    return;
                }
            }
        }
    }
}

/// Stops one after the other, each handing over to those that are left; the keeper, which was first, is last.
async fn stop_all(members: Vec<Member>, ended: &mut mpsc::UnboundedReceiver<Ended>) {
    for member in members.into_iter().rev() {
        send_signal(member.pid, Signal::TERM);
        let gone = async {
            while let Some(end) = ended.recv().await {
                if end.pid == member.pid {
                    return;
                }
            }
        };
        if tokio::time::timeout(STOP_WAIT, gone).await.is_err() {
            println!("{} does not stop within {STOP_WAIT:?} and is killed", member.name);
            send_signal(member.pid, Signal::KILL);
        }
    }
}
