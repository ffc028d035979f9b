//! Starts brokers and speaks the protocol to them, at any version.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use whimbrel_broker::Broker;
use whimbrel_broker::RunningBroker;
use whimbrel_broker::config::{BrokerConfig, Layers};
use whimbrel_wire::{Frame, Message, Reader, Request, ResponseHeader};

/// Far longer than anything takes; what hangs fails instead.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub type TestResult = Result<(), Box<dyn std::error::Error>>;

/// A broker with its own keeper, on free ports, with its data in `dir`.
pub async fn start(dir: &Path, settings: &[&str]) -> Result<RunningBroker, Box<dyn std::error::Error>> {
    let mut layers = Layers::default();
    layers.set_pair(&format!("log.dirs={}", dir.display()))?;
    for pair in ["listeners=PLAINTEXT://127.0.0.1:0", "whimbrel.http.listener=", "broker.id=1"].iter().chain(settings) {
        layers.set_pair(pair)?;
    }
    Ok(tokio::time::timeout(PATIENCE, Broker::start(BrokerConfig::resolve(layers)?)).await??)
}

/// One connection, one request at a time.
pub struct Client {
    stream: TcpStream,
    correlation_id: i32,
}

impl Client {
    pub async fn connect(broker: &RunningBroker) -> Result<Self, Box<dyn std::error::Error>> {
        let (_, address) = broker.listeners.first().ok_or("no listener")?;
        Self::connect_to(*address).await
    }

    pub async fn connect_to(address: SocketAddr) -> Result<Self, Box<dyn std::error::Error>> {
        Ok(Self { stream: TcpStream::connect(address).await?, correlation_id: 0 })
    }

    /// Returns once the broker has closed the connection, without another byte.
    pub async fn closed(&mut self) -> std::io::Result<()> {
        match self.stream.read(&mut [0]).await {
            Ok(0) => Ok(()),
            Ok(_) => Err(std::io::ErrorKind::InvalidData.into()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sends a request at this version and waits for its answer.
    pub async fn call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, Box<dyn std::error::Error>> {
        self.correlation_id += 1;
        let frame = Frame::request(request, version, self.correlation_id, Some("test"))?;
        self.stream.write_all(&frame.into_bytes()).await?;
        let read = async {
            let length = self.stream.read_i32().await?;
            let mut frame = vec![0; usize::try_from(length).unwrap_or(0)];
            self.stream.read_exact(&mut frame).await?;
            Ok::<_, std::io::Error>(Bytes::from(frame))
        };
        let frame = tokio::time::timeout(PATIENCE, read).await??;
        let mut reader = Reader::new(&frame);
        let header = ResponseHeader::decode(&mut reader, R::KEY.response_header_version(version))?;
        assert_eq!(header.correlation_id, self.correlation_id);
        let response = R::Response::decode(&mut reader, version)?;
        assert_eq!(reader.remaining(), 0, "bytes left in the answer");
        Ok(response)
    }
}
