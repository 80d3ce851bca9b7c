//! Unique tails for member ids.
//!
//! The standard library's hasher keys come from the system's random source, once per thread, and differ from
//! call to call; hashing with two of them gives 128 bits that do not repeat in practice.

use std::hash::{BuildHasher, RandomState};

/// 128 random bits.
fn random_bytes() -> [u8; 16] {
    let half = |salt: u8| RandomState::new().hash_one(salt).to_be_bytes();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&half(0));
    bytes[8..].copy_from_slice(&half(1));
    bytes
}

/// A version 4 UUID as text, the tail of new member ids, as in Kafka.
pub fn random_uuid() -> String {
    let mut bytes = random_bytes();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn uuids_have_their_shape_and_do_not_repeat() {
        let uuids: HashSet<String> = (0..1_000).map(|_| random_uuid()).collect();
        assert_eq!(uuids.len(), 1_000);
        for uuid in uuids {
            let groups: Vec<usize> = uuid.split('-').map(str::len).collect();
            assert_eq!(groups, [8, 4, 4, 4, 12]);
            assert_eq!(&uuid[14..15], "4");
            assert!("89ab".contains(&uuid[19..20]));
        }
    }
}
