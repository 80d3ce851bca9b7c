//! Committed values with the writes that are on their way laid over them.
//!
//! A key may have several writes in flight; the latest wins until they are all committed. Commits come in the
//! order of the writes; when writes are lost, all are forgotten and the survivors staged again. Used for
//! offsets and for group metadata.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

#[derive(Debug)]
pub(super) struct Overlay<K, V> {
    committed: BTreeMap<K, V>,
    staged: BTreeMap<K, Staged<V>>,
}

#[derive(Debug)]
struct Staged<V> {
    in_flight: usize,
    /// `None` removes the key.
    latest: Option<V>,
}

impl<K, V> Default for Overlay<K, V> {
    fn default() -> Self {
        Overlay { committed: BTreeMap::new(), staged: BTreeMap::new() }
    }
}

impl<K: Ord + Clone, V: Clone> Overlay<K, V> {
    /// A write was appended but is not committed yet.
    pub(super) fn stage(&mut self, key: &K, value: Option<&V>) {
        let staged = self.staged.entry(key.clone()).or_insert(Staged { in_flight: 0, latest: None });
        staged.in_flight += 1;
        staged.latest = value.cloned();
    }

    /// A write is committed: the oldest one in flight for its key, or one read back at load.
    pub(super) fn commit(&mut self, key: &K, value: Option<&V>) {
        if let Some(staged) = self.staged.get_mut(key) {
            staged.in_flight -= 1;
            if staged.in_flight == 0 {
                self.staged.remove(key);
            }
        }
        match value {
            Some(value) => {
                self.committed.insert(key.clone(), value.clone());
            }
            None => {
                self.committed.remove(key);
            }
        }
    }

    /// Forgets every write in flight.
    pub(super) fn abandon(&mut self) {
        self.staged.clear();
    }

    pub(super) fn committed(&self) -> &BTreeMap<K, V> {
        &self.committed
    }

    pub(super) fn is_staged(&self, key: &K) -> bool {
        self.staged.contains_key(key)
    }

    /// Whether the last write in flight removes the key.
    pub(super) fn is_being_removed(&self, key: &K) -> bool {
        self.staged.get(key).is_some_and(|staged| staged.latest.is_none())
    }

    pub(super) fn staged_within(&self, range: RangeInclusive<K>) -> bool {
        self.staged.range(range).next().is_some()
    }

    /// The value as it will be once everything in flight is committed.
    pub(super) fn latest(&self, key: &K) -> Option<&V> {
        match self.staged.get(key) {
            Some(staged) => staged.latest.as_ref(),
            None => self.committed.get(key),
        }
    }

    /// Keys and values of a range as they will be once everything in flight is committed, in key order.
    pub(super) fn latest_within(&self, range: RangeInclusive<K>) -> BTreeMap<&K, &V> {
        let mut latest: BTreeMap<&K, &V> = self.committed.range(range.clone()).collect();
        for (key, staged) in self.staged.range(range) {
            match &staged.latest {
                Some(value) => latest.insert(key, value),
                None => latest.remove(key),
            };
        }
        latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_write_in_flight_hides_what_is_committed() {
        let mut overlay = Overlay::default();
        overlay.commit(&1, Some(&"old"));
        overlay.stage(&1, Some(&"new"));
        overlay.stage(&1, None);
        assert_eq!(overlay.latest(&1), None);
        overlay.commit(&1, Some(&"new"));
        assert_eq!((overlay.latest(&1), overlay.committed().get(&1)), (None, Some(&"new")));
        overlay.commit(&1, None);
        assert!(!overlay.is_staged(&1) && overlay.committed().is_empty());
    }

    #[test]
    fn abandoned_writes_leave_what_is_committed() {
        let mut overlay = Overlay::default();
        overlay.commit(&1, Some(&"kept"));
        overlay.stage(&1, Some(&"lost"));
        overlay.stage(&2, Some(&"lost"));
        overlay.abandon();
        assert_eq!((overlay.latest(&1), overlay.latest(&2)), (Some(&"kept"), None));
    }

    #[test]
    fn a_range_shows_both_layers_as_one() {
        let mut overlay = Overlay::default();
        overlay.commit(&1, Some(&"a"));
        overlay.commit(&2, Some(&"b"));
        overlay.stage(&2, None);
        overlay.stage(&3, Some(&"c"));
        let seen: Vec<_> = overlay.latest_within(1..=3).into_iter().collect();
        assert_eq!(seen, [(&1, &"a"), (&3, &"c")]);
    }
}
