use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::TimerWheel;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn expired_at(wheel: &mut TimerWheel<&'static str>, now: Duration) -> Vec<&'static str> {
    let mut expired = Vec::new();
    wheel.advance(now, &mut expired);
    expired
}

#[test]
fn timers_fire_at_their_deadline_and_not_before() {
    let mut wheel = TimerWheel::default();
    wheel.insert(ms(10), "ten");
    wheel.insert(ms(5000), "five thousand");
    assert!(expired_at(&mut wheel, ms(9)).is_empty());
    assert_eq!(expired_at(&mut wheel, ms(10)), ["ten"]);
    assert!(expired_at(&mut wheel, ms(4999)).is_empty());
    assert_eq!(expired_at(&mut wheel, ms(6000)), ["five thousand"]);
    assert!(wheel.is_empty() && wheel.next_deadline().is_none());
}

#[test]
fn parts_of_a_millisecond_never_make_a_timer_early() {
    let mut wheel = TimerWheel::default();
    wheel.insert(Duration::from_micros(1500), "one and a half");
    assert!(expired_at(&mut wheel, Duration::from_micros(1900)).is_empty());
    assert_eq!(expired_at(&mut wheel, ms(2)), ["one and a half"]);
}

#[test]
fn a_deadline_in_the_past_is_due_at_once() {
    let mut wheel = TimerWheel::new(ms(1000));
    wheel.insert(ms(10), "late");
    assert_eq!(expired_at(&mut wheel, ms(1000)), ["late"]);
}

#[test]
fn a_cancelled_timer_does_not_fire_and_its_id_is_not_reused() {
    let mut wheel = TimerWheel::default();
    let first = wheel.insert(ms(10), "first");
    assert_eq!(wheel.cancel(first), Some("first"));
    let second = wheel.insert(ms(10), "second");
    assert_eq!(wheel.cancel(first), None);
    assert_eq!(expired_at(&mut wheel, ms(10)), ["second"]);
    assert_eq!(wheel.cancel(second), None);
}

#[test]
fn the_longest_time_fits() {
    let mut wheel = TimerWheel::default();
    wheel.insert(Duration::MAX, "never");
    wheel.insert(ms(1 << 62), "in 146 million years");
    assert!(expired_at(&mut wheel, ms(1 << 61)).is_empty());
    assert_eq!(expired_at(&mut wheel, ms(1 << 62)), ["in 146 million years"]);
    assert_eq!(wheel.len(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Insert { after: u64 },
    Cancel { nth: usize },
    Advance { by: u64 },
    AdvanceToDeadline,
}

fn step() -> impl Strategy<Value = Step> {
    let span = prop_oneof![0..200u64, 0..100_000u64, 0..u64::from(u32::MAX)];
    prop_oneof![
        4 => span.clone().prop_map(|after| Step::Insert { after }),
        1 => (0..50usize).prop_map(|nth| Step::Cancel { nth }),
        1 => span.prop_map(|by| Step::Advance { by }),
        2 => Just(Step::AdvanceToDeadline),
    ]
}

proptest! {
    /// Against a sorted map: the same timers fire at the same time, and `next_deadline` is never too late.
    #[test]
    fn the_wheel_agrees_with_a_sorted_map(steps in prop::collection::vec(step(), 1..200), start in 0..1_000_000u64) {
        let mut wheel = TimerWheel::new(ms(start));
        let mut model = BTreeMap::new();
        let mut ids = Vec::new();
        let mut now = start;
        for (serial, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert { after } => {
                    ids.push((wheel.insert(ms(now + after), serial), serial, now + after));
                    model.insert((now + after, serial), ());
                }
                Step::Cancel { nth } => {
                    if let Some(&(id, serial, at)) = ids.get(nth) {
                        let expected = model.remove(&(at, serial)).map(|()| serial);
                        prop_assert_eq!(wheel.cancel(id), expected);
                    }
                }
                Step::Advance { .. } | Step::AdvanceToDeadline => {
                    now = match step {
                        Step::Advance { by } => now + by,
                        _ => wheel.next_deadline().map_or(now, |at| at.as_millis() as u64).max(now),
                    };
                    let mut fired = Vec::new();
                    wheel.advance(ms(now), &mut fired);
                    let later = model.split_off(&(now + 1, 0));
                    let due: Vec<_> = std::mem::replace(&mut model, later).into_keys().collect();
                    let mut fired_at: Vec<_> = fired.iter().map(|&s| ids.iter().find(|i| i.1 == s).unwrap().2).collect();
                    prop_assert!(fired_at.is_sorted());
                    fired_at.dedup();
                    fired.sort_unstable();
                    let mut expected: Vec<_> = due.into_iter().map(|(_, serial)| serial).collect();
                    expected.sort_unstable();
                    prop_assert_eq!(fired, expected);
                }
            }
            prop_assert_eq!(wheel.len(), model.len());
            if let Some(((earliest, _), ())) = model.first_key_value() {
                prop_assert!(wheel.next_deadline().unwrap() <= ms(*earliest).max(ms(now)));
            }
        }
    }
}
