//! A clean stop: leaderships move away first, then clients are let go, then the broker leaves the cluster and closes its
//! logs.
//!
//! A client that asks for a partition in between is told who leads it now, on a connection that still stands; it is in
//! no moment without a leader.

use std::sync::Arc;
use std::time::{Duration, Instant};

use whimbrel_model::{ErrorCode, NodeId};
use whimbrel_state::controller::control::ControlledShutdownRequest;

use super::RunningBroker;
use crate::Broker;
use crate::metadata_cache::MetadataImage;

/// A clean stop waits this long for each part before it goes on without it.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// Pause between two requests to have leaderships moved away: followers that are behind need a moment.
const ASK_PAUSE: Duration = Duration::from_millis(200);

/// How long the controller's orders may come behind its answer.
const ORDERS_WAIT: Duration = Duration::from_secs(2);

/// What was appended before the stop began has this long to be answered before leaderships move.
const SETTLE_TIME: Duration = Duration::from_millis(20);

/// After the leaderships have moved, records are passed on to the next leaders for this long (`handlers::handover`).
const PASS_ON_TIME: Duration = Duration::from_millis(200);

/// After that, clients have this long to ask once more and be told where to.
const REDIRECT_TIME: Duration = Duration::from_millis(100);

/// Connections have this long to get the answers to what they have asked.
pub(super) const DRAIN_WAIT: Duration = Duration::from_secs(1);

impl RunningBroker {
    /// Moves leaderships away, stops accepting, leaves the cluster, closes the logs cleanly.
    pub async fn shutdown(self) {
        let began = Instant::now();
        self.broker.begin_stop();
        if self.broker.hand_over().await {
            tokio::time::sleep(PASS_ON_TIME).await;
            self.broker.set_handing_over(false);
            tokio::time::sleep(REDIRECT_TIME).await;
        }
        self.stop.cancel();
        self.broker.groups.stop();
        if tokio::time::timeout(DRAIN_WAIT, self.broker.connections.drained()).await.is_err() {
            tracing::debug!("connections that wait for something are closed");
        }
        self.broker.coordination.close().await;
        if tokio::time::timeout(STOP_WAIT, self.controller).await.is_err() {
            tracing::error!("the controller does not stop; going on without it");
        }
        let logs = self.broker.replicas.logs().clone();
        let service = self.listeners_task.await;
        let broker = self.broker.clone();
        let closed = tokio::task::spawn_blocking(move || {
            broker.fetchers.stop();
            if let Ok(service) = service {
                service.stop();
            }
            logs.close();
        });
        if closed.await.is_err() {
            tracing::error!("closing the logs panicked: the next start recovers them");
        }
        // Only a scrape at this very moment could hold it too.
        if let Some(keeper) = self.keeper.and_then(Arc::into_inner)
            && let Err(error) = keeper.shutdown().await
        {
            tracing::error!("the keeper did not stop cleanly: {error}");
        }
        tracing::info!(elapsed_ms = began.elapsed().as_millis() as u64, "stopped");
    }
}

impl Broker {
    /// Has leaderships moved to other brokers, as far as there are any and the settings allow. True if some were moved.
    async fn hand_over(&self) -> bool {
        let Some(patience) = self.config().controlled_shutdown else { return false };
        let began = Instant::now();
        self.set_handing_over(true);
        tokio::time::sleep(SETTLE_TIME).await;
        let deadline = tokio::time::Instant::now() + patience;
        let led = replicated_leaders(&self.metadata.image(), self.node_id);
        let mut left = None;
        loop {
            // Nobody is there to take over, or nobody is any more.
            if self.metadata.image().brokers.keys().all(|id| *id == self.node_id) {
                return false;
            }
            match self.ask_to_leave(deadline).await {
                Ok(0) => break,
                Ok(remaining) if left != Some(remaining) => {
                    tracing::info!(remaining, "waiting for leaderships to be moved away");
                    left = Some(remaining);
                }
                Ok(_) => {}
                Err(reason) => {
                    tracing::warn!("leaderships cannot be moved away: {reason}");
                    return true;
                }
            }
            if deadline <= tokio::time::Instant::now() + ASK_PAUSE {
                tracing::warn!("stopping all the same; what is led here is without a leader until one is elected");
                return true;
            }
            tokio::time::sleep(ASK_PAUSE).await;
        }
        let moved = self.metadata.wait_for(|image| (replicated_leaders(image, self.node_id) == 0).then_some(()));
        if tokio::time::timeout(ORDERS_WAIT, moved).await.is_err() {
            tracing::warn!("the controller has moved the leaderships away, and this broker has not heard of it");
        }
        tracing::info!(partitions = led, elapsed_ms = began.elapsed().as_millis() as u64, "leaderships moved away");
        true
    }

    /// Asks the controller once; how many partitions this broker still leads that others could.
    async fn ask_to_leave(&self, deadline: tokio::time::Instant) -> Result<usize, String> {
        let request =
            ControlledShutdownRequest { broker: self.node_id, broker_epoch: self.coordination.broker_epoch() };
        match self.to_controller.controlled_shutdown(request, deadline).await {
            Ok(answer) if answer.error == ErrorCode::None => Ok(answer.remaining.len()),
            // Registered anew a moment ago: the next request has the new epoch.
            Ok(answer) if answer.error == ErrorCode::StaleBrokerEpoch => {
                Ok(replicated_leaders(&self.metadata.image(), self.node_id).max(1))
            }
            Ok(answer) => Err(answer.error.name().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// How many partitions this broker leads that another one could lead.
fn replicated_leaders(image: &MetadataImage, id: NodeId) -> usize {
    let partitions = image.topics().flat_map(|topic| topic.partitions.values());
    partitions.filter(|partition| partition.leader == id && 1 < partition.replicas.len()).count()
}
