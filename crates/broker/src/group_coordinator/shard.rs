//! The groups of one partition of `__consumer_offsets`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use foldhash::{HashMap, HashMapExt};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use whimbrel_state::group::{CallerId, Group, JoinResponse, Now, SyncResponse};

use crate::replica_manager::Partition;

const LOADING: u8 = 0;
const ACTIVE: u8 = 1;
const CLOSED: u8 = 2;

/// One partition that this broker leads, from the election to the resignation.
pub(super) struct Shard {
    pub partition: Arc<Partition>,
    /// Only ever grows. Changed under the lock of `groups`, so that no group is added to a closed shard.
    phase: AtomicU8,
    groups: Mutex<HashMap<Arc<str>, Arc<GroupCell>>>,
}

/// One group and those who wait for it.
pub(super) struct GroupCell {
    pub shard: Arc<Shard>,
    inner: Mutex<GroupInner>,
}

pub(super) struct GroupInner {
    pub machine: Group,
    pub joins: HashMap<CallerId, oneshot::Sender<JoinResponse>>,
    pub syncs: HashMap<CallerId, oneshot::Sender<SyncResponse>>,
}

impl Shard {
    pub fn new(partition: Arc<Partition>) -> Arc<Self> {
        Arc::new(Self { partition, phase: AtomicU8::new(LOADING), groups: Mutex::default() })
    }

    /// The number of the partition.
    pub fn index(&self) -> i32 {
        self.partition.topic_partition.partition
    }

    pub fn is_loading(&self) -> bool {
        self.phase.load(Ordering::Acquire) == LOADING
    }

    pub fn is_closed(&self) -> bool {
        self.phase.load(Ordering::Acquire) == CLOSED
    }

    /// Takes the loaded groups and opens for requests. Returns them; `None` if it was closed meanwhile.
    pub fn open(self: &Arc<Self>, loaded: Vec<Group>) -> Option<Vec<Arc<GroupCell>>> {
        let mut groups = self.groups.lock();
        if self.is_closed() {
            return None;
        }
        for group in loaded {
            groups.insert(group.id().clone(), GroupCell::new(self.clone(), group));
        }
        Some(groups.values().cloned().collect())
    }

    /// Requests may come. Called after the loaded groups have been resumed.
    pub fn activate(&self) {
        let _groups = self.groups.lock();
        // A shard that has been closed stays so.
        let _ = self.phase.compare_exchange(LOADING, ACTIVE, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Lets nobody in any more and hands out the groups.
    pub fn close(&self) -> Vec<Arc<GroupCell>> {
        let mut groups = self.groups.lock();
        self.phase.store(CLOSED, Ordering::Release);
        std::mem::take(&mut *groups).into_values().collect()
    }

    pub fn get(&self, group_id: &str) -> Option<Arc<GroupCell>> {
        self.groups.lock().get(group_id).cloned()
    }

    /// The group, made if there is none; `None` if the shard is closed.
    pub fn get_or_create(self: &Arc<Self>, group_id: &str, now: Now) -> Option<Arc<GroupCell>> {
        let mut groups = self.groups.lock();
        if self.is_closed() {
            return None;
        }
        if let Some(cell) = groups.get(group_id) {
            return Some(cell.clone());
        }
        let id: Arc<str> = group_id.into();
        let cell = GroupCell::new(self.clone(), Group::new(id.clone(), now));
        groups.insert(id, cell.clone());
        Some(cell)
    }

    /// Forgets a group that is dead.
    pub fn remove(&self, cell: &Arc<GroupCell>, group_id: &str) {
        let mut groups = self.groups.lock();
        if groups.get(group_id).is_some_and(|known| Arc::ptr_eq(known, cell)) {
            groups.remove(group_id);
        }
    }

    pub fn groups(&self) -> Vec<Arc<GroupCell>> {
        self.groups.lock().values().cloned().collect()
    }
}

impl GroupCell {
    fn new(shard: Arc<Shard>, machine: Group) -> Arc<Self> {
        let inner = GroupInner { machine, joins: HashMap::new(), syncs: HashMap::new() };
        Arc::new(Self { shard, inner: Mutex::new(inner) })
    }

    /// Held for synchronous work only.
    pub fn lock(&self) -> MutexGuard<'_, GroupInner> {
        self.inner.lock()
    }
}
