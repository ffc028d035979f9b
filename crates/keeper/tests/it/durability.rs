//! What was answered is there after the process was killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use whimbrel_keeper::Keeper;

use crate::raw::{CREATE, Connection, GET_DATA, create, jute, session};
use crate::support::config;

const DIRECTORY: &str = "KEEPER_CHILD_DIRECTORY";

/// Not a test of its own: the process that the test below starts and kills.
#[tokio::test]
async fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let keeper = Keeper::start(config(Path::new(&directory))).await.expect("started");
    println!("\nlistening on {}", keeper.local_addr());
    std::io::stdout().flush().expect("written");
    std::future::pending::<()>().await;
}

fn start(directory: &Path) -> (Child, SocketAddr) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "durability::child", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let address = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("listening on ").and_then(|address| address.parse().ok()));
    (child, address.expect("the address"))
}

#[test]
fn every_answered_write_survives_kill_9() {
    let directory = TempDir::new().expect("a directory");
    let mut answered = 0;
    let mut last_zxid = 0;
    for cycle in 0..6 {
        let (mut child, address) = start(directory.path());
        let (mut client, mut written) = (Connection::open(address), answered);
        // A client that has seen the last answer must be welcome.
        client.connect(10_000, 0, &[0; 16], last_zxid).expect("a session");
        for n in 0..answered {
            let read = client.call(1, GET_DATA, &jute().bytes(path(n).as_bytes()).bool(false));
            assert_eq!(read.error, 0, "cycle {cycle}: write {n} of {answered} is gone");
        }
        // Writes are pipelined so that the process dies in the middle of many.
        let enough = answered + 40 + 60 * cycle;
        while answered < enough {
            while written < answered + 30 {
                client.request(2, CREATE, &create(&path(written), b"value", 0));
                written += 1;
            }
            let answer = client.frame().expect("an answer");
            // A write that was not answered before the last crash may be there nevertheless.
            assert!(matches!(answer.error, 0 | -110), "cycle {cycle}: {answer:?}");
            assert!(last_zxid < answer.zxid, "transaction ids never go back");
            last_zxid = answer.zxid;
            answered += 1;
        }
        child.kill().expect("killed");
        child.wait().expect("gone");
        while let Some(answer) = client.frame_if_whole() {
            last_zxid = answer;
            answered += 1;
        }
    }
}

fn path(n: usize) -> String {
    format!("/node-{n}")
}

impl Connection {
    /// The transaction id of one more answer that was sent before the process died.
    fn frame_if_whole(&mut self) -> Option<i64> {
        let frame = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.frame())).ok()??;
        Some(frame.zxid)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_during_a_stop_is_kept() {
    let directory = TempDir::new().expect("a directory");
    let keeper = Keeper::start(config(directory.path())).await.expect("started");
    let (mut client, _) = session(keeper.local_addr(), 5000);
    for n in 0..200 {
        client.request(1, CREATE, &create(&path(n), b"", 0));
    }
    keeper.shutdown().await.expect("a sound store");
    let mut answered = 0;
    while client.frame().is_some() {
        answered += 1;
    }
    let keeper = Keeper::start(config(directory.path())).await.expect("started");
    let (mut client, _) = session(keeper.local_addr(), 5000);
    for n in 0..answered {
        assert_eq!(client.call(1, GET_DATA, &jute().bytes(path(n).as_bytes()).bool(false)).error, 0);
    }
}
