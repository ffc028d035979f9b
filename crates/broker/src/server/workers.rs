//! The threads that serve connections: one single-threaded runtime each.
//!
//! A connection is served by one worker at a time, so its task needs no `Send`, its buffers stay in one core's cache and
//! nothing is stolen. Measured against one multi-threaded runtime this costs 15 to 25 % less CPU. It may go on to another
//! worker between two requests (`placement`). This module is the only place that knows, so that the choice can be revisited
//! by figures.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::runtime::{Builder, Handle, LocalOptions, LocalRuntime};
use tokio::sync::mpsc;

use super::placement::{self, BEAT, Loads};

/// Threads of one worker's own pool for reads that miss the page cache and other calls that block.
const BLOCKING_THREADS_MAX: usize = 8;

/// Turns of tasks between two looks at the sockets and the timers. Each may take half a millisecond, and what waits for a
/// flusher is woken again and again: with tokio's 61 the others would wait for long.
const EVENT_INTERVAL: u32 = 8;

type Job = Box<dyn FnOnce() + Send>;

/// A fixed set of worker threads. Dropping it stops them: tasks still running are dropped at their next await.
#[derive(Debug)]
pub struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What a worker and its connections know of the others. None of them keeps it: the inboxes close when the [`Workers`] go.
pub type Colleagues = Weak<Shared>;

/// The ways to all workers of a set.
#[derive(Debug)]
pub struct Shared {
    // Unbounded, but it carries one job per accepted connection and move, and those are bounded by `max.connections`.
    inboxes: Vec<mpsc::UnboundedSender<Job>>,
    pub loads: Loads,
    next: AtomicUsize,
}

impl Shared {
    /// Runs `make` on worker `index` modulo the count, and the future that it returns as a task there.
    pub fn spawn_on<F, Fut>(&self, index: usize, make: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let job: Job = Box::new(move || {
            tokio::task::spawn_local(make());
        });
        // A closed inbox means that the workers are being stopped: the task is not wanted any more.
        let _ = self.inboxes[index % self.inboxes.len()].send(job);
    }
}

impl Workers {
    /// Starts `count` threads (at least one).
    ///
    /// # Errors
    /// The runtime or the thread cannot be created (out of threads or descriptors).
    pub fn start(count: usize) -> io::Result<Self> {
        let (inboxes, jobs): (Vec<_>, Vec<_>) = (0..count.max(1)).map(|_| mpsc::unbounded_channel::<Job>()).unzip();
        let loads = Loads::new(inboxes.len());
        let mut workers =
            Self { shared: Arc::new(Shared { inboxes, loads, next: AtomicUsize::new(0) }), threads: Vec::new() };
        for (index, jobs) in jobs.into_iter().enumerate() {
            let colleagues = workers.colleagues();
            let (started, is_started) = sync_channel(1);
            let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                // It stays on the thread that makes it. Somebody waits to hear of that.
                let runtime = match runtime() {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(started.send(Err(error))),
                };
                drop(started.send(Ok(())));
                placement::become_worker(index);
                work(runtime, jobs, colleagues);
            })?;
            is_started.recv().unwrap_or_else(|_| Err(io::Error::other("a worker thread ended at its start")))?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// The way to the workers for those who do not keep them.
    pub fn colleagues(&self) -> Colleagues {
        Arc::downgrade(&self.shared)
    }

    /// As [`Shared::spawn_on`], on each worker in turn.
    pub fn spawn<F, Fut>(&self, make: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        self.shared.spawn_on(self.shared.next.fetch_add(1, Ordering::Relaxed), make);
    }

    /// Stops the threads and waits for them. Blocks.
    pub fn stop(self) {
        let Self { shared, threads } = self;
        drop(shared);
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}

pub(super) fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build_local(LocalOptions::default())
}

/// Takes jobs until the workers are dropped.
fn work(runtime: LocalRuntime, mut jobs: mpsc::UnboundedReceiver<Job>, colleagues: Colleagues) {
    runtime.block_on(async move {
        tokio::task::spawn_local(beat(colleagues));
        while let Some(job) = jobs.recv().await {
            job();
        }
    });
    runtime.shutdown_background();
}

/// Tells the others how busy this worker is.
///
/// This has a second use. A timer that goes off before the next one which the runtime knows of costs a system call, by which
/// the runtime wakes itself. A fetch sets one each time it waits; with this one about to go off, it is never the next (on a
/// worker with nothing to do it may be, where that costs nothing).
async fn beat(colleagues: Colleagues) {
    let metrics = Handle::current().metrics();
    let mut last = (Instant::now(), metrics.worker_total_busy_duration(0));
    let mut pause = BEAT;
    loop {
        tokio::time::sleep(pause).await;
        let now = (Instant::now(), metrics.worker_total_busy_duration(0));
        let (passed, busy) = (now.0 - last.0, now.1.saturating_sub(last.1));
        last = now;
        let Some(shared) = colleagues.upgrade() else { return };
        let busy = (busy.as_micros() * 1000 / passed.as_micros().max(1)).min(1000) as u32;
        pause = shared.loads.beat(busy);
    }
}
