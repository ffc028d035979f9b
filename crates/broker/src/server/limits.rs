//! Bounds that all connections share: how many there are, and how many request bytes are in flight.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::HashMap;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::config::NetworkConfig;

/// `max.connections` and `max.connections.per.ip` (with overrides). May change while the broker runs.
#[derive(Debug)]
pub struct ConnectionQuota {
    limits: Mutex<ConnectionLimits>,
    open: Mutex<OpenConnections>,
    /// Told when a connection closes or the limits change.
    freed: Notify,
}

/// The values in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLimits {
    pub total_max: usize,
    pub per_ip_max: usize,
    pub per_ip_overrides: BTreeMap<IpAddr, usize>,
}

impl ConnectionLimits {
    /// No limits, for listeners that only brokers use.
    pub fn unlimited() -> Self {
        Self { total_max: usize::MAX, per_ip_max: usize::MAX, per_ip_overrides: BTreeMap::new() }
    }
}

impl From<&NetworkConfig> for ConnectionLimits {
    fn from(network: &NetworkConfig) -> Self {
        Self {
            total_max: network.connections_max,
            per_ip_max: network.connections_per_ip_max,
            per_ip_overrides: network.connections_per_ip_overrides.clone(),
        }
    }
}

#[derive(Debug, Default)]
struct OpenConnections {
    total: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// Why a new connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("max.connections.per.ip={limit} connections are open from this address")]
pub struct TooManyFromAddress {
    pub limit: usize,
}

impl ConnectionQuota {
    pub fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { limits: Mutex::new(limits), open: Mutex::default(), freed: Notify::new() })
    }

    /// Puts other limits in force. Connections that are open stay.
    pub fn set_limits(&self, limits: ConnectionLimits) {
        *self.limits.lock() = limits;
        self.freed.notify_waiters();
    }

    /// Returns once fewer than `max.connections` are open. Until then new ones wait in the listeners' backlogs.
    pub async fn room(&self) {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // From here on no close is missed, so that looking afterwards is enough.
            freed.as_mut().enable();
            if self.open.lock().total < self.limits.lock().total_max {
                return;
            }
            freed.await;
        }
    }

    /// Returns once no connection is open.
    pub async fn drained(&self) {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.open.lock().total == 0 {
                return;
            }
            freed.await;
        }
    }

    /// Counts one more connection from `ip` until the returned guard is dropped.
    ///
    /// # Errors
    /// The address has as many as it may; the caller closes the connection.
    pub fn open(self: &Arc<Self>, ip: IpAddr) -> Result<ConnectionPermit, TooManyFromAddress> {
        let limit = {
            let limits = self.limits.lock();
            limits.per_ip_overrides.get(&ip).copied().unwrap_or(limits.per_ip_max)
        };
        let mut open = self.open.lock();
        let from_ip = open.by_ip.entry(ip).or_insert(0);
        if *from_ip >= limit {
            if *from_ip == 0 {
                open.by_ip.remove(&ip);
            }
            return Err(TooManyFromAddress { limit });
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
        drop(open);
        self.quota.freed.notify_waiters();
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

    fn quota(total_max: usize, per_ip_max: usize) -> Arc<ConnectionQuota> {
        ConnectionQuota::new(ConnectionLimits { total_max, per_ip_max, per_ip_overrides: BTreeMap::new() })
    }

    #[test]
    fn connections_are_counted_by_address() {
        let quota = quota(9, 2);
        let (a, b) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let first = quota.open(a).unwrap();
        let _second = quota.open(a).unwrap();
        assert_eq!(quota.open(a).unwrap_err(), TooManyFromAddress { limit: 2 });
        let _third = quota.open(b).unwrap();
        drop(first);
        assert_eq!(quota.open.lock().total, 2);
        assert!(quota.open(a).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn with_no_room_the_next_waits_for_a_close_or_a_higher_limit() {
        let quota = quota(1, 9);
        let a = "10.0.0.1".parse().unwrap();
        let wait = || tokio::time::timeout(std::time::Duration::from_secs(1), quota.room());
        wait().await.unwrap();
        let first = quota.open(a).unwrap();
        assert!(wait().await.is_err());
        let (waited, ()) = tokio::join!(wait(), async { drop(first) });
        waited.unwrap();
        let _second = quota.open(a).unwrap();
        let higher = ConnectionLimits { total_max: 2, per_ip_max: 9, per_ip_overrides: BTreeMap::new() };
        let (waited, ()) = tokio::join!(wait(), async { quota.set_limits(higher) });
        waited.unwrap();
    }
}
