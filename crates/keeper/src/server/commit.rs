//! The thread that makes transactions durable: the only one that waits for the disk.
//!
//! While one commit is written, the transactions that arrive gather; the next commit takes them all.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use tracing::error;

use super::Shared;
use crate::store::{Store, StoreError};
use crate::tree::ChangeSet;

/// Starts the thread. `ended` is told when it is done, with the error that ended it if there was one.
pub(super) fn spawn(
    shared: Arc<Shared>,
    store: Store,
    ended: oneshot::Sender<Result<(), StoreError>>,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("keeper-commit".into()).spawn(move || {
        let _guard = FailOnPanic(&shared);
        let result = run(&shared, &store);
        if let Err(error) = &result {
            error!(error = error as &dyn std::error::Error, "the keeper's store failed, it stops serving");
            shared.core.lock().fail();
        }
        drop(store);
        // Nobody listens any more if the handle was dropped.
        let _unheard = ended.send(result);
    })
}

/// Nobody may wait for a commit that never comes.
struct FailOnPanic<'a>(&'a Shared);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.core.lock().fail();
        }
    }
}

fn run(shared: &Shared, store: &Store) -> Result<(), StoreError> {
    loop {
        let commit = {
            let mut core = shared.core.lock();
            while !core.needs_commit() && !core.stopping {
                shared.work.wait(&mut core);
            }
            if !core.needs_commit() {
                break;
            }
            core.begin_commit()
        };
        let started_us = shared.now().steady_us;
        store.commit(&commit.changes, commit.zxid_ceiling)?;
        let now = shared.now();
        let mut core = shared.core.lock();
        core.stats.committed(now.steady_us.saturating_sub(started_us));
        core.finish_commit(now);
    }
    // In good order no id is lost: the next start goes on with exactly the next one.
    let last = shared.core.lock().last_zxid();
    store.commit(&ChangeSet::default(), last)
}
