use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::coop::{consume_budget, has_budget_remaining};
use whimbrel_model::SliceSource;
use whimbrel_wire::fetch::{FetchableTopicResponse, PartitionData};
use whimbrel_wire::{FetchRequest, FetchResponse};

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

/// Whose requests are never at an end must let the worker look at the sockets of others again and again.
#[test]
fn a_turn_that_is_long_ends_before_others_are_kept_waiting() {
    const STEPS: usize = 100 * TURN_REQUESTS_MAX;
    for of_one in [Turn { bytes: 0, requests: 1 }, Turn { bytes: TURN_BYTES_MAX / TURN_REQUESTS_MAX, requests: 0 }] {
        let runtime = super::super::workers::runtime().expect("a runtime");
        let seen = runtime.block_on(async {
            let (mut stream, mut client) = connected().await;
            let steps = Rc::new(Cell::new(0));
            let counted = steps.clone();
            let never_at_an_end = tokio::task::spawn_local(async move {
                let mut turn = Turn::default();
                for _ in 0..STEPS {
                    counted.set(counted.get() + 1);
                    turn.bytes += of_one.bytes;
                    turn.requests += of_one.requests;
                    turn.end().await;
                }
            });
            let other = tokio::task::spawn_local(async move {
                client.write_all(b"a request").await.expect("written");
                stream.read_u8().await.expect("heard");
                steps.get()
            });
            let seen = other.await.expect("no panic");
            never_at_an_end.await.expect("no panic");
            seen
        });
        assert!(seen < STEPS / 2, "the other was heard after {seen} of {STEPS} steps");
    }
}

struct Lent {
    file: File,
    is_intact: AtomicBool,
}

impl SliceSource for Lent {
    fn file(&self) -> &File {
        &self.file
    }

    fn is_intact(&self) -> bool {
        self.is_intact.load(Ordering::Relaxed)
    }
}

/// Bytes in memory, in a file from its byte 1000 on, and in memory again: each of more than a socket takes at once.
struct Mixed {
    source: Arc<Lent>,
    response: FetchResponse,
    content: Vec<u8>,
}

impl Mixed {
    const POSITION: usize = 1000;
    const LEN: usize = 6_000_000;

    fn new() -> Self {
        let content: Vec<u8> =
            (0..(Self::POSITION + Self::LEN) as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&content).expect("written");
        let source = Arc::new(Lent { file, is_intact: AtomicBool::new(true) });
        let content = content[Self::POSITION..].to_vec();
        let memory = || PartitionData { records: Some(Bytes::from(content.clone()).into()), ..Default::default() };
        let slice = FileSlice::new(source.clone(), Self::POSITION as u64, Self::LEN);
        let file = PartitionData { records: Some(slice.into()), ..Default::default() };
        let partitions = vec![file.clone(), memory(), memory(), file];
        let response = FetchResponse {
            responses: vec![FetchableTopicResponse { partitions, ..Default::default() }],
            ..Default::default()
        };
        Self { source, response, content }
    }

    fn frame(&self) -> Frame<Piece> {
        Frame::response::<FetchRequest>(&self.response, 12, 1).expect("encodes")
    }

    /// The same response with everything in memory.
    fn expected(&self) -> Bytes {
        let mut response = self.response.clone();
        for data in &mut response.responses[0].partitions {
            data.records = Some(Bytes::from(self.content.clone()).into());
        }
        let frame = Frame::response::<FetchRequest>(&response, 12, 1).expect("encodes");
        frame.into_memory().expect("in memory").into_bytes()
    }
}

async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
    (listener.accept().await.expect("accepted").0, client)
}

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn what_lies_in_a_file_is_sent_in_its_place() {
    let (stream, mut client) = connected().await;
    let mixed = Mixed::new();
    let frame = mixed.frame();
    let mut received = Vec::new();
    let read = async {
        let mut chunk = vec![0; 100_000];
        while received.len() < frame.len() {
            let count = client.read(&mut chunk).await.expect("more is to come");
            assert_ne!(count, 0, "the server went away");
            received.extend_from_slice(&chunk[..count]);
        }
    };
    let (written, ()) = tokio::join!(write_frame(&stream, &frame, PATIENCE), read);
    written.expect("written");
    assert!(received == mixed.expected());
}

#[tokio::test]
async fn nothing_more_is_sent_from_a_log_that_was_cut_back() {
    for is_cut in [true, false] {
        let (stream, mut client) = connected().await;
        let mixed = Mixed::new();
        let frame = mixed.frame();
        let mut writing = pin!(write_frame(&stream, &frame, PATIENCE));
        // Until the socket is full.
        let started = poll_fn(|context| Poll::Ready(writing.as_mut().poll(context))).await;
        assert!(started.is_pending());
        if is_cut {
            mixed.source.is_intact.store(false, Ordering::Relaxed);
        } else {
            mixed.source.file.set_len(Mixed::POSITION as u64 + 1).expect("cut");
        }
        let mut sink = vec![0; 1 << 20];
        let failed = loop {
            tokio::select! {
                written = &mut writing => break written,
                read = client.read(&mut sink) => drop(read.expect("more is to come")),
            }
        };
        assert!(failed.is_err());
    }
}

#[tokio::test]
async fn files_that_cannot_be_sent_from_go_through_memory() {
    let (stream, mut client) = connected().await;
    let mixed = Mixed::new();
    stream.writable().await.expect("connected");
    let position = (Mixed::POSITION + 17) as u64;
    let sent = send_through_memory(&stream, &mixed.source.file, position, 50_000).expect("sent");
    assert!(0 < sent && sent <= 50_000);
    let mut received = vec![0; sent];
    client.read_exact(&mut received).await.expect("received");
    assert!(received == mixed.content[17..17 + sent]);
}
