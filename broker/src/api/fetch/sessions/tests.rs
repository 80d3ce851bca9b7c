//! Sessions as a client and a broker live through them.

use logspine_protocol::batch::BatchBuilder;
use logspine_protocol::compression::Codec;
use logspine_protocol::types::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use logspine_storage::{Disk, Log, LogConfig, LogSlice, OpenLog, RealDisk};

use super::*;

fn wanted(partition: i32, fetch_offset: i64) -> Wanted {
    Wanted {
        topic: TopicKey::Name("t".into()),
        partition,
        fetch_offset,
        bytes_max: 1 << 20,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
    }
}

fn nothing_new(high_watermark: i64) -> PartitionRead {
    PartitionRead {
        error: ErrorCode::None,
        high_watermark,
        log_start_offset: 0,
        last_stable_offset: high_watermark,
        slice: None,
        aborted: Vec::new(),
        diverging: None,
    }
}

/// Some records.
fn slice() -> LogSlice {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let open = OpenLog {
        disk,
        dir: dir.path().join("t-0"),
        topic: "t".to_owned(),
        topic_id: TopicId([9; 16]),
        partition: PartitionIndex(0),
        config: LogConfig::default(),
        recovery_point: Offset(0),
        log_start: Offset(0),
        clean: false,
        now_ms: 0,
    };
    let mut log = Log::open(open).unwrap().0;
    let mut batch = BatchBuilder::new(Codec::None);
    batch.append(0, None, Some(b"value"), &[]);
    log.append_as_leader(&batch.build(), LeaderEpoch(0), 0).unwrap();
    log.reader().read(Offset(0), Offset(1), 1 << 20, true).unwrap()
}

fn target(wanted: Wanted, read: PartitionRead) -> Target {
    Target { read, ..Target::new(wanted) }
}

/// Partition 0 at offset 5 and partition 1 at offset 7, with these watermarks.
fn two(first: i64, second: i64) -> [Target; 2] {
    [target(wanted(0, 5), nothing_new(first)), target(wanted(1, 7), nothing_new(second))]
}

fn one() -> [Target; 1] {
    [target(wanted(0, 0), nothing_new(0))]
}

fn told<const N: usize>(cache: &FetchSessionCache, id: i32, mut targets: [Target; N]) -> [bool; N] {
    cache.note_sent(id, &mut targets);
    targets.map(|target| target.has_news)
}

fn continued(
    cache: &FetchSessionCache,
    id: i32,
    epoch: i32,
    named: Vec<Wanted>,
) -> Result<Vec<i32>, ErrorCode> {
    let named = named.into_iter();
    let continued = cache.continue_session(id, epoch, false, named, std::iter::empty(), Instant::now())?;
    Ok(continued.targets.iter().map(|target| target.wanted.partition).collect())
}

#[test]
fn an_idle_session_is_told_nothing_and_a_moved_watermark_is_told_once() {
    let cache = FetchSessionCache::new(10);
    let id = cache.open(&two(5, 7), false, Instant::now());
    assert!(id > 0);
    assert_eq!(continued(&cache, id, 1, vec![]).unwrap(), [0, 1]);
    assert_eq!(told(&cache, id, two(5, 7)), [false, false]);
    assert_eq!(told(&cache, id, two(5, 8)), [false, true]);
    assert_eq!(told(&cache, id, two(5, 8)), [false, false]);
}

#[test]
fn an_error_is_told_every_time_and_its_end_too() {
    let cache = FetchSessionCache::new(10);
    let id = cache.open(&one(), false, Instant::now());
    let failing = || {
        let read = PartitionRead {
            error: ErrorCode::KafkaStorageError,
            high_watermark: -1,
            log_start_offset: -1,
            ..nothing_new(-1)
        };
        [target(wanted(0, 0), read)]
    };
    assert_eq!(told(&cache, id, failing()), [true]);
    assert_eq!(told(&cache, id, failing()), [true]);
    assert_eq!(told(&cache, id, one()), [true]);
}

#[test]
fn a_wrong_epoch_and_an_unknown_session_are_refused() {
    let cache = FetchSessionCache::new(10);
    let id = cache.open(&one(), false, Instant::now());
    assert_eq!(continued(&cache, id, 2, vec![]), Err(ErrorCode::InvalidFetchSessionEpoch));
    assert_eq!(continued(&cache, id.wrapping_add(1), 1, vec![]), Err(ErrorCode::FetchSessionIdNotFound));
    assert_eq!(continued(&cache, id, 1, vec![wanted(3, 0)]).unwrap(), [0, 3]);
    assert_eq!(
        continued(&cache, id, 1, vec![]),
        Err(ErrorCode::InvalidFetchSessionEpoch),
        "the epoch went on"
    );
    let by_id = cache.continue_session(id, 2, true, std::iter::empty(), std::iter::empty(), Instant::now());
    assert_eq!(by_id.err(), Some(ErrorCode::FetchSessionTopicIdError));
}

#[test]
fn a_session_that_forgets_everything_is_closed() {
    let cache = FetchSessionCache::new(10);
    let id = cache.open(&two(5, 7), false, Instant::now());
    let forget = |epoch, partition| {
        let forgotten = std::iter::once((TopicKey::Name("t".into()), partition));
        cache
            .continue_session(id, epoch, false, std::iter::empty(), forgotten, Instant::now())
            .unwrap()
            .targets
    };
    assert_eq!(forget(1, 0).len(), 1);
    assert_eq!(forget(2, 1).len(), 0);
    assert!(cache.is_empty());
}

const SECOND: Duration = Duration::from_secs(1);

/// Whether a session is gone; asking does not use it.
fn is_gone(cache: &FetchSessionCache, id: i32) -> bool {
    !cache.sessions.lock().contains_key(&id)
}

/// Uses a session that was not used yet.
fn used_at(cache: &FetchSessionCache, id: i32, now: Instant) {
    cache.continue_session(id, 1, false, std::iter::empty(), std::iter::empty(), now).unwrap();
}

#[test]
fn a_full_cache_opens_no_session_until_one_has_been_idle_long_enough() {
    let cache = FetchSessionCache::new(1);
    let start = Instant::now();
    let first = cache.open(&one(), false, start);
    assert_eq!(cache.open(&two(0, 0), false, start + EVICTABLE_AFTER), 0, "larger, but the other is in use");
    let second = cache.open(&one(), false, start + EVICTABLE_AFTER + SECOND);
    assert!(second > 0 && is_gone(&cache, first));
}

#[test]
fn a_larger_session_takes_the_place_of_the_smallest_old_one() {
    let cache = FetchSessionCache::new(3);
    let start = Instant::now();
    let later = start + EVICTABLE_AFTER + SECOND;
    let (small, large) = (cache.open(&one(), false, start), cache.open(&two(0, 0), false, start));
    for id in [small, large] {
        used_at(&cache, id, later);
    }
    let young = cache.open(&one(), false, later);
    assert_eq!(cache.open(&one(), false, later), 0, "as small as the smallest");
    assert!(cache.open(&two(0, 0), false, later) > 0);
    assert!(is_gone(&cache, small) && !is_gone(&cache, large) && !is_gone(&cache, young));
    assert_eq!(cache.open(&two(0, 0), false, later), 0, "what is left is as large, or young");
}

#[test]
fn a_follower_takes_the_place_of_a_consumer_and_never_the_other_way_round() {
    let cache = FetchSessionCache::new(1);
    let start = Instant::now();
    let consumer = cache.open(&two(0, 0), false, start);
    let follower = cache.open(&one(), true, start);
    assert!(follower > 0 && is_gone(&cache, consumer));
    used_at(&cache, follower, start + EVICTABLE_AFTER + SECOND);
    assert_eq!(cache.open(&two(0, 0), false, start + EVICTABLE_AFTER + SECOND), 0);
}

#[test]
fn without_slots_there_are_no_sessions() {
    assert_eq!(FetchSessionCache::new(0).open(&one(), true, Instant::now()), 0);
}

#[test]
fn the_partition_that_was_served_goes_behind_the_others() {
    let cache = FetchSessionCache::new(1);
    let first = |partition| target(wanted(partition, 0), nothing_new(0));
    let id = cache.open(&[first(0), first(1), first(2)], false, Instant::now());
    let mut served = first(0);
    served.read.slice = Some(slice());
    cache.note_sent(id, &mut [served, first(1), first(2)]);
    assert_eq!(continued(&cache, id, 1, vec![]).unwrap(), [1, 2, 0]);
}

#[test]
fn a_slot_of_a_forgotten_partition_is_used_again_and_order_is_that_of_arrival() {
    let cache = FetchSessionCache::new(1);
    let id = cache.open(&two(5, 7), false, Instant::now());
    let key = |partition| (TopicKey::Name("t".into()), partition);
    let again = cache.continue_session(
        id,
        1,
        false,
        std::iter::once(wanted(4, 0)),
        std::iter::once(key(0)),
        Instant::now(),
    );
    let order =
        |found: Continued| found.targets.iter().map(|found| found.wanted.partition).collect::<Vec<_>>();
    assert_eq!(order(again.unwrap()), [1, 4]);
    assert_eq!(continued(&cache, id, 2, vec![wanted(0, 0)]).unwrap(), [1, 4, 0]);
    assert_eq!(cache.sessions.lock()[&id].entries.len(), 3, "slots are used again");
}
