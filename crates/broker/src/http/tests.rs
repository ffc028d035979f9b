use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

async fn ask(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn pages_are_served_until_told_to_stop() {
    let (listener, moved) = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    assert!(!moved);
    let address = listener.local_addr().unwrap();
    let is_ready = Arc::new(AtomicBool::new(false));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let ready = {
        let is_ready = is_ready.clone();
        move || if is_ready.load(Ordering::Relaxed) { Ok(()) } else { Err("waiting for the log".to_owned()) }
    };
    let server = tokio::spawn(serve(listener, Arc::new(Metrics::new()), ready, async {
        let _ = stopped.await;
    }));
    assert!(ask(address, "/health/live").await.starts_with("HTTP/1.1 200"));
    let waiting = ask(address, "/health/ready").await;
    assert!(waiting.starts_with("HTTP/1.1 503") && waiting.ends_with("waiting for the log\n"), "{waiting}");
    is_ready.store(true, Ordering::Relaxed);
    assert!(ask(address, "/health/ready").await.starts_with("HTTP/1.1 200"));
    assert!(ask(address, "/metrics").await.contains("whimbrel_partitions 0"));
    assert!(ask(address, "/other").await.starts_with("HTTP/1.1 404"));
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_taken_port_is_replaced_by_a_free_one() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let wanted = taken.local_addr().unwrap();
    let (listener, moved) = bind(wanted).await.unwrap();
    assert!(moved);
    assert_ne!(listener.local_addr().unwrap().port(), wanted.port());
}
