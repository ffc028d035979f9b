//! The threads that serve connections: one single-threaded runtime each.
//!
//! A connection lives on one worker for its whole life, so its task needs no `Send`, its buffers stay in one core's
//! cache and nothing is stolen. Measured against one multi-threaded runtime this costs 15 to 25 % less CPU. This module
//! is the only place that knows, so that the choice can be revisited by figures.

use std::future::Future;
use std::io;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::mpsc;

/// Threads of one worker's own pool for reads that miss the page cache and other calls that block.
const BLOCKING_THREADS_MAX: usize = 8;

/// Turns of tasks between two looks at the sockets and the timers. Each may take half a millisecond, and what waits for the
/// flusher is woken again and again: with tokio's 61 the others would wait for long.
const EVENT_INTERVAL: u32 = 8;

/// A timer that goes off before the next one which the runtime knows of costs a system call, by which the runtime wakes
/// itself. A fetch has such a timer each time it waits; where something goes off this often, it has not.
const HEARTBEAT: Duration = Duration::from_millis(250);

type Job = Box<dyn FnOnce() + Send>;

/// A fixed set of worker threads. Dropping it stops them: tasks still running are dropped at their next await.
#[derive(Debug)]
pub struct Workers {
    inboxes: Vec<mpsc::UnboundedSender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` threads (at least one).
    ///
    /// # Errors
    /// The runtime or the thread cannot be created (out of threads or descriptors).
    pub fn start(count: usize) -> io::Result<Self> {
        let mut workers = Self { inboxes: Vec::new(), threads: Vec::new() };
        for index in 0..count.max(1) {
            // Unbounded, but it carries one job per accepted connection, and those are bounded by `max.connections`.
            let (inbox, jobs) = mpsc::unbounded_channel::<Job>();
            let (started, is_started) = sync_channel(1);
            let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                // It stays on the thread that makes it. Somebody waits to hear of that.
                let runtime = match runtime() {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(started.send(Err(error))),
                };
                drop(started.send(Ok(())));
                work(runtime, jobs);
            })?;
            is_started.recv().unwrap_or_else(|_| Err(io::Error::other("a worker thread ended at its start")))?;
            workers.inboxes.push(inbox);
            workers.threads.push(thread);
        }
        Ok(workers)
    }

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

    /// Stops the threads and waits for them. Blocks.
    pub fn stop(mut self) {
        self.inboxes.clear();
        for thread in self.threads.drain(..) {
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
fn work(runtime: LocalRuntime, mut jobs: mpsc::UnboundedReceiver<Job>) {
    runtime.block_on(async move {
        tokio::task::spawn_local(async {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
            }
        });
        while let Some(job) = jobs.recv().await {
            job();
        }
    });
    runtime.shutdown_background();
}
