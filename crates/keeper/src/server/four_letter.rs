//! The four-letter commands, worded as ZooKeeper words them, because scripts read them.

use std::fmt::Write as _;

use bytes::Bytes;

use super::Shared;
use super::core::{Connection, Core, Now};
use crate::watch::WatcherId;

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Ruok,
    Srvr,
    Stat,
    Mntr,
    Conf,
    Cons,
    Isro,
    Envi,
    Dump,
    Wchs,
}

impl Command {
    pub(super) fn from_bytes(bytes: &[u8; 4]) -> Option<Self> {
        Some(match bytes {
            b"ruok" => Self::Ruok,
            b"srvr" => Self::Srvr,
            b"stat" => Self::Stat,
            b"mntr" => Self::Mntr,
            b"conf" => Self::Conf,
            b"cons" => Self::Cons,
            b"isro" => Self::Isro,
            b"envi" => Self::Envi,
            b"dump" => Self::Dump,
            b"wchs" => Self::Wchs,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ruok => "ruok",
            Self::Srvr => "srvr",
            Self::Stat => "stat",
            Self::Mntr => "mntr",
            Self::Conf => "conf",
            Self::Cons => "cons",
            Self::Isro => "isro",
            Self::Envi => "envi",
            Self::Dump => "dump",
            Self::Wchs => "wchs",
        }
    }
}

/// The version that is reported: that of the protocol and semantics that are served.
const VERSION: &str = concat!("3.9.4-whimbrel-", env!("CARGO_PKG_VERSION"), ", built on 01/01/1970 00:00 GMT");

/// The text that answers `command`, sent on connection `asker`.
pub(super) fn answer(command: Command, shared: &Shared, asker: WatcherId) -> Bytes {
    let name = command.name();
    if !shared.config.answers_command(name) {
        return Bytes::from(format!("{name} is not executed because it is not in the whitelist.\n"));
    }
    let now = shared.now();
    let core = shared.core.lock();
    if core.has_failed() && command != Command::Envi {
        return Bytes::from_static(b"This ZooKeeper instance is not currently serving requests\n");
    }
    Bytes::from(match command {
        Command::Ruok => "imok".to_owned(),
        Command::Isro => "rw".to_owned(),
        Command::Srvr => format!("Zookeeper version: {VERSION}\n{}", server(&core)),
        Command::Stat => {
            format!("Zookeeper version: {VERSION}\nClients:\n{}{}", clients(&core, asker, false), server(&core))
        }
        Command::Cons => clients(&core, asker, true),
        Command::Mntr => monitor(&core, now),
        Command::Conf => configuration(shared),
        Command::Envi => environment(),
        Command::Dump => sessions(&core, now),
        Command::Wchs => watches(&core),
    })
}

fn server(core: &Core) -> String {
    let latency = core.stats.latency;
    let mut out = String::new();
    let (min, average, max) = (latency.min_ms(), latency.average_ms(), latency.max_ms());
    line(&mut out, format_args!("Latency min/avg/max: {min}/{average:?}/{max}"));
    line(&mut out, format_args!("Received: {}", core.stats.received));
    line(&mut out, format_args!("Sent: {}", core.stats.sent));
    line(&mut out, format_args!("Connections: {}", core.connections.len()));
    line(&mut out, format_args!("Outstanding: {}", core.outstanding()));
    line(&mut out, format_args!("Zxid: {:#x}", core.last_zxid()));
    line(&mut out, format_args!("Mode: standalone"));
    line(&mut out, format_args!("Node count: {}", node_count(core)));
    out
}

/// ZooKeeper counts the root twice, under `/` and under the empty path.
fn node_count(core: &Core) -> usize {
    core.tree.node_count() + 1
}

fn clients(core: &Core, asker: WatcherId, full: bool) -> String {
    let mut out = String::new();
    let mut ids: Vec<_> = core.connections.iter().collect();
    ids.sort_by_key(|(id, _)| **id);
    for (id, connection) in ids {
        client(&mut out, connection, *id == asker, full);
    }
    out.push('\n');
    out
}

fn client(out: &mut String, connection: &Connection, is_asker: bool, full: bool) {
    let stats = &connection.stats;
    let interest = i32::from(!is_asker);
    let _infallible = write!(
        out,
        " /{}[{interest}](queued={},recved={},sent={}",
        connection.peer,
        connection.outbound.queued_frames(),
        stats.received,
        stats.sent
    );
    if let (true, Some(session)) = (full, connection.session) {
        let latency = stats.latency;
        let (note, last_ms) = match &stats.last {
            Some((note, us)) => (Some(note), us / 1000),
            None => (None, 0),
        };
        let _infallible = write!(
            out,
            ",sid={:#x},lop={},est={},to={},lcxid={:#x},lzxid={:#x},lresp={},llat={last_ms},minlat={},avglat={},maxlat={}",
            session.0,
            note.map_or("NA", |note| note.op),
            stats.established_ms,
            connection.timeout_ms,
            note.map_or(0, |note| note.xid),
            note.map_or(-1, |note| note.zxid),
            stats.last_response_us / 1000,
            latency.min_ms(),
            latency.whole_average_ms(),
            latency.max_ms()
        );
    }
    out.push_str(")\n");
}

fn monitor(core: &Core, now: Now) -> String {
    let stats = &core.stats;
    let uptime_ms = now.steady_us.saturating_sub(stats.started_us) / 1000;
    let mut out = String::new();
    let mut put = |key: &str, value: &dyn std::fmt::Display| line(&mut out, format_args!("zk_{key}\t{value}"));
    put("version", &VERSION);
    put("server_state", &"standalone");
    put("avg_latency", &format_args!("{:?}", stats.latency.average_ms()));
    put("min_latency", &stats.latency.min_ms());
    put("max_latency", &stats.latency.max_ms());
    put("packets_received", &stats.received);
    put("packets_sent", &stats.sent);
    put("num_alive_connections", &core.connections.len());
    put("outstanding_requests", &core.outstanding());
    put("uptime", &uptime_ms);
    put("znode_count", &node_count(core));
    put("watch_count", &core.watches.count());
    put("ephemerals_count", &core.tree.ephemeral_count());
    put("approximate_data_size", &core.tree.data_bytes());
    put("global_sessions", &core.tree.sessions().count());
    put("local_sessions", &0);
    put("last_client_response_size", &stats.last_response_bytes);
    put("max_client_response_size", &stats.max_response_bytes);
    put("min_client_response_size", &stats.min_response_bytes);
    let commits = stats.commit_latency;
    put("avg_fsynctime", &format_args!("{:?}", commits.average_ms()));
    put("min_fsynctime", &commits.min_ms());
    put("max_fsynctime", &commits.max_ms());
    put("cnt_fsynctime", &commits.count);
    put("sum_fsynctime", &(commits.total_us / 1000));
    out
}

fn configuration(shared: &Shared) -> String {
    let config = &shared.config;
    let address = shared.local_addresses.first();
    let mut out = String::new();
    let mut put = |key: &str, value: &dyn std::fmt::Display| line(&mut out, format_args!("{key}={value}"));
    put("clientPort", &address.map_or(0, |address| address.port()));
    put("secureClientPort", &-1);
    let bytes = directory_bytes(&config.data_dir);
    put("dataDir", &config.data_dir.display());
    put("dataDirSize", &bytes);
    put("dataLogDir", &config.data_dir.display());
    put("dataLogSize", &bytes);
    put("tickTime", &config.tick_time.as_millis());
    put("maxClientCnxns", &config.max_client_connections);
    put("minSessionTimeout", &config.min_session_timeout.as_millis());
    put("maxSessionTimeout", &config.max_session_timeout.as_millis());
    put("clientPortListenBacklog", &-1);
    put("serverId", &0);
    out
}

/// Bytes of the files directly in `directory`; what cannot be read counts nothing.
fn directory_bytes(directory: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).filter(|file| file.is_file()).map(|file| file.len()).sum()
}

fn environment() -> String {
    let mut out = String::from("Environment:\n");
    line(&mut out, format_args!("zookeeper.version={VERSION}"));
    line(&mut out, format_args!("os.name={}", std::env::consts::OS));
    line(&mut out, format_args!("os.arch={}", std::env::consts::ARCH));
    out
}

fn sessions(core: &Core, now: Now) -> String {
    let mut out = String::from("SessionTracker dump:\n");
    let buckets: Vec<_> = core.clock.buckets().collect();
    line(&mut out, format_args!("Session Sets ({})/({}):", buckets.len(), core.tree.sessions().count()));
    for (deadline, set) in buckets {
        let left_ms = deadline.saturating_sub(now.steady_ms());
        line(&mut out, format_args!("{} expire in {left_ms} ms:", set.len()));
        for session in set {
            line(&mut out, format_args!("\t{:#x}", session.0));
        }
    }
    out.push_str("ephemeral nodes dump:\n");
    line(&mut out, format_args!("Sessions with Ephemerals ({}):", core.tree.ephemeral_owners().count()));
    for (session, paths) in core.tree.ephemeral_owners() {
        line(&mut out, format_args!("{:#x}:", session.0));
        for path in paths {
            line(&mut out, format_args!("\t{path}"));
        }
    }
    out
}

fn watches(core: &Core) -> String {
    let (connections, paths, watches) = core.watches.data_summary();
    format!("{connections} connections watching {paths} paths\nTotal watches:{watches}\n")
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _infallible = writeln!(out, "{text}");
}
