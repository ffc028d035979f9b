//! What the machines on the hot path cost: a follower's fetch at the leader, and the timers of those who wait.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use whimbrel_model::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch};
use whimbrel_state::partition::{Assignment, FollowerFetch, Limits, Replica};
use whimbrel_state::timer::TimerWheel;

const LEADER: NodeId = NodeId(1);
const FOLLOWERS: [NodeId; 2] = [NodeId(2), NodeId(3)];
/// Records between two fetches of a follower.
const STEP: i64 = 100;
/// Those who wait on a busy broker.
const TIMERS: u64 = 1_000;
const WAIT: Duration = Duration::from_millis(500);

/// Both followers of three replicas fetch, and the high watermark moves.
fn advance_high_watermark(criterion: &mut Criterion) {
    let mut replica = leader();
    let limits = Limits { now_ms: 0, lag_max_ms: 30_000, min_isr: 2, is_eligible: &|_| true };
    let mut end = Offset(0);
    let mut group = criterion.benchmark_group("state/high watermark");
    group.throughput(Throughput::Elements(FOLLOWERS.len() as u64));
    group.bench_function("fetches of 2 followers", |bencher| {
        bencher.iter(|| {
            let leader = replica.lead_mut().expect("it leads");
            let before = end;
            end = Offset(end.0 + STEP);
            for follower in FOLLOWERS {
                let fetch = fetch(follower, end);
                leader.fetched(black_box(&limits), &fetch, before).expect("the incarnation is the same");
                black_box(leader.high_watermark(&limits, end));
            }
        });
    });
}

fn leader() -> Replica {
    let all = vec![LEADER, FOLLOWERS[0], FOLLOWERS[1]];
    let assignment = Assignment {
        leader: LEADER,
        leader_epoch: LeaderEpoch(1),
        partition_epoch: PartitionEpoch(1),
        isr: all.clone(),
        replicas: all,
    };
    let mut replica = Replica::new(LEADER);
    replica.assign(0, &assignment, Offset(0));
    replica
}

fn fetch(follower: NodeId, end: Offset) -> FollowerFetch {
    FollowerFetch { follower, incarnation: BrokerEpoch(9), offset: end, log_start: Offset(0), leader_end: end }
}

/// Most who wait are answered in time and their timers cancelled; the others expire.
fn timers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("state/timers");
    group.throughput(Throughput::Elements(TIMERS));
    group.bench_function("insert and cancel", |bencher| {
        let mut wheel = TimerWheel::new(Duration::ZERO);
        bencher.iter(|| {
            let timers: [_; TIMERS as usize] = std::array::from_fn(|index| wheel.insert(deadline(index as u64), index));
            for timer in timers {
                black_box(wheel.cancel(timer));
            }
        });
    });
    group.bench_function("insert and expire", |bencher| {
        let mut expired = Vec::with_capacity(TIMERS as usize);
        bencher.iter_batched_ref(
            || TimerWheel::new(Duration::ZERO),
            |wheel| {
                for index in 0..TIMERS {
                    wheel.insert(deadline(index), index);
                }
                expired.clear();
                while let Some(due) = wheel.next_deadline() {
                    wheel.advance(due, &mut expired);
                }
                assert!(expired.len() as u64 == TIMERS, "{} of {TIMERS} timers expired", expired.len());
            },
            BatchSize::SmallInput,
        );
    });
}

/// As of requests that come one after the other, a thousandth of a second apart.
fn deadline(index: u64) -> Duration {
    WAIT + Duration::from_millis(index)
}

/// Short: what is close is told apart by repeating whole runs, not by a longer one.
fn quick() -> Criterion {
    Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = machines; config = quick(); targets = advance_high_watermark, timers }
criterion_main!(machines);
