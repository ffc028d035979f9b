use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::types::TTL_MAX_MS;
use super::*;

/// A tree with a counter for transaction ids.
struct Bench {
    tree: Tree,
    zxid: i64,
}

fn open_acl() -> Vec<Acl> {
    vec![Acl { perms: perms::ALL, id: Id::new("world", "anyone") }]
}

fn create(path: &str, flags: i32) -> Op {
    create_of(CreateKind::Create, path, flags, -1)
}

fn create_of(kind: CreateKind, path: &str, flags: i32, ttl_ms: i64) -> Op {
    Op::Create { kind, path: path.into(), data: Some(Bytes::from_static(b"data")), acl: open_acl(), flags, ttl_ms }
}

fn set_data(path: &str, version: i32) -> Op {
    Op::SetData { path: path.into(), data: Some(Bytes::from_static(b"other")), version }
}

fn delete(path: &str, version: i32) -> Op {
    Op::Delete { path: path.into(), version }
}

impl Bench {
    fn new() -> Self {
        Self { tree: Tree::new(), zxid: 0 }
    }

    fn txn(&mut self, session: i64, op: TxnOp) -> Applied {
        self.zxid += 1;
        let time_ms = 1000 * self.zxid;
        let txn = Txn { zxid: self.zxid, time_ms, session: SessionId(session), auth: Arc::new([]), op };
        self.tree.apply(&txn)
    }

    fn one(&mut self, op: Op) -> Result<OpResult, ErrorCode> {
        self.one_of(1, op)
    }

    fn one_of(&mut self, session: i64, op: Op) -> Result<OpResult, ErrorCode> {
        match self.txn(session, TxnOp::Single(op)).result? {
            TxnResult::Single(result) => Ok(result),
            other => panic!("{other:?} for a single operation"),
        }
    }

    fn multi(&mut self, ops: Vec<Op>) -> Vec<Result<OpResult, Option<ErrorCode>>> {
        match self.txn(1, TxnOp::Multi(ops)).result {
            Ok(TxnResult::Multi(results)) => results,
            other => panic!("{other:?} for a transaction"),
        }
    }

    fn stat(&self, path: &str) -> Stat {
        self.tree.node(path).unwrap_or_else(|| panic!("no node {path}")).stat()
    }
}

#[test]
fn a_new_tree_looks_like_zookeepers() {
    let bench = Bench::new();
    assert_eq!(bench.stat("/").cversion, -1);
    assert_eq!(bench.stat("/").num_children, 1);
    assert_eq!(bench.stat("/zookeeper").cversion, -2);
    assert_eq!(bench.stat("/zookeeper/config").aversion, -1);
    assert_eq!(
        bench.tree.node("/zookeeper").map(|node| node.children().collect::<Vec<_>>()),
        Some(vec!["config", "quota"])
    );
}

#[test]
fn each_field_of_the_statistics_moves_with_its_cause() {
    let mut bench = Bench::new();
    bench.one(create("/a", 0)).expect("created");
    bench.one(set_data("/a", 0)).expect("written");
    bench.one(create("/a/b", 0)).expect("created");
    bench.one(create("/a/c", 0)).expect("created");
    bench.one(delete("/a/b", -1)).expect("deleted");
    let acl = Op::SetAcl { path: "/a".into(), acl: open_acl(), version: 0 };
    bench.one(acl).expect("written");
    let expected = Stat {
        czxid: 1,
        mzxid: 2,
        ctime: 1000,
        mtime: 2000,
        version: 1,
        // Two creations and one deletion.
        cversion: 3,
        aversion: 1,
        ephemeral_owner: 0,
        data_length: 5,
        num_children: 1,
        pzxid: 5,
    };
    assert_eq!(bench.stat("/a"), expected);
}

#[test]
fn a_refused_operation_changes_nothing() {
    let mut bench = Bench::new();
    bench.one(create("/a", 1)).expect("created");
    bench.one(create("/b", 0)).expect("created");
    bench.one(create("/b/c", 0)).expect("created");
    bench.tree.take_changes();
    let refused = [
        (create("/a", 0), ErrorCode::NodeExists),
        (create("/a/b", 0), ErrorCode::NoChildrenForEphemerals),
        (create("/x/y", 0), ErrorCode::NoNode),
        (create("/a//b", 0), ErrorCode::NoNode),
        (create("/b/", 0), ErrorCode::BadArguments),
        (create("b", 0), ErrorCode::BadArguments),
        (create("/b/d", 9), ErrorCode::BadArguments),
        (create_of(CreateKind::Ttl, "/t", 5, 0), ErrorCode::BadArguments),
        (create_of(CreateKind::Ttl, "/t", 5, TTL_MAX_MS + 1), ErrorCode::BadArguments),
        (create("/t", 5), ErrorCode::BadArguments),
        (set_data("/b", 1), ErrorCode::BadVersion),
        (set_data("/x", -1), ErrorCode::NoNode),
        (delete("/b", -1), ErrorCode::NotEmpty),
        (delete("/b/c", 3), ErrorCode::BadVersion),
        (delete("/", -1), ErrorCode::BadArguments),
        (delete("/zookeeper", -1), ErrorCode::BadArguments),
        (Op::Check { path: "/b".into(), version: 2 }, ErrorCode::BadVersion),
        (Op::DeleteContainer { path: "/a".into() }, ErrorCode::BadVersion),
        (Op::SetAcl { path: "/b".into(), acl: vec![], version: -1 }, ErrorCode::InvalidAcl),
        (Op::SetData { path: "/zookeeper/config".into(), data: None, version: -1 }, ErrorCode::NoAuth),
    ];
    for (op, code) in refused {
        assert_eq!(bench.one(op.clone()), Err(code), "{op:?}");
        assert!(!bench.tree.is_dirty(), "{op:?} left something behind");
    }
}

#[test]
fn a_transaction_sees_its_own_earlier_operations() {
    let mut bench = Bench::new();
    bench.one(create("/s", 0)).expect("created");
    let results = bench.multi(vec![
        create("/s/n-", 2),
        create("/s/n-", 2),
        delete("/s/n-0000000000", 0),
        create("/t", 0),
        set_data("/t", 0),
        Op::Check { path: "/t".into(), version: 1 },
    ]);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert!(bench.tree.node("/s/n-0000000000").is_none());
    assert!(bench.tree.node("/s/n-0000000001").is_some());
    assert_eq!(bench.stat("/t").version, 1);
    assert_eq!(bench.stat("/t").czxid, bench.stat("/t").mzxid);
}

#[test]
fn a_failed_transaction_reports_before_at_and_after() {
    let mut bench = Bench::new();
    let results = bench.multi(vec![create("/t", 0), set_data("/t", 5), create("/u", 0)]);
    let expected = vec![Err(None), Err(Some(ErrorCode::BadVersion)), Err(Some(ErrorCode::RuntimeInconsistency))];
    assert_eq!(results, expected);
    assert!(bench.tree.node("/t").is_none());
    assert_eq!(bench.multi(vec![]), vec![]);
}

#[test]
fn closing_a_session_removes_its_nodes_and_no_others() {
    let mut bench = Bench::new();
    for session in [7, 8] {
        bench.txn(session, TxnOp::CreateSession { timeout_ms: 1, password: [0; PASSWORD_BYTES] });
        bench.one_of(session, create(&format!("/e{session}"), 1)).expect("created");
    }
    assert_eq!(bench.stat("/e7").ephemeral_owner, 7);
    let closed = bench.txn(7, TxnOp::CloseSession);
    let told: Vec<_> = closed.events.iter().map(|event| (event.kind, &*event.path)).collect();
    assert_eq!(told, [(EventKind::NodeDeleted, "/e7"), (EventKind::NodeChildrenChanged, "/")]);
    assert!(bench.tree.node("/e7").is_none() && bench.tree.node("/e8").is_some());
    assert!(bench.tree.session(SessionId(7)).is_none() && bench.tree.session(SessionId(8)).is_some());
}

#[test]
fn containers_and_nodes_with_a_time_to_live_are_due_when_empty() {
    let mut bench = Bench::new();
    bench.one(create_of(CreateKind::Container, "/c", 4, -1)).expect("created");
    bench.one(create_of(CreateKind::Ttl, "/t", 5, 500)).expect("created");
    let due = |bench: &Bench, now_ms| bench.tree.reapable(now_ms).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(due(&bench, 2500), [""; 0], "a container that was never used stays, and the time is not over");
    assert_eq!(due(&bench, 2501), ["/t"]);
    bench.one(create("/c/x", 0)).expect("created");
    bench.one(create("/t/x", 0)).expect("created");
    assert_eq!(due(&bench, 9000), [""; 0], "both have a child");
    bench.one(delete("/c/x", -1)).expect("deleted");
    bench.one(delete("/t/x", -1)).expect("deleted");
    assert_eq!(due(&bench, 9000), ["/c", "/t"]);
    assert_eq!(bench.stat("/c").ephemeral_owner, 0);
}

#[test]
fn a_plain_create_with_the_container_flag_makes_a_persistent_node() {
    let mut bench = Bench::new();
    bench.one(create("/c", 4)).expect("created");
    assert_eq!(bench.tree.node("/c").map(|node| node.record.owner), Some(0));
}

#[test]
fn versions_never_become_minus_one() {
    let mut bench = Bench::new();
    bench.one(create("/a", 0)).expect("created");
    bench.tree.nodes.get_mut("/a").expect("there").record.version = i32::MAX;
    bench.one(set_data("/a", i32::MAX)).expect("written");
    assert_eq!(bench.stat("/a").version, i32::MIN);
    bench.tree.nodes.get_mut("/a").expect("there").record.version = -2;
    bench.one(set_data("/a", -2)).expect("written");
    assert_eq!(bench.stat("/a").version, 0);
}

#[test]
fn quota_nodes_follow_the_usage() {
    let mut bench = Bench::new();
    bench.one(create("/q", 0)).expect("created");
    for path in ["/zookeeper/quota/q", "/zookeeper/quota/q/zookeeper_limits", "/zookeeper/quota/q/zookeeper_stats"] {
        bench.one(create(path, 0)).expect("created");
    }
    let usage = |bench: &Bench| {
        let node = bench.tree.node("/zookeeper/quota/q/zookeeper_stats").expect("there");
        String::from_utf8(node.record.data.clone().unwrap_or_default().to_vec()).expect("text")
    };
    assert_eq!(usage(&bench), "count=1,bytes=4");
    bench.one(create("/q/a", 0)).expect("created");
    bench.one(set_data("/q/a", -1)).expect("written");
    assert_eq!(usage(&bench), "count=2,bytes=9");
    bench.one(delete("/q/a", -1)).expect("deleted");
    assert_eq!(usage(&bench), "count=1,bytes=4");
    assert_eq!(bench.stat("/zookeeper/quota/q/zookeeper_stats").version, 0);
}

#[test]
fn access_rules_decide_who_may_do_what() {
    let bob = Id::new("digest", "bob:hash");
    let only = |perms, scheme: &str, id: &str| vec![Acl { perms, id: Id::new(scheme, id) }];
    let ip = |address: &str| vec![Id::new("ip", address)];
    assert!(check_acl(&only(perms::READ, "digest", "bob:hash"), perms::READ, std::slice::from_ref(&bob)).is_ok());
    assert!(check_acl(&only(perms::READ, "digest", "bob:hash"), perms::WRITE, std::slice::from_ref(&bob)).is_err());
    assert!(check_acl(&only(perms::ALL, "ip", "10.1.0.0/16"), perms::READ, &ip("10.1.2.3")).is_ok());
    assert!(check_acl(&only(perms::ALL, "ip", "10.1.0.0/16"), perms::READ, &ip("10.2.2.3")).is_err());
    assert!(check_acl(&only(perms::ALL, "ip", "0.0.0.0/0"), perms::READ, &ip("10.2.2.3")).is_ok());
    assert!(check_acl(&only(perms::ALL, "ip", "::1"), perms::READ, &ip("::1")).is_ok());
    assert!(check_acl(&only(perms::ALL, "ip", "::/0"), perms::READ, &ip("fe80::1")).is_ok());
    assert!(check_acl(&only(0, "world", "anyone"), perms::READ, &[Id::new("super", "")]).is_ok());
    let auth = only(perms::ALL, "auth", "");
    assert_eq!(acl::resolve(&auth, &[]), Err(ErrorCode::InvalidAcl));
    let resolved = acl::resolve(&auth, &[Id::new("ip", "1.2.3.4"), bob.clone()]).expect("bob is known");
    assert_eq!(*resolved, [Acl { perms: perms::ALL, id: bob }]);
    assert_eq!(masked_acl(&resolved), only(perms::ALL, "digest", "bob:x"));
}

#[test]
fn paths_are_valid_as_zookeeper_sees_it() {
    for valid in ["/", "/a", "/a/b.c", "/a/..b", "/a/...", "/ü", "/a b", "/\u{a0}", "/\u{f900}"] {
        assert!(path::is_valid(valid), "{valid:?}");
    }
    for invalid in [
        "",
        "a",
        "//",
        "/a/",
        "/a//b",
        "/.",
        "/a/..",
        "/\0",
        "/\u{1f}",
        "/\u{9f}",
        "/\u{e000}",
        "/\u{1f600}",
        "/\u{fff0}",
    ] {
        assert!(!path::is_valid(invalid), "{invalid:?}");
    }
    assert_eq!(path::with_ancestors("/a/b").collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
}

fn check_invariants(tree: &Tree) {
    let mut ephemerals: BTreeMap<SessionId, BTreeSet<Arc<str>>> = BTreeMap::new();
    let mut bytes = 0;
    for (path, node) in &tree.nodes {
        bytes += path.len() + node.record.data_len();
        if &**path != ROOT {
            let parent = tree.node(path::parent(path).expect("a path")).expect("every node has its parent");
            assert!(parent.children().any(|child| child == path::name(path)), "{path} is not listed");
            assert!(parent.record.czxid <= node.record.czxid);
        }
        for child in node.children() {
            assert!(tree.node(&path::join(path, child)).is_some(), "{child} of {path} does not exist");
        }
        match Owner::from_raw(node.record.owner) {
            Owner::Session(session) => {
                assert_eq!(node.child_count(), 0, "the ephemeral {path} has children");
                ephemerals.entry(session).or_default().insert(Arc::clone(path));
            }
            Owner::Container | Owner::Ttl { .. } => assert!(tree.reapable.contains(path)),
            Owner::None => assert!(!tree.reapable.contains(path)),
        }
        assert!(node.record.version != -1);
        assert!(node.child_count() as i32 <= node.record.cversion || path.starts_with("/zookeeper") || &**path == ROOT);
    }
    assert_eq!(tree.ephemerals, ephemerals);
    assert_eq!(tree.data_bytes, bytes);
    assert!(tree.reapable.iter().all(|path| tree.node(path).is_some()));
}

/// Everything that a client can see, in one order.
fn picture(tree: &Tree) -> Vec<(String, NodeRecord, Stat)> {
    let mut all: Vec<_> =
        tree.nodes.iter().map(|(path, node)| (path.to_string(), node.record.clone(), node.stat())).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn any_path() -> impl Strategy<Value = String> {
    let name = prop_oneof![Just("a"), Just("b"), Just("c0000000000"), Just("c")];
    prop::collection::vec(name, 1..4).prop_map(|names| format!("/{}", names.join("/")))
}

fn any_op() -> impl Strategy<Value = Op> {
    let version = prop_oneof![Just(-1), 0..3];
    prop_oneof![
        4 => (any_path(), 0..7).prop_map(|(path, flags)| create(&path, flags)),
        1 => any_path().prop_map(|path| create_of(CreateKind::Container, &path, 4, -1)),
        1 => (any_path(), 5..7).prop_map(|(path, flags)| create_of(CreateKind::Ttl, &path, flags, 10)),
        3 => (any_path(), version.clone()).prop_map(|(path, version)| delete(&path, version)),
        2 => (any_path(), version.clone()).prop_map(|(path, version)| set_data(&path, version)),
        1 => (any_path(), version.clone()).prop_map(|(path, version)| Op::Check { path, version }),
        1 => (any_path(), version).prop_map(|(path, version)| Op::SetAcl { path, acl: open_acl(), version }),
        1 => any_path().prop_map(|path| Op::DeleteContainer { path }),
    ]
}

fn any_txn() -> impl Strategy<Value = (i64, TxnOp)> {
    let op = prop_oneof![
        6 => any_op().prop_map(TxnOp::Single),
        3 => prop::collection::vec(any_op(), 0..5).prop_map(TxnOp::Multi),
        1 => Just(TxnOp::CreateSession { timeout_ms: 5, password: [1; PASSWORD_BYTES] }),
        1 => Just(TxnOp::CloseSession),
    ];
    (1..4_i64, op)
}

proptest! {
    #[test]
    fn random_transactions_keep_the_invariants_and_replay_to_the_same_tree(
        txns in prop::collection::vec(any_txn(), 1..80)
    ) {
        let (mut first, mut second) = (Bench::new(), Bench::new());
        // What a store would hold: only the changes, applied to an empty one.
        let mut stored: BTreeMap<Arc<str>, NodeRecord> = BTreeMap::new();
        let mut sessions = BTreeMap::new();
        for (session, op) in &txns {
            let before = picture(&first.tree);
            let a = first.txn(*session, op.clone());
            let b = second.txn(*session, op.clone());
            prop_assert_eq!(&a.result, &b.result);
            prop_assert_eq!(&a.events, &b.events);
            let failed = match &a.result {
                Err(_) => true,
                Ok(TxnResult::Multi(results)) => results.iter().any(Result::is_err),
                Ok(_) => false,
            };
            if failed {
                prop_assert_eq!(before, picture(&first.tree));
                prop_assert!(a.events.is_empty());
            }
            check_invariants(&first.tree);
            let changes = first.tree.take_changes();
            for (path, record) in changes.nodes {
                match record {
                    Some(record) => stored.insert(path, record),
                    None => stored.remove(&path),
                };
            }
            for (id, record) in changes.sessions {
                match record {
                    Some(record) => sessions.insert(id, record),
                    None => sessions.remove(&id),
                };
            }
        }
        prop_assert_eq!(picture(&first.tree), picture(&second.tree));
        let restored = Tree::restore(stored, sessions, first.zxid).expect("parents come first");
        check_invariants(&restored);
        prop_assert_eq!(picture(&first.tree), picture(&restored));
        prop_assert_eq!(&first.tree.sessions, &restored.sessions);
        prop_assert_eq!(&first.tree.reapable, &restored.reapable);
    }
}
