//! What is delivered before what.

use crate::raw::{CREATE, GET_DATA, PING, SET_DATA, create, jute, session};
use crate::support::TestKeeper;

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order_and_reads_see_the_writes_before_them() {
    let keeper = TestKeeper::start().await;
    let (mut client, _) = session(keeper.handle.local_addr(), 5000);
    client.request(1, CREATE, &create("/a", b"0", 0));
    let rounds = 200;
    for round in 1..=rounds {
        let value = round.to_string();
        client.request(2 * round, SET_DATA, &jute().bytes(b"/a").bytes(value.as_bytes()).i32(-1));
        client.request(2 * round + 1, GET_DATA, &jute().bytes(b"/a").bool(false));
    }
    assert_eq!(client.frame().expect("an answer").xid, 1);
    let mut zxid = 0;
    for round in 1..=rounds {
        let written = client.frame().expect("an answer");
        assert_eq!((written.xid, written.error), (2 * round, 0));
        let read = client.frame().expect("an answer");
        assert_eq!((read.xid, read.error), (2 * round + 1, 0));
        assert!(read.body.starts_with(&jute().bytes(round.to_string().as_bytes()).0), "round {round}");
        assert!(zxid < written.zxid && written.zxid <= read.zxid);
        zxid = written.zxid;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_event_comes_before_the_answer_that_reveals_the_change() {
    let keeper = TestKeeper::start().await;
    let (mut writer, _) = session(keeper.handle.local_addr(), 5000);
    let (mut reader, _) = session(keeper.handle.local_addr(), 5000);
    writer.call(1, CREATE, &create("/a", b"old", 0));
    for round in 0..100 {
        let watched = reader.call(1, GET_DATA, &jute().bytes(b"/a").bool(true));
        let old = format!("{round:05}");
        writer.request(2, SET_DATA, &jute().bytes(b"/a").bytes(old.as_bytes()).i32(-1));
        let mut told = false;
        // Whichever comes first: once the new value is seen, the event must have been.
        loop {
            reader.request(3, GET_DATA, &jute().bytes(b"/a").bool(false));
            let frame = reader.frame().expect("a frame");
            let answer = if frame.xid == -1 {
                told = true;
                reader.frame().expect("an answer")
            } else {
                frame
            };
            if answer.body[..9] != watched.body[..9] {
                assert!(told, "round {round}: the change was seen before its event");
                break;
            }
        }
        assert_eq!(writer.frame().expect("an answer").error, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_ones_own_write_comes_before_its_answer() {
    let keeper = TestKeeper::start().await;
    let (mut client, _) = session(keeper.handle.local_addr(), 5000);
    client.call(1, CREATE, &create("/a", b"", 0));
    client.call(2, GET_DATA, &jute().bytes(b"/a").bool(true));
    client.request(3, SET_DATA, &jute().bytes(b"/a").bytes(b"x").i32(-1));
    client.request(-2, PING, &jute());
    let order: Vec<_> = (0..3).map(|_| client.frame().expect("a frame").xid).collect();
    assert_eq!(order, [-1, 3, -2]);
}
