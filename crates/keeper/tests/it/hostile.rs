//! Bytes that no client should send, and clients that do not behave.

use std::io::{Read as _, Write as _};

use whimbrel_keeper::Keeper;

use crate::raw::{CREATE, Connection, GET_DATA, PING, SET_DATA, create, jute, session};
use crate::support::{TestKeeper, config};

const MARSHALLING_ERROR: i32 = -5;
const UNIMPLEMENTED: i32 = -6;
const AUTH_FAILED: i32 = -115;
const AUTH: i32 = 100;
const MULTI: i32 = 14;

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_length_ends_that_connection_and_no_other() {
    let keeper = TestKeeper::start().await;
    let address = keeper.handle.local_addr();
    let (mut good, _) = session(address, 5000);
    for length in [-1_i32, i32::MIN, i32::MAX, 0x10_0000, 0x4745_5420] {
        let mut fresh = Connection::open(address);
        fresh.stream.write_all(&length.to_be_bytes()).expect("sent");
        assert_eq!(fresh.receive(), None, "length {length} first");
        let (mut connected, _) = session(address, 5000);
        connected.stream.write_all(&length.to_be_bytes()).expect("sent");
        assert_eq!(connected.receive(), None, "length {length} in a session");
    }
    assert_eq!(good.call(-2, PING, &jute()).error, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_answered_as_such_and_ends_the_connection() {
    let keeper = TestKeeper::start().await;
    let address = keeper.handle.local_addr();
    let cases = [
        (CREATE, jute().i32(i32::MAX), MARSHALLING_ERROR),
        (CREATE, jute().bytes(b"/a"), MARSHALLING_ERROR),
        (MULTI, jute().i32(13).bool(false).i32(-1), MARSHALLING_ERROR),
        (GET_DATA, jute(), MARSHALLING_ERROR),
        (999, jute(), UNIMPLEMENTED),
        (13, jute().bytes(b"/").i32(-1), UNIMPLEMENTED),
        (-10, jute(), UNIMPLEMENTED),
        (AUTH, jute().i32(0).bytes(b"kerberos").bytes(b"x"), AUTH_FAILED),
    ];
    for (code, body, error) in cases {
        let (mut client, _) = session(address, 5000);
        client.request(5, code, &body);
        let answer = client.frame().expect("an answer");
        assert_eq!((answer.xid, answer.error), (5, error), "operation {code}");
        assert_eq!(client.frame(), None, "operation {code}");
    }
    let mut short = Connection::open(address);
    short.send(&jute().i32(0).i64(0));
    assert_eq!(short.receive(), None, "half a connect request");
    let (mut headless, _) = session(address, 5000);
    headless.send(&jute().bool(true));
    assert_eq!(headless.receive(), None, "a request without a header");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_asks_for_nothing_sensible_is_refused_and_the_session_stays() {
    let keeper = TestKeeper::start().await;
    let (mut client, _) = session(keeper.handle.local_addr(), 5000);
    let null_path = jute().i32(-1).bool(false);
    assert_eq!(client.call(1, GET_DATA, &null_path).error, MARSHALLING_ERROR);
    let ping_in_multi = jute().i32(PING).bool(false).i32(-1);
    assert_eq!(client.call(2, MULTI, &ping_in_multi).error, MARSHALLING_ERROR);
    assert_eq!(client.call(-2, PING, &jute()).error, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_transaction_is_carried_out() {
    let keeper = TestKeeper::start().await;
    let (mut client, _) = session(keeper.handle.local_addr(), 5000);
    let mut body = jute();
    for n in 0..5000 {
        body = body.i32(1).bool(false).i32(-1);
        body.0.extend(create(&format!("/n{n}"), b"", 0).0);
    }
    let answer = client.call(1, MULTI, &body.i32(-1).bool(true).i32(-1));
    assert_eq!(answer.error, 0);
    assert_eq!(keeper.handle.stats().znodes, 5004);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_not_read_from() {
    let keeper = TestKeeper::start().await;
    let (mut client, _) = session(keeper.handle.local_addr(), 10_000);
    client.call(1, CREATE, &create("/big", &vec![b'x'; 500_000], 0));
    let stream = client.stream.try_clone().expect("a second handle");
    stream.set_nonblocking(true).expect("non-blocking");
    let request = {
        let body = jute().i32(2).i32(GET_DATA).bytes(b"/big").bool(false);
        let mut frame = (body.0.len() as i32).to_be_bytes().to_vec();
        frame.extend(body.0);
        frame
    };
    // Far more answers than the keeper may hold: 500 KB each.
    let mut asked = 0;
    while asked < 20_000 && (&stream).write(&request).is_ok_and(|written| written == request.len()) {
        asked += 1;
    }
    assert!(keeper.handle.stats().requests < 1000, "{:?}", keeper.handle.stats());
    stream.set_nonblocking(false).expect("blocking");
    for _ in 0..50 {
        assert_eq!(client.frame().expect("an answer").error, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_events_pile_up_is_cut_off() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let mut config = config(directory.path());
    config.outbound_bytes_max = 200_000;
    let keeper = Keeper::start(config).await.expect("started");
    let (mut lazy, _) = session(keeper.local_addr(), 20_000);
    let add_watch = 106;
    assert_eq!(lazy.call(1, add_watch, &jute().bytes(b"/").i32(1)).error, 0);
    let (mut writer, _) = session(keeper.local_addr(), 20_000);
    let long_name = "n".repeat(2000);
    let path = format!("/{long_name}");
    assert_eq!(writer.call(1, CREATE, &create(&path, b"", 0)).error, 0);
    let mut body = jute();
    for _ in 0..400 {
        body = body.i32(SET_DATA).bool(false).i32(-1).bytes(path.as_bytes()).bytes(b"").i32(-1);
    }
    let many_writes = body.i32(-1).bool(true).i32(-1);
    let mut rounds = 0;
    // The sockets' own buffers take some megabytes first.
    while keeper.stats().connections == 2 && rounds < 100 {
        assert_eq!(writer.call(2, MULTI, &many_writes).error, 0);
        rounds += 1;
    }
    assert_eq!(keeper.stats().connections, 1, "after {rounds} times 400 events");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_from_one_address_are_limited() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let mut config = config(directory.path());
    config.max_client_connections = 2;
    let keeper = Keeper::start(config).await.expect("started");
    let (first, _) = session(keeper.local_addr(), 5000);
    let (_second, _) = session(keeper.local_addr(), 5000);
    let mut third = Connection::open(keeper.local_addr());
    let mut byte = [0];
    assert!(matches!(third.stream.read(&mut byte), Ok(0) | Err(_)), "the third is refused");
    drop(first);
    let mut served = None;
    for _ in 0..200 {
        let mut again = Connection::open(keeper.local_addr());
        again.stream.write_all(b"ruok").expect("sent");
        let mut answer = String::new();
        if again.stream.read_to_string(&mut answer).is_ok() && answer == "imok" {
            served = Some(answer);
            break;
        }
    }
    assert_eq!(served.as_deref(), Some("imok"), "a place was free again");
}
