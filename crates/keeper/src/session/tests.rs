use super::*;

const TICK_MS: u64 = 100;

fn id(value: i64) -> SessionId {
    SessionId(value)
}

/// The sessions that expire when the clock is asked at every tick from `from_ms` to `to_ms`, with the time.
fn run(clock: &mut SessionClock, from_ms: u64, to_ms: u64) -> Vec<(u64, SessionId)> {
    let ticks = (from_ms..=to_ms).step_by(TICK_MS as usize);
    ticks.flat_map(|now_ms| clock.expired(now_ms).into_iter().map(move |session| (now_ms, session))).collect()
}

#[test]
fn a_session_expires_at_the_first_tick_after_its_timeout() {
    let mut clock = SessionClock::new(TICK_MS);
    clock.touch(id(1), 250, 10);
    clock.touch(id(2), 290, 10);
    assert_eq!(run(&mut clock, 100, 1000), [(300, id(1)), (400, id(2))]);
    assert_eq!(clock.buckets().count(), 0);
}

#[test]
fn a_touch_starts_the_timeout_anew() {
    let mut clock = SessionClock::new(TICK_MS);
    clock.touch(id(1), 250, 0);
    assert_eq!(run(&mut clock, 100, 200), []);
    clock.touch(id(1), 250, 250);
    assert_eq!(run(&mut clock, 300, 500), []);
    assert_eq!(run(&mut clock, 600, 600), [(600, id(1))]);
}

#[test]
fn a_removed_session_does_not_expire() {
    let mut clock = SessionClock::new(TICK_MS);
    clock.touch(id(1), 250, 0);
    clock.remove(id(1));
    clock.remove(id(2));
    assert_eq!(run(&mut clock, 100, 1000), []);
}

#[test]
fn time_in_which_nobody_could_be_heard_does_not_count() {
    let mut clock = SessionClock::new(TICK_MS);
    clock.touch(id(1), 500, 0);
    assert_eq!(run(&mut clock, 100, 200), []);
    // The process was stopped for a minute.
    assert_eq!(clock.expired(60_200), []);
    assert_eq!(run(&mut clock, 60_300, 60_500), []);
    assert_eq!(run(&mut clock, 60_600, 61_000), [(60_700, id(1))]);
}

#[test]
fn the_next_check_is_at_the_next_tick() {
    let clock = SessionClock::new(TICK_MS);
    assert_eq!((clock.next_check_ms(0), clock.next_check_ms(99), clock.next_check_ms(100)), (100, 100, 200));
}
