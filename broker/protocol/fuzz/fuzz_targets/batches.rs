//! Any bytes as a sequence of record batches: no panic, no endless loop, and a bounded amount of decompressed data.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logspine_protocol::batch::{
    RecordRules, TimestampType, TopicRules, admit, iter_batches, validate_produced,
};
use logspine_protocol::compression::{Codec, Level};
use logspine_protocol_fuzz::planted;

/// How much one batch may decompress to.
const DECOMPRESSED_BYTES_MAX: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    if let Ok(batch) = validate_produced(data) {
        let rules = TopicRules {
            records: RecordRules { needs_keys: false, window: None },
            timestamp_type: TimestampType::CreateTime,
            codec: Some((Codec::None, Level::DEFAULT)),
            is_strict: true,
        };
        if let Ok(admitted) = admit(&batch, &rules, DECOMPRESSED_BYTES_MAX) {
            let kept = validate_produced(&admitted).expect("what is admitted is valid");
            let records = kept.records_capped(DECOMPRESSED_BYTES_MAX * 2).expect("it is not compressed");
            assert!(records.iter().all(|record| record.is_ok()), "what is admitted can be read");
        }
    }
    // The planted mistake: bytes are counted twice.
    let mut taken = if planted() { data.len() } else { 0 };
    for batch in iter_batches(data) {
        let Ok(batch) = batch else { return };
        assert!(!batch.bytes().is_empty(), "an empty batch would never end");
        taken += batch.bytes().len();
        assert!(taken <= data.len(), "batches overlap");
        let _ = batch.verify_crc();
        let Ok(records) = batch.records_capped(DECOMPRESSED_BYTES_MAX) else { continue };
        assert!(records.data().len() <= DECOMPRESSED_BYTES_MAX.max(data.len()));
        let mut count = 0_usize;
        for record in records.iter() {
            let Ok(record) = record else { break };
            count += 1;
            assert!(count <= records.data().len(), "a record takes at least a byte");
            std::hint::black_box(record);
        }
    }
});
