//! The last offset of each key, in memory of a size that is fixed beforehand: 24 bytes a key, whatever its length.
//!
//! A key is known by 128 bits of two SipHashes with random secrets, so that nobody can prepare keys that collide, as
//! is possible for Kafka's MD5; of two keys that did, one to 2^128 for any pair, only the newer record would stay.
//! A table with open addressing that never grows: when it is full, the cleaner stops there and a later pass
//! goes on. Kafka: `SkimpyOffsetMap`.

use std::hash::{BuildHasher, Hasher, RandomState};

use logspine_protocol::types::Offset;

use super::KeyMemory;

/// Bytes of an entry.
const ENTRY_BYTES: u64 = 24;

/// A hash of 128 bits, and an offset plus one; all zero is a free slot, which costs no memory until it is touched.
type Entry = [u64; 3];

/// Last offsets by key.
#[derive(Debug)]
pub(super) struct KeyMap {
    secrets: [RandomState; 2],
    slots: Vec<Entry>,
    len: usize,
    len_max: usize,
    latest: Offset,
}

impl KeyMap {
    /// A map within `memory`, and no larger than `records` records can need.
    pub fn new(memory: KeyMemory, records: u64) -> KeyMap {
        let load_factor = memory.load_factor.clamp(0.1, 0.99);
        let needed = (records as f64 / load_factor).ceil() as u64 + 1;
        let slots = (memory.bytes / ENTRY_BYTES).min(needed).max(2);
        KeyMap {
            secrets: [RandomState::new(), RandomState::new()],
            slots: vec![[0; 3]; slots as usize],
            len: 0,
            // One slot stays free, so that every search ends.
            len_max: ((slots as f64 * load_factor) as usize).clamp(1, slots as usize - 1),
            latest: Offset(-1),
        }
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        [0, 1].map(|half| {
            let mut hasher = self.secrets[half].build_hasher();
            hasher.write(key);
            hasher.finish()
        })
    }

    /// Where a key is, or would be.
    fn slot(&self, [high, low]: [u64; 2]) -> usize {
        let slots = self.slots.len();
        let mut slot = ((u128::from(high) * slots as u128) >> 64) as usize;
        while self.slots[slot][2] != 0 && self.slots[slot][..2] != [high, low] {
            slot = if slot + 1 == slots { 0 } else { slot + 1 };
        }
        slot
    }

    /// Notes that the newest record of `key` is at `offset`. False: the map is full and does not know.
    pub fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hash(key);
        let slot = self.slot(hash);
        if self.slots[slot][2] == 0 {
            if self.len == self.len_max {
                return false;
            }
            self.len += 1;
        }
        self.slots[slot] = [hash[0], hash[1], offset.0 as u64 + 1];
        self.latest = offset;
        true
    }

    /// The last offset of a key, if it occurred.
    pub fn get(&self, key: &[u8]) -> Option<Offset> {
        let entry = self.slots[self.slot(self.hash(key))][2];
        entry.checked_sub(1).map(|offset| Offset(offset as i64))
    }

    /// Everything up to here was considered.
    pub fn latest(&self) -> Offset {
        self.latest
    }

    /// All records up to `offset` are in the map, the gaps between them included.
    pub fn considered(&mut self, offset: Offset) {
        self.latest = self.latest.max(offset);
    }

    /// Keys that it holds.
    pub fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(bytes: u64) -> KeyMemory {
        KeyMemory { bytes, load_factor: 0.9 }
    }

    #[test]
    fn the_last_offset_of_each_key_is_found_up_to_the_last_slot() {
        let mut map = KeyMap::new(memory(24 * 1_000), u64::MAX >> 12);
        for n in 0..899_i64 {
            assert!(map.put(format!("key-{n}").as_bytes(), Offset(n)), "{n}");
            assert!(map.put(b"", Offset(n)), "the empty key is a key");
        }
        assert!(!map.put(b"one more", Offset(900)));
        assert_eq!((map.len(), map.latest()), (900, Offset(898)));
        assert!(map.put(b"key-3", Offset(1_000)), "a known key needs no room");
        assert_eq!(map.get(b"key-3"), Some(Offset(1_000)));
        assert_eq!(map.get(b"key-5"), Some(Offset(5)));
        assert_eq!(map.get(b""), Some(Offset(898)));
        assert_eq!(map.get(b"one more"), None);
    }

    #[test]
    fn it_takes_no_more_memory_than_allowed_nor_than_needed() {
        assert_eq!(KeyMap::new(memory(1 << 20), 1 << 40).slots.len(), (1 << 20) / 24);
        assert_eq!(KeyMap::new(memory(1 << 20), 9).slots.len(), 11);
        let mut tiny = KeyMap::new(memory(0), 1 << 40);
        assert!(tiny.put(b"a", Offset(0)) && !tiny.put(b"b", Offset(1)), "one key always fits");
        assert_eq!(tiny.get(b"b"), None);
    }
}
