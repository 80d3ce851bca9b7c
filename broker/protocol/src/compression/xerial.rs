//! Snappy as Kafka's Java client frames it: xerial's header, then blocks of a big-endian length and raw snappy.
//!
//! Raw snappy without framing is accepted on read (detected by the magic). Blocks hold 32 KiB of input, which
//! is what snappy-java writes. The cap is checked against each block's declared length before it is decoded.

use super::{Codec, CompressionError};

const MAGIC: &[u8; 8] = b"\x82SNAPPY\x00";
const HEADER_LEN: usize = 16;
const BLOCK_BYTES: usize = 32 << 10;

pub(super) fn compress(input: &[u8]) -> Result<Vec<u8>, snap::Error> {
    let mut output = Vec::with_capacity(input.len() / 2);
    output.extend_from_slice(MAGIC);
    output.extend_from_slice(&1_i32.to_be_bytes());
    output.extend_from_slice(&1_i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in input.chunks(BLOCK_BYTES) {
        let packed = encoder.compress_vec(block)?;
        output.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        output.extend_from_slice(&packed);
    }
    Ok(output)
}

pub(super) fn decompress(input: &[u8], bytes_max: usize) -> Result<Vec<u8>, CompressionError> {
    let mut output = Vec::new();
    if !input.starts_with(MAGIC) {
        block(input, bytes_max, &mut output)?;
        return Ok(output);
    }
    let cut = || Codec::Snappy.malformed("a block is cut");
    let mut rest = input.get(HEADER_LEN..).ok_or_else(cut)?;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (packed, after) = after.split_at_checked(length).ok_or_else(cut)?;
        block(packed, bytes_max, &mut output)?;
        rest = after;
    }
    Ok(output)
}

fn block(packed: &[u8], bytes_max: usize, output: &mut Vec<u8>) -> Result<(), CompressionError> {
    let length = snap::raw::decompress_len(packed).map_err(|e| Codec::Snappy.malformed(e))?;
    let start = output.len();
    let end = start.saturating_add(length);
    if end > bytes_max {
        return Err(CompressionError::TooLarge { codec: Codec::Snappy.name(), bytes_max });
    }
    output.resize(end, 0);
    let target = output.get_mut(start..).unwrap_or_default();
    snap::raw::Decoder::new().decompress(packed, target).map_err(|e| Codec::Snappy.malformed(e))?;
    Ok(())
}
