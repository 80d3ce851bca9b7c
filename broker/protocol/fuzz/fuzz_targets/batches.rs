//! Any bytes as a sequence of record batches: no panic, no endless loop, and a bounded amount of decompressed data.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logspine_protocol::batch::{iter_batches, validate_produced};
use logspine_protocol_fuzz::planted;

/// How much one batch may decompress to.
const DECOMPRESSED_BYTES_MAX: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let _ = validate_produced(data);
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
