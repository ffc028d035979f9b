//! The smallest Kafka client: one blocking connection that sends what it is told and decodes what comes back.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use whimbrel_wire::{Frame, Message, Reader, Request, ResponseHeader};

/// No answer of any test takes this long; a test that waits longer has failed.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

pub struct Client {
    pub stream: TcpStream,
    next_correlation_id: i32,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the broker accepts connections");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
        Self { stream, next_correlation_id: 1 }
    }

    /// Sends a request; the result is its correlation id.
    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        let id = self.next_correlation_id;
        self.next_correlation_id += 1;
        let frame = Frame::request(request, version, id, Some("it")).expect("the request can be encoded");
        self.send_bytes(&frame.into_bytes());
        id
    }

    /// A broker that has closed the connection shows when its answer is read.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let _closed_already = self.stream.write_all(bytes);
    }

    /// The next frame without its length; `None` if the broker has closed the connection.
    pub fn receive_frame(&mut self) -> Option<Bytes> {
        let mut length = [0; 4];
        match self.stream.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if is_closed(&error) => return None,
            // Blocked for the whole time: a test that does not expect it fails as for a closed connection.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) => panic!("no answer: {error}"),
        }
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).expect("lengths are positive")];
        self.stream.read_exact(&mut frame).expect("a frame arrives whole");
        Some(frame.into())
    }

    /// The answer to the request with this correlation id, which must be the next; `None` if the connection is closed.
    pub fn receive<R: Request>(&mut self, version: i16, correlation_id: i32) -> Option<R::Response> {
        let frame = self.receive_frame()?;
        let mut reader = Reader::new(&frame);
        let header = ResponseHeader::decode(&mut reader, R::KEY.response_header_version(version)).unwrap();
        assert_eq!(header.correlation_id, correlation_id, "answers come in the order of the requests");
        let response = R::Response::decode(&mut reader, version)
            .unwrap_or_else(|error| panic!("{} version {version} answer: {error}: {frame:?}", R::KEY.name()));
        assert_eq!(reader.remaining(), 0, "{} version {version}: bytes after the answer", R::KEY.name());
        Some(response)
    }

    pub fn try_call<R: Request>(&mut self, version: i16, request: &R) -> Option<R::Response> {
        let id = self.send(version, request);
        self.receive::<R>(version, id)
    }

    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.try_call(version, request)
            .unwrap_or_else(|| panic!("{} version {version}: the connection is open", R::KEY.name()))
    }

    /// Whether the broker closes the connection without another byte.
    pub fn is_closed_by_peer(&mut self) -> bool {
        match self.stream.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => is_closed(&error),
        }
    }
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof].contains(&error.kind())
}
