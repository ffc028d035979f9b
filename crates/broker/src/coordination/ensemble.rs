//! Which ZooKeeper this is: each server's version is asked (`srvr`) when a broker starts, and those that are known to
//! lose data are named.

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracing::{debug, info, warn};

/// How long one server has for its answer.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// An answer is a dozen lines.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;
/// ZooKeeper's port, where none is given.
const PORT: u16 = 2181;

/// Major, minor and patch number of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32, u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What is to be said about a version.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Known to lose what it has acknowledged, or not to work at all.
    Bad(&'static str),
    /// Works, and a newer release has corrections that matter.
    Old,
    Good,
}

fn judge(version: Version) -> Verdict {
    match version {
        Version(3, 9, 3) => Verdict::Bad(
            "it loses committed transactions when a server catches up with the leader (ZOOKEEPER-4925); no other \
             release does: use 3.9.4 or newer",
        ),
        Version(0..=2, ..) | Version(3, 0..=4, _) => {
            Verdict::Bad("releases before 3.5 lack operations that brokers use: use 3.9.4 or newer")
        }
        Version(3, 5..=7, _) | Version(3, 8, 0..=4) | Version(3, 9, 0..=1) => Verdict::Bad(
            "it can lose committed transactions when a server catches up with the leader (ZOOKEEPER-4785): use 3.8.6, \
             3.9.4 or newer",
        ),
        Version(3, 8, 5) => Verdict::Old,
        _ => Verdict::Good,
    }
}

/// Asks every server of a connection string (without chroot) for its version, and says what is known about it.
pub(super) async fn report_versions(servers: String) {
    for server in servers.split(',').map(str::trim).filter(|server| !server.is_empty()) {
        match tokio::time::timeout(ANSWER_WAIT, ask(server)).await {
            Ok(Ok(answer)) => report(server, &answer),
            Ok(Err(error)) => debug!(server, %error, "the version of this ZooKeeper server cannot be asked"),
            Err(_) => debug!(server, "this ZooKeeper server does not tell its version within {ANSWER_WAIT:?}"),
        }
    }
}

fn report(server: &str, answer: &str) {
    let Some((text, version)) = version(answer) else {
        // Since 3.5.3 four-letter words other than srvr are off unless 4lw.commands.whitelist names them.
        let answer = answer.lines().next().unwrap_or_default();
        debug!(server, answer, "this ZooKeeper server does not tell its version; srvr is not in its whitelist");
        return;
    };
    match judge(version) {
        Verdict::Bad(why) => warn!(server, "ZooKeeper {version} should not be used: {why}"),
        Verdict::Old => warn!(server, "ZooKeeper {version} is outdated: use 3.8.6, 3.9.4 or newer"),
        Verdict::Good => info!(server, version = text, "ZooKeeper"),
    }
}

async fn ask(server: &str) -> std::io::Result<String> {
    let has_port = server
        .rsplit_once(':')
        .is_some_and(|(host, port)| port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']')));
    let address = if has_port { server.to_owned() } else { format!("{server}:{PORT}") };
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"srvr").await?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
    Ok(answer)
}

/// The version as the server prints it, and its numbers.
fn version(answer: &str) -> Option<(&str, Version)> {
    let text = answer.lines().find_map(|line| line.strip_prefix("Zookeeper version: "))?;
    let text = text.split([',', ' ']).next()?;
    let mut numbers = text.split(['.', '-']).map(|number| number.parse::<u32>().ok());
    let (major, minor) = (numbers.next()??, numbers.next()??);
    Some((text, Version(major, minor, numbers.next().flatten().unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_servers_print() {
        let answer = "Zookeeper version: 3.9.3-c26634f34490bb0ea7a09cc51e05ede3b4e320ee, built on 2024-10-17 23:21 UTC\n\
                      Latency min/avg/max: 0/0.0/0\n";
        let (text, numbers) = version(answer).unwrap();
        assert_eq!(numbers, Version(3, 9, 3));
        assert!(text.starts_with("3.9.3-"));
        assert_eq!(version("srvr is not executed because it is not in the whitelist.\n"), None);
    }

    #[test]
    fn releases_that_lose_data_are_known() {
        let bad = |version| matches!(judge(version), Verdict::Bad(_));
        assert!(bad(Version(3, 9, 3)) && bad(Version(3, 9, 1)) && bad(Version(3, 8, 0)) && bad(Version(3, 4, 14)));
        assert_eq!(judge(Version(3, 8, 5)), Verdict::Old);
        assert_eq!(judge(Version(3, 9, 4)), Verdict::Good);
        assert_eq!(judge(Version(3, 8, 6)), Verdict::Good);
    }
}
