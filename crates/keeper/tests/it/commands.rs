//! The four-letter commands.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use whimbrel_keeper::Keeper;

use crate::raw::{CREATE, GET_DATA, create, jute, session};
use crate::support::{TestKeeper, config};

fn command(address: SocketAddr, word: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the keeper listens");
    stream.write_all(word.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

fn value<'a>(text: &'a str, key: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap_or_else(|| panic!("no {key:?} in {text}")).trim_start_matches([':', '=', '\t', ' '])
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_answer_as_zookeepers_do() {
    let keeper = TestKeeper::start().await;
    let address = keeper.handle.local_addr();
    let (mut client, connected) = session(address, 5000);
    client.call(1, CREATE, &create("/a", b"12345", 1));
    client.call(2, GET_DATA, &jute().bytes(b"/a").bool(true));
    assert_eq!(command(address, "ruok"), "imok");
    assert_eq!(command(address, "isro"), "rw");

    let server = command(address, "srvr");
    assert!(server.starts_with("Zookeeper version: 3.9.4-whimbrel"), "{server}");
    assert_eq!(value(&server, "Mode"), "standalone");
    assert_eq!(value(&server, "Node count"), "6");
    assert_eq!(value(&server, "Zxid"), "0x2");
    assert!(value(&server, "Latency min/avg/max").split('/').count() == 3);

    let stat = command(address, "stat");
    assert!(stat.contains("\nClients:\n /127.0.0.1:") && stat.contains("\n\nLatency min/avg/max:"), "{stat}");

    let monitor = command(address, "mntr");
    assert_eq!(value(&monitor, "zk_znode_count"), "6");
    assert_eq!(value(&monitor, "zk_ephemerals_count"), "1");
    assert_eq!(value(&monitor, "zk_watch_count"), "1");
    assert_eq!(value(&monitor, "zk_global_sessions"), "1");
    assert_eq!(value(&monitor, "zk_server_state"), "standalone");

    let connections = command(address, "cons");
    let expected = format!("sid={:#x},lop=GETD", connected.session);
    assert!(connections.contains(&expected) && connections.contains("to=5000,lcxid=0x2,lzxid=0x2"), "{connections}");

    let configuration = command(address, "conf");
    assert_eq!(value(&configuration, "clientPort"), address.port().to_string());
    assert_eq!(value(&configuration, "tickTime"), "50");
    assert!(command(address, "envi").starts_with("Environment:\n"));
    assert!(command(address, "dump").contains(&format!("{:#x}:\n\t/a\n", connected.session)));
    assert_eq!(command(address, "wchs"), "1 connections watching 1 paths\nTotal watches:1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_outside_the_list_is_refused() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let mut config = config(directory.path());
    config.four_letter_words = vec!["srvr".to_owned()];
    let keeper = Keeper::start(config).await.expect("started");
    let refusal = "ruok is not executed because it is not in the whitelist.\n";
    assert_eq!(command(keeper.local_addr(), "ruok"), refusal);
    assert!(command(keeper.local_addr(), "srvr").contains("Mode: standalone"));
}
