use super::*;

fn partition(index: i32, fetch_offset: i64) -> FetchPartition {
    FetchPartition {
        topic: SessionTopic::Name("t".into()),
        partition: index,
        params: FetchParams {
            fetch_offset: Offset(fetch_offset),
            fetcher_log_start: -1,
            partition_bytes_max: 1024,
            current_leader_epoch: None,
            last_fetched_epoch: None,
        },
        told_high_watermark: -1,
    }
}

const QUIET: Outcome =
    Outcome { high_watermark: 0, log_start: 0, has_records: false, has_error: false, has_directive: false };

fn open(sessions: &mut FetchSessions, now_ms: i64, privileged: bool, count: i32, id: i32) -> Option<i32> {
    let served: Vec<_> = (0..count).map(|index| (partition(index, 0), QUIET)).collect();
    sessions.open(now_ms, privileged, false, served.into_iter(), || id)
}

fn begin(
    sessions: &mut FetchSessions,
    id: i32,
    epoch: i32,
    changed: Vec<FetchPartition>,
    forgotten: Vec<i32>,
) -> Result<Vec<FetchPartition>, SessionError> {
    let forgotten = forgotten.into_iter().map(|index| (SessionTopic::Name("t".into()), index));
    sessions.begin(1, (id, epoch), false, changed.into_iter(), forgotten)
}

fn finish(
    sessions: &mut FetchSessions,
    id: i32,
    epoch: i32,
    outcomes: &[(i32, Outcome)],
) -> Result<Vec<bool>, SessionError> {
    let topic = SessionTopic::Name("t".into());
    sessions.finish((id, epoch), outcomes.iter().map(|(index, outcome)| (&topic, *index, *outcome)))
}

fn indexes(partitions: &[FetchPartition]) -> Vec<i32> {
    partitions.iter().map(|p| p.partition).collect()
}

#[test]
fn incremental_requests_cover_the_whole_session_and_answer_only_changes() {
    let mut sessions = FetchSessions::new(10);
    assert_eq!(open(&mut sessions, 0, false, 3, 7), Some(7));
    let served = begin(&mut sessions, 7, 1, vec![partition(1, 5)], vec![]).unwrap();
    assert_eq!(indexes(&served), [0, 1, 2]);
    assert_eq!(served[1].params.fetch_offset, Offset(5));
    let with_records = Outcome { has_records: true, high_watermark: 9, ..QUIET };
    let sent = finish(&mut sessions, 7, 1, &[(0, with_records), (1, QUIET), (2, QUIET)]).unwrap();
    assert_eq!(sent, [true, false, false]);
    // The one that had records comes last now.
    assert_eq!(indexes(&begin(&mut sessions, 7, 2, vec![], vec![]).unwrap()), [1, 2, 0]);
}

#[test]
fn an_error_is_sent_and_so_is_its_end() {
    let mut sessions = FetchSessions::new(10);
    open(&mut sessions, 0, false, 1, 7);
    begin(&mut sessions, 7, 1, vec![], vec![]).unwrap();
    let failed = Outcome { has_error: true, high_watermark: -1, ..QUIET };
    assert_eq!(finish(&mut sessions, 7, 1, &[(0, failed)]).unwrap(), [true]);
    begin(&mut sessions, 7, 2, vec![], vec![]).unwrap();
    assert_eq!(finish(&mut sessions, 7, 2, &[(0, QUIET)]).unwrap(), [true]);
    begin(&mut sessions, 7, 3, vec![], vec![]).unwrap();
    assert_eq!(finish(&mut sessions, 7, 3, &[(0, QUIET)]).unwrap(), [false]);
}

#[test]
fn wrong_epoch_unknown_id_and_mixed_names_are_refused() {
    let mut sessions = FetchSessions::new(10);
    open(&mut sessions, 0, false, 1, 7);
    assert_eq!(begin(&mut sessions, 8, 1, vec![], vec![]), Err(SessionError::IdNotFound));
    assert_eq!(begin(&mut sessions, 7, 2, vec![], vec![]), Err(SessionError::InvalidEpoch));
    let mixed = sessions.begin(1, (7, 1), true, std::iter::empty(), std::iter::empty());
    assert_eq!(mixed, Err(SessionError::TopicIdMismatch));
    // A request that was answered already cannot be answered again once the session has moved on.
    begin(&mut sessions, 7, 1, vec![], vec![]).unwrap();
    begin(&mut sessions, 7, 2, vec![], vec![]).unwrap();
    assert_eq!(finish(&mut sessions, 7, 1, &[(0, QUIET)]), Err(SessionError::InvalidEpoch));
}

#[test]
fn forgetting_every_partition_ends_the_session() {
    let mut sessions = FetchSessions::new(10);
    open(&mut sessions, 0, false, 2, 7);
    assert_eq!(begin(&mut sessions, 7, 1, vec![], vec![0, 1]), Ok(vec![]));
    assert!(sessions.is_empty());
}

#[test]
fn the_epoch_wraps_to_one() {
    assert_eq!(next_epoch(i32::MAX), 1);
    assert_eq!(next_epoch(INITIAL_EPOCH), 1);
}

#[test]
fn a_full_cache_gives_way_to_followers_and_drops_what_is_stale() {
    let mut sessions = FetchSessions::new(2);
    open(&mut sessions, 0, false, 1, 1);
    open(&mut sessions, 10, false, 5, 2);
    assert_eq!(open(&mut sessions, 20, false, 9, 3), None, "young sessions stay against an equal");
    assert_eq!(open(&mut sessions, 20, true, 1, 4), Some(4), "a follower displaces the smallest consumer");
    assert_eq!(open(&mut sessions, 20 + EVICTION_MS, false, 1, 5), Some(5), "the one unused since 10 is stale");
    assert_eq!(sessions.evictions(), 2);
}
