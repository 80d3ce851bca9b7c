//! Zigzag varints as records use them: up to 5 bytes for 32 bits, up to 10 for 64.
//!
//! Readers take from the front of a slice and leave it alone on failure. Kafka: `ByteUtils.readVarint`.

/// Reads a zigzag 64-bit varint; `None` if it is cut or longer than 10 bytes.
pub(super) fn read_varlong(input: &mut &[u8]) -> Option<i64> {
    // Nearly every number of a record fits into one byte.
    if let Some((&byte, rest)) = input.split_first()
        && byte < 0x80
    {
        *input = rest;
        return Some(i64::from(byte >> 1) ^ i64::from(byte & 1).wrapping_neg());
    }
    let mut raw: u64 = 0;
    for (index, byte) in input.iter().copied().enumerate().take(10) {
        let shift = u32::try_from(index).ok()?.saturating_mul(7);
        raw |= u64::from(byte & 0x7f).wrapping_shl(shift);
        if byte & 0x80 == 0 {
            *input = input.get(index.saturating_add(1)..)?;
            return Some((raw >> 1) as i64 ^ ((raw & 1) as i64).wrapping_neg());
        }
    }
    None
}

/// Reads a zigzag 32-bit varint; `None` if it is cut or does not fit.
pub(super) fn read_varint(input: &mut &[u8]) -> Option<i32> {
    let mut rest = *input;
    let value = i32::try_from(read_varlong(&mut rest)?).ok()?;
    *input = rest;
    Some(value)
}

/// Appends a zigzag varint of 32 or 64 bits.
pub(super) fn write_varlong(output: &mut Vec<u8>, value: i64) {
    let mut raw = (value.wrapping_shl(1) ^ (value >> 63)) as u64;
    while raw > 0x7f {
        output.push((raw as u8 & 0x7f) | 0x80);
        raw >>= 7;
    }
    output.push(raw as u8);
}

#[cfg(test)]
mod tests {
    use super::{read_varint, read_varlong, write_varlong};

    #[test]
    fn a_number_of_every_length_comes_back_and_a_cut_one_is_left_alone() {
        for bits in 0..64 {
            for value in [1_i64 << bits, (1_i64 << bits).wrapping_neg(), (1_i64 << bits).wrapping_sub(1)] {
                let mut written = Vec::new();
                write_varlong(&mut written, value);
                for cut in 0..written.len() {
                    let mut input = &written[..cut];
                    assert_eq!((read_varlong(&mut input), input.len()), (None, cut), "{value} cut at {cut}");
                }
                written.push(0xff);
                let (mut wide, mut narrow) = (&written[..], &written[..]);
                assert_eq!((read_varlong(&mut wide), wide), (Some(value), &[0xff][..]));
                assert_eq!(read_varint(&mut narrow), i32::try_from(value).ok());
            }
        }
        assert_eq!(read_varlong(&mut &[0xff; 11][..]), None, "longer than any number");
    }
}
