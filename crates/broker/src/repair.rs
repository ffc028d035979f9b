//! Has damaged replicas copied anew from their leaders.
//!
//! ```text
//!   damage found at the start ────────────────────────────▶ out of use ──LeaderAndIsr──▶ judged ──▶ set aside
//!   damage met by a reader ──looked at again──▶ taken out ──▶   ▲                           │           │
//!                                                               └── again after a moment ───┘           ▼
//!                                                 the controller is asked for the roles, the replica follows
//! ```
//!
//! When that may be is decided by `whimbrel_state::partition::repair`, whose documentation says why nothing that was
//! acknowledged is in danger. This task reads what it has to know, and carries out what it says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use whimbrel_model::TopicPartition;
use whimbrel_state::partition::repair::{Committed, Reason, Verdict, verdict};
use whimbrel_storage::SetAsideError;

use crate::Broker;
use crate::coordination::CoordinationError;
use crate::replica_manager::{Inspected, Suspect, ToldReplica};

/// A damaged replica that waits is looked at again after this. What it waits for is told to others: that it has left the
/// ISR, that its earlier copy was removed, that there is room.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Whatever fails is tried again after this.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What was said last about each damaged replica, so that it is said once.
#[derive(Default)]
struct Said(BTreeMap<TopicPartition, String>);

/// Looks at damaged replicas until `stop`.
pub async fn repair_damaged(broker: Arc<Broker>, stop: CancellationToken) {
    let mut said = Said::default();
    let work = async {
        loop {
            let waiting = !broker.replicas.damaged().told().is_empty();
            let news = broker.replicas.damaged().news.notified();
            if waiting {
                let _either = tokio::time::timeout(LOOK_AGAIN, news).await;
            } else {
                news.await;
            }
            let taken_out = broker.inspect_suspects(&mut said).await;
            let was_set_aside = match broker.judge_damaged(&mut said).await {
                Ok(was_set_aside) => was_set_aside,
                Err(error) => {
                    tracing::warn!("damaged logs wait for coordination: {error}");
                    tokio::time::sleep(RETRY_PAUSE).await;
                    false
                }
            };
            if taken_out || was_set_aside {
                broker.ask_for_roles().await;
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

impl Broker {
    /// Takes replicas out of use in whose logs readers have met damage. True if there were any.
    async fn inspect_suspects(self: &Arc<Self>, said: &mut Said) -> bool {
        let mut taken_out = false;
        for suspect in self.replicas.damaged().take_suspects() {
            let name = suspect.partition.topic_partition.clone();
            match self.inspect(suspect).await {
                Some(Inspected::TakenOut(changes)) => {
                    self.roles_changed(&changes, &[]);
                    taken_out = true;
                }
                Some(Inspected::OnlyCopy) => {
                    let what = "the log is damaged; no other replica is in sync, so it stays in use as it is";
                    said.error(&name, what);
                }
                Some(Inspected::Sound) | None => {}
            }
        }
        taken_out
    }

    async fn inspect(self: &Arc<Self>, suspect: Suspect) -> Option<Inspected> {
        let replicas = self.replicas.clone();
        tokio::task::spawn_blocking(move || replicas.inspect(&suspect)).await.ok()
    }

    /// Sets aside what may be. True if something is not damaged any more.
    async fn judge_damaged(self: &Arc<Self>, said: &mut Said) -> Result<bool, CoordinationError> {
        let told = self.replicas.damaged().told();
        if told.is_empty() {
            return Ok(false);
        }
        // After what was told, and before the states: see `verdict`.
        let controller_epoch = self.coordination.newest_controller_epoch().await?;
        let names: Vec<TopicPartition> = told.iter().map(|(name, _)| name.clone()).collect();
        let states: BTreeMap<_, _> = self.coordination.partition_states(&names).await?.into_iter().collect();
        let image = self.metadata.image().clone();
        let mut are_sound = false;
        for (name, replica) in told {
            let Some(state) = states.get(&name) else { continue };
            let committed = Committed { controller_epoch, state };
            match verdict(self.node_id, replica.told, committed, |node| image.brokers.contains_key(&node)) {
                Verdict::SetAside => are_sound |= self.set_aside(&name, replica, said).await,
                Verdict::Wait(reason) => said.wait(&name, reason),
            }
        }
        Ok(are_sound)
    }

    async fn set_aside(self: &Arc<Self>, name: &TopicPartition, replica: ToldReplica, said: &mut Said) -> bool {
        let (broker, wanted) = (self.clone(), name.clone());
        let done = tokio::task::spawn_blocking(move || {
            broker.replicas.set_aside(&wanted, &replica, &|topic| broker.topic_config(topic))
        });
        match done.await {
            Ok(Ok(was_done)) => {
                said.0.remove(name);
                was_done
            }
            Ok(Err(error @ SetAsideError::Storage(_))) => {
                said.error(name, &format!("the damaged log is not replaced: {error}"));
                // It may have its new name already, and only lack what takes its place.
                !self.replicas.logs().is_damaged(name)
            }
            Ok(Err(error)) => {
                said.error(name, &format!("the damaged log is not replaced: {error}"));
                false
            }
            Err(_) => false,
        }
    }

    /// The controller tells this broker its roles once more, and learns from the answers which replicas can serve.
    async fn ask_for_roles(&self) {
        while let Err(error) = self.coordination.ask_for_roles(self.node_id).await {
            tracing::warn!("the controller does not know yet which logs are damaged: {error}");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

impl Said {
    fn is_news(&mut self, partition: &TopicPartition, what: &str) -> bool {
        self.0.insert(partition.clone(), what.to_owned()).is_none_or(|before| before != what)
    }

    /// Somebody has to look.
    fn error(&mut self, partition: &TopicPartition, what: &str) {
        if self.is_news(partition, what) {
            tracing::error!(%partition, "{what}");
        }
    }

    /// It may be over in a moment, or never.
    fn wait(&mut self, partition: &TopicPartition, reason: Reason) {
        let what = reason.text();
        if self.is_news(partition, what) {
            tracing::warn!(%partition, "the damaged log is not replaced yet: {what}");
        }
    }
}
