//! Any bytes as a record of an internal topic: framed keys, values and metadata records come back as they were read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logspine_protocol::records::group::{GroupKey, GroupValue};
use logspine_protocol::records::metadata::MetadataRecord;
use logspine_protocol::records::transaction::{TransactionKey, TransactionValue};
use logspine_protocol_fuzz::planted;

fuzz_target!(|data: &[u8]| {
    if let Ok(key) = GroupKey::decode(data) {
        let mut bytes = key.encode().expect("what decodes in version 0 encodes in it");
        if let (true, Some(last)) = (planted(), bytes.last_mut()) {
            // The planted mistake: one bit wrong.
            *last ^= 1;
        }
        assert_eq!(GroupKey::decode(&bytes), Ok(key));
    }
    if let Ok(key) = TransactionKey::decode(data) {
        let bytes = key.encode().expect("what decodes in version 0 encodes in it");
        assert_eq!(TransactionKey::decode(&bytes), Ok(key));
    }
    let [record_type, value @ ..] = data else { return };
    let version = value.first_chunk().map_or(0, |version| i16::from_be_bytes(*version));
    if let Ok(decoded) = GroupValue::decode(i16::from(*record_type), value) {
        let bytes = decoded.encode(version).expect("what decodes in a version encodes in it");
        assert_eq!(GroupValue::decode(i16::from(*record_type), &bytes), Ok(decoded));
    }
    let _ = TransactionValue::decode(i16::from(*record_type), value);
    // Floats may be NaN there, which equals nothing: bytes are compared.
    if let Ok(record) = MetadataRecord::decode(data) {
        let [_, _, version, ..] = data else { return };
        let Ok(bytes) = record.encode(i16::from(*version)) else { return };
        let again = MetadataRecord::decode(&bytes).expect("what was encoded decodes");
        assert_eq!(again.encode(i16::from(*version)), Ok(bytes));
    }
});
