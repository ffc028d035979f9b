//! What the znode tree costs: creating, changing and looking at the nodes that a controller writes.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use whimbrel_keeper::tree::{Acl, CreateKind, Id, Op, SessionId, Tree, Txn, TxnOp, perms};

/// Partitions of the topic whose states are written.
const NODES: usize = 1_000;
const ANY_VERSION: i32 = -1;

/// A tree and the id of the last transaction on it.
struct Written {
    tree: Tree,
    zxid: i64,
}

fn create(criterion: &mut Criterion) {
    let paths = paths();
    let mut group = criterion.benchmark_group("keeper/tree");
    group.throughput(Throughput::Elements(NODES as u64));
    group.bench_function("create", |bencher| {
        bencher.iter_batched_ref(Written::with_parent, |written| written.create_all(&paths), BatchSize::LargeInput);
    });
}

fn set(criterion: &mut Criterion) {
    let (mut written, paths) = full();
    let mut group = criterion.benchmark_group("keeper/tree");
    group.throughput(Throughput::Elements(NODES as u64));
    group.bench_function("set", |bencher| {
        bencher.iter(|| {
            for path in &paths {
                let op = Op::SetData { path: path.clone(), data: Some(partition_state()), version: ANY_VERSION };
                written.apply(op);
            }
            // As the store does after each commit; what is not taken would only pile up.
            black_box(written.tree.take_changes());
        });
    });
}

fn get(criterion: &mut Criterion) {
    let (written, paths) = full();
    let mut group = criterion.benchmark_group("keeper/tree");
    group.throughput(Throughput::Elements(NODES as u64));
    group.bench_function("get", |bencher| {
        bencher.iter(|| {
            for path in &paths {
                black_box(written.tree.node(black_box(path)).map(|node| node.stat()).expect("it was created"));
            }
        });
    });
}

fn full() -> (Written, Vec<String>) {
    let (mut written, paths) = (Written::with_parent(), paths());
    written.create_all(&paths);
    written.tree.take_changes();
    (written, paths)
}

impl Written {
    fn with_parent() -> Self {
        let mut written = Self { tree: Tree::new(), zxid: 0 };
        written.apply(creation("/partitions"));
        written
    }

    fn create_all(&mut self, paths: &[String]) {
        for path in paths {
            self.apply(creation(path));
        }
    }

    fn apply(&mut self, op: Op) {
        self.zxid += 1;
        let (session, auth, op) = (SessionId(1), Arc::new([]), TxnOp::Single(op));
        let applied = self.tree.apply(&Txn { zxid: self.zxid, time_ms: self.zxid, session, auth, op });
        assert!(applied.result.is_ok(), "{:?}", applied.result);
        black_box(applied.events);
    }
}

fn paths() -> Vec<String> {
    (0..NODES).map(|partition| format!("/partitions/{partition}")).collect()
}

fn creation(path: &str) -> Op {
    let acl = vec![Acl { perms: perms::ALL, id: Id::new("world", "anyone") }];
    let data = Some(partition_state());
    Op::Create { kind: CreateKind::Create, path: path.to_owned(), data, acl, flags: 0, ttl_ms: -1 }
}

fn partition_state() -> Bytes {
    Bytes::from_static(br#"{"controller_epoch":5,"leader":1,"version":1,"leader_epoch":3,"isr":[1,2,3]}"#)
}

/// Short: what is close is told apart by repeating whole runs, not by a longer one.
fn quick() -> Criterion {
    Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = tree; config = quick(); targets = create, set, get }
criterion_main!(tree);
