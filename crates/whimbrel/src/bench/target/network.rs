//! Where servers run: all on loopback, or each in a network namespace of its own, on one bridge.
//!
//! In namespaces a server can be cut off from others: packets are dropped where they arrive and where they leave, so
//! that nobody is told, as when a cable is out. That needs root, `ip` and `iptables-restore`. Latencies over the bridge are not
//! those of loopback.

use std::ffi::OsString;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};

use anyhow::Context;

use super::server::Site;

/// Ports in namespaces begin here: below those that the kernel gives to outgoing connections.
const FIRST_PORT: u16 = 9001;
/// Bridges that benches on one machine may have at the same time; each is a network of its own.
const BRIDGES_MAX: u8 = 255;
/// The machine's own place on the bridge.
const HOST_NUMBER: u8 = 254;

/// The network of one target.
#[derive(Debug)]
pub enum Network {
    /// Ports are held until all are chosen, so that none is chosen twice.
    Loopback(Vec<TcpListener>),
    Namespaces(Namespaces),
}

impl Network {
    pub fn loopback() -> Self {
        Self::Loopback(Vec::new())
    }

    /// # Errors
    /// This machine or this user has no network namespaces; the text says what is missing.
    pub fn namespaces() -> anyhow::Result<Self> {
        let made = Namespaces::make().context("to cut brokers off, the bench runs them in network namespaces")?;
        Ok(Self::Namespaces(made))
    }

    /// A place for a server.
    ///
    /// # Errors
    /// A namespace cannot be made.
    pub fn site(&mut self) -> anyhow::Result<Site> {
        match self {
            Self::Loopback(_) => Ok(Site { host: self.host(), prefix: Vec::new() }),
            Self::Namespaces(namespaces) => namespaces.site(),
        }
    }

    /// An address of a site that nobody listens on.
    ///
    /// # Errors
    /// There is no free port.
    pub fn address(&mut self, site: &Site) -> anyhow::Result<SocketAddr> {
        match self {
            Self::Loopback(held) => {
                let listener = TcpListener::bind((site.host, 0))?;
                let address = listener.local_addr()?;
                held.push(listener);
                Ok(address)
            }
            Self::Namespaces(namespaces) => {
                namespaces.ports += 1;
                Ok(SocketAddr::new(site.host, FIRST_PORT + namespaces.ports))
            }
        }
    }

    /// All addresses are chosen and can be listened on.
    pub fn release_ports(&mut self) {
        if let Self::Loopback(held) = self {
            held.clear();
        }
    }

    /// Where this machine is, as its servers see it.
    pub fn host(&self) -> IpAddr {
        match self {
            Self::Loopback(_) => Ipv4Addr::LOCALHOST.into(),
            Self::Namespaces(namespaces) => namespaces.address(HOST_NUMBER).into(),
        }
    }

    pub fn can_cut(&self) -> bool {
        matches!(self, Self::Namespaces(_))
    }

    /// Stops every packet between a server and some hosts, or lets them through again: for all of them at once.
    ///
    /// # Errors
    /// Servers are on loopback, or the kernel's rules cannot be changed.
    pub fn set_cut(&self, site: &Site, hosts: &[IpAddr], is_cut: bool) -> anyhow::Result<()> {
        anyhow::ensure!(self.can_cut(), "servers on loopback cannot be cut off");
        let change = if is_cut { "-A" } else { "-D" };
        let rules =
            hosts.iter().map(|host| format!("{change} INPUT -s {host} -j DROP\n{change} OUTPUT -d {host} -j DROP\n"));
        change_rules(site, &rules.collect::<String>())
    }
}

/// A bridge, and the namespaces on it. The machine itself is on it too.
#[derive(Debug)]
pub struct Namespaces {
    number: u8,
    names: Vec<String>,
    /// Given so far, over all sites.
    ports: u16,
}

impl Namespaces {
    fn make() -> anyhow::Result<Self> {
        remove_leftovers()?;
        let mut namespaces = Self { number: make_bridge()?, names: Vec::new(), ports: 0 };
        let (bridge, host) = (namespaces.bridge(), format!("{}/24", namespaces.address(HOST_NUMBER)));
        run(&["ip", "address", "add", &host, "dev", &bridge])?;
        run(&["ip", "link", "set", &bridge, "up"])?;
        // Whether rules can be made is to be known now, not when the first cut is due.
        let probe = namespaces.site()?;
        change_rules(&probe, "")?;
        Ok(namespaces)
    }

    fn site(&mut self) -> anyhow::Result<Site> {
        let index = u8::try_from(self.names.len() + 1).ok().filter(|index| *index < HOST_NUMBER);
        let index = index.context("the bridge has no place left")?;
        let name = format!("{}{}-{}-{index}", NAME_PREFIX, std::process::id(), self.number);
        let (cable, host) = (self.cable(index), self.address(index));
        run(&["ip", "netns", "add", &name])?;
        self.names.push(name.clone());
        run(&["ip", "link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
        run(&["ip", "link", "set", &cable, "master", &self.bridge(), "up"])?;
        run(&["ip", "-n", &name, "address", "add", &format!("{host}/24"), "dev", "eth0"])?;
        run(&["ip", "-n", &name, "link", "set", "lo", "up"])?;
        run(&["ip", "-n", &name, "link", "set", "eth0", "up"])?;
        let prefix = ["ip", "netns", "exec", &name].map(OsString::from).to_vec();
        Ok(Site { host: host.into(), prefix })
    }

    fn bridge(&self) -> String {
        format!("{BRIDGE_PREFIX}{}", self.number)
    }

    fn cable(&self, index: u8) -> String {
        format!("{CABLE_PREFIX}{}-{index}", self.number)
    }

    fn address(&self, index: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 214, self.number, index)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for (index, name) in (1..).zip(&self.names) {
            // A namespace goes some time after its removal, and its end of the cable with it; this end goes at once.
            warn_if_failed(run(&["ip", "netns", "delete", name]));
            warn_if_failed(run(&["ip", "link", "delete", &self.cable(index)]));
        }
        warn_if_failed(run(&["ip", "link", "delete", &self.bridge()]));
    }
}

fn warn_if_failed(done: anyhow::Result<()>) {
    if let Err(error) = done {
        tracing::warn!(%error, "a part of the network of a system under test stays behind");
    }
}

const NAME_PREFIX: &str = "whbench-";
const BRIDGE_PREFIX: &str = "whbb";
const CABLE_PREFIX: &str = "whbv";

/// The first bridge that no other bench on this machine uses.
fn make_bridge() -> anyhow::Result<u8> {
    let mut last = None;
    for number in 0..BRIDGES_MAX {
        match run(&["ip", "link", "add", &format!("{BRIDGE_PREFIX}{number}"), "type", "bridge"]) {
            Ok(()) => return Ok(number),
            Err(error) if error.to_string().contains("File exists") => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.context("there is no number for a bridge")?)
}

/// Removes what a bench left behind that was killed: its process id is in the names.
fn remove_leftovers() -> anyhow::Result<()> {
    for line in run_with_input(&["ip", "netns", "list"], "")?.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let Some((pid, rest)) = name.strip_prefix(NAME_PREFIX).and_then(|rest| rest.split_once('-')) else { continue };
        if std::path::Path::new("/proc").join(pid).exists() {
            continue;
        }
        warn_if_failed(run(&["ip", "netns", "delete", name]));
        let (number, index) = rest.split_once('-').unwrap_or_default();
        // Only the first of a bridge's namespaces finds it still there.
        let _ = run(&["ip", "link", "delete", &format!("{CABLE_PREFIX}{number}-{index}")]);
        let _ = run(&["ip", "link", "delete", &format!("{BRIDGE_PREFIX}{number}")]);
    }
    Ok(())
}

/// Adds and deletes rules of a site, all at once.
fn change_rules(site: &Site, rules: &str) -> anyhow::Result<()> {
    let prefix = site.prefix.iter().filter_map(|word| word.to_str());
    // -w: two processes that change rules at once wait for each other.
    let words: Vec<&str> = prefix.chain(["iptables-restore", "--noflush", "-w", "10"]).collect();
    run_with_input(&words, &format!("*filter\n{rules}COMMIT\n")).map(drop)
}

fn run(words: &[&str]) -> anyhow::Result<()> {
    run_with_input(words, "").map(drop)
}

/// What the command writes to its standard output.
fn run_with_input(words: &[&str], input: &str) -> anyhow::Result<String> {
    let line = words.join(" ");
    let (program, arguments) = words.split_first().context("no command")?;
    let mut command = Command::new(program);
    let output = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let done = output.spawn().and_then(|mut process| {
        // Shorter than what a pipe holds; closed when it is written.
        process.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()))?;
        process.wait_with_output()
    });
    let done = done.map_err(|error| anyhow::anyhow!("`{line}` cannot be run: {error}"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    anyhow::ensure!(done.status.success(), "`{line}`: {}", said.trim());
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
