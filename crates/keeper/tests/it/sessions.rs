//! Sessions: how they start, how they are taken up again, how they end.

use crate::raw::{CLOSE_SESSION, CREATE, Connection, EXISTS, GET_DATA, PING, create, jute, session};
use crate::support::{TestKeeper, config};
use whimbrel_keeper::Keeper;

const EPHEMERAL: i32 = 1;
const NO_NODE: i32 = -101;

#[tokio::test(flavor = "multi_thread")]
async fn the_timeout_is_brought_within_bounds() {
    let keeper = TestKeeper::start().await;
    let address = keeper.handle.local_addr();
    assert_eq!(session(address, 1).1.timeout_ms, 100);
    assert_eq!(session(address, 5000).1.timeout_ms, 5000);
    assert_eq!(session(address, i32::MAX).1.timeout_ms, 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_client_is_not_sent_the_read_only_flag() {
    let keeper = TestKeeper::start().await;
    let mut old = Connection::open(keeper.handle.local_addr());
    old.send(&jute().i32(0).i64(0).i32(5000).i64(0).bytes(&[0; 16]));
    let connected = old.connected().expect("a session");
    assert_eq!(connected.rest, 0);
    assert_eq!(session(keeper.handle.local_addr(), 5000).1.rest, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_has_its_session_and_the_old_connection_ends() {
    let keeper = TestKeeper::start().await;
    let address = keeper.handle.local_addr();
    let (mut first, connected) = session(address, 5000);
    assert_eq!(first.call(1, CREATE, &create("/e", b"", EPHEMERAL)).error, 0);
    let mut second = Connection::open(address);
    let again = second.connect(5000, connected.session, &connected.password, 0).expect("an answer");
    assert_eq!(again, connected);
    assert_eq!(first.frame(), None, "the old connection ends");
    assert_eq!(second.call(1, EXISTS, &jute().bytes(b"/e").bool(false)).error, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_or_an_unknown_session_gets_no_session() {
    let keeper = TestKeeper::start().await;
    let address = keeper.handle.local_addr();
    let (mut first, connected) = session(address, 5000);
    for (id, password) in [(connected.session, vec![9; 16]), (connected.session, vec![]), (12345, vec![0; 16])] {
        let mut other = Connection::open(address);
        let refused = other.connect(5000, id, &password, 0).expect("an answer");
        assert_eq!((refused.session, refused.timeout_ms), (0, 0));
        assert_eq!(other.frame(), None, "and the connection ends");
    }
    assert_eq!(first.call(-2, PING, &jute()).error, 0, "the session's own connection stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_seen_a_later_state_is_sent_away() {
    let keeper = TestKeeper::start().await;
    let mut client = Connection::open(keeper.handle.local_addr());
    assert_eq!(client.connect(5000, 0, &[0; 16], 1 << 40), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_session_expires_with_its_nodes_watches_and_connection() {
    let keeper = TestKeeper::start().await;
    let address = keeper.handle.local_addr();
    let (mut silent, connected) = session(address, 150);
    assert_eq!(silent.call(1, CREATE, &create("/e", b"", EPHEMERAL)).error, 0);
    let (mut watcher, _) = session(address, 15_000);
    assert_eq!(watcher.call(1, EXISTS, &jute().bytes(b"/e").bool(true)).error, 0);
    let event = watcher.frame().expect("an event");
    assert_eq!((event.xid, event.body), (-1, jute().i32(2).i32(3).bytes(b"/e").0));
    assert_eq!(watcher.call(2, EXISTS, &jute().bytes(b"/e").bool(false)).error, NO_NODE);
    assert_eq!(silent.frame(), None, "the connection ends");
    let mut late = Connection::open(address);
    let refused = late.connect(5000, connected.session, &connected.password, 0).expect("an answer");
    assert_eq!(refused.session, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_session_is_answered_and_then_the_connection_ends() {
    let keeper = TestKeeper::start().await;
    let (mut client, connected) = session(keeper.handle.local_addr(), 5000);
    client.request(1, CREATE, &create("/e", b"", EPHEMERAL));
    client.request(2, CLOSE_SESSION, &jute());
    client.request(3, CREATE, &create("/never", b"", 0));
    assert_eq!(client.frame().map(|frame| (frame.xid, frame.error)), Some((1, 0)));
    assert_eq!(client.frame().map(|frame| (frame.xid, frame.error)), Some((2, 0)));
    assert_eq!(client.frame(), None);
    let mut late = Connection::open(keeper.handle.local_addr());
    assert_eq!(late.connect(5000, connected.session, &connected.password, 0).expect("an answer").session, 0);
    let (mut other, _) = session(keeper.handle.local_addr(), 5000);
    for path in ["/e", "/never"] {
        assert_eq!(other.call(1, GET_DATA, &jute().bytes(path.as_bytes()).bool(false)).error, NO_NODE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_a_session_can_be_taken_up_and_one_that_is_not_expires() {
    let keeper = TestKeeper::start().await;
    let (mut kept, connected) = session(keeper.handle.local_addr(), 10_000);
    let (mut lost, _) = session(keeper.handle.local_addr(), 300);
    assert_eq!(kept.call(1, CREATE, &create("/kept", b"", EPHEMERAL)).error, 0);
    let last = lost.call(1, CREATE, &create("/lost", b"", EPHEMERAL));
    assert_eq!(last.error, 0);
    let keeper = keeper.restart().await;
    let mut client = Connection::open(keeper.handle.local_addr());
    let again = client.connect(10_000, connected.session, &connected.password, last.zxid).expect("an answer");
    assert_eq!(again.session, connected.session);
    assert_eq!(client.call(1, EXISTS, &jute().bytes(b"/kept").bool(false)).error, 0);
    let lost = client.call(2, EXISTS, &jute().bytes(b"/lost").bool(true));
    if lost.error == 0 {
        let event = client.frame().expect("an event");
        assert_eq!((event.xid, event.body), (-1, jute().i32(2).i32(3).bytes(b"/lost").0));
    }
    assert_eq!(client.call(3, EXISTS, &jute().bytes(b"/lost").bool(false)).error, NO_NODE);
}

#[tokio::test]
async fn a_second_keeper_on_the_same_directory_is_refused() {
    let keeper = TestKeeper::start().await;
    let refused = Keeper::start(config(keeper.directory.path())).await.expect_err("the directory is in use");
    assert!(refused.to_string().contains("in use by another process"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_containers_and_nodes_whose_time_is_over_are_removed() {
    let keeper = TestKeeper::start().await;
    let (mut client, _) = session(keeper.handle.local_addr(), 20_000);
    let (create_container, create_ttl, delete) = (19, 21, 2);
    assert_eq!(client.call(1, create_container, &create("/c", b"", 4)).error, 0);
    assert_eq!(client.call(2, CREATE, &create("/c/x", b"", 0)).error, 0);
    assert_eq!(client.call(3, create_ttl, &create("/t", b"", 5).i64(1)).error, 0);
    // Either may be gone already; a watch on a node that is not there is told of nothing.
    for path in [&b"/c"[..], b"/t"] {
        let watched = client.call(4, EXISTS, &jute().bytes(path).bool(true));
        if path == b"/c" {
            assert_eq!(client.call(5, delete, &jute().bytes(b"/c/x").i32(-1)).error, 0);
        }
        if watched.error == 0 {
            let event = client.frame().expect("an event");
            assert_eq!((event.xid, event.body), (-1, jute().i32(2).i32(3).bytes(path).0));
        }
        assert_eq!(client.call(6, EXISTS, &jute().bytes(path).bool(false)).error, NO_NODE);
    }
}
