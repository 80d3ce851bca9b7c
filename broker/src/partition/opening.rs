//! Which logs are still to be opened after a start, and whose turn it is: whoever is asked for comes first.
//!
//! A start lists its partitions here, serves at once, and a few threads open them (`recovery.rs`). One that is asked
//! for meanwhile goes to the front, so that a client waits for its own partition and not for ten thousand others.
//! Invariant: a log is opened by one thread at a time; the controller, which may want one changed or deleted, takes its
//! turn like everybody. Bounded by the number of partitions: each is in here once. Used by `registry.rs` alone.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};

use logspine_protocol::types::TopicId;
use parking_lot::{Condvar, Mutex};

use super::registry::PartitionSpec;

pub(super) type Key = (TopicId, i32);

struct Waiting {
    spec: PartitionSpec,
    is_wanted: bool,
}

#[derive(Default)]
struct Queue {
    waiting: HashMap<Key, Waiting>,
    /// In the order of the start; some were taken out of turn.
    order: VecDeque<Key>,
    /// Somebody asked for these.
    wanted: VecDeque<Key>,
    under_way: HashSet<Key>,
}

impl Queue {
    fn len(&self) -> usize {
        self.waiting.len() + self.under_way.len()
    }

    fn holds(&self, key: Key) -> bool {
        self.waiting.contains_key(&key) || self.under_way.contains(&key)
    }

    fn take(&mut self, key: Key) -> Option<PartitionSpec> {
        let waiting = self.waiting.remove(&key)?;
        self.under_way.insert(key);
        Some(waiting.spec)
    }
}

#[derive(Default)]
pub(super) struct Opening {
    queue: Mutex<Queue>,
    ended: Condvar,
    /// How many are not open yet; read by requests, so apart from the lock.
    left: AtomicUsize,
}

impl Opening {
    pub fn expect(&self, specs: Vec<PartitionSpec>) {
        let mut queue = self.queue.lock();
        for spec in specs {
            let key = (spec.topic_id, spec.index);
            queue.order.push_back(key);
            queue.waiting.insert(key, Waiting { spec, is_wanted: false });
        }
        self.left.store(queue.len(), Ordering::Release);
    }

    /// Whether the log is still to be opened, or is being opened.
    pub fn holds(&self, key: Key) -> bool {
        !self.is_empty() && self.queue.lock().holds(key)
    }

    /// The same from somebody who wants it: it is the next one.
    pub fn want(&self, key: Key) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut queue = self.queue.lock();
        let Some(waiting) = queue.waiting.get_mut(&key) else { return queue.under_way.contains(&key) };
        if !std::mem::replace(&mut waiting.is_wanted, true) {
            queue.wanted.push_back(key);
        }
        true
    }

    /// The next one, which the caller opens; `end` follows.
    pub fn next(&self) -> Option<PartitionSpec> {
        let mut queue = self.queue.lock();
        while let Some(key) = queue.wanted.pop_front().or_else(|| queue.order.pop_front()) {
            if let Some(spec) = queue.take(key) {
                return Some(spec);
            }
        }
        None
    }

    /// The same among the partitions of one topic.
    pub fn next_of(&self, topic_id: TopicId) -> Option<PartitionSpec> {
        let mut queue = self.queue.lock();
        let key = *queue.waiting.keys().find(|(id, _)| *id == topic_id)?;
        queue.take(key)
    }

    /// Waits until nobody opens this log, and takes it over, queued or not; `end` follows.
    pub fn claim(&self, key: Key) {
        let mut queue = self.queue.lock();
        self.ended.wait_while(&mut queue, |queue| queue.under_way.contains(&key));
        queue.waiting.remove(&key);
        queue.under_way.insert(key);
        self.left.store(queue.len(), Ordering::Release);
    }

    /// Waits until none of this topic's logs is being opened.
    pub fn wait_for(&self, topic_id: TopicId) {
        let mut queue = self.queue.lock();
        self.ended.wait_while(&mut queue, |queue| queue.under_way.iter().any(|(id, _)| *id == topic_id));
    }

    /// The log is open, or cannot be.
    pub fn end(&self, key: Key) {
        let mut queue = self.queue.lock();
        queue.under_way.remove(&key);
        self.left.store(queue.len(), Ordering::Release);
        drop(queue);
        self.ended.notify_all();
    }

    /// How many are not open yet.
    pub fn len(&self) -> usize {
        self.left.load(Ordering::Acquire)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use logspine_cluster::metadata::MetadataImage;
    use logspine_cluster::metadata::configs::ConfigMap;
    use logspine_protocol::types::{BrokerId, LeaderEpoch};
    use logspine_replica::LeaderWord;

    use super::*;

    const TOPIC: TopicId = TopicId([1; 16]);

    fn opening(partitions: i32) -> Opening {
        let opening = Opening::default();
        let (image, file) = (MetadataImage::default(), ConfigMap::default());
        let config = Arc::new(image.topic_config("t", BrokerId(0), &file));
        let spec = |index| PartitionSpec {
            topic: "t".into(),
            topic_id: TOPIC,
            index,
            config: Arc::clone(&config),
            leader: LeaderWord {
                leader_epoch: LeaderEpoch(0),
                partition_epoch: 0,
                replicas: Vec::new(),
                isr: Vec::new(),
                min_insync_replicas: 1,
                lag_time_max_ms: 0,
            },
        };
        opening.expect((0..partitions).map(spec).collect());
        opening
    }

    fn next(opening: &Opening) -> Option<i32> {
        opening.next().map(|spec| spec.index)
    }

    #[test]
    fn who_is_asked_for_comes_first_and_once() {
        let opening = opening(4);
        assert!(opening.want((TOPIC, 3)) && opening.want((TOPIC, 3)) && opening.want((TOPIC, 1)));
        assert!(!opening.want((TOPIC, 4)), "nobody expects it");
        let order: Vec<_> = std::iter::from_fn(|| next(&opening)).collect();
        assert_eq!(order, [3, 1, 0, 2]);
    }

    #[test]
    fn a_log_counts_as_opening_until_it_is_open() {
        let opening = opening(1);
        assert_eq!(next(&opening), Some(0));
        assert!(opening.want((TOPIC, 0)));
        assert_eq!(opening.len(), 1);
        opening.end((TOPIC, 0));
        assert!(!opening.want((TOPIC, 0)));
        assert_eq!(opening.len(), 0);
    }

    #[test]
    fn a_log_that_is_being_opened_is_waited_for_and_never_opened_twice() {
        let opening = opening(2);
        assert_eq!(next(&opening), Some(0));
        std::thread::scope(|scope| {
            let claims = scope.spawn(|| opening.claim((TOPIC, 0)));
            let waits = scope.spawn(|| opening.wait_for(TOPIC));
            assert!(!claims.is_finished() && !waits.is_finished());
            opening.end((TOPIC, 0));
            claims.join().unwrap();
            opening.end((TOPIC, 0));
            waits.join().unwrap();
        });
        opening.claim((TOPIC, 1));
        assert_eq!(next(&opening), None, "it was taken out of turn");
    }
}
