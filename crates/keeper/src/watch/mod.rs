//! Watches: who wants to hear of what.
//!
//! There are two tables, as in ZooKeeper's `DataTree`: *data* watches hear of a node's creation, deletion and new
//! data, *child* watches of a change of its list of children and of its deletion. A standard watch fires once. A
//! persistent watch stays, and is in both tables. A persistent recursive watch is in the data table only and hears
//! what happens at its path and anywhere below it.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::tree::{EventKind, path};

/// The connection that a watch belongs to. Watches do not outlive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatcherId(pub u64);

/// How long a watch lasts and how far it reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchMode {
    Standard,
    Persistent,
    PersistentRecursive,
}

/// Which watches a client means when it asks about or removes them (`Watcher.WatcherType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchSelector {
    Children,
    Data,
    Any,
    Persistent,
    PersistentRecursive,
}

impl WatchSelector {
    pub fn from_wire(value: i32) -> Option<Self> {
        match value {
            1 => Some(Self::Children),
            2 => Some(Self::Data),
            3 => Some(Self::Any),
            4 => Some(Self::Persistent),
            5 => Some(Self::PersistentRecursive),
            _ => None,
        }
    }
}

/// A set of modes that one watcher has at one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Modes(u8);

impl Modes {
    const fn of(mode: WatchMode) -> Self {
        match mode {
            WatchMode::Standard => Modes(1),
            WatchMode::Persistent => Modes(2),
            WatchMode::PersistentRecursive => Modes(4),
        }
    }

    fn has(self, mode: WatchMode) -> bool {
        self.0 & Self::of(mode).0 != 0
    }

    fn with(self, mode: WatchMode) -> Self {
        Modes(self.0 | Self::of(mode).0)
    }

    fn without(self, mode: WatchMode) -> Self {
        Modes(self.0 & !Self::of(mode).0)
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Both tables.
#[derive(Debug, Default)]
pub struct Watches {
    data: Table,
    child: Table,
}

impl Watches {
    /// Left by a read: fires once.
    pub fn add_data(&mut self, path: &str, watcher: WatcherId) {
        self.data.add(path, watcher, WatchMode::Standard);
    }

    /// Left by a listing of children: fires once.
    pub fn add_child(&mut self, path: &str, watcher: WatcherId) {
        self.child.add(path, watcher, WatchMode::Standard);
    }

    /// A watch of its own (`addWatch`).
    pub fn add(&mut self, path: &str, watcher: WatcherId, mode: WatchMode) {
        self.data.add(path, watcher, mode);
        if mode != WatchMode::PersistentRecursive {
            self.child.add(path, watcher, mode);
        }
    }

    /// Who must be told of an event, each once, and no more of it if theirs was a standard watch.
    ///
    /// A deletion reaches data and child watches of the node, but a watcher with both hears of it once.
    pub fn trigger(&mut self, kind: EventKind, path: &str) -> Vec<WatcherId> {
        match kind {
            EventKind::NodeCreated | EventKind::NodeDataChanged => self.data.trigger(path).into_iter().collect(),
            EventKind::NodeChildrenChanged => self.child.trigger(path).into_iter().collect(),
            EventKind::NodeDeleted => {
                let mut watchers = self.data.trigger(path);
                watchers.extend(self.child.trigger(path));
                watchers.into_iter().collect()
            }
        }
    }

    /// Whether `watcher` has such a watch at exactly `path`.
    pub fn contains(&self, path: &str, watcher: WatcherId, selector: WatchSelector) -> bool {
        match selector {
            WatchSelector::Children => self.child.has(path, watcher, Some(WatchMode::Standard)),
            WatchSelector::Data => self.data.has(path, watcher, Some(WatchMode::Standard)),
            WatchSelector::Persistent => self.data.has(path, watcher, Some(WatchMode::Persistent)),
            WatchSelector::PersistentRecursive => self.data.has(path, watcher, Some(WatchMode::PersistentRecursive)),
            WatchSelector::Any => self.child.has(path, watcher, None) || self.data.has(path, watcher, None),
        }
    }

    /// Removes such watches of `watcher` at exactly `path`; false if there were none.
    pub fn remove(&mut self, path: &str, watcher: WatcherId, selector: WatchSelector) -> bool {
        match selector {
            WatchSelector::Children => self.child.remove(path, watcher, Some(WatchMode::Standard)),
            WatchSelector::Data => self.data.remove(path, watcher, Some(WatchMode::Standard)),
            WatchSelector::Persistent => {
                let child = self.child.remove(path, watcher, Some(WatchMode::Persistent));
                self.data.remove(path, watcher, Some(WatchMode::Persistent)) || child
            }
            WatchSelector::PersistentRecursive => self.data.remove(path, watcher, Some(WatchMode::PersistentRecursive)),
            WatchSelector::Any => {
                let child = self.child.remove(path, watcher, None);
                self.data.remove(path, watcher, None) || child
            }
        }
    }

    /// Forgets a connection.
    pub fn remove_watcher(&mut self, watcher: WatcherId) {
        self.data.remove_watcher(watcher);
        self.child.remove_watcher(watcher);
    }

    /// Watches in both tables.
    pub fn count(&self) -> usize {
        self.data.count() + self.child.count()
    }

    /// Connections that watch, paths watched, and watches, in the data table (the `wchs` command).
    pub fn data_summary(&self) -> (usize, usize, usize) {
        (self.data.by_watcher.len(), self.data.by_path.len(), self.data.count())
    }
}

/// Invariant: `by_watcher` holds a path exactly if `by_path` holds the watcher there, with at least one mode.
#[derive(Debug, Default)]
struct Table {
    by_path: HashMap<Box<str>, BTreeMap<WatcherId, Modes>, foldhash::fast::RandomState>,
    by_watcher: HashMap<WatcherId, BTreeSet<Box<str>>, foldhash::fast::RandomState>,
    /// How many entries are recursive; while there are none, ancestors are not looked at.
    recursive_count: usize,
}

impl Table {
    fn add(&mut self, path: &str, watcher: WatcherId, mode: WatchMode) {
        let modes = self.by_path.entry(path.into()).or_default().entry(watcher).or_default();
        if mode == WatchMode::PersistentRecursive && !modes.has(mode) {
            self.recursive_count += 1;
        }
        *modes = modes.with(mode);
        self.by_watcher.entry(watcher).or_default().insert(path.into());
    }

    fn trigger(&mut self, path: &str) -> BTreeSet<WatcherId> {
        let mut told: BTreeSet<WatcherId> =
            self.by_path.get(path).into_iter().flat_map(|watchers| watchers.keys().copied()).collect();
        for watcher in &told {
            self.remove(path, *watcher, Some(WatchMode::Standard));
        }
        if self.recursive_count > 0 {
            for ancestor in path::with_ancestors(path).skip(1) {
                let watchers = self.by_path.get(ancestor).into_iter().flatten();
                told.extend(watchers.filter(|(_, m)| m.has(WatchMode::PersistentRecursive)).map(|(w, _)| *w));
            }
        }
        told
    }

    fn has(&self, path: &str, watcher: WatcherId, mode: Option<WatchMode>) -> bool {
        let modes = self.by_path.get(path).and_then(|watchers| watchers.get(&watcher));
        modes.is_some_and(|modes| mode.is_none_or(|mode| modes.has(mode)))
    }

    fn remove(&mut self, path: &str, watcher: WatcherId, mode: Option<WatchMode>) -> bool {
        let Some(watchers) = self.by_path.get_mut(path) else { return false };
        let Some(modes) = watchers.get_mut(&watcher) else { return false };
        let before = *modes;
        *modes = mode.map_or(Modes::default(), |mode| before.without(mode));
        let after = *modes;
        if after == before {
            return false;
        }
        if before.has(WatchMode::PersistentRecursive) && !after.has(WatchMode::PersistentRecursive) {
            self.recursive_count -= 1;
        }
        if after.is_empty() {
            watchers.remove(&watcher);
            if watchers.is_empty() {
                self.by_path.remove(path);
            }
            if let Some(paths) = self.by_watcher.get_mut(&watcher) {
                paths.remove(path);
                if paths.is_empty() {
                    self.by_watcher.remove(&watcher);
                }
            }
        }
        true
    }

    fn remove_watcher(&mut self, watcher: WatcherId) {
        for path in self.by_watcher.get(&watcher).cloned().unwrap_or_default() {
            self.remove(&path, watcher, None);
        }
    }

    fn count(&self) -> usize {
        self.by_path.values().map(BTreeMap::len).sum()
    }
}
