use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::tree::{Acl, CreateKind, Id, NodeRecord, Op, Owner, Txn, TxnOp, perms};

fn create(tree: &mut Tree, zxid: i64, path: &str) {
    let acl = vec![Acl { perms: perms::ALL, id: Id::new("world", "anyone") }];
    let data = Some(Bytes::from(vec![7; 10]));
    let op = Op::Create { kind: CreateKind::Create, path: path.into(), data, acl, flags: 0, ttl_ms: -1 };
    let txn = Txn { zxid, time_ms: 5, session: SessionId(1), auth: Arc::new([]), op: TxnOp::Single(op) };
    tree.apply(&txn).result.expect("created");
}

#[test]
fn what_was_committed_is_loaded() {
    let directory = TempDir::new().expect("a directory");
    let (store, Loaded { mut tree, zxid }) = Store::open(directory.path()).expect("a new store");
    assert_eq!((zxid, tree.node_count()), (0, 4));
    create(&mut tree, 1, "/a");
    create(&mut tree, 2, "/a-b");
    create(&mut tree, 3, "/a/b");
    store.commit(&tree.take_changes(), 77).expect("durable");
    drop(store);
    let (store, loaded) = Store::open(directory.path()).expect("a store");
    assert_eq!((loaded.zxid, loaded.tree.node_count()), (77, 7));
    assert_eq!(loaded.tree.node("/a/b").map(|n| &n.record), tree.node("/a/b").map(|n| &n.record));
    let changes = ChangeSet { nodes: vec![("/a/b".into(), None)], sessions: vec![] };
    store.commit(&changes, 78).expect("durable");
    drop(store);
    let (_store, loaded) = Store::open(directory.path()).expect("a store");
    assert!(loaded.tree.node("/a/b").is_none() && loaded.tree.node("/a").is_some());
}

#[test]
fn a_second_opener_is_refused_with_the_path() {
    let directory = TempDir::new().expect("a directory");
    let (_store, _loaded) = Store::open(directory.path()).expect("a new store");
    let refused = Store::open(directory.path()).expect_err("it is in use");
    assert!(matches!(&refused, StoreError::InUse { path } if path.starts_with(directory.path())), "{refused}");
}

#[test]
fn a_file_that_is_no_store_is_an_error_and_left_alone() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join(FILE_NAME);
    std::fs::write(&path, b"something else entirely").expect("written");
    let refused = Store::open(directory.path()).expect_err("it is no store");
    assert!(matches!(refused, StoreError::Database { .. }), "{refused}");
    assert_eq!(std::fs::read(&path).expect("there"), b"something else entirely");
}

#[test]
fn a_node_without_its_parent_is_an_error() {
    let directory = TempDir::new().expect("a directory");
    let (store, Loaded { mut tree, .. }) = Store::open(directory.path()).expect("a new store");
    let mut changes = tree.take_changes();
    let record = NodeRecord::new(None, Arc::new([]), Owner::None, 1, 1);
    changes.nodes.push(("/lost/child".into(), Some(record)));
    store.commit(&changes, 1).expect("durable");
    drop(store);
    let refused = Store::open(directory.path()).expect_err("the tree is broken");
    assert!(matches!(&refused, StoreError::Orphan { path } if path == "/lost/child"), "{refused}");
}

#[test]
fn records_survive_the_codec_and_damage_is_an_error() {
    let acl: crate::tree::AclList = Arc::new([Acl { perms: 3, id: Id::new("digest", "a:b") }]);
    let mut record = NodeRecord::new(Some(Bytes::from_static(b"data")), acl, Owner::Session(SessionId(9)), 4, 5);
    record.version = -7;
    let bytes = codec::encode_node(&record);
    let mut shared = None;
    assert_eq!(codec::decode_node(&bytes, &mut shared).expect("whole"), record);
    let again = codec::decode_node(&bytes, &mut shared).expect("whole");
    assert!(shared.is_some_and(|list| Arc::ptr_eq(&list, &again.acl)), "equal rules are shared");
    for length in 0..bytes.len() {
        assert!(codec::decode_node(&bytes[..length], &mut None).is_err(), "{length} bytes");
    }
    let mut later = bytes;
    later[0] = 9;
    assert!(matches!(codec::decode_node(&later, &mut None), Err(CodecError::Layout(9))));
}
