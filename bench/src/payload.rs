//! The batch that is sent again and again: records of one size, a batch of an exact size, compressible on demand.
//!
//! Invariants: uncompressed batches are exactly as long as asked for, so that positions can be computed from byte
//! counts; compressed ones hold records whose bytes shrink to about a quarter. Called by the load's setup.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use logspine_protocol::batch::BatchBuilder;
use logspine_protocol::compression::Codec;

/// What a batch looks like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub record_bytes: usize,
    /// Of the batch before compression; ignored when `records` is given.
    pub batch_bytes: usize,
    /// Exactly that many records, whatever the size.
    pub records: Option<u32>,
    pub codec: Codec,
}

/// A batch that is ready to be sent.
#[derive(Debug, Clone)]
pub struct Payload {
    pub batch: Vec<u8>,
    pub records: u32,
}

impl Shape {
    pub fn build(self) -> anyhow::Result<Payload> {
        let mut noise = Noise(0x5eed);
        let mut builder = BatchBuilder::new(self.codec);
        let now_ms = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
        let mut append = |builder: &mut BatchBuilder, length: usize| {
            builder.append(now_ms, None, Some(&noise.value(length)), &[]);
        };
        match self.records {
            Some(records) => (0..records).for_each(|_| append(&mut builder, self.record_bytes)),
            None => {
                let mut last = BatchBuilder::new(Codec::None);
                last.append(now_ms, None, Some(&vec![0; self.record_bytes]), &[]);
                // Ten bytes more than the first record takes: later offsets need longer varints.
                let record_len_max =
                    last.estimated_len() - BatchBuilder::new(Codec::None).estimated_len() + 10;
                ensure!(
                    self.batch_bytes >= last.estimated_len(),
                    "a batch of {} bytes cannot hold a record of {}",
                    self.batch_bytes,
                    self.record_bytes
                );
                while builder.estimated_len() + 2 * record_len_max <= self.batch_bytes {
                    append(&mut builder, self.record_bytes);
                }
                let length = filling(&builder, now_ms, self.batch_bytes);
                append(&mut builder, length);
            }
        }
        let records = u32::try_from(builder.record_count())?;
        Ok(Payload { batch: builder.build(), records })
    }
}

/// How long the last record must be for the batch to have exactly `batch_bytes`, or one or two less where no
/// length gives that (a varint grows).
fn filling(builder: &BatchBuilder, now_ms: i64, batch_bytes: usize) -> usize {
    let fits = |length: &usize| {
        let mut whole = builder.clone();
        whole.append(now_ms, None, Some(&vec![0; *length]), &[]);
        whole.estimated_len() <= batch_bytes
    };
    let room = batch_bytes - builder.estimated_len();
    (0..=room).rev().find(fits).unwrap_or(0)
}

/// Bytes of which three quarters repeat: LZ4 and zstd make about a quarter of them.
struct Noise(u64);

impl Noise {
    fn value(&mut self, length: usize) -> Vec<u8> {
        const PERIOD: usize = 64;
        let mut value = vec![b'.'; length];
        for chunk in value.chunks_mut(PERIOD) {
            for byte in chunk.iter_mut().take(PERIOD / 4) {
                *byte = self.next();
            }
        }
        value
    }

    /// Xorshift: the same bytes in every run.
    fn next(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logspine_protocol::batch::validate_produced;

    fn shape(record_bytes: usize, batch_bytes: usize, codec: Codec) -> Shape {
        Shape { record_bytes, batch_bytes, records: None, codec }
    }

    #[test]
    fn a_batch_has_exactly_the_size_asked_for_and_a_valid_checksum() {
        for (record_bytes, batch_bytes) in [(1024, 65_536), (100, 16_384), (1024, 1 << 20), (10, 4096)] {
            let payload = shape(record_bytes, batch_bytes, Codec::None).build().expect("a batch");
            assert_eq!(payload.batch.len(), batch_bytes);
            let batch = validate_produced(&payload.batch).expect("the broker takes it");
            assert_eq!(batch.header().record_count(), payload.records.cast_signed());
        }
    }

    #[test]
    fn one_record_a_batch_can_be_asked_for() {
        let payload = Shape { records: Some(1), ..shape(100, 0, Codec::None) }.build().expect("a batch");
        assert_eq!(payload.records, 1);
    }

    #[test]
    fn compressed_batches_are_about_a_quarter() {
        for codec in [Codec::Lz4, Codec::Zstd] {
            let payload = shape(1024, 65_536, codec).build().expect("a batch");
            let ratio = 65_536.0 / payload.batch.len() as f64;
            assert!((3.0..4.8).contains(&ratio), "{codec:?}: {ratio:.2}");
        }
    }

    #[test]
    fn a_batch_smaller_than_its_record_is_refused() {
        assert!(shape(1024, 512, Codec::None).build().is_err());
    }
}
