//! One process of a system under test.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::Duration;
use std::{io, thread};

use anyhow::Context;
use rustix::process::{Pid, Signal};

use crate::bench::cost::Roster;
use crate::local_servers::{send_signal, tail};

/// Lines of a log that say why its server ended; Java's stack traces are long.
const TAIL_LINES: usize = 30;

/// Where a server runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    pub host: IpAddr,
    /// What goes before a command so that it runs there.
    pub prefix: Vec<OsString>,
}

/// How a server is started, and how one sees that it serves.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// `broker 1`, `zookeeper 2`, `keeper`.
    pub name: String,
    pub site: Site,
    /// The program and its arguments.
    pub words: Vec<OsString>,
    /// What is run to its end before the first start.
    pub preparation: Option<Vec<OsString>>,
    pub serves: Serves,
}

/// What a server speaks, and where it listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    Kafka(SocketAddr),
    ZooKeeper(SocketAddr),
}

/// A server, whether its process runs or not.
pub struct Server {
    recipe: Recipe,
    log: PathBuf,
    roster: Roster,
    address: String,
    process: Option<Child>,
    is_frozen: bool,
    /// It was started and neither killed nor asked to stop since.
    is_wanted: bool,
    /// What was written down when it ended although it was wanted.
    death: Option<String>,
}

impl Server {
    /// A server that is not started yet, with its log in `folder`. The roster is told of its process.
    pub fn new(recipe: Recipe, folder: &Path, roster: Roster) -> Self {
        let log = folder.join(format!("{}.log", recipe.name.replace(' ', "-")));
        let (Serves::Kafka(address) | Serves::ZooKeeper(address)) = recipe.serves;
        let address = address.to_string();
        Self { recipe, log, roster, address, process: None, is_frozen: false, is_wanted: false, death: None }
    }

    pub fn name(&self) -> &str {
        &self.recipe.name
    }

    pub fn site(&self) -> &Site {
        &self.recipe.site
    }

    pub fn serves(&self) -> &Serves {
        &self.recipe.serves
    }

    /// The last lines of its log.
    pub fn log_end(&self) -> String {
        tail(&self.log, TAIL_LINES)
    }

    /// Starts the process, unless it runs, and returns at once.
    ///
    /// # Errors
    /// The program is not there, or the log cannot be written.
    pub fn start(&mut self) -> anyhow::Result<()> {
        if self.is_running() {
            return Ok(());
        }
        let process = spawn(self.command(&self.recipe.words)?);
        let process = process.with_context(|| format!("{} cannot be started", self.program()))?;
        self.roster.set(&self.recipe.name, process.id());
        (self.process, self.is_wanted, self.is_frozen) = (Some(process), true, false);
        Ok(())
    }

    fn program(&self) -> String {
        self.recipe.words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn command(&self, words: &[OsString]) -> anyhow::Result<Command> {
        let mut words = self.recipe.site.prefix.iter().chain(words);
        let mut command = Command::new(words.next().map_or(OsStr::new(""), OsString::as_os_str));
        let log = File::options().create(true).append(true).open(&self.log)?;
        command.args(words).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // Settings come from the bench alone.
        for (name, _) in std::env::vars_os() {
            let is_setting = |name: &str| ["WHIMBREL_", "KAFKA_", "RUST_LOG"].iter().any(|key| name.starts_with(key));
            if name.to_str().is_some_and(is_setting) {
                command.env_remove(name);
            }
        }
        Ok(command)
    }

    /// Whether the process is there, frozen or not.
    pub fn is_running(&mut self) -> bool {
        if let Some(process) = &mut self.process
            && let Ok(Some(status)) = process.try_wait()
        {
            self.note_end(status);
        }
        self.process.is_some()
    }

    fn note_end(&mut self, status: ExitStatus) {
        self.process = None;
        self.roster.remove(&self.recipe.name);
        if self.is_wanted {
            let how = match (status.signal(), status.code()) {
                (Some(signal), _) => format!("signal {signal}"),
                (None, code) => format!("exit code {}", code.unwrap_or(-1)),
            };
            self.death = Some(format!("{} ended by itself ({how}):\n{}", self.recipe.name, self.log_end()));
        }
        self.is_wanted = false;
    }

    /// How it ended by itself, with the end of its log; told once.
    pub fn take_death(&mut self) -> Option<String> {
        self.is_running();
        self.death.take()
    }

    /// Its address, if it is worth asking.
    pub fn address_if_answering(&mut self) -> Option<&str> {
        (self.is_running() && !self.is_frozen).then_some(&self.address)
    }

    /// `kill -9`, and returns when it is gone.
    pub fn kill(&mut self) {
        self.is_wanted = false;
        if let Some(process) = &mut self.process {
            // It may have ended a moment ago.
            let _ = process.kill();
            if let Ok(status) = process.wait() {
                self.note_end(status);
            }
        }
    }

    /// SIGTERM. It ends when it has handed over what it leads.
    pub fn ask_to_stop(&mut self) {
        self.is_wanted = false;
        self.signal(Signal::TERM);
    }

    /// SIGSTOP: the process is there, its connections too, and nothing answers.
    pub fn freeze(&mut self) {
        self.signal(Signal::STOP);
        self.is_frozen = true;
    }

    /// SIGCONT.
    pub fn thaw(&mut self) {
        self.signal(Signal::CONT);
        self.is_frozen = false;
    }

    fn signal(&mut self, signal: Signal) {
        // A process that was waited for has given its number back.
        if self.is_running()
            && let Some(process) = &self.process
        {
            send_signal(Pid::from_child(process), signal);
        }
    }
}

/// Runs what some servers need before their first start, all at once.
///
/// # Errors
/// One of them fails: with the end of its log.
pub fn prepare_all(servers: &mut [Server]) -> anyhow::Result<()> {
    let mut running = Vec::new();
    for server in servers.iter() {
        if let Some(words) = &server.recipe.preparation {
            let process = spawn(server.command(words)?);
            running.push((server, process.with_context(|| format!("{} cannot be started", server.program()))?));
        }
    }
    for (server, mut process) in running {
        let status = process.wait()?;
        anyhow::ensure!(status.success(), "{} cannot be prepared ({status}):\n{}", server.name(), server.log_end());
    }
    Ok(())
}

/// Waits, on a thread that has nothing else to do.
#[expect(clippy::disallowed_methods, reason = "no worker: the bench's threads for starting and harming are its own")]
pub fn pause(time: Duration) {
    thread::sleep(time);
}

/// Starts a process that the kernel kills when this one ends, however that comes.
///
/// The kernel goes by the thread that started it, not by the process: so that is one that lives as long.
fn spawn(mut command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (orders, ordered) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, spawned) in ordered {
                // Who ordered it waits for it.
                let _ = spawned.send(command.spawn());
            }
        });
        orders
    });
    // A Ctrl-C in the terminal is for this process alone.
    command.process_group(0);
    #[cfg(target_os = "linux")]
    // SAFETY: between fork and exec only one system call is made, which takes no lock and allocates nothing.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    let gone = || io::Error::other("the thread that starts processes is gone");
    let (sender, spawned) = mpsc::channel();
    SPAWNER.send((command, sender)).map_err(|_| gone())?;
    spawned.recv().map_err(|_| gone())?
}
