//! A connection of the load: requests are pipelined on a socket that never blocks, for a thread that waits on all of its
//! sockets and on the clock at once.
//!
//! `whimbrel_client::Connection` hands each request to a task and each answer back through a channel, on timers of a
//! millisecond. That is right for tools; here it would cost more than making the records, and blur what is measured.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use whimbrel_client::{Pipeline, PipelineError};
use whimbrel_wire::{EncodeError, Frame, Message, Reader, Request, ResponseHeader};

/// The largest answer: what Kafka allows for a request, and some.
const FRAME_BYTES_MAX: usize = 100 * 1024 * 1024 + 64 * 1024;
/// A read asks for this much at least and at most; it follows what the last ones got.
const READ_BYTES_MIN: usize = 4 * 1024;
const READ_BYTES_MAX: usize = 1024 * 1024;
/// Pieces of frames that are written at once.
const SLICES_MAX: usize = 64;
const CLIENT_ID: &str = "whimbrel-bench";

/// Why a link is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
    #[error("connection closed by the broker")]
    Closed,
    #[error("not Kafka's protocol: {0}")]
    Protocol(#[from] PipelineError),
    #[error("request cannot be encoded: {0}")]
    Encode(#[from] EncodeError),
    #[error("answer cannot be decoded: {0}")]
    Decode(#[from] whimbrel_wire::DecodeError),
}

/// One connection; each request carries a token that comes back with its answer.
pub struct Link<T> {
    stream: TcpStream,
    pipeline: Pipeline<T>,
    outgoing: VecDeque<Frame>,
    received: BytesMut,
    read_bytes: usize,
}

impl<T> Link<T> {
    /// Connects; blocks for `timeout` at most.
    ///
    /// # Errors
    /// Nobody answers at `address` (`host:port`).
    pub fn connect(address: &str, timeout: Duration) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for resolved in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&resolved, timeout) {
                Ok(stream) => return Self::new(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let (outgoing, received) = (VecDeque::new(), BytesMut::new());
        Ok(Self { stream, pipeline: Pipeline::new(FRAME_BYTES_MAX), outgoing, received, read_bytes: READ_BYTES_MIN })
    }

    /// Sends a request as far as the socket takes it; the rest goes with [`Link::flush`]. Without a token no answer is
    /// expected.
    ///
    /// # Errors
    /// It cannot be encoded, or the connection is lost.
    pub fn send<R: Request>(&mut self, request: &R, version: i16, token: Option<T>) -> Result<(), LinkError> {
        let id = self.pipeline.begin_silent();
        let frame = Frame::request(request, version, id, Some(CLIENT_ID))?;
        if let Some(token) = token {
            self.pipeline.expect(id, token);
        }
        self.outgoing.push_back(frame);
        self.flush()
    }

    /// Writes what waits, as far as the socket takes it.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn flush(&mut self) -> Result<(), LinkError> {
        while let Some(frame) = self.outgoing.front_mut() {
            let mut slices = [io::IoSlice::new(&[]); SLICES_MAX];
            let count = frame.chunks_vectored(&mut slices);
            match self.stream.write_vectored(&slices[..count]) {
                Ok(written) => frame.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            }
            if frame.is_empty() {
                self.outgoing.pop_front();
            }
        }
        Ok(())
    }

    /// Whether something waits for room in the socket.
    pub fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Requests whose answers are awaited.
    pub fn in_flight(&self) -> usize {
        self.pipeline.in_flight()
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn receive(&mut self) -> Result<(), LinkError> {
        loop {
            let begin = self.received.len();
            self.received.resize(begin + self.read_bytes, 0);
            let read = self.stream.read(&mut self.received[begin..]);
            self.received.truncate(begin + read.as_ref().map_or(0, |read| *read));
            match read {
                Ok(0) => return Err(LinkError::Closed),
                // More may be there, and will be reported again if nothing is left to do meanwhile.
                Ok(read) if read < self.read_bytes => {
                    if read < self.read_bytes / 4 {
                        self.read_bytes = (self.read_bytes / 2).max(READ_BYTES_MIN);
                    }
                    return Ok(());
                }
                Ok(_) => {
                    self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next answer that is complete, with its token.
    ///
    /// # Errors
    /// What came is no answer.
    pub fn next_answer(&mut self) -> Result<Option<(T, Bytes)>, LinkError> {
        Ok(self.pipeline.next_answer(&mut self.received)?)
    }

    /// What to wait for on this link.
    pub fn poll_fd(&self) -> PollFd<'_> {
        let writes = if self.has_outgoing() { PollFlags::OUT } else { PollFlags::empty() };
        PollFd::from_borrowed_fd(self.fd(), PollFlags::IN | writes)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Waits until one of the links is ready or `wait` is over, to the precision of the kernel's timers.
///
/// # Errors
/// The kernel refuses: more descriptors than it allows.
pub fn wait(fds: &mut [PollFd<'_>], wait: Duration) -> io::Result<()> {
    let timeout = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
    match poll(fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The kernel may delay a timer by 50 µs to save wake-ups; a load asks it not to.
pub fn wake_precisely() {
    // A kernel that refuses leaves the lateness higher, which is reported.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}

/// Decodes the answer to a request of type `R`.
///
/// # Errors
/// The bytes are no such answer.
pub fn decode<R: Request>(frame: &Bytes, version: i16) -> Result<R::Response, LinkError> {
    let mut reader = Reader::new(frame);
    ResponseHeader::decode(&mut reader, R::KEY.response_header_version(version))?;
    Ok(R::Response::decode(&mut reader, version)?)
}
