//! Counters, as the four-letter commands and the handle show them.

use super::core::Now;
use crate::proto::op;

/// A request that is being answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestNote {
    pub xid: i32,
    pub zxid: i64,
    /// ZooKeeper's four letters for the operation.
    pub op: &'static str,
    pub received_us: u64,
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latency {
    pub count: u64,
    pub total_us: u64,
    pub min_us: u64,
    pub max_us: u64,
}

impl Latency {
    fn add(&mut self, us: u64) {
        self.min_us = if self.count == 0 { us } else { self.min_us.min(us) };
        self.max_us = self.max_us.max(us);
        self.total_us = self.total_us.saturating_add(us);
        self.count += 1;
    }

    /// Milliseconds with at most four decimals, as ZooKeeper reports them.
    pub(super) fn average_ms(&self) -> f64 {
        let us = self.total_us.checked_div(self.count).unwrap_or(0);
        (us as f64 * 10.0).round() / 10_000.0
    }

    pub(super) fn whole_average_ms(&self) -> u64 {
        self.total_us.checked_div(self.count).unwrap_or(0) / 1000
    }

    pub(super) fn min_ms(&self) -> u64 {
        self.min_us / 1000
    }

    pub(super) fn max_ms(&self) -> u64 {
        self.max_us / 1000
    }
}

/// Of one connection.
#[derive(Debug)]
pub(super) struct ConnectionStats {
    pub established_ms: i64,
    pub received: u64,
    pub sent: u64,
    pub latency: Latency,
    pub last: Option<(RequestNote, u64)>,
    pub last_response_us: u64,
}

impl ConnectionStats {
    pub(super) fn new(now: Now) -> Self {
        Self {
            established_ms: now.wall_ms,
            received: 0,
            sent: 0,
            latency: Latency::default(),
            last: None,
            last_response_us: 0,
        }
    }

    pub(super) fn answered(&mut self, note: &RequestNote, now: Now) {
        let latency_us = now.steady_us.saturating_sub(note.received_us);
        self.sent += 1;
        self.latency.add(latency_us);
        self.last = Some((*note, latency_us));
        self.last_response_us = now.steady_us;
    }
}

/// Of the server.
#[derive(Debug)]
pub(super) struct ServerStats {
    pub started_us: u64,
    pub received: u64,
    pub sent: u64,
    pub latency: Latency,
    /// Bytes of answers; -1 before the first.
    pub last_response_bytes: i64,
    pub min_response_bytes: i64,
    pub max_response_bytes: i64,
    pub commits: u64,
    pub commit_latency: Latency,
}

impl ServerStats {
    pub(super) fn new(now: Now) -> Self {
        Self {
            started_us: now.steady_us,
            received: 0,
            sent: 0,
            latency: Latency::default(),
            last_response_bytes: -1,
            min_response_bytes: -1,
            max_response_bytes: -1,
            commits: 0,
            commit_latency: Latency::default(),
        }
    }

    pub(super) fn answered(&mut self, note: &RequestNote, bytes: usize, now: Now) {
        self.sent += 1;
        self.latency.add(now.steady_us.saturating_sub(note.received_us));
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.min_response_bytes = match self.min_response_bytes {
            -1 => bytes,
            min => min.min(bytes),
        };
        self.max_response_bytes = self.max_response_bytes.max(bytes);
        self.last_response_bytes = bytes;
    }

    pub(super) fn committed(&mut self, us: u64) {
        self.commits += 1;
        self.commit_latency.add(us);
    }
}

/// ZooKeeper's short name of an operation (`FinalRequestProcessor`).
pub(super) fn op_name(code: i32) -> &'static str {
    match code {
        op::CREATE | op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => "CREA",
        op::DELETE | op::DELETE_CONTAINER => "DELE",
        op::EXISTS => "EXIS",
        op::GET_DATA => "GETD",
        op::SET_DATA => "SETD",
        op::GET_ACL => "GETA",
        op::SET_ACL => "SETA",
        op::GET_CHILDREN | op::GET_CHILDREN2 => "GETC",
        op::SYNC => "SYNC",
        op::PING => "PING",
        op::MULTI => "MULT",
        op::MULTI_READ => "MLTR",
        op::CHECK => "CHEC",
        op::CHECK_WATCHES => "CHKW",
        op::REMOVE_WATCHES => "REMW",
        op::SET_WATCHES => "SETW",
        op::SET_WATCHES2 => "STW2",
        op::ADD_WATCH => "ADDW",
        op::GET_EPHEMERALS => "GETE",
        op::GET_ALL_CHILDREN_NUMBER => "GETACN",
        op::WHO_AM_I => "HOMI",
        op::CLOSE_SESSION => "CLOS",
        _ => "NA",
    }
}
