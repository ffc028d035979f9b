//! One client's socket: frames in, frames out.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tracing::{debug, info, warn};

use super::Shared;
use super::core::{ConnectRefusal, RequestFault};
use super::four_letter;
use super::outbound::{Next, Outbound};
use crate::proto::{ConnectRequest, DecodeError, Reader, Request, RequestHeader};
use crate::tree::PASSWORD_BYTES;
use crate::watch::WatcherId;

const LENGTH_BYTES: usize = 4;
const READ_BYTES: usize = 4 << 10;
/// Requests of one connection that are carried out before others get their turn.
const TURN_REQUESTS: usize = 64;
/// How long a connection that ends waits for its client to take the last answers.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why a connection was ended by this side.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("a request of {length} bytes, where at most {max} are taken")]
    Length { length: i32, max: usize },
    #[error("a connect request that cannot be decoded: {0}")]
    Connect(#[source] DecodeError),
    #[error(transparent)]
    Refused(#[from] ConnectRefusal),
    #[error(transparent)]
    Request(#[from] RequestFault),
    #[error("no connect request within {0:?}")]
    Silent(Duration),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a fresh connection turned out to be.
enum Opening {
    /// The client has a session (or was told that it has none).
    Session,
    /// A four-letter command, which was answered, or the end of the stream.
    Done,
}

/// Serves a connection until it ends.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    let outbound = Arc::new(Outbound::new(shared.config.outbound_bytes_max));
    let Some(id) = shared.core.lock().accept(peer, Arc::clone(&outbound), shared.now()) else { return };
    let (read_half, write_half) = stream.into_split();
    let connection = Incoming { shared: &shared, id, outbound: &outbound, buffer: BytesMut::new(), read_half };
    let patience = shared.config.max_session_timeout;
    let mut writing = std::pin::pin!(write_all(write_half, &outbound, patience));
    let ended = tokio::select! {
        result = connection.run() => result,
        end = &mut writing => {
            shared.core.lock().disconnected(id);
            report_end(peer, &end);
            return;
        }
    };
    if let Err(fault) = ended {
        info!(%peer, reason = %fault, "connection ended");
        shared.locked(|core, now| core.end(id, now));
        // The client may not read; then the answers are lost, as with any closed connection.
        let _last_words = tokio::time::timeout(LAST_WORDS, writing).await;
    }
    shared.core.lock().disconnected(id);
}

fn report_end(peer: SocketAddr, end: &io::Result<Option<&'static str>>) {
    match end {
        Ok(None) => debug!(%peer, "connection ended"),
        Ok(Some(why)) => warn!(%peer, reason = why, "connection cut off"),
        Err(error) => debug!(%peer, %error, "connection lost"),
    }
}

/// Writes what is queued until the queue ends. Gives the reason if it was cut off, which it also is when the
/// client takes nothing for as long as `patience`.
async fn write_all(
    mut socket: OwnedWriteHalf,
    outbound: &Outbound,
    patience: Duration,
) -> io::Result<Option<&'static str>> {
    loop {
        match outbound.next().await {
            Next::Write(frames) => {
                let bytes = frames.iter().map(Bytes::len).sum();
                let mut chunk = Chain { frames: frames.into() };
                match tokio::time::timeout(patience, socket.write_all_buf(&mut chunk)).await {
                    Ok(written) => written?,
                    Err(_) => return Ok(Some("it does not take its answers")),
                }
                outbound.written(bytes);
            }
            Next::End => {
                // The client may be gone already; there is nothing left to tell it.
                let _closed = socket.shutdown().await;
                return Ok(None);
            }
            Next::Abort(why) => return Ok(Some(why)),
        }
    }
}

/// Frames as one buffer, so that they leave in one vectored write.
struct Chain {
    frames: std::collections::VecDeque<Bytes>,
}

impl Buf for Chain {
    fn remaining(&self) -> usize {
        self.frames.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.frames.front().map_or(&[], |frame| frame.as_ref())
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [io::IoSlice<'a>]) -> usize {
        let mut used = 0;
        for (slot, frame) in slices.iter_mut().zip(&self.frames) {
            *slot = io::IoSlice::new(frame);
            used += 1;
        }
        used
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(frame) = self.frames.front_mut() {
            if count < frame.len() {
                frame.advance(count);
                return;
            }
            count -= frame.len();
            self.frames.pop_front();
        }
    }
}

/// A request, or why its body is none.
type Received = (RequestHeader, Result<Request, DecodeError>);

/// The reading side.
struct Incoming<'a> {
    shared: &'a Shared,
    id: WatcherId,
    outbound: &'a Outbound,
    /// What was received and not yet taken. It grows with what arrives, not with what a length promises.
    buffer: BytesMut,
    read_half: OwnedReadHalf,
}

impl Incoming<'_> {
    async fn run(mut self) -> Result<(), Fault> {
        let patience = self.shared.config.max_session_timeout;
        let opening = tokio::time::timeout(patience, self.open()).await.map_err(|_| Fault::Silent(patience))??;
        match opening {
            Opening::Done => {
                self.outbound.end();
                // The writer ends the connection when the answer is out.
                std::future::pending().await
            }
            Opening::Session => self.requests().await,
        }
    }

    /// Reads until a whole connect request or command is there.
    async fn open(&mut self) -> Result<Opening, Fault> {
        while self.buffer.len() < LENGTH_BYTES {
            if !self.fill().await? {
                return Ok(Opening::Done);
            }
        }
        if let Some(command) = self.buffer.first_chunk().and_then(four_letter::Command::from_bytes) {
            let answer = four_letter::answer(command, self.shared, self.id);
            self.outbound.reserve(answer.len());
            self.outbound.send(answer);
            return Ok(Opening::Done);
        }
        let frame = loop {
            match self.take_frame()? {
                Some(frame) => break frame,
                None if self.fill().await? => {}
                None => return Ok(Opening::Done),
            }
        };
        let request = ConnectRequest::decode(&frame).map_err(Fault::Connect)?;
        let password: [u8; PASSWORD_BYTES] = rand::random();
        self.shared.locked(|core, now| core.connect(self.id, &request, password, now))?;
        Ok(Opening::Session)
    }

    /// Carries out requests until the client leaves.
    async fn requests(&mut self) -> Result<(), Fault> {
        loop {
            self.outbound.wait_for_room().await;
            if !self.carry_out_received()? && !self.fill().await? {
                return Ok(());
            }
        }
    }

    /// Carries out the requests that are there in full. They are decoded first and then share one turn at the
    /// core. False if there was none.
    fn carry_out_received(&mut self) -> Result<bool, Fault> {
        let mut requests = Vec::new();
        let mut fault = Ok(());
        while requests.len() < TURN_REQUESTS {
            match self.take_request() {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => break,
                Err(error) => {
                    fault = Err(error);
                    break;
                }
            }
        }
        let any = !requests.is_empty();
        if any {
            let id = self.id;
            self.shared.locked(|core, now| {
                requests.into_iter().try_for_each(|(header, request)| core.request(id, header, request, now))
            })?;
        }
        fault.map(|()| any)
    }

    fn take_request(&mut self) -> Result<Option<Received>, Fault> {
        let Some(frame) = self.take_frame()? else { return Ok(None) };
        let mut reader = Reader::new(&frame);
        let header = RequestHeader::decode(&mut reader).map_err(RequestFault::from)?;
        Ok(Some((header, Request::decode(header.op, &mut reader))))
    }

    fn take_frame(&mut self) -> Result<Option<BytesMut>, Fault> {
        let Some(length) = self.buffer.first_chunk().copied().map(i32::from_be_bytes) else { return Ok(None) };
        let max = self.shared.config.jute_max_buffer;
        let bytes = usize::try_from(length).ok().filter(|bytes| *bytes <= max);
        let bytes = bytes.ok_or(Fault::Length { length, max })?;
        if self.buffer.len() < LENGTH_BYTES + bytes {
            return Ok(None);
        }
        self.buffer.advance(LENGTH_BYTES);
        Ok(Some(self.buffer.split_to(bytes)))
    }

    /// False at the end of the stream.
    async fn fill(&mut self) -> Result<bool, Fault> {
        self.buffer.reserve(READ_BYTES);
        match self.read_half.read_buf(&mut self.buffer).await {
            Ok(0) => Ok(false),
            Ok(_) => Ok(true),
            // A client that just vanishes is no news.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
