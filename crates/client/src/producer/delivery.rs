//! What became of a record: one outcome for its whole batch, shared by the records in it.

use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::ClientError;

/// Where a batch was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    pub partition: i32,
    /// Of the batch's first record; -1 when the broker does not say (`acks=0`, or a repeated batch).
    pub base_offset: i64,
}

/// What became of a batch; set once.
#[derive(Debug, Default)]
pub struct Outcome {
    result: OnceLock<Result<Stored, Arc<ClientError>>>,
    done: Notify,
}

impl Outcome {
    pub(super) fn set(&self, result: Result<Stored, Arc<ClientError>>) {
        // A second result of the same batch cannot be: the first one ended it.
        let _ = self.result.set(result);
        self.done.notify_waiters();
    }

    async fn wait(&self) -> Result<Stored, Arc<ClientError>> {
        loop {
            // Registered before looking, so that a result set in between is not missed.
            let done = self.done.notified();
            if let Some(result) = self.result.get() {
                return result.clone();
            }
            done.await;
        }
    }
}

/// A record that was handed to the producer. May be dropped: the record is sent all the same.
#[derive(Debug)]
pub struct Delivery {
    pub(super) outcome: Arc<Outcome>,
    pub(super) index: i32,
}

impl Delivery {
    /// Waits until the record is acknowledged as `acks` asks: its partition and offset (-1 if unknown).
    ///
    /// # Errors
    /// Why it was given up. It may have been stored all the same if the connection was lost.
    pub async fn wait(self) -> Result<(i32, i64), Arc<ClientError>> {
        let Stored { partition, base_offset } = self.outcome.wait().await?;
        let offset = if base_offset < 0 { -1 } else { base_offset + i64::from(self.index) };
        Ok((partition, offset))
    }
}
