use std::sync::mpsc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::coop::{consume_budget, has_budget_remaining};

use super::*;

/// A task whose turn is over is told by tokio that there is nothing to be read, although there is. It must let others have
/// their turn then, or its worker never does anything else.
#[test]
fn a_read_without_budget_ends_the_turn_and_is_repeated() {
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let read = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let mut client = TcpStream::connect(listener.local_addr()?).await?;
            let (mut stream, _) = listener.accept().await?;
            client.write_all(b"\0\0\0\x03abc").await?;
            stream.readable().await?;
            // Only spawned tasks have turns.
            tokio::spawn(async move {
                let mut frames = FrameBuffer::new(1024);
                let settings = ConnectionSettings {
                    frame_bytes_max: 1024,
                    idle_max: Duration::from_secs(60),
                    memory: RequestMemory::new(None),
                    stop: CancellationToken::new(),
                    cut: Arc::default(),
                };
                while has_budget_remaining() {
                    consume_budget().await;
                }
                read_some(&mut stream, &mut frames, &settings)
                    .await
                    .map_err(|end| io::Error::other(format!("{end:?}")))?;
                frames.take_frame().map_err(io::Error::other)
            })
            .await?
        });
        done.send(read).expect("somebody waits");
    });
    let read = is_done.recv_timeout(Duration::from_secs(30)).expect("the worker is stuck");
    assert_eq!(read.expect("a read").as_deref(), Some(&b"abc"[..]));
}
