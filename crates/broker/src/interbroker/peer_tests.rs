use tokio::net::TcpListener;
use whimbrel_wire::{ControlledShutdownRequest, ControlledShutdownResponse};

use super::*;

const VERSION: i16 = 3;

/// A peer, and how to reach it.
async fn listen() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = i32::from(listener.local_addr().expect("bound").port());
    let protocol = SecurityProtocol::Plaintext;
    (listener, Endpoint { listener: "PLAINTEXT".into(), protocol, host: "127.0.0.1".into(), port })
}

/// Reads one request; its correlation id.
async fn read_request(stream: &mut TcpStream) -> i32 {
    let size = stream.read_i32().await.expect("a request");
    let mut request = vec![0; usize::try_from(size).expect("a size")];
    stream.read_exact(&mut request).await.expect("a whole request");
    i32::from_be_bytes(request[4..8].try_into().expect("four bytes"))
}

fn answer(id: i32) -> Bytes {
    let response = ControlledShutdownResponse { error_code: 7, ..Default::default() };
    let frame = Frame::response::<ControlledShutdownRequest>(&response, VERSION, id).expect("encodes");
    frame.into_memory().expect("in memory").into_bytes()
}

fn request() -> ControlledShutdownRequest {
    ControlledShutdownRequest { broker_id: 1, broker_epoch: 2 }
}

#[tokio::test]
async fn answers_are_read_in_whatever_pieces_they_come() {
    let (listener, endpoint) = listen().await;
    let peer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        for _ in 0..3 {
            let id = read_request(&mut stream).await;
            for byte in answer(id) {
                stream.write_all(&[byte]).await.expect("written");
                stream.flush().await.expect("flushed");
                tokio::task::yield_now().await;
            }
        }
        stream
    });
    let mut connection = PeerConnection::connect(&endpoint, &PeerOptions::new("1")).await.expect("connects");
    for _ in 0..2 {
        assert_eq!(connection.call(&request(), VERSION).await.expect("answered").error_code, 7);
    }
    let mut writer = Writer::new();
    request().encode(&mut writer, VERSION).expect("encodes");
    let body = writer.into_bytes();
    let pieces = [body.slice(..3), body.slice(3..)];
    let answered = connection.call_encoded::<ControlledShutdownRequest>(&pieces, VERSION).await;
    assert_eq!(answered.expect("answered").error_code, 7);
    // The peer leaves, and whoever waits for that learns of it without asking anything.
    drop(peer.await.expect("no panic"));
    connection.closed().await;
}

#[tokio::test]
async fn a_call_that_was_given_up_leaves_a_connection_of_no_use() {
    let (listener, endpoint) = listen().await;
    let mut connection = PeerConnection::connect(&endpoint, &PeerOptions::new("1")).await.expect("connects");
    let (mut peer, _) = listener.accept().await.expect("a connection");
    let late = connection.call_within(&request(), VERSION, Duration::from_millis(1)).await;
    assert!(matches!(late, Err(PeerError::Timeout { .. })), "{late:?}");
    assert!(!connection.is_usable());
    // The late answer must not be taken for that of the next request.
    let id = read_request(&mut peer).await;
    peer.write_all(&answer(id)).await.expect("written");
    assert!(matches!(connection.call(&request(), VERSION).await, Err(PeerError::Closed { .. })));
}

#[tokio::test]
async fn who_does_not_listen_refuses_and_who_leaves_closes() {
    let (listener, endpoint) = listen().await;
    let mut connection = PeerConnection::connect(&endpoint, &PeerOptions::new("1")).await.expect("connects");
    drop(listener.accept().await.expect("a connection"));
    assert!(matches!(connection.call(&request(), VERSION).await, Err(PeerError::Closed { .. })));
    drop(listener);
    match PeerConnection::connect(&endpoint, &PeerOptions::new("1")).await {
        Err(PeerError::Connect { source, .. }) => assert_eq!(source.kind(), io::ErrorKind::ConnectionRefused),
        other => panic!("{other:?}"),
    }
    let protocol = SecurityProtocol::Ssl;
    let other = PeerConnection::connect(&Endpoint { protocol, ..endpoint }, &PeerOptions::new("1")).await;
    assert!(matches!(other, Err(PeerError::Protocol { .. })));
}
