//! A partition that a request names more than once: found without cost where it never happens.
//!
//! Kafka reads partitions into maps: in Produce, Fetch and DeleteRecords the last mention counts and there is one
//! answer; ListOffsets refuses such a partition. Requests name few partitions, which are compared with each other
//! without an allocation; many are hashed, so that a hostile request costs no square of its length.

use std::collections::HashMap;
use std::hash::Hash;

/// Up to here each is compared with each.
const COMPARED_MAX: usize = 16;

/// For each key whether it comes again later. `None`: none does.
pub fn named_again_later<K: Eq + Hash>(keys: impl Iterator<Item = K> + Clone) -> Option<Vec<bool>> {
    let count = keys.clone().count();
    if count < 2 || (count <= COMPARED_MAX && are_distinct(keys.clone())) {
        return None;
    }
    let mut last = HashMap::with_capacity(count);
    let mut again = vec![false; count];
    for (position, key) in keys.enumerate() {
        if let Some(before) = last.insert(key, position) {
            again[before] = true;
        }
    }
    again.contains(&true).then_some(again)
}

fn are_distinct<K: Eq>(keys: impl Iterator<Item = K> + Clone) -> bool {
    let mut rest = keys;
    while let Some(key) = rest.next() {
        if rest.clone().any(|other| other == key) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_last_of_the_same_are_named_again_later() {
        assert_eq!(named_again_later([3, 1, 3, 3].iter()), Some(vec![true, false, true, false]));
        assert_eq!(named_again_later([3, 1, 2].iter()), None);
        assert_eq!(named_again_later([7].iter()), None);
        assert_eq!(named_again_later(std::iter::empty::<u8>()), None);
    }

    #[test]
    fn few_and_many_are_judged_alike() {
        for count in [COMPARED_MAX, COMPARED_MAX + 1, 10_000] {
            assert_eq!(named_again_later(0..count), None);
            let again = named_again_later((0..count - 1).chain([0])).unwrap();
            assert!(again[0] && again[1..].iter().all(|again| !again));
        }
    }
}
