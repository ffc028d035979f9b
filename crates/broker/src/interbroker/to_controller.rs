//! The way from this broker to the active controller, which may be this broker, or another one in a moment.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use whimbrel_model::{BrokerEpoch, ErrorCode, NodeId, ProducerId};
use whimbrel_state::controller::control::{
    AlterPartitionRequest, AlterPartitionResponse, ControlledShutdownRequest, ControlledShutdownResponse,
    ControllerRequest, ControllerResponse,
};
use whimbrel_wire::{
    AllocateProducerIdsRequest, AlterPartitionRequest as WireAlterPartition,
    ControlledShutdownRequest as WireControlledShutdown, Request,
};

use super::convert::{FromWire, ToWire, sent};
use super::{PeerConnection, PeerError, PeerOptions};
use crate::controller::{ControllerHandle, ControllerView};
use crate::metadata_cache::MetadataCache;

/// Between two attempts; Kafka's `retry.backoff.ms` of these requests.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Why a request did not reach an active controller. It may have been carried out all the same.
#[derive(Debug, thiserror::Error)]
pub enum ToControllerError {
    #[error("no active controller was reached in time{}", .last.as_ref().map(|error| format!(": {error}")).unwrap_or_default())]
    Deadline { last: Option<PeerError> },
    #[error("the controller refused: {}", .0.name())]
    Refused(ErrorCode),
}

/// Sends this broker's own requests to whoever is controller. One request to another broker is under way at a time, as
/// in Kafka, so that what is asked first is answered first.
#[derive(Debug)]
pub struct ToController {
    own: NodeId,
    /// The listener of controllers: `control.plane.listener.name`, else the inter-broker listener.
    listener: Arc<str>,
    metadata: Arc<MetadataCache>,
    options: PeerOptions,
    controller: OnceLock<ControllerHandle>,
    connection: Mutex<Option<(NodeId, PeerConnection)>>,
}

impl ToController {
    pub(crate) fn new(own: NodeId, listener: Arc<str>, metadata: Arc<MetadataCache>, options: PeerOptions) -> Self {
        Self { own, listener, metadata, options, controller: OnceLock::new(), connection: Mutex::new(None) }
    }

    /// Requests can be sent from now on.
    pub(crate) fn set_controller(&self, controller: ControllerHandle) {
        // Set once, by the start; a second call would change nothing.
        let _ = self.controller.set(controller);
    }

    /// Asks for another ISR of partitions that this broker leads. Repeating it is safe: the partition epoch in it is
    /// that of the state that is to change.
    ///
    /// # Errors
    /// No controller answered until `deadline`.
    pub async fn alter_partition(
        &self,
        request: AlterPartitionRequest,
        deadline: Instant,
    ) -> Result<AlterPartitionResponse, ToControllerError> {
        let version = sent::ALTER_PARTITION;
        let wire: WireAlterPartition = request.to_wire(version);
        let here = |controller: ControllerHandle| {
            let request = ControllerRequest::AlterPartition(request.clone());
            async move {
                match controller.request(request).await {
                    Ok(ControllerResponse::AlterPartition(response)) => Some((response.error, response)),
                    _ => None,
                }
            }
        };
        self.ask(&wire, version, deadline, here, |response| {
            let response = AlterPartitionResponse::from_wire(&response, version);
            (response.error, response)
        })
        .await
    }

    /// Asks for this broker's leaderships to be moved away before it stops.
    ///
    /// # Errors
    /// No controller answered until `deadline`.
    pub async fn controlled_shutdown(
        &self,
        request: ControlledShutdownRequest,
        deadline: Instant,
    ) -> Result<ControlledShutdownResponse, ToControllerError> {
        let version = sent::CONTROLLED_SHUTDOWN;
        let wire: WireControlledShutdown = request.to_wire(version);
        let here = |controller: ControllerHandle| async move {
            match controller.request(ControllerRequest::ControlledShutdown(request)).await {
                Ok(ControllerResponse::ControlledShutdown(response)) => Some((response.error, response)),
                _ => None,
            }
        };
        self.ask(&wire, version, deadline, here, |response| {
            let response = ControlledShutdownResponse::from_wire(&response, version);
            (response.error, response)
        })
        .await
    }

    /// Asks for a block of producer ids that nobody else has: the first, and how many. `None` when this broker is the
    /// controller itself, which takes blocks from coordination.
    ///
    /// # Errors
    /// No controller answered until `deadline`, or it has none to give.
    pub async fn allocate_producer_ids(
        &self,
        broker_epoch: BrokerEpoch,
        deadline: Instant,
    ) -> Result<Option<(ProducerId, i32)>, ToControllerError> {
        let request = AllocateProducerIdsRequest { broker_id: self.own.0, broker_epoch: broker_epoch.0 };
        let here = |_| async { Some((ErrorCode::None, None)) };
        let answer = self.ask(&request, sent::ALLOCATE_PRODUCER_IDS, deadline, here, |response| {
            let block = (ProducerId(response.producer_id_start), response.producer_id_len);
            (ErrorCode::from_code(response.error_code), Some((block, response.error_code)))
        });
        match answer.await? {
            Some((_, code)) if code != 0 => Err(ToControllerError::Refused(ErrorCode::from_code(code))),
            Some((block, _)) => Ok(Some(block)),
            None => Ok(None),
        }
    }

    /// Asks until a controller that is active answers. `here` asks the one in this process, `read` takes the answer of
    /// another and names its error for the request as a whole.
    async fn ask<R, T, F>(
        &self,
        request: &R,
        version: i16,
        deadline: Instant,
        here: impl Fn(ControllerHandle) -> F,
        read: impl Fn(R::Response) -> (ErrorCode, T),
    ) -> Result<T, ToControllerError>
    where
        R: Request,
        F: Future<Output = Option<(ErrorCode, T)>>,
    {
        let mut last = None;
        while let Some(controller) = self.controller.get()
            && Instant::now() < deadline
        {
            let mut views = controller.views();
            let view = *views.borrow_and_update();
            let attempt = async {
                if view.is_active {
                    return Ok(here(controller.clone()).await);
                }
                match view.id.filter(|id| *id != self.own) {
                    Some(id) => self.ask_peer(id, request, version).await.map(|answer| answer.map(&read)),
                    None => Ok(None),
                }
            };
            let answer = tokio::select! {
                answer = attempt => answer,
                // Another controller, or none: whoever was asked may never answer.
                () = another(&mut views, view) => Ok(None),
                () = tokio::time::sleep_until(deadline) => Ok(None),
            };
            match answer {
                Ok(Some((ErrorCode::NotController, _))) | Ok(None) => {}
                Ok(Some((_, answer))) => return Ok(answer),
                Err(error) => {
                    tracing::debug!(api = R::KEY.name(), "the controller does not answer: {error}");
                    last = Some(error);
                }
            }
            let pause = tokio::time::sleep_until((Instant::now() + RETRY_PAUSE).min(deadline));
            tokio::select! {
                () = pause => {}
                () = another(&mut views, view) => {}
            }
        }
        Err(ToControllerError::Deadline { last })
    }

    /// `None` when the controller's address is not known yet.
    async fn ask_peer<R: Request>(
        &self,
        id: NodeId,
        request: &R,
        version: i16,
    ) -> Result<Option<R::Response>, PeerError> {
        let mut slot = self.connection.lock().await;
        let endpoint = self.metadata.image().brokers.get(&id).and_then(|it| it.endpoint(&self.listener).cloned());
        let Some(endpoint) = endpoint else { return Ok(None) };
        let mut connection = match slot.take() {
            Some((known, it)) if known == id && *it.endpoint() == endpoint && it.is_usable() => it,
            _ => PeerConnection::connect(&endpoint, &self.options).await?,
        };
        let answer = connection.call(request, version).await?;
        *slot = Some((id, connection));
        Ok(Some(answer))
    }
}

/// Waits until `views` differs from `view`.
async fn another(views: &mut watch::Receiver<ControllerView>, view: ControllerView) {
    if views.wait_for(|now| *now != view).await.is_err() {
        // The driver has stopped, and with it the broker: the deadline ends what waits.
        std::future::pending::<()>().await;
    }
}
