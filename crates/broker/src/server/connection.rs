//! One client connection: frames in, answers out, in the order of the requests.
//!
//! One task serves one connection, on one worker; between two requests it may go to another. Requests are handled one after
//! the other, as in Kafka, with one exception that keeps the order that a client can see: a Produce whose records are
//! appended but not yet acknowledged (`acks=all`) does not hold up the Produce behind it. Both are appended in order, both
//! answers leave in order, and one flush covers both.
//!
//! A slow client holds only itself: its answers wait in its own task, and no more than [`WAITING_MAX`] of its requests
//! are in flight.

use std::collections::VecDeque;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::{Shutdown, TcpStream as StdStream};
use std::os::unix::fs::FileExt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
#[cfg(target_os = "linux")]
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use whimbrel_model::{FileSlice, Piece};
use whimbrel_wire::Frame;

use super::frame::{FrameBuffer, FrameError};
use super::limits::{ConnectionPermit, RequestMemory, RequestMemoryPermit};
use super::placement::Seat;
use super::workers::Colleagues;
use crate::gate::Gate;
use crate::handlers::{self, Answer, ConnectionContext, RequestError};

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;

/// Answers of one connection that may wait at a time. Kafka's clients have at most five requests in flight when they
/// are idempotent; more than a few hundred only add latency.
const WAITING_MAX: usize = 256;

/// The length before each frame.
const LENGTH_BYTES: usize = 4;

/// Pieces of one vectored write; more are written in further calls.
const IO_SLICES_MAX: usize = 64;

/// Sent of a file with one call, or read of one that cannot be sent from. Over loopback, a little less than two full
/// packets: what goes beyond a multiple of them travels as a packet of some bytes, for which the client wakes once more.
/// That was measured at nearly twice the CPU, with calls of 256 KiB as with one for all.
const FILE_BYTES_MAX: usize = 120 * 1024;

/// What one connection does before the others of its worker have their turn: a client that keeps several requests under
/// way has always sent another one by the time that one is answered. (tokio's own budget of 128 reads is 100 ms of
/// requests of 190 KB, in which nobody else's were looked at.)
const TURN_BYTES_MAX: usize = 256 * 1024;
const TURN_REQUESTS_MAX: usize = 16;

/// What a connection needs of its server.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    pub frame_bytes_max: usize,
    pub idle_max: Duration,
    pub memory: RequestMemory,
    /// What was asked is answered, and the connection ends once the client is silent.
    pub stop: CancellationToken,
    /// The connection ends whatever it waits for. What a handler has begun is finished all the same.
    pub cut: Arc<Gate>,
}

type Waiting = Pin<Box<dyn Future<Output = Answer>>>;

/// A request that is not answered yet.
#[derive(Debug)]
struct InFlight {
    api_key: i16,
    frame_bytes: usize,
    received: Instant,
    /// Held until the answer is written.
    _memory: RequestMemoryPermit,
}

struct Connection {
    stream: TcpStream,
    frames: FrameBuffer,
    settings: ConnectionSettings,
    context: Arc<ConnectionContext>,
    /// Answers in the order of their requests.
    waiting: VecDeque<(Waiting, InFlight)>,
    turn: Turn,
    seat: Seat,
    colleagues: Colleagues,
}

/// What was done since the others had theirs.
#[derive(Debug, Default)]
struct Turn {
    /// Of requests and answers.
    bytes: usize,
    requests: usize,
}

impl Turn {
    /// Lets the others of this worker have their turn, if this one was long.
    async fn end(&mut self) {
        if TURN_BYTES_MAX <= self.bytes || TURN_REQUESTS_MAX <= self.requests {
            *self = Self::default();
            tokio::task::yield_now().await;
        }
    }
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The client closed it, it was idle for too long, or its listener stops.
    Quiet,
    Frame(FrameError),
    Request(String),
    /// It goes to another worker.
    Moves(usize),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        // A client that goes away in the middle of a request or an answer is a normal day.
        Self::Quiet
    }
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Io(error) => Self::from(error),
            error => Self::Frame(error),
        }
    }
}

/// A connection that is on no worker: accepted, or on its way from one to another.
pub struct Moving {
    stream: StdStream,
    frames: FrameBuffer,
    settings: ConnectionSettings,
    context: Arc<ConnectionContext>,
    seat: Seat,
    /// It counts until it is closed.
    permit: ConnectionPermit,
}

impl Moving {
    pub fn new(
        stream: StdStream,
        context: Arc<ConnectionContext>,
        settings: ConnectionSettings,
        permit: ConnectionPermit,
    ) -> Self {
        let frames = FrameBuffer::new(settings.frame_bytes_max);
        Self { stream, frames, settings, context, seat: Seat::default(), permit }
    }

    /// Serves it on the worker that this is called on, until either side ends it or it goes to another one.
    pub async fn serve(self, colleagues: Colleagues) {
        let Self { stream, frames, settings, context, seat, permit } = self;
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!("connection cannot be registered: {error}");
                return context.closed();
            }
        };
        let (waiting, turn) = (VecDeque::new(), Turn::default());
        let mut connection = Connection { stream, frames, settings, context, waiting, turn, seat, colleagues };
        let end = connection.run().await;
        let (peer, listener) = (connection.context.peer, &connection.context.listener);
        match end {
            End::Quiet => tracing::debug!(%peer, "connection closed"),
            End::Frame(error) => tracing::warn!(%peer, %listener, "connection closed: {error}"),
            End::Request(error) => tracing::warn!(%peer, %listener, "connection closed: {error}"),
            End::Moves(to) => return connection.move_to(to, permit),
        }
        connection.context.closed();
    }
}

enum Next {
    Frame(Bytes, RequestMemoryPermit),
    Answer(Answer, InFlight),
}

impl Connection {
    async fn run(&mut self) -> End {
        loop {
            if self.seat.is_time_to_think()
                && let Some(to) = self.elsewhere()
            {
                return End::Moves(to);
            }
            if let Err(end) = self.step().await {
                return end;
            }
            self.turn.end().await;
        }
    }

    /// The worker that this connection should go to. What waits for its answer stays where it is.
    fn elsewhere(&mut self) -> Option<usize> {
        if !self.waiting.is_empty() {
            return None;
        }
        let shared = self.colleagues.upgrade()?;
        let (to, reason) = self.seat.next(&shared.loads, &self.context.wakers)?;
        self.context.moved(reason);
        Some(to)
    }

    fn move_to(self, worker: usize, permit: ConnectionPermit) {
        let Self { stream, frames, settings, context, seat, colleagues, .. } = self;
        let Some(shared) = colleagues.upgrade() else { return context.closed() };
        match stream.into_std() {
            Ok(stream) => {
                let moving = Moving { stream, frames, settings, context, seat, permit };
                shared.spawn_on(worker, move || moving.serve(colleagues));
            }
            Err(error) => {
                tracing::warn!(peer = %context.peer, "connection closed: it cannot be moved: {error}");
                context.closed();
            }
        }
    }

    /// Reads one request or writes one answer, whichever is ready first.
    async fn step(&mut self) -> Result<(), End> {
        if self.settings.cut.is_open() {
            return Err(End::Quiet);
        }
        match self.next().await? {
            Next::Answer(answer, request) => self.write_answer(answer, request).await,
            Next::Frame(frame, permit) => self.handle(frame, permit).await,
        }
    }

    async fn next(&mut self) -> Result<Next, End> {
        if self.waiting.len() >= WAITING_MAX {
            return unless_cut(&self.settings.cut, front(&mut self.waiting)).await;
        }
        if self.waiting.is_empty() {
            let stop = self.settings.stop.clone();
            return tokio::select! {
                biased;
                next = read_frame(&mut self.stream, &mut self.frames, &self.settings) => next,
                () = stop.cancelled() => Err(End::Quiet),
            };
        }
        tokio::select! {
            biased;
            next = front(&mut self.waiting) => Ok(next),
            next = read_frame(&mut self.stream, &mut self.frames, &self.settings) => next,
            () = self.settings.cut.passed() => Err(End::Quiet),
        }
    }

    async fn handle(&mut self, frame: Bytes, memory: RequestMemoryPermit) -> Result<(), End> {
        let request = InFlight {
            api_key: handlers::api_key(&frame),
            frame_bytes: frame.len() + LENGTH_BYTES,
            received: Instant::now(),
            _memory: memory,
        };
        self.turn.bytes += request.frame_bytes;
        self.turn.requests += 1;
        if !handlers::may_overtake_waiting(request.api_key) {
            while !self.waiting.is_empty() {
                let next = unless_cut(&self.settings.cut, front(&mut self.waiting)).await?;
                if let Next::Answer(answer, request) = next {
                    self.write_answer(answer, request).await?;
                }
            }
        }
        match self.dispatch(frame).await.map_err(|error| End::Request(error.to_string()))? {
            Answer::Waiting(waiting) => self.waiting.push_back((waiting, request)),
            answer if self.waiting.is_empty() => self.write_answer(answer, request).await?,
            answer => self.waiting.push_back((Box::pin(std::future::ready(answer)), request)),
        }
        Ok(())
    }

    /// Has the request carried out. The client of a connection that is cut sees its end at once, while what the handler
    /// has begun is not left half done.
    async fn dispatch(&self, frame: Bytes) -> Result<Answer, RequestError> {
        let mut dispatched = pin!(handlers::dispatch(&self.context, frame));
        tokio::select! {
            biased;
            answer = &mut dispatched => return answer,
            () = self.settings.cut.passed() => {}
        }
        // Only a socket that is closed already refuses.
        let _closed = SockRef::from(&self.stream).shutdown(Shutdown::Both);
        dispatched.await
    }

    async fn write_answer(&mut self, mut answer: Answer, request: InFlight) -> Result<(), End> {
        let written = loop {
            match answer {
                Answer::Waiting(waiting) => answer = unless_cut(&self.settings.cut, waiting).await?,
                Answer::Silent => break 0,
                Answer::Close(reason) => return Err(End::Request(reason)),
                Answer::Reply(frame) => {
                    let writing = write_frame(&self.stream, &frame, self.settings.idle_max);
                    unless_cut(&self.settings.cut, writing).await??;
                    break frame.len();
                }
            }
        };
        self.turn.bytes += written;
        self.seat.served(request.frame_bytes + written);
        self.context.answered(request.api_key, request.received.elapsed(), request.frame_bytes, written);
        Ok(())
    }
}

/// The result of `work`, which may be dropped half way, unless the connection is cut before.
async fn unless_cut<T>(cut: &Gate, work: impl Future<Output = T>) -> Result<T, End> {
    tokio::select! {
        biased;
        result = work => Ok(result),
        () = cut.passed() => Err(End::Quiet),
    }
}

/// The first waiting answer, once it is ready. Dropping this future loses nothing.
async fn front(waiting: &mut VecDeque<(Waiting, InFlight)>) -> Next {
    poll_fn(|context: &mut Context<'_>| {
        let Some((answer, _)) = waiting.front_mut() else { return Poll::Pending };
        let Poll::Ready(answer) = answer.as_mut().poll(context) else { return Poll::Pending };
        match waiting.pop_front() {
            Some((_, request)) => Poll::Ready(Next::Answer(answer, request)),
            None => Poll::Pending,
        }
    })
    .await
}

/// The next whole frame. Dropping this future loses nothing: what was read stays in `frames`.
async fn read_frame(
    stream: &mut TcpStream,
    frames: &mut FrameBuffer,
    settings: &ConnectionSettings,
) -> Result<Next, End> {
    loop {
        if let Some(length) = frames.frame_length()? {
            // Taken before the body is read, so that it bounds what lies in buffers.
            let permit = settings.memory.take(length).await;
            loop {
                if let Some(frame) = frames.take_frame()? {
                    return Ok(Next::Frame(frame, permit));
                }
                read_some(stream, frames, settings).await?;
            }
        }
        frames.release();
        read_some(stream, frames, settings).await?;
    }
}

async fn read_some(stream: &mut TcpStream, frames: &mut FrameBuffer, settings: &ConnectionSettings) -> Result<(), End> {
    loop {
        // Wait first and reserve then: an idle connection holds no buffer.
        match tokio::time::timeout(settings.idle_max, stream.readable()).await {
            Ok(ready) => ready?,
            Err(_) => return Err(End::Quiet),
        }
        // `read_buf`, and not `try_read_buf`: it takes a read that leaves room in the buffer for the end of what there
        // is, where the other one tries again and is told so by one more system call.
        let mut reading = std::pin::pin!(stream.read_buf(frames.space()?));
        match poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await {
            Poll::Ready(Ok(0)) => return Err(End::Quiet),
            Poll::Ready(read) => return read.map(|_| ()).map_err(End::from),
            // Nothing was there after all; or the task has had its turn. `readable` does not count turns: without a pause
            // here it would be asked again and again, and the worker would do nothing else ever.
            Poll::Pending => tokio::task::coop::consume_budget().await,
        }
        frames.release();
    }
}

/// Writes pieces in memory with as few system calls as the socket allows, without joining them, and has the kernel send
/// what lies in files.
///
/// # Errors
/// The client is gone, or took nothing for `idle_max`; or a file was cut below what was to be sent from it.
async fn write_frame(stream: &TcpStream, frame: &Frame<Piece>, idle_max: Duration) -> io::Result<()> {
    let (mut rest, mut offset) = (frame.pieces(), 0);
    while let Some(first) = rest.first() {
        let attempt = match first {
            Piece::Bytes(_) => write_bytes(stream, rest, offset),
            Piece::File(slice) => send_file(stream, slice, offset),
        };
        let mut written = match attempt {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::timeout(idle_max, stream.writable()).await.map_err(|_| io::ErrorKind::TimedOut)??;
                continue;
            }
            Err(error) => return Err(error),
        };
        while let Some(piece) = rest.first()
            && piece.len() - offset <= written
        {
            written -= piece.len() - offset;
            (rest, offset) = (rest.get(1..).unwrap_or_default(), 0);
        }
        offset += written;
    }
    Ok(())
}

/// Writes those of `pieces` that come before the first one in a file, the first of them from `offset` on.
fn write_bytes(stream: &TcpStream, pieces: &[Piece], offset: usize) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); IO_SLICES_MAX];
    let mut count = 0;
    let mut is_followed_by_file = false;
    for (slot, piece) in slices.iter_mut().zip(pieces) {
        let Piece::Bytes(bytes) = piece else {
            is_followed_by_file = true;
            break;
        };
        *slot = IoSlice::new(if count == 0 { bytes.get(offset..).unwrap_or_default() } else { bytes });
        count += 1;
    }
    let slices = slices.get(..count).unwrap_or_default();
    if !is_followed_by_file {
        return stream.try_write_vectored(slices);
    }
    // Without `MORE` the header would travel, and wake the client, alone.
    let more = SendFlags::MORE | SendFlags::NOSIGNAL;
    stream.try_io(Interest::WRITABLE, || Ok(sendmsg(stream, slices, &mut SendAncillaryBuffer::default(), more)?))
}

/// Sends a part of a file from its `offset` on, out of the page cache.
fn send_file(stream: &TcpStream, slice: &FileSlice, offset: usize) -> io::Result<usize> {
    let source = slice.source();
    if !source.is_intact() {
        return Err(io::Error::other("the log was cut back below what was to be sent"));
    }
    let (position, length) = (slice.position() + offset as u64, (slice.len() - offset).min(FILE_BYTES_MAX));
    match stream.try_io(Interest::WRITABLE, || send_from_cache(stream, source.file(), position, length))? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        sent => Ok(sent),
    }
}

#[cfg(target_os = "linux")]
fn send_from_cache(stream: &TcpStream, file: &File, mut position: u64, length: usize) -> io::Result<usize> {
    match rustix::fs::sendfile(stream, file, Some(&mut position), length) {
        // Some file systems cannot.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => send_through_memory(stream, file, position, length),
        sent => Ok(sent?),
    }
}

#[cfg(not(target_os = "linux"))]
use self::send_through_memory as send_from_cache;

fn send_through_memory(stream: &TcpStream, file: &File, position: u64, length: usize) -> io::Result<usize> {
    let mut buffer = vec![0; length];
    let read = file.read_at(&mut buffer, position)?;
    Ok(rustix::io::write(stream, buffer.get(..read).unwrap_or_default())?)
}
