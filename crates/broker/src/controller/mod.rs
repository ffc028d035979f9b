//! The controller's driver: gets this broker elected, feeds the machine, and carries out what it says.
//!
//! Every broker runs one. It watches `/controller`; while nobody holds it, it stands for election; elected, it loads the
//! cluster's state, starts `whimbrel_state::controller::Controller` on it, and leads until coordination says that another
//! broker was elected, the session ends, or the broker leaves.
//!
//! The driver decides nothing. A watch that fires makes it read again what the watch was on; what it read becomes an
//! input. Writes are made in tasks of their own, so that a slow one holds up nobody. Whatever goes wrong while leading,
//! other than losing the office, is answered by giving it up: the next controller starts from what coordination holds.

mod channel;
mod receive;
mod stats;
mod term;
#[cfg(test)]
mod tests;

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info, warn};
use whimbrel_model::{BrokerEpoch, NodeId};
use whimbrel_state::controller::control::{
    ControllerRequest, ControllerResponse, LeaderAndIsrRequest, LeaderAndIsrResponse, StopReplicaRequest,
    StopReplicaResponse, UpdateMetadataRequest, UpdateMetadataResponse,
};
use whimbrel_state::controller::{Broker as RegisteredBroker, DefaultSettings, LeaderBalance};

pub use self::receive::ControlReceiver;
pub use self::stats::ControllerStats;
use crate::coordination::{Coordination, CoordinationError, Election, FencedWriter, Watched};
use crate::interbroker::PeerOptions;

/// How long a broker that hears too few others leaves an open office to them. They stand for it at once.
const COURTESY: Duration = Duration::from_secs(2);

/// Pause before standing again after an election or a term that failed for a reason of our own.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// What a controller may tell the broker in its own process. Called one at a time, from a thread that may block.
pub trait ControlledBroker: Send + Sync + 'static {
    fn become_leader_or_follower(&self, request: LeaderAndIsrRequest) -> LeaderAndIsrResponse;
    fn update_metadata(&self, request: UpdateMetadataRequest) -> UpdateMetadataResponse;
    fn stop_replicas(&self, request: StopReplicaRequest) -> StopReplicaResponse;

    /// Whether other brokers are better placed to be controller, and are to be let go first.
    fn lets_others_lead(&self) -> bool {
        false
    }
}

/// What the controller needs of the broker's configuration.
#[derive(Debug, Clone)]
pub struct ControllerSettings {
    pub id: NodeId,
    /// The listener on which brokers are reached: `control.plane.listener.name`, else the inter-broker listener.
    pub control_listener: Arc<str>,
    /// Where followers find their leaders, for the addresses in LeaderAndIsr.
    pub inter_broker_listener: Arc<str>,
    /// How other brokers are connected to.
    pub peers: PeerOptions,
    /// The settings that elections depend on, as this broker was started.
    pub defaults: DefaultSettings,
    /// `auto.leader.rebalance.enable` and what goes with it.
    pub leader_balance: Option<LeaderBalance>,
    /// `delete.topic.enable`
    pub delete_topics: bool,
}

/// Who is controller, as this broker knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ControllerView {
    /// `None` while nobody is, or nobody knows.
    pub id: Option<NodeId>,
    /// This broker is the controller and has taken up its work.
    pub is_active: bool,
}

/// A view of the controller, for handlers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ControllerHandle {
    view: watch::Receiver<ControllerView>,
    registered: watch::Receiver<Arc<[RegisteredBroker]>>,
    receiver: ControlReceiver,
    asked: mpsc::UnboundedSender<Asked>,
    stats: ControllerStats,
}

/// This broker is not the active controller, or stopped being it before it had an answer: what was asked for may or may
/// not have been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this broker is not the active controller")]
pub struct NotController;

/// Something for the term that is being served.
enum Asked {
    Request(ControllerRequest, oneshot::Sender<ControllerResponse>),
    Suspected(NodeId, BrokerEpoch),
    Cleared(NodeId),
}

impl ControllerHandle {
    /// Asks the controller in this process.
    ///
    /// # Errors
    /// [`NotController`] when it is not active.
    pub async fn request(&self, request: ControllerRequest) -> Result<ControllerResponse, NotController> {
        if !self.is_active() {
            return Err(NotController);
        }
        let (answer, answered) = oneshot::channel();
        self.asked.send(Asked::Request(request, answer)).map_err(|_| NotController)?;
        answered.await.map_err(|_| NotController)
    }

    /// Reports that an incarnation of a broker gives no sign of life. Ignored when this broker is not the controller.
    pub fn suspect(&self, broker: NodeId, epoch: BrokerEpoch) {
        let _stopped = self.asked.send(Asked::Suspected(broker, epoch));
    }

    /// Reports that a suspected broker answers again. Ignored when this broker is not the controller.
    pub fn clear(&self, broker: NodeId) {
        let _stopped = self.asked.send(Asked::Cleared(broker));
    }

    #[must_use]
    pub fn view(&self) -> ControllerView {
        *self.view.borrow()
    }

    /// All views from now on.
    #[must_use]
    pub fn views(&self) -> watch::Receiver<ControllerView> {
        self.view.clone()
    }

    /// The registered brokers, as the controller in this process read them last; of use only while it is active.
    #[must_use]
    pub fn registered(&self) -> watch::Receiver<Arc<[RegisteredBroker]>> {
        self.registered.clone()
    }

    /// Carries out what controllers ask of this broker.
    #[must_use]
    pub fn receiver(&self) -> &ControlReceiver {
        &self.receiver
    }

    /// What the controller of this process has done.
    #[must_use]
    pub fn stats(&self) -> &ControllerStats {
        &self.stats
    }

    /// Whether requests for the controller may be served here.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.view().is_active
    }

    /// Waits until some broker is controller and this one knows.
    pub async fn elected(&self) -> ControllerView {
        let mut view = self.view.clone();
        match view.wait_for(|view| view.is_active || (view.id.is_some() && view.id != Some(NodeId::NONE))).await {
            Ok(view) => *view,
            // The driver has stopped: what it last knew is what there is.
            Err(_) => self.view(),
        }
    }
}

/// Starts the driver in a task of its own. The broker must be registered.
#[must_use]
pub fn start(
    coordination: Coordination,
    settings: ControllerSettings,
    local: Arc<dyn ControlledBroker>,
) -> (ControllerHandle, tokio::task::JoinHandle<()>) {
    let (sender, view) = watch::channel(ControllerView::default());
    let (asked, requests) = mpsc::unbounded_channel();
    let receiver = ControlReceiver::new(&local, coordination.clone());
    let (registrations, registered) = watch::channel(Arc::default());
    let stats = ControllerStats::default();
    let handle = ControllerHandle { view, registered, receiver: receiver.clone(), asked, stats: stats.clone() };
    let driver = Driver {
        coordination,
        settings,
        local,
        has_waited: false,
        stats,
        receiver,
        view: sender,
        registered: registrations,
        last_term: None,
    };
    (handle, tokio::spawn(driver.run(requests)))
}

struct Driver {
    stats: ControllerStats,
    coordination: Coordination,
    settings: ControllerSettings,
    /// The receiver has no hold on it: the broker has a handle to that.
    local: Arc<dyn ControlledBroker>,
    /// Others were let go first in the election that is on.
    has_waited: bool,
    receiver: ControlReceiver,
    view: watch::Sender<ControllerView>,
    /// The registered brokers, as a term reads them.
    registered: watch::Sender<Arc<[RegisteredBroker]>>,
    /// The office that was last won, in case it has to be given up once more.
    last_term: Option<FencedWriter>,
}

impl Driver {
    async fn run(mut self, mut requests: mpsc::UnboundedReceiver<Asked>) {
        let mut sessions = self.coordination.sessions();
        while !self.coordination.is_closing() {
            sessions.mark_unchanged();
            match self.follow_or_lead(&mut sessions, &mut requests).await {
                Ok(()) => {}
                Err(CoordinationError::SessionLost) => {
                    self.view.send_replace(ControllerView::default());
                    self.last_term = None;
                    if sessions.changed().await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    error!(%error, "the controller cannot be found or elected; trying again");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
        self.view.send_replace(ControllerView::default());
    }

    /// One look at who is controller, and what follows from it. Ends when that may have changed.
    async fn follow_or_lead(
        &mut self,
        sessions: &mut watch::Receiver<u64>,
        requests: &mut mpsc::UnboundedReceiver<Asked>,
    ) -> Result<(), CoordinationError> {
        // What came for an earlier term is answered by dropping it.
        while requests.try_recv().is_ok() {}
        let (holder, change) = self.coordination.watch_controller().await?.split();
        self.has_waited &= holder.is_none();
        match holder {
            Some(id) => self.follow(id, change, sessions, requests).await,
            None if self.local.lets_others_lead() && !mem::replace(&mut self.has_waited, true) => {
                info!("this broker hears too few others to stand for controller at once");
                tokio::time::sleep(COURTESY).await;
            }
            None => match self.coordination.elect().await? {
                Election::Lost => {}
                Election::Won(writer) => self.lead(writer, sessions, requests).await?,
            },
        }
        Ok(())
    }

    async fn follow(
        &mut self,
        id: NodeId,
        change: Watched<()>,
        sessions: &mut watch::Receiver<u64>,
        requests: &mut mpsc::UnboundedReceiver<Asked>,
    ) {
        self.view.send_replace(ControllerView { id: Some(id), is_active: false });
        if id == self.settings.id
            && let Some(writer) = self.last_term.take()
        {
            // Our own office, which we left and could not give up: nobody else can be elected before it is gone.
            writer.resign().await;
        }
        tokio::select! {
            _ = change.changed() => {}
            _ = sessions.changed() => {}
            () = closing(&self.coordination) => {}
            // Nothing is done for whoever asks a broker that is not the controller.
            () = refuse_all(requests) => {}
        }
    }

    /// A whole term, from the election to its end.
    async fn lead(
        &mut self,
        writer: FencedWriter,
        sessions: &mut watch::Receiver<u64>,
        requests: &mut mpsc::UnboundedReceiver<Asked>,
    ) -> Result<(), CoordinationError> {
        info!(epoch = writer.epoch().0, "elected controller");
        self.last_term = Some(writer.clone());
        let result = tokio::select! {
            result = term::serve(self, &writer, requests) => result,
            _ = sessions.changed() => Err(CoordinationError::SessionLost),
            () = closing(&self.coordination) => Ok(()),
        };
        self.view.send_replace(ControllerView::default());
        match result {
            // The broker leaves: closing the session ends the office.
            Ok(()) => Ok(()),
            Err(CoordinationError::ControllerMoved) => {
                warn!(epoch = writer.epoch().0, "another broker was elected controller");
                self.last_term = None;
                Ok(())
            }
            Err(CoordinationError::SessionLost) => {
                warn!(epoch = writer.epoch().0, "no longer controller: the ZooKeeper session ended");
                Err(CoordinationError::SessionLost)
            }
            Err(error) => {
                error!(%error, epoch = writer.epoch().0, "giving up the controllership");
                writer.resign().await;
                tokio::time::sleep(RETRY_PAUSE).await;
                Ok(())
            }
        }
    }
}

async fn closing(coordination: &Coordination) {
    coordination.closed().await;
}

/// Drops what is asked, which answers it; never ends.
async fn refuse_all(requests: &mut mpsc::UnboundedReceiver<Asked>) {
    while requests.recv().await.is_some() {}
    std::future::pending::<()>().await;
}
