//! No bytes make a decoder panic, read beyond its input, or allocate more than its budget: for every API,
//! version and record schema.
//!
//! An allocator that counts is the judge of memory. Fuzz targets (`broker/protocol/fuzz`) look deeper; this runs
//! in seconds with every test run, and always the same.
#![allow(unsafe_code, reason = "an allocator that counts has to be one")]

mod oracle;

use logspine_protocol::messages::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
use logspine_protocol::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestTopic};
use logspine_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use logspine_protocol::wire::{DecodeError, Message, Reader, Records, Writer};
use oracle::codecs::{self, Codec};
use oracle::dice::Dice;
use oracle::schema_bytes::SchemaBytes;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Allocations and bytes of this thread since `counted` began.
    static COUNT: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| {
            let (calls, bytes) = count.get();
            count.set((calls + 1, bytes + layout.size()));
        });
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `f` and says how many allocations it made, of how many bytes.
fn counted<T>(f: impl FnOnce() -> T) -> (T, usize, usize) {
    COUNT.set((0, 0));
    let value = f();
    let (calls, bytes) = COUNT.get();
    (value, calls, bytes)
}

/// Decodes, and checks what that may cost; the error, if any, is the decoder's business.
fn decode(name: &str, codec: &Codec, version: i16, bytes: &[u8]) {
    let mut r = Reader::new(bytes);
    let budget = r.budget_left();
    let (_, _, allocated) = counted(|| (codec.decode)(&mut r, version));
    let charged = budget - r.budget_left();
    assert!(
        allocated <= charged,
        "{name} {version}: {allocated} bytes allocated, {charged} charged, for {bytes:?}"
    );
}

/// Calls `each` with every codec and version.
fn every_version(mut each: impl FnMut(&str, &Codec, i16)) {
    for (name, codec) in codecs::all() {
        (codec.min..=codec.max).for_each(|version| each(&name, &codec, version));
    }
}

#[test]
fn a_message_cut_off_anywhere_is_refused() {
    let seed = Dice::seed();
    let mut cuts = 0;
    every_version(|name, codec, version| {
        let mut dice = Dice::named(seed, name, version);
        let message = SchemaBytes::read(name).message(version, Some(&mut dice));
        for cut in 0..message.len().min(600) {
            let bytes = &message[..cut];
            assert!(
                (codec.recode)(bytes, version).is_err(),
                "{name} {version} cut at {cut} of {}",
                message.len()
            );
            decode(name, codec, version, bytes);
            cuts += 1;
        }
    });
    println!("{cuts} cut messages, seed {seed}");
}

#[test]
fn flipped_bits_cost_no_more_memory_than_the_budget() {
    let seed = Dice::seed();
    let mut flips = 0;
    every_version(|name, codec, version| {
        let mut dice = Dice::named(seed, name, version);
        let schema = SchemaBytes::read(name);
        for _ in 0..20 {
            let mut message = schema.message(version, Some(&mut dice));
            for _ in 0..10.min(message.len()) {
                let at = dice.below(message.len() as u64);
                message[at] ^= 1 << dice.below(8);
                decode(name, codec, version, &message);
                flips += 1;
            }
        }
    });
    println!("{flips} spoilt messages, seed {seed}");
}

/// Bodies that promise as much as their encoding can say.
#[test]
fn huge_promises_cost_nothing() {
    let mut bodies: Vec<Vec<u8>> = vec![
        vec![0xff, 0xff, 0xff, 0xff, 0x0f],
        vec![0x7f, 0xff, 0xff, 0xff],
        vec![0; 64],
        vec![1; 64],
        vec![0x7f; 64],
        vec![0xff; 64],
    ];
    for prefix in 0..24 {
        for promise in
            [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0x7f, 0xff, 0xff, 0xff], &[0, 0xff, 0xff, 0xff]]
        {
            bodies.push([&vec![0; prefix][..], promise].concat());
            bodies.push([&vec![1; prefix][..], promise, &[1; 40]].concat());
        }
    }
    every_version(|name, codec, version| bodies.iter().for_each(|body| decode(name, codec, version, body)));
}

/// A topic of three bytes on the wire takes 48 in memory: only the budget stands between 3 MiB and 48.
#[test]
fn nested_empty_elements_run_out_of_budget() {
    let count = 1 << 20;
    let mut w = Writer::new();
    w.str(true, "group").expect("a short name");
    w.uvarint(count + 1);
    let mut bytes = w.into_bytes();
    bytes.resize(bytes.len() + 3 * count as usize, 0);
    let (refused, _, allocated) =
        counted(|| OffsetFetchRequest::decode(&mut Reader::new(&bytes), 7).map(drop));
    assert!(matches!(refused, Err(DecodeError::BudgetExceeded { .. })), "{refused:?}");
    assert!(allocated < 1024, "{allocated} bytes");
    // The same request of a size that somebody could send is read.
    let (topics, group) = (1000, "group".into());
    let topic = OffsetFetchRequestTopic { name: "".into(), partition_indexes: vec![] };
    let request =
        OffsetFetchRequest { group_id: group, topics: Some(vec![topic; topics]), ..Default::default() };
    let mut w = Writer::new();
    request.encode(&mut w, 7).expect("the version has these fields");
    assert_eq!(OffsetFetchRequest::decode(&mut Reader::new(w.as_bytes()), 7), Ok(request));
}

/// The planted mistake: a decoder that allocates on the peer's word is noticed by the counting allocator.
#[test]
#[should_panic(expected = "bytes allocated")]
fn a_decoder_that_trusts_a_length_is_noticed() {
    let trusting = |r: &mut Reader<'_>, _| {
        let count = r.i32()?;
        drop(std::hint::black_box(Vec::<u8>::with_capacity(count.unsigned_abs() as usize)));
        Ok(())
    };
    let codec = Codec { min: 0, max: 0, recode: |_, _| Ok(Vec::new()), decode: trusting };
    decode("planted", &codec, 0, &[0, 1, 0, 0]);
}

#[test]
fn a_produce_of_one_partition_is_decoded_with_two_allocations() {
    for version in [3, 9, 13] {
        let request = ProduceRequest {
            acks: -1,
            topic_data: vec![TopicProduceData {
                partition_data: vec![PartitionProduceData {
                    index: 3,
                    records: Some(vec![7; 65_536].into()),
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let mut w = Writer::new();
        request.encode(&mut w, version).expect("every version has these fields");
        let bytes = w.into_bytes();
        let (decoded, calls, _) = counted(|| ProduceRequest::decode(&mut Reader::new(&bytes), version));
        assert_eq!(decoded, Ok(request), "version {version}");
        assert!(calls <= 2, "version {version}: {calls} allocations");
    }
}

#[test]
fn a_fetch_response_with_a_hole_is_encoded_into_a_used_buffer_with_one_allocation() {
    let response = FetchResponse {
        responses: vec![FetchableTopicResponse {
            partitions: vec![PartitionData { records: Some(Records::Hole(1 << 20)), ..Default::default() }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let buffer = Vec::with_capacity(4096);
    let (encoded, calls, _) = counted(|| {
        let mut w = Writer::frame(buffer);
        response.encode(&mut w, 12).map(|()| w.finish())
    });
    let encoded = encoded.expect("every field is there").expect("short enough");
    assert_eq!(encoded.holes.len(), 1);
    assert!(calls <= 1, "{calls} allocations");
    assert!(encoded.wire_len() > 1 << 20);
}
