//! Which partition a record goes to.
//!
//! A record with a key goes where Java's client would put it: murmur2 of the key, so that clients of any kind
//! agree (`BuiltInPartitioner.java`, `Utils.murmur2`). Records without a key stay on one partition for as long
//! as a batch takes, then move on (KIP-480, KIP-794): whole batches, and equal shares over time.

/// Kafka's variant of MurmurHash2, 32 bits, with its seed.
pub fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let mut hash = SEED ^ bytes.len() as u32;
    let (chunks, tail) = bytes.as_chunks::<4>();
    for chunk in chunks {
        let mut k = u32::from_le_bytes(*chunk).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        let mut last = [0; 4];
        last[..tail.len()].copy_from_slice(tail);
        hash = (hash ^ u32::from_le_bytes(last)).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// The partition of a key among this many, as Java's `toPositive(murmur2(key)) % partitions`.
pub fn partition_of_key(key: &[u8], partitions: i32) -> i32 {
    (murmur2(key) & 0x7fff_ffff) as i32 % partitions
}

/// Where records without a key go at the moment.
#[derive(Debug, Default)]
pub(crate) struct StickyPartition {
    partition: i32,
    bytes_there: usize,
}

impl StickyPartition {
    /// The partition for a record of this size; moves on once a batch's worth has gone to the last.
    pub(crate) fn next(&mut self, record_bytes: usize, batch_bytes: usize, partitions: i32) -> i32 {
        if self.bytes_there >= batch_bytes || self.partition >= partitions {
            self.partition = (self.partition + 1) % partitions;
            self.bytes_there = 0;
        }
        self.bytes_there += record_bytes;
        self.partition
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's UtilsTest.testMurmur2.
    #[test]
    fn murmur2_equals_kafkas() {
        let cases: [(&str, i32); 6] = [
            ("21", -973932308),
            ("foobar", -790332482),
            ("a-little-bit-long-string", -985981536),
            ("a-little-bit-longer-string", -1486304829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
            ("abc", 479470107),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn a_key_has_one_partition() {
        assert_eq!(partition_of_key(b"foobar", 10), ((-790332482_i32 & 0x7fff_ffff) % 10));
        assert_eq!(partition_of_key(b"", 1), 0);
    }

    #[test]
    fn records_without_a_key_move_on_after_a_batch() {
        let mut sticky = StickyPartition::default();
        let went: Vec<_> = (0..8).map(|_| sticky.next(50, 100, 3)).collect();
        assert_eq!(went, [0, 0, 1, 1, 2, 2, 0, 0]);
    }
}
