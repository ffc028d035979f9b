//! What waits to be written to one connection.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The queue between the core, which never waits, and the task that writes to the socket.
#[derive(Debug)]
pub(super) struct Outbound {
    state: Mutex<State>,
    /// Something to write, or the end.
    readable: Notify,
    /// The queue has room again.
    drained: Notify,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Bytes>,
    /// Bytes in `frames` and held back for this connection until they are durable.
    bytes: usize,
    /// No more frames follow those that are queued.
    ended: bool,
    /// The connection must go at once, whatever is queued.
    aborted: Option<&'static str>,
}

/// What the writer is to do next.
#[derive(Debug)]
pub(super) enum Next {
    Write(Vec<Bytes>),
    /// Everything was written and nothing follows.
    End,
    /// Close without writing the rest.
    Abort(&'static str),
}

/// Reading from a client stops while more than this waits for it.
const PAUSE_BYTES: usize = 1 << 20;

impl Outbound {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { state: Mutex::default(), readable: Notify::new(), drained: Notify::new(), bytes_max }
    }

    /// Counts a frame that is held until it may be sent. A client that lets too much pile up is cut off.
    pub(super) fn reserve(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.bytes += bytes;
        if self.bytes_max < state.bytes && state.aborted.is_none() {
            state.aborted = Some("it does not read its answers");
            self.readable.notify_one();
        }
    }

    /// Queues a frame that was reserved.
    pub(super) fn send(&self, frame: Bytes) {
        self.state.lock().frames.push_back(frame);
        self.readable.notify_one();
    }

    /// After the queued frames the connection ends.
    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.readable.notify_one();
    }

    /// The connection ends at once.
    pub(super) fn abort(&self, why: &'static str) {
        self.state.lock().aborted.get_or_insert(why);
        self.readable.notify_one();
    }

    /// Waits for something to write. Only one task may call this.
    pub(super) async fn next(&self) -> Next {
        loop {
            {
                let mut state = self.state.lock();
                if let Some(why) = state.aborted {
                    return Next::Abort(why);
                }
                if !state.frames.is_empty() {
                    return Next::Write(state.frames.drain(..).collect());
                }
                if state.ended {
                    return Next::End;
                }
            }
            self.readable.notified().await;
        }
    }

    /// Frames of `bytes` in all left for the network.
    pub(super) fn written(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
        if state.bytes < PAUSE_BYTES {
            self.drained.notify_one();
        }
    }

    /// Waits until the client has taken most of what it asked for: a client that does not read is not read from.
    pub(super) async fn wait_for_room(&self) {
        while PAUSE_BYTES <= self.state.lock().bytes {
            self.drained.notified().await;
        }
    }

    /// Frames that wait for the network.
    pub(super) fn queued_frames(&self) -> usize {
        self.state.lock().frames.len()
    }
}
