//! Any bytes as any message in any version: no panic, and no memory that was not charged to the budget.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logspine_protocol::frame::RequestHeader;
use logspine_protocol::wire::Reader;
use logspine_protocol_fuzz::{allocated_bytes, choose, planted};

fuzz_target!(|data: &[u8]| {
    let _ = RequestHeader::decode(&mut Reader::new(data));
    let Some((name, codec, version, body)) = choose(data) else { return };
    let mut r = Reader::new(body);
    let (budget, before) = (r.budget_left(), allocated_bytes());
    let _ = (codec.decode)(&mut r, version);
    if let (true, Some(count)) = (planted(), body.first_chunk()) {
        // The planted mistake: memory on a peer's word.
        drop(std::hint::black_box(Vec::<u8>::with_capacity(usize::from(u16::from_be_bytes(*count)))));
    }
    let (allocated, charged) = (allocated_bytes() - before, budget - r.budget_left());
    assert!(allocated <= charged, "{name} {version}: {allocated} bytes allocated, {charged} charged");
});
