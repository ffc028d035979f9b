use super::*;

fn intervals(list: &[(u64, u64)]) -> Intervals {
    let mut intervals = Intervals::default();
    for (from, to) in list {
        intervals.add(*from, *to);
    }
    intervals
}

fn seen(numbers: impl IntoIterator<Item = u64>) -> Seen {
    let mut seen = Seen::default();
    numbers.into_iter().for_each(|number| seen.read(number));
    seen
}

#[test]
fn intervals_that_touch_become_one() {
    assert_eq!(intervals(&[(0, 3), (5, 7), (3, 5)]).0, [(0, 7)]);
    assert_eq!(intervals(&[(10, 20), (0, 5), (4, 11), (30, 31)]).0, [(0, 20), (30, 31)]);
    assert_eq!(intervals(&[(5, 5)]).0, []);
}

#[test]
fn a_number_is_taken_out_once() {
    let mut set = intervals(&[(0, 3), (10, 12)]);
    assert!(set.remove(1) && !set.remove(1) && !set.remove(5) && set.remove(11));
    assert_eq!(set.0, [(0, 1), (2, 3), (10, 11)]);
}

#[test]
fn random_intervals_agree_with_a_set() {
    let mut random = 7u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for _ in 0..200 {
        let (mut a, mut b) = (Intervals::default(), Intervals::default());
        let (mut set_a, mut set_b) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        for _ in 0..20 {
            let (from, length) = (next(60), next(8));
            let (intervals, set) = if next(2) == 0 { (&mut a, &mut set_a) } else { (&mut b, &mut set_b) };
            intervals.add(from, from + length);
            set.extend(from..from + length);
            let gone = next(60);
            assert_eq!(a.remove(gone), set_a.remove(&gone));
        }
        assert_eq!(a.count(), set_a.len() as u64);
        assert_eq!(a.count_common(&b), set_a.intersection(&set_b).count() as u64);
    }
}

#[test]
fn lost_duplicated_and_reordered_records_are_told_apart() {
    let acknowledged = vec![vec![intervals(&[(0, 10)])]];
    let check = |numbers: &[u64]| verify(&acknowledged, &[vec![vec![seen(numbers.iter().copied())]]], true);
    let all: Vec<u64> = (0..10).collect();
    let good = Verification { acknowledged: 10, read: 10, is_complete: true, ..Verification::default() };
    assert_eq!(check(&all), good);
    assert_eq!(check(&all[..9]), Verification { read: 9, lost: 1, ..good });
    assert_eq!(check(&[&all[..], &[4, 4]].concat()), Verification { duplicated: 2, ..good });
    assert_eq!(check(&[0, 1, 3, 2, 4, 5, 6, 7, 8, 9]), Verification { reordered: 1, ..good });
    assert_eq!(check(&[0, 1, 5, 6, 7, 8, 9]), Verification { read: 7, lost: 3, ..good });
    // What was read without an acknowledgement is no mistake: the answer may have been lost.
    assert_eq!(check(&(0..12).collect::<Vec<_>>()), Verification { read: 12, ..good });
}

#[test]
fn every_group_must_have_read_everything() {
    let acknowledged = vec![vec![intervals(&[(0, 4)])]];
    let (whole, half) = (vec![vec![seen(0..4)]], vec![vec![seen(0..2)]]);
    let found = verify(&acknowledged, &[whole, half], true);
    assert_eq!((found.acknowledged, found.read, found.lost), (4, 2, 2));
}

#[test]
fn a_partition_that_was_never_read_is_lost() {
    let found = verify(&[vec![Intervals::default(), intervals(&[(0, 3)])]], &[vec![vec![], vec![]]], true);
    assert_eq!((found.read, found.lost), (0, 3));
}
