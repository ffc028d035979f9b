//! Bounds that all connections share: how many there are, and how many request bytes are in flight.

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::HashMap;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// `max.connections` and `max.connections.per.ip` (with overrides).
#[derive(Debug)]
pub struct ConnectionQuota {
    total_max: usize,
    per_ip_max: usize,
    per_ip_overrides: HashMap<IpAddr, usize>,
    open: Mutex<OpenConnections>,
}

#[derive(Debug, Default)]
struct OpenConnections {
    total: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// Why a new connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionRefused {
    #[error("max.connections={limit} connections are open")]
    TooMany { limit: usize },
    #[error("max.connections.per.ip={limit} connections are open from this address")]
    TooManyFromAddress { limit: usize },
}

impl ConnectionRefused {
    /// The limit's key.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooMany { .. } => "max.connections",
            Self::TooManyFromAddress { .. } => "max.connections.per.ip",
        }
    }
}

impl ConnectionQuota {
    pub fn new(total_max: usize, per_ip_max: usize, per_ip_overrides: HashMap<IpAddr, usize>) -> Arc<Self> {
        Arc::new(Self { total_max, per_ip_max, per_ip_overrides, open: Mutex::default() })
    }

    /// Counts one more connection from `ip` until the returned guard is dropped.
    ///
    /// # Errors
    /// A bound is reached; the caller closes the connection.
    pub fn open(self: &Arc<Self>, ip: IpAddr) -> Result<ConnectionPermit, ConnectionRefused> {
        let mut open = self.open.lock();
        if open.total >= self.total_max {
            return Err(ConnectionRefused::TooMany { limit: self.total_max });
        }
        let limit = self.per_ip_overrides.get(&ip).copied().unwrap_or(self.per_ip_max);
        let from_ip = open.by_ip.entry(ip).or_insert(0);
        if *from_ip >= limit {
            return Err(ConnectionRefused::TooManyFromAddress { limit });
        }
        *from_ip += 1;
        open.total += 1;
        Ok(ConnectionPermit { quota: self.clone(), ip })
    }
}

/// One counted connection.
#[derive(Debug)]
pub struct ConnectionPermit {
    quota: Arc<ConnectionQuota>,
    ip: IpAddr,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = self.quota.open.lock();
        open.total -= 1;
        if let Some(count) = open.by_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                // Else every address that ever connected would be remembered.
                open.by_ip.remove(&self.ip);
            }
        }
    }
}

/// `queued.max.request.bytes`: request bytes read from sockets and not yet answered, over all connections.
#[derive(Debug, Clone)]
pub struct RequestMemory {
    /// In units of [`RequestMemory::UNIT_BYTES`], since a semaphore counts in `u32`. `None` while unlimited.
    pool: Option<(Arc<Semaphore>, u32)>,
}

/// Bytes taken from [`RequestMemory`], given back on drop.
pub type RequestMemoryPermit = Option<OwnedSemaphorePermit>;

impl RequestMemory {
    const UNIT_BYTES: u64 = 1024;

    /// `None`: no limit.
    pub fn new(limit_bytes: Option<usize>) -> Self {
        let pool = limit_bytes.map(|limit| {
            let units = (limit as u64).div_ceil(Self::UNIT_BYTES).min(u64::from(u32::MAX >> 3)) as u32;
            (Arc::new(Semaphore::new(units as usize)), units)
        });
        Self { pool }
    }

    /// Waits until `bytes` fit. A request larger than the whole pool takes all of it and so still gets its turn.
    pub async fn take(&self, bytes: usize) -> RequestMemoryPermit {
        let (pool, all) = self.pool.as_ref()?;
        let units = (bytes as u64).div_ceil(Self::UNIT_BYTES).min(u64::from(*all)) as u32;
        // The semaphore is never closed, so that `None` is not reached.
        pool.clone().acquire_many_owned(units).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_by_address_and_in_all() {
        let quota = ConnectionQuota::new(3, 2, HashMap::default());
        let (a, b) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let first = quota.open(a).unwrap();
        let _second = quota.open(a).unwrap();
        assert_eq!(quota.open(a).unwrap_err(), ConnectionRefused::TooManyFromAddress { limit: 2 });
        let _third = quota.open(b).unwrap();
        assert_eq!(quota.open(b).unwrap_err(), ConnectionRefused::TooMany { limit: 3 });
        drop(first);
        assert_eq!(quota.open.lock().total, 2);
        assert!(quota.open(a).is_ok());
    }
}
