//! One connection to another broker: one request at a time, its answer, the next.
//!
//! Those who talk to other brokers (the controller's channels, fetchers, probes) each have a connection of their own and
//! wait for every answer, so that a connection needs neither tasks nor queues: the caller's task does the work, and the
//! records of an answer are slices of the bytes that were read.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use socket2::{SockRef, Socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use whimbrel_client::{Pipeline, PipelineError};
use whimbrel_model::NodeId;
use whimbrel_state::controller::control::{Endpoint, SecurityProtocol};
use whimbrel_wire::{DecodeError, EncodeError, Frame, Message, Reader, Request, RequestHeader, ResponseHeader, Writer};

use crate::config::{NetworkConfig, host_port};

/// Room for an answer before its size is known.
const FIRST_READ_BYTES: usize = 4 * 1024;

/// How a connection is made and used.
#[derive(Debug, Clone)]
pub struct PeerOptions {
    /// Kafka's names: the broker's id for a controller, `broker-1-fetcher-0` for a fetcher.
    pub client_id: Arc<str>,
    pub connect_timeout: Duration,
    /// From sending a request to its answer (`request.timeout.ms`).
    pub request_timeout: Duration,
    /// The largest answer that is accepted.
    pub answer_bytes_max: usize,
}

impl PeerOptions {
    /// Kafka's default times.
    #[must_use]
    pub fn new(client_id: impl Into<Arc<str>>) -> Self {
        Self {
            client_id: client_id.into(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            answer_bytes_max: 128 * 1024 * 1024,
        }
    }

    /// As this broker is configured, for what controllers and brokers ask each other.
    #[must_use]
    pub fn of_broker(id: NodeId, network: &NetworkConfig) -> Self {
        Self {
            connect_timeout: network.controller_connect_timeout,
            request_timeout: network.request_timeout,
            ..Self::new(id.to_string())
        }
    }
}

/// Why there is no answer. The connection is of no use afterwards, except after `Encode`.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    #[error("{address} cannot be connected to: {source}")]
    Connect { address: Arc<str>, source: io::Error },
    #[error("{address} is of listener {listener}, whose protocol {protocol} is not supported between brokers")]
    Protocol { address: Arc<str>, listener: Arc<str>, protocol: &'static str },
    #[error("the connection to {address} ended: {source}")]
    Closed { address: Arc<str>, source: io::Error },
    #[error("{address} did not answer {api} within {after:?}")]
    Timeout { address: Arc<str>, api: &'static str, after: Duration },
    #[error("what {address} sent is no answer: {source}")]
    NoAnswer { address: Arc<str>, source: PipelineError },
    #[error("the answer of {address} to {api} cannot be decoded: {source}")]
    Decode { address: Arc<str>, api: &'static str, source: DecodeError },
    #[error("{api} cannot be encoded: {source}")]
    Encode { api: &'static str, source: EncodeError },
}

/// A connection to another broker.
#[derive(Debug)]
pub struct PeerConnection {
    endpoint: Endpoint,
    address: Arc<str>,
    stream: TcpStream,
    pipeline: Pipeline<()>,
    received: BytesMut,
    options: PeerOptions,
    /// False from sending a request until its answer is read: a caller that gave up in between leaves an answer behind
    /// that the next request would take for its own.
    is_usable: bool,
}

impl PeerConnection {
    /// Connects to an advertised listener of a broker.
    ///
    /// # Errors
    /// Nobody answers there, or the listener's protocol is not plain text.
    pub async fn connect(endpoint: &Endpoint, options: &PeerOptions) -> Result<Self, PeerError> {
        let port = u16::try_from(endpoint.port).unwrap_or(0);
        let address: Arc<str> = host_port(&endpoint.host, port).into();
        if endpoint.protocol != SecurityProtocol::Plaintext {
            let (listener, protocol) = (endpoint.listener.clone(), endpoint.protocol.name());
            return Err(PeerError::Protocol { address, listener, protocol });
        }
        let connecting = TcpStream::connect((&*endpoint.host, port));
        let connected = tokio::time::timeout(options.connect_timeout, connecting).await;
        let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        let stream = stream.map_err(|source| PeerError::Connect { address: address.clone(), source })?;
        Ok(Self {
            endpoint: endpoint.clone(),
            address,
            stream,
            pipeline: Pipeline::new(options.answer_bytes_max),
            received: BytesMut::new(),
            options: options.clone(),
            is_usable: true,
        })
    }

    /// What was connected to. A broker may have registered another one since (KIP-226).
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// Whether another request may be sent. False after an error, and after a call that was dropped half way.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.is_usable
    }

    /// Ends the connection without sending what the socket still holds. Closed in the usual way, the kernel would deliver
    /// it whenever the peer can be reached again, long after it has been overtaken.
    pub fn abort(self) {
        // Only a socket that is closed already refuses.
        let _closed = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Another handle to the socket, which keeps the connection open until it is dropped.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn socket(&self) -> io::Result<Socket> {
        SockRef::from(&self.stream).try_clone()
    }

    /// Returns when the peer has ended the connection, or sends what nobody asked for.
    pub async fn closed(&self) {
        let _end = self.stream.peek(&mut [0]).await;
    }

    /// Asks, and waits for the answer for as long as the options say.
    ///
    /// # Errors
    /// There is no answer. Error codes inside the answer are the caller's business.
    pub async fn call<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response, PeerError> {
        self.call_within(request, version, self.options.request_timeout).await
    }

    /// As [`PeerConnection::call`], with a time of its own: for what the peer may hold back.
    ///
    /// # Errors
    /// As [`PeerConnection::call`].
    pub async fn call_within<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        within: Duration,
    ) -> Result<R::Response, PeerError> {
        let id = self.pipeline.begin_silent();
        let frame = Frame::request(request, version, id, Some(&self.options.client_id));
        let frame = frame.map_err(|source| PeerError::Encode { api: R::KEY.name(), source })?;
        self.exchange::<R>(id, version, frame.pieces(), within).await
    }

    /// As [`PeerConnection::call`], for a request whose body is encoded already: the pieces in their order.
    ///
    /// # Errors
    /// As [`PeerConnection::call`].
    pub async fn call_encoded<R: Request>(&mut self, body: &[Bytes], version: i16) -> Result<R::Response, PeerError> {
        let id = self.pipeline.begin_silent();
        let head = self.head::<R>(id, version, body.iter().map(Bytes::len).sum());
        let mut pieces = vec![head.map_err(|source| PeerError::Encode { api: R::KEY.name(), source })?];
        pieces.extend_from_slice(body);
        self.exchange::<R>(id, version, &pieces, self.options.request_timeout).await
    }

    /// Size and header of a frame whose body has `body_bytes`.
    fn head<R: Request>(&self, id: i32, version: i16, body_bytes: usize) -> Result<Bytes, EncodeError> {
        let header = RequestHeader {
            api_key: R::KEY.code(),
            api_version: version,
            correlation_id: id,
            client_id: Some((&*self.options.client_id).into()),
        };
        let mut writer = Writer::new();
        header.encode(&mut writer)?;
        let header = writer.into_bytes();
        let length = header.len() + body_bytes;
        let size = i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?;
        Ok([&size.to_be_bytes(), &header[..]].concat().into())
    }

    async fn exchange<R: Request>(
        &mut self,
        id: i32,
        version: i16,
        pieces: &[Bytes],
        within: Duration,
    ) -> Result<R::Response, PeerError> {
        let api = R::KEY.name();
        if !std::mem::replace(&mut self.is_usable, false) {
            return Err(self.ended(io::ErrorKind::NotConnected.into()));
        }
        let answer = tokio::time::timeout(within, self.send_and_receive(id, pieces)).await;
        let answer = answer.map_err(|_| PeerError::Timeout { address: self.address.clone(), api, after: within })??;
        let mut reader = Reader::new(&answer);
        let decoded = ResponseHeader::decode(&mut reader, R::KEY.response_header_version(version))
            .and_then(|_| R::Response::decode(&mut reader, version));
        let response = decoded.map_err(|source| PeerError::Decode { address: self.address.clone(), api, source })?;
        self.is_usable = true;
        Ok(response)
    }

    async fn send_and_receive(&mut self, id: i32, pieces: &[Bytes]) -> Result<Bytes, PeerError> {
        self.pipeline.expect(id, ());
        for piece in pieces {
            let written = self.stream.write_all(piece).await;
            written.map_err(|source| self.ended(source))?;
        }
        loop {
            let answer = self.pipeline.next_answer(&mut self.received);
            let answer = answer.map_err(|source| PeerError::NoAnswer { address: self.address.clone(), source })?;
            if let Some(((), frame)) = answer {
                return Ok(frame);
            }
            self.received.reserve(self.bytes_wanted());
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) => return Err(self.ended(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(source) => return Err(self.ended(source)),
            }
        }
    }

    /// How much to make room for: the rest of the answer, but never more than has come already, so that memory is taken
    /// for bytes and not for the announcement of bytes.
    fn bytes_wanted(&self) -> usize {
        let Some(prefix) = self.received.first_chunk::<4>() else { return FIRST_READ_BYTES };
        let size = usize::try_from(i32::from_be_bytes(*prefix)).unwrap_or(0);
        let rest = (4 + size).saturating_sub(self.received.len());
        rest.min(self.received.len().max(FIRST_READ_BYTES)).max(1)
    }

    fn ended(&self, source: io::Error) -> PeerError {
        PeerError::Closed { address: self.address.clone(), source }
    }
}

#[cfg(test)]
#[path = "peer_tests.rs"]
mod tests;
