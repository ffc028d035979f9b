//! A client that sends what it is told to, right or wrong, and shows the bytes that come back.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub const CREATE: i32 = 1;
pub const EXISTS: i32 = 3;
pub const GET_DATA: i32 = 4;
pub const SET_DATA: i32 = 5;
pub const PING: i32 = 11;
pub const CLOSE_SESSION: i32 = -11;

/// Bytes in jute's format.
#[derive(Clone, Default)]
pub struct Jute(pub Vec<u8>);

impl Jute {
    pub fn i32(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn i64(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn bool(mut self, value: bool) -> Self {
        self.0.push(value.into());
        self
    }

    pub fn bytes(self, value: &[u8]) -> Self {
        let mut jute = self.i32(value.len() as i32);
        jute.0.extend(value);
        jute
    }

    pub fn open_acl(self) -> Self {
        self.i32(1).i32(31).bytes(b"world").bytes(b"anyone")
    }
}

pub fn jute() -> Jute {
    Jute::default()
}

pub fn create(path: &str, data: &[u8], flags: i32) -> Jute {
    jute().bytes(path.as_bytes()).bytes(data).open_acl().i32(flags)
}

/// A reply or event, its header taken apart.
#[derive(Debug, PartialEq)]
pub struct Frame {
    pub xid: i32,
    pub zxid: i64,
    pub error: i32,
    pub body: Vec<u8>,
}

pub struct Connection {
    pub stream: TcpStream,
}

/// What a connect request was answered with.
#[derive(Clone, Debug, PartialEq)]
pub struct Connected {
    pub timeout_ms: i32,
    pub session: i64,
    pub password: Vec<u8>,
    pub rest: usize,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the keeper listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self { stream }
    }

    pub fn send(&mut self, body: &Jute) {
        let mut frame = (body.0.len() as i32).to_be_bytes().to_vec();
        frame.extend(&body.0);
        self.stream.write_all(&frame).expect("sent");
    }

    pub fn request(&mut self, xid: i32, code: i32, body: &Jute) {
        let mut whole = jute().i32(xid).i32(code);
        whole.0.extend(&body.0);
        self.send(&whole);
    }

    /// The next frame, or `None` when the server ends the connection.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        match self.stream.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
                return None;
            }
            Err(error) => panic!("{error}"),
        }
        let mut body = vec![0; i32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut body).expect("a whole frame");
        Some(body)
    }

    pub fn frame(&mut self) -> Option<Frame> {
        let body = self.receive()?;
        let (header, rest) = body.split_at(16);
        let at = |from: usize, to: usize| &header[from..to];
        Some(Frame {
            xid: i32::from_be_bytes(at(0, 4).try_into().expect("four bytes")),
            zxid: i64::from_be_bytes(at(4, 12).try_into().expect("eight bytes")),
            error: i32::from_be_bytes(at(12, 16).try_into().expect("four bytes")),
            body: rest.to_vec(),
        })
    }

    pub fn call(&mut self, xid: i32, code: i32, body: &Jute) -> Frame {
        self.request(xid, code, body);
        self.frame().expect("an answer")
    }

    pub fn connect(&mut self, timeout_ms: i32, session: i64, password: &[u8], last_zxid: i64) -> Option<Connected> {
        self.send(&jute().i32(0).i64(last_zxid).i32(timeout_ms).i64(session).bytes(password).bool(false));
        self.connected()
    }

    pub fn connected(&mut self) -> Option<Connected> {
        let body = self.receive()?;
        let password_end = 20 + 16;
        Some(Connected {
            timeout_ms: i32::from_be_bytes(body[4..8].try_into().expect("four bytes")),
            session: i64::from_be_bytes(body[8..16].try_into().expect("eight bytes")),
            password: body[20..password_end].to_vec(),
            rest: body.len() - password_end,
        })
    }
}

/// A new session.
pub fn session(address: SocketAddr, timeout_ms: i32) -> (Connection, Connected) {
    let mut connection = Connection::open(address);
    let connected = connection.connect(timeout_ms, 0, &[0; 16], 0).expect("a session");
    assert_ne!(connected.session, 0);
    (connection, connected)
}
