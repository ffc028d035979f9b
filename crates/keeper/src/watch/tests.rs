use super::*;
use EventKind::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};

const ME: WatcherId = WatcherId(1);
const OTHER: WatcherId = WatcherId(2);

#[test]
fn a_standard_watch_fires_once() {
    let mut watches = Watches::default();
    watches.add_data("/a", ME);
    watches.add_data("/a", OTHER);
    assert_eq!(watches.trigger(NodeChildrenChanged, "/a"), []);
    assert_eq!(watches.trigger(NodeDataChanged, "/a"), [ME, OTHER]);
    assert_eq!(watches.trigger(NodeDataChanged, "/a"), []);
    assert_eq!(watches.count(), 0);
}

#[test]
fn a_deletion_is_told_once_to_a_watcher_of_both_kinds() {
    let mut watches = Watches::default();
    watches.add_data("/a", ME);
    watches.add_child("/a", ME);
    watches.add_child("/a", OTHER);
    assert_eq!(watches.trigger(NodeDeleted, "/a"), [ME, OTHER]);
    assert_eq!(watches.count(), 0);
}

#[test]
fn a_persistent_watch_stays_and_hears_of_its_own_node_only() {
    let mut watches = Watches::default();
    watches.add("/a", ME, WatchMode::Persistent);
    for kind in [NodeCreated, NodeChildrenChanged, NodeDataChanged, NodeDeleted, NodeCreated] {
        assert_eq!(watches.trigger(kind, "/a"), [ME], "{kind:?}");
    }
    assert_eq!(watches.trigger(NodeCreated, "/a/b"), []);
}

#[test]
fn a_recursive_watch_hears_of_everything_below_but_not_of_lists_of_children() {
    let mut watches = Watches::default();
    watches.add("/a", ME, WatchMode::PersistentRecursive);
    for kind in [NodeCreated, NodeDataChanged, NodeDeleted] {
        assert_eq!(watches.trigger(kind, "/a"), [ME], "{kind:?}");
        assert_eq!(watches.trigger(kind, "/a/b/c"), [ME], "{kind:?}");
    }
    assert_eq!(watches.trigger(NodeChildrenChanged, "/a"), []);
    assert_eq!(watches.trigger(NodeCreated, "/ab"), []);
    watches.add("/", OTHER, WatchMode::PersistentRecursive);
    assert_eq!(watches.trigger(NodeCreated, "/ab"), [OTHER]);
}

#[test]
fn a_standard_watch_beside_a_persistent_one_is_used_up_alone() {
    let mut watches = Watches::default();
    watches.add("/a", ME, WatchMode::Persistent);
    watches.add_data("/a", ME);
    assert!(watches.contains("/a", ME, WatchSelector::Data));
    assert_eq!(watches.trigger(NodeDataChanged, "/a"), [ME]);
    assert!(!watches.contains("/a", ME, WatchSelector::Data));
    assert_eq!(watches.trigger(NodeDataChanged, "/a"), [ME]);
}

#[test]
fn watches_are_removed_by_kind() {
    let mut watches = Watches::default();
    watches.add_data("/a", ME);
    watches.add_child("/a", ME);
    watches.add("/a", ME, WatchMode::PersistentRecursive);
    assert!(watches.remove("/a", ME, WatchSelector::Children));
    assert!(!watches.remove("/a", ME, WatchSelector::Children));
    assert!(!watches.remove("/a", ME, WatchSelector::Persistent));
    assert!(watches.contains("/a", ME, WatchSelector::PersistentRecursive));
    assert!(watches.remove("/a", ME, WatchSelector::Any));
    assert!(!watches.contains("/a", ME, WatchSelector::Any));
    assert_eq!(watches.trigger(NodeDataChanged, "/a"), []);
}

#[test]
fn nothing_is_left_of_a_connection_that_is_gone() {
    let mut watches = Watches::default();
    for path in ["/a", "/b"] {
        watches.add_data(path, ME);
        watches.add_child(path, ME);
        watches.add(path, ME, WatchMode::PersistentRecursive);
        watches.add_data(path, OTHER);
    }
    watches.remove_watcher(ME);
    assert_eq!(watches.count(), 2);
    assert_eq!(watches.data.recursive_count, 0);
    assert_eq!(watches.trigger(NodeDataChanged, "/a"), [OTHER]);
}
