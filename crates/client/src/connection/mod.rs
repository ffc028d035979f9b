//! One connection to a broker: requests are pipelined, answers come back in order.
//!
//! [`Pipeline`] is the state machine; here is its shell: a task that writes and a task that reads, which share it. Both
//! end together, and whoever waits then learns why.

mod pipeline;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use whimbrel_wire::{ApiKey, ApiVersionsRequest, ApiVersionsResponse, Frame, Message, Reader, Request, ResponseHeader};

pub use pipeline::{Pipeline, PipelineError};
pub use versions::BrokerVersions;

use crate::ClientError;

/// How connections are made and used.
#[derive(Debug, Clone)]
pub struct ConnectionOptions {
    /// Told to brokers, for their logs and quotas.
    pub client_id: String,
    pub connect_timeout: Duration,
    /// From sending a request to its answer. What waits at the broker (a fetch, a join) adds its own time.
    pub request_timeout: Duration,
    /// The largest answer that is accepted.
    pub frame_bytes_max: usize,
    /// Requests written ahead of their answers; further ones wait.
    pub in_flight_max: usize,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            client_id: "whimbrel".into(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            // A fetch answer is bounded by the request's own limits, except for a single batch above them; Kafka bounds
            // requests, and with them batches, by the same number.
            frame_bytes_max: 100 * 1024 * 1024 + 64 * 1024,
            in_flight_max: 64,
        }
    }
}

/// Who waits for an answer: the frame, or why there is none.
type Waiter = oneshot::Sender<Result<Bytes, Arc<str>>>;
type SharedPipeline = Arc<std::sync::Mutex<State>>;

struct State {
    pipeline: Pipeline<Waiter>,
    /// Set once, when the connection has ended.
    ended: Option<Arc<str>>,
}

/// A request on its way to the writer. The frame is made there, where the order of correlation ids is that of writing.
struct Outgoing {
    encode: Box<dyn FnOnce(i32) -> Result<Frame, ClientError> + Send>,
    waiter: Option<Waiter>,
    /// Tells the sender that its request could not be encoded; dropped once it is written.
    failed: Option<oneshot::Sender<ClientError>>,
}

/// A connection to one broker, past the negotiation of versions. Cheap to clone; the last clone closes it.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    address: Arc<str>,
    options: ConnectionOptions,
    versions: BrokerVersions,
    outgoing: mpsc::Sender<Outgoing>,
    state: SharedPipeline,
    tasks: [tokio::task::AbortHandle; 2],
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("address", &self.inner.address).finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects to `address` (`host:port`) and asks for the versions it serves.
    ///
    /// # Errors
    /// Nobody listens there, or who does is no Kafka broker.
    pub async fn connect(address: &str, options: &ConnectionOptions) -> Result<Self, ClientError> {
        let failed = |source| ClientError::Connect { address: address.to_owned(), source };
        let stream = tokio::time::timeout(options.connect_timeout, TcpStream::connect(address)).await;
        let stream = stream.map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let mut connection = Self::start(address, stream, options);
        let versions = connection.negotiate().await?;
        // Nobody else has a clone yet.
        if let Some(inner) = Arc::get_mut(&mut connection.inner) {
            inner.versions = versions;
        }
        Ok(connection)
    }

    fn start(address: &str, stream: TcpStream, options: &ConnectionOptions) -> Self {
        let (reader, writer) = stream.into_split();
        let state = State { pipeline: Pipeline::new(options.frame_bytes_max), ended: None };
        let state = Arc::new(std::sync::Mutex::new(state));
        let (outgoing, inbox) = mpsc::channel(options.in_flight_max);
        let writing = tokio::spawn(write_requests(writer, inbox, state.clone())).abort_handle();
        let reading = tokio::spawn(read_answers(reader, state.clone())).abort_handle();
        let inner = Inner {
            address: address.into(),
            options: options.clone(),
            versions: BrokerVersions::default(),
            outgoing,
            state,
            tasks: [writing, reading],
        };
        Self { inner: Arc::new(inner) }
    }

    /// `host:port` as it was connected to.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.inner.address
    }

    /// What the broker serves.
    #[must_use]
    pub fn versions(&self) -> &BrokerVersions {
        &self.inner.versions
    }

    /// False once the connection has ended; a new one is needed then.
    #[must_use]
    pub fn is_open(&self) -> bool {
        lock(&self.inner.state).ended.is_none()
    }

    /// The version in which `R` is asked.
    ///
    /// # Errors
    /// The two sides have no version in common.
    pub fn version_of<R: Request>(&self) -> Result<i16, ClientError> {
        let (address, api) = (self.inner.address.to_string(), R::KEY.name());
        let served = self.inner.versions.served(R::KEY);
        let served = served.ok_or_else(|| ClientError::NotServed { address: address.clone(), api })?;
        let used = BrokerVersions::used::<R>();
        self.inner.versions.best::<R>().ok_or(ClientError::Version {
            address,
            api,
            low: served.low,
            high: served.high,
            wanted_low: used.low,
            wanted_high: used.high,
        })
    }

    /// Asks in the highest version that both know.
    ///
    /// # Errors
    /// There is no answer, or it is not one to this request. Error codes inside the answer are not looked at.
    pub async fn call<R: Request + Send + Sync + 'static>(&self, request: R) -> Result<R::Response, ClientError> {
        self.call_for(request, Duration::ZERO).await
    }

    /// As [`Connection::call`], for a request that the broker may hold back for `waits`.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn call_for<R: Request + Send + Sync + 'static>(
        &self,
        request: R,
        waits: Duration,
    ) -> Result<R::Response, ClientError> {
        let version = self.version_of::<R>()?;
        let frame = self.exchange(request, version, self.inner.options.request_timeout + waits).await?;
        decode::<R>(&frame, version)
    }

    /// Sends a request that the broker does not answer (Produce with `acks=0`). Done when the socket has taken it.
    ///
    /// # Errors
    /// It could not be sent.
    pub async fn send_silent<R: Request + Send + Sync + 'static>(&self, request: R) -> Result<(), ClientError> {
        let version = self.version_of::<R>()?;
        let (failed, failure) = oneshot::channel();
        let outgoing = Outgoing { encode: self.encoder(request, version), waiter: None, failed: Some(failed) };
        self.inner.outgoing.send(outgoing).await.map_err(|_| self.closed())?;
        // The writer drops its end once the request is written.
        failure.await.map_or_else(|_| if self.is_open() { Ok(()) } else { Err(self.closed()) }, Err)
    }

    fn encoder<R: Request + Send + Sync + 'static>(
        &self,
        request: R,
        version: i16,
    ) -> Box<dyn FnOnce(i32) -> Result<Frame, ClientError> + Send> {
        let client_id = self.inner.options.client_id.clone();
        Box::new(move |id| {
            let encoded = Frame::request(&request, version, id, Some(&client_id));
            encoded.map_err(|source| ClientError::Encode { api: R::KEY.name(), source })
        })
    }

    async fn exchange<R: Request + Send + Sync + 'static>(
        &self,
        request: R,
        version: i16,
        timeout: Duration,
    ) -> Result<Bytes, ClientError> {
        let (waiter, answer) = oneshot::channel();
        let (failed, failure) = oneshot::channel();
        let outgoing = Outgoing { encode: self.encoder(request, version), waiter: Some(waiter), failed: Some(failed) };
        let exchange = async {
            self.inner.outgoing.send(outgoing).await.map_err(|_| self.closed())?;
            match answer.await {
                Ok(Ok(frame)) => Ok(frame),
                Ok(Err(cause)) => Err(self.closed_by(&cause)),
                // The waiter is dropped without a word only when the request never was in flight.
                Err(_) => Err(failure.await.unwrap_or_else(|_| self.closed())),
            }
        };
        let late = || ClientError::Timeout { address: self.address().to_owned(), api: R::KEY.name(), after: timeout };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(result) => result,
            Err(_) => {
                // Answers come in order: behind one that is missing none of the others can be trusted to come.
                end(&self.inner.state, "a request timed out");
                Err(late())
            }
        }
    }

    fn closed(&self) -> ClientError {
        let cause = lock(&self.inner.state).ended.clone();
        cause.map_or_else(|| self.closed_by(""), |cause| self.closed_by(&cause))
    }

    fn closed_by(&self, cause: &str) -> ClientError {
        let cause = (!cause.is_empty()).then(|| cause.to_owned());
        ClientError::Closed { address: self.address().to_owned(), cause }
    }

    /// Asks for the versions, beginning with the newest form of the question. A broker that does not know it answers in
    /// the oldest form, naming (from Kafka 2.4 on, KIP-511) the newest that it does know.
    async fn negotiate(&self) -> Result<BrokerVersions, ClientError> {
        let request = || ApiVersionsRequest {
            client_software_name: "whimbrel".into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
        };
        let newest = BrokerVersions::used::<ApiVersionsRequest>().high;
        let timeout = self.inner.options.connect_timeout;
        let first = self.exchange(request(), newest, timeout).await?;
        // All forms begin with the error code, behind a header that is always the correlation id alone.
        const UNSUPPORTED_VERSION: [u8; 2] = 35i16.to_be_bytes();
        if first.get(4..6) != Some(&UNSUPPORTED_VERSION) {
            return check_versions(&decode::<ApiVersionsRequest>(&first, newest)?);
        }
        let refusal = decode::<ApiVersionsRequest>(&first, 0)?;
        let offered = BrokerVersions::from(&refusal).best::<ApiVersionsRequest>().unwrap_or(0);
        // Version 0 has neither name nor version of the client.
        let again = if offered < 3 { ApiVersionsRequest::default() } else { request() };
        let second = self.exchange(again, offered, timeout).await?;
        check_versions(&decode::<ApiVersionsRequest>(&second, offered)?)
    }
}

fn check_versions(response: &ApiVersionsResponse) -> Result<BrokerVersions, ClientError> {
    ClientError::check(response.error_code, None, || ApiKey::ApiVersions.name().to_owned())?;
    Ok(BrokerVersions::from(response))
}

fn decode<R: Request>(frame: &Bytes, version: i16) -> Result<R::Response, ClientError> {
    let failed = |source| ClientError::Decode { api: R::KEY.name(), source };
    let mut reader = Reader::new(frame);
    ResponseHeader::decode(&mut reader, R::KEY.response_header_version(version)).map_err(failed)?;
    R::Response::decode(&mut reader, version).map_err(failed)
}

fn lock(state: &SharedPipeline) -> std::sync::MutexGuard<'_, State> {
    // Nothing in the guarded sections panics; if it ever did, the state is still whole after each statement.
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Ends the connection for everybody, the first cause staying.
fn end(state: &SharedPipeline, cause: &str) {
    let mut state = lock(state);
    let cause = state.ended.get_or_insert_with(|| cause.into()).clone();
    for waiter in state.pipeline.abandon() {
        // Whoever no longer waits needs no answer.
        let _ = waiter.send(Err(cause.clone()));
    }
}

async fn write_requests(mut writer: OwnedWriteHalf, mut inbox: mpsc::Receiver<Outgoing>, state: SharedPipeline) {
    while let Some(outgoing) = inbox.recv().await {
        let Some((mut frame, written)) = begin(outgoing, &state) else { continue };
        if let Err(error) = writer.write_all_buf(&mut frame).await {
            end(&state, &error.to_string());
        }
        // Whoever sends without an answer waits for this end to go.
        drop(written);
        if lock(&state).ended.is_some() {
            return;
        }
    }
}

/// Registers a request and makes its frame; `None` when it cannot be encoded, which its sender is told.
fn begin(outgoing: Outgoing, state: &SharedPipeline) -> Option<(Frame, Option<oneshot::Sender<ClientError>>)> {
    let Outgoing { encode, waiter, failed } = outgoing;
    let mut state = lock(state);
    if let Some(cause) = state.ended.clone() {
        if let Some(waiter) = waiter {
            let _ = waiter.send(Err(cause));
        }
        return None;
    }
    let id = state.pipeline.begin_silent();
    match encode(id) {
        Ok(frame) => {
            if let Some(waiter) = waiter {
                state.pipeline.expect(id, waiter);
            }
            Some((frame, failed))
        }
        Err(error) => {
            if let Some(failed) = failed {
                let _ = failed.send(error);
            }
            None
        }
    }
}

async fn read_answers(mut reader: OwnedReadHalf, state: SharedPipeline) {
    /// Read at once; a large answer takes a few turns.
    const READ_BYTES: usize = 256 * 1024;
    let mut received = bytes::BytesMut::with_capacity(READ_BYTES);
    loop {
        received.reserve(READ_BYTES);
        match reader.read_buf(&mut received).await {
            Ok(0) => return end(&state, "end of stream"),
            Err(error) => return end(&state, &error.to_string()),
            Ok(_) => {}
        }
        if let Err(error) = hand_out(&mut received, &state) {
            return end(&state, &format!("it does not speak Kafka's protocol ({error})"));
        }
    }
}

/// Gives every complete answer to whoever waits for it.
fn hand_out(received: &mut bytes::BytesMut, state: &SharedPipeline) -> Result<(), PipelineError> {
    let mut state = lock(state);
    while let Some((waiter, frame)) = state.pipeline.next_answer(received)? {
        // Whoever no longer waits needs no answer.
        let _ = waiter.send(Ok(frame));
    }
    Ok(())
}
