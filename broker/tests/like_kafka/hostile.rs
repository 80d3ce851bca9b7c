//! Batches that are wrong in one way each, on topics that ask different things: the code, the records to blame, and
//! what the topic holds afterwards. On our side with `message.validation=record`, which is Kafka's way.

use std::time::{SystemTime, UNIX_EPOCH};

use logspine_protocol::batch::{BatchBuilder, BatchView};
use logspine_protocol::compression::Codec;
use logspine_protocol::messages::produce::PartitionProduceResponse;
use logspine_protocol::wire::Records;

use crate::foreign::toolbox::Toolbox;
use crate::support::Broker;
use crate::support::calls::{fetch, fetch_request, produce};
use crate::support::forge::{self, Record, good, record, with, with_body};
use crate::support::raw::RawClient;
use crate::{Told, compare, led_topic};

const HOUR_MS: i64 = 3_600_000;

/// Topics by what they ask for.
const TOPICS: &[(&str, &[(&str, &str)])] = &[
    ("plain", &[]),
    ("compacted", &[("cleanup.policy", "compact")]),
    ("append-time", &[("message.timestamp.type", "LogAppendTime")]),
    ("recent", &[("message.timestamp.before.max.ms", "3600000")]),
    ("small", &[("max.message.bytes", "300")]),
    ("gzip", &[("compression.type", "gzip")]),
    ("small-gzip", &[("compression.type", "gzip"), ("max.message.bytes", "300")]),
    ("uncompressed", &[("compression.type", "uncompressed")]),
    ("small-uncompressed", &[("compression.type", "uncompressed"), ("max.message.bytes", "300")]),
    ("compacted-zstd", &[("compression.type", "zstd"), ("cleanup.policy", "compact")]),
];

/// Where we differ on purpose, by the beginning of the question.
const DIFFERENT: &[(&str, &str)] = &[
    ("a batch and three bytes more", "bytes that belong to no batch are a mistake; Kafka drops them"),
    ("bits that mean nothing", "Kafka drops them where it rewrites a header; we keep what the producer sent"),
    (
        "offset deltas",
        "Kafka stores wrong offsets where there is no compression; we count them anew everywhere",
    ),
];

/// Apache's own consumer reads every record of every topic, the odd ones included.
pub fn whatever_was_admitted_is_read_by_apaches_consumer(broker: &Broker) {
    let mut client = RawClient::connect(&broker.address());
    let mut records = 0;
    for (topic, _) in TOPICS {
        let end =
            fetch(&mut client, &fetch_request(topic, 0, 0, 1)).responses[0].partitions[0].high_watermark;
        records += usize::try_from(end).unwrap();
    }
    let test = "whatever_was_admitted_is_read_by_apaches_consumer";
    let Some(mut tools) = Toolbox::open(test, broker) else { return };
    let topics: Vec<&str> = TOPICS.iter().map(|(topic, _)| *topic).collect();
    let printed = tools.ok(&format!(
        "org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server BROKER --include {} --from-beginning \
         --max-messages {records} --timeout-ms 20000",
        topics.join("|")
    ));
    assert!(printed.contains(&format!("Processed a total of {records} messages")), "{printed}");
    println!("FIGURE records of odd batches read by Apache's consumer: {records}");
}

pub fn hostile_and_odd_batches_are_judged_alike(kafka: &str, broker: &str) {
    // Both see the same bytes, so that "two hours ahead" means the same.
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let batches = batches(now_ms);
    let (theirs, ours) = (ask(kafka, &batches, now_ms), ask(broker, &batches, now_ms));
    let mut unforeseen = 0;
    let comparable = |(kafka, own): &(Told, Told)| {
        // Kafka's UNKNOWN_SERVER_ERROR is an exception that nobody foresaw; ours must be an answer.
        if kafka.1.starts_with("-1 ") {
            unforeseen += 1;
            assert!(!own.1.starts_with("-1 "), "{}: {}", own.0, own.1);
            return false;
        }
        !DIFFERENT.iter().any(|(question, _)| own.0.starts_with(question))
    };
    let (theirs, ours): (Vec<_>, Vec<_>) = theirs.into_iter().zip(ours).filter(comparable).unzip();
    compare(&theirs, &ours);
    println!("FIGURE odd batches judged as by Kafka: {}", ours.len());
    println!("FIGURE odd batches that Kafka answers with UNKNOWN_SERVER_ERROR: {unforeseen}");
}

fn ask(address: &str, batches: &[(&'static str, Vec<u8>)], now_ms: i64) -> Vec<Told> {
    let mut client = RawClient::connect(address);
    let mut told = Vec::new();
    for (topic, configs) in TOPICS {
        led_topic(&mut client, topic, 1, configs);
        for (what, bytes) in batches {
            let response = produce(&mut client, topic, 0, bytes);
            let stored = match response.error_code {
                0 => held(&mut client, topic, response.base_offset, now_ms),
                _ => String::new(),
            };
            told.push((format!("{what} on {topic}"), format!("{}{stored}", said(&response, now_ms))));
        }
    }
    told
}

/// Code, kind of time, and the records to blame with Kafka's words (the clock's part apart).
fn said(response: &PartitionProduceResponse<'_>, now_ms: i64) -> String {
    let time = if response.log_append_time_ms >= now_ms { "now" } else { "none" };
    let blamed: Vec<String> = response
        .record_errors
        .iter()
        .map(|error| {
            let words = error.batch_index_error_message.as_deref().unwrap_or("");
            let clockless = words.split(" is out of range").next().unwrap_or("");
            // Kafka prints the record, an object, in between.
            let words = clockless.split(" message").next().unwrap_or("");
            format!("{}: {words}", error.batch_index)
        })
        .collect();
    format!("{} append time {time}, blamed {blamed:?}", response.error_code)
}

/// The batch that was just appended: offsets from its own start, codec, timestamps (relative), producer, each record.
fn held(client: &mut RawClient, topic: &str, base: i64, now_ms: i64) -> String {
    let response = fetch(client, &fetch_request(topic, 0, base, i32::MAX));
    let records = response.responses[0].partitions[0].records.as_ref();
    let bytes = records.and_then(Records::as_bytes).unwrap_or_default();
    let relative = |timestamp: i64| match timestamp {
        -1 => "none".to_owned(),
        near if near.abs_diff(now_ms) < 60_000 => "now".to_owned(),
        other => format!("now{:+}", other.wrapping_sub(now_ms)),
    };
    let (batch, _) = BatchView::parse(bytes).unwrap();
    batch.verify_crc().unwrap();
    let set = batch.records().unwrap();
    let records = set
        .iter()
        .map(|record| record.unwrap())
        .map(|record| format!("{} {} {:?}", record.offset.0 - base, relative(record.timestamp), record.key));
    format!(
        ", stored {}..{} {:?} {:?} base {} max {} producer {} sequence {} attributes {:#x} {:?}",
        batch.base_offset().0 - base,
        batch.last_offset().0 - base,
        batch.codec().unwrap(),
        batch.timestamp_type(),
        relative(batch.base_timestamp()),
        relative(batch.max_timestamp()),
        batch.producer_id().0,
        batch.base_sequence(),
        batch.attributes().0,
        records.collect::<Vec<_>>(),
    )
}

/// The same mistake inside of a compressed batch.
fn gzipped(batch: &[u8]) -> Vec<u8> {
    forge::compressed(batch, Codec::Gzip)
}

fn batches(now_ms: i64) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = header_mistakes(now_ms);
    all.extend(record_mistakes(now_ms));
    all.extend(timestamps_and_keys(now_ms));
    all
}

fn header_mistakes(now_ms: i64) -> Vec<(&'static str, Vec<u8>)> {
    let three: &[Record<'_>] = &[(now_ms, Some("a")), (now_ms, Some("b")), (now_ms, Some("c"))];
    let plain = good(Codec::None, three);
    let flipped = {
        let mut bytes = plain.clone();
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    let producer = forge::idempotent(three);
    vec![
        ("a good batch", plain.clone()),
        ("a good batch of gzip", good(Codec::Gzip, three)),
        ("a good batch of zstd", good(Codec::Zstd, three)),
        ("a good batch of a producer with an id", producer.clone()),
        ("no batch", Vec::new()),
        ("a flipped bit", flipped),
        ("a cut batch", plain[..plain.len() - 1].to_vec()),
        ("a cut header", plain[..40].to_vec()),
        ("two batches", [plain.clone(), plain.clone()].concat()),
        ("a batch and three bytes more", [&plain[..], &[0, 0, 0]].concat()),
        ("a base offset of 5", with(plain.clone(), forge::BASE_OFFSET, &5_i64.to_be_bytes())),
        ("a batch length of 10", with(plain.clone(), forge::BATCH_LENGTH, &10_i32.to_be_bytes())),
        ("a negative batch length", with(plain.clone(), forge::BATCH_LENGTH, &(-5_i32).to_be_bytes())),
        ("magic 0", with(plain.clone(), forge::MAGIC, &[0])),
        ("magic 1", with(plain.clone(), forge::MAGIC, &[1])),
        ("magic 3", with(plain.clone(), forge::MAGIC, &[3])),
        ("codec 5", with(plain.clone(), forge::ATTRIBUTES, &5_i16.to_be_bytes())),
        ("codec 7", with(plain.clone(), forge::ATTRIBUTES, &7_i16.to_be_bytes())),
        ("the bit of LogAppendTime", with(plain.clone(), forge::ATTRIBUTES, &8_i16.to_be_bytes())),
        ("the transactional bit, no producer", with(plain.clone(), forge::ATTRIBUTES, &16_i16.to_be_bytes())),
        ("the transactional bit", with(producer.clone(), forge::ATTRIBUTES, &16_i16.to_be_bytes())),
        ("the control bit", with(plain.clone(), forge::ATTRIBUTES, &32_i16.to_be_bytes())),
        ("the bit of a delete horizon", with(plain.clone(), forge::ATTRIBUTES, &64_i16.to_be_bytes())),
        ("bits that mean nothing", with(plain.clone(), forge::ATTRIBUTES, &0x0100_i16.to_be_bytes())),
        ("a last offset delta of 1", with(plain.clone(), forge::LAST_OFFSET_DELTA, &1_i32.to_be_bytes())),
        ("a last offset delta of 3", with(plain.clone(), forge::LAST_OFFSET_DELTA, &3_i32.to_be_bytes())),
        (
            "a negative last offset delta",
            with(plain.clone(), forge::LAST_OFFSET_DELTA, &(-1_i32).to_be_bytes()),
        ),
        ("a huge last offset delta", with(plain.clone(), forge::LAST_OFFSET_DELTA, &i32::MAX.to_be_bytes())),
        ("no records", with(plain.clone(), forge::RECORD_COUNT, &0_i32.to_be_bytes())),
        ("a negative count", with(plain.clone(), forge::RECORD_COUNT, &(-3_i32).to_be_bytes())),
        ("a huge count", with(plain.clone(), forge::RECORD_COUNT, &i32::MAX.to_be_bytes())),
        (
            "a producer without sequence",
            with(producer.clone(), forge::BASE_SEQUENCE, &(-1_i32).to_be_bytes()),
        ),
        ("a producer id of -7", with(producer, forge::PRODUCER_ID, &(-7_i64).to_be_bytes())),
    ]
}

/// What only a walk over the records finds, bare and inside of gzip.
fn record_mistakes(now_ms: i64) -> Vec<(&'static str, Vec<u8>)> {
    let two: &[Record<'_>] = &[(now_ms, Some("a")), (now_ms, Some("b"))];
    let plain = good(Codec::None, two);
    let of = |records: &[Vec<u8>]| with_body(&plain, &records.concat());
    let claims = |count: i32| {
        let bytes = with(plain.clone(), forge::RECORD_COUNT, &count.to_be_bytes());
        with(bytes, forge::LAST_OFFSET_DELTA, &(count - 1).to_be_bytes())
    };
    let first = record(0, 0, 1, 1);
    let huge = {
        let mut bytes = Vec::new();
        forge::varint(&mut bytes, 1 << 30);
        bytes
    };
    let gzip_attributes = with(plain.clone(), forge::ATTRIBUTES, &1_i16.to_be_bytes());
    let mut cases = vec![
        ("offset deltas 0 and 5", of(&[first.clone(), record(0, 5, 1, 1)])),
        ("offset deltas 1 and 0", of(&[record(0, 1, 1, 1), record(0, 0, 1, 1)])),
        ("offset deltas that are negative", of(&[record(0, -9, 1, 1), record(0, -8, 1, 1)])),
        ("a count of three for two", claims(3)),
        ("a count of one for two", claims(1)),
        ("a record of negative length", of(&[first.clone(), vec![1, 0, 0]])),
        ("a record longer than the batch", of(&[first.clone(), huge])),
        ("a record whose length is not ended", of(&[first.clone(), vec![0xff; 12]])),
        ("a key longer than its record", of(&[first.clone(), record(0, 1, 1000, 1)])),
        ("a value longer than its record", of(&[first.clone(), record(0, 1, 1, 1000)])),
        ("a value of length -5", of(&[first.clone(), record(0, 1, 1, -5)])),
        ("an empty record", of(&[first.clone(), vec![0]])),
        ("bytes after the last record", with_body(&plain, &[&plain[forge::RECORDS..], b"more"].concat())),
    ];
    let inside: Vec<_> = cases.iter().map(|(_, bytes)| gzipped(bytes)).collect();
    let names = [
        "offset deltas 0 and 5 inside gzip",
        "offset deltas 1 and 0 inside gzip",
        "offset deltas that are negative inside gzip",
        "a count of three for two inside gzip",
        "a count of one for two inside gzip",
        "a record of negative length inside gzip",
        "a record longer than the batch inside gzip",
        "a record whose length is not ended inside gzip",
        "a key longer than its record inside gzip",
        "a value longer than its record inside gzip",
        "a value of length -5 inside gzip",
        "an empty record inside gzip",
        "bytes after the last record inside gzip",
    ];
    cases.extend(names.into_iter().zip(inside));
    cases.push(("gzip that is none", with_body(&gzip_attributes, b"this was never compressed")));
    let good_gzip = good(Codec::Gzip, two);
    let cut = good_gzip.len() - forge::RECORDS - 9;
    cases.push(("gzip that is cut", with_body(&good_gzip, &good_gzip[forge::RECORDS..forge::RECORDS + cut])));
    cases
}

fn timestamps_and_keys(now_ms: i64) -> Vec<(&'static str, Vec<u8>)> {
    let (ahead, behind) = (now_ms + 2 * HOUR_MS, now_ms - 2 * HOUR_MS);
    let ahead_one: &[Record<'_>] = &[(now_ms, Some("a")), (ahead, Some("b")), (now_ms, Some("c"))];
    let behind_two: &[Record<'_>] = &[(behind, Some("a")), (now_ms, Some("b")), (behind, Some("c"))];
    let keyless: &[Record<'_>] = &[(now_ms, Some("a")), (now_ms, None), (now_ms, None)];
    let both: &[Record<'_>] = &[(ahead, None), (ahead, Some("b")), (now_ms, None)];
    let none: &[Record<'_>] = &[(-1, Some("a")), (-1, Some("b"))];
    let negative: &[Record<'_>] = &[(-5_000, Some("a"))];
    let plain = good(Codec::None, &[(now_ms, Some("a")), (now_ms + 1, Some("b"))]);
    let lies = |timestamp: i64| with(plain.clone(), forge::MAX_TIMESTAMP, &timestamp.to_be_bytes());
    let base = |timestamp: i64| with(plain.clone(), forge::BASE_TIMESTAMP, &timestamp.to_be_bytes());
    let large = {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.append(now_ms, Some(b"k"), Some(&[b'x'; 2000]), &[]);
        builder.build()
    };
    vec![
        ("one record two hours ahead", good(Codec::None, ahead_one)),
        ("one record two hours ahead, gzip", good(Codec::Gzip, ahead_one)),
        ("two records two hours behind", good(Codec::None, behind_two)),
        ("two records two hours behind, gzip", good(Codec::Gzip, behind_two)),
        ("two records without key", good(Codec::None, keyless)),
        ("two records without key, gzip", good(Codec::Gzip, keyless)),
        ("without key and ahead", good(Codec::None, both)),
        ("without timestamp", good(Codec::None, none)),
        ("without timestamp, gzip", good(Codec::Gzip, none)),
        ("five seconds before 1970", good(Codec::None, negative)),
        ("a largest timestamp that lies ahead", lies(ahead)),
        ("a largest timestamp that lies ahead, gzip", gzipped(&lies(ahead))),
        ("a largest timestamp that lies behind", lies(behind)),
        ("a largest timestamp that is the largest", lies(i64::MAX)),
        ("a base timestamp that is the largest", base(i64::MAX)),
        ("a base timestamp that is the smallest", base(i64::MIN)),
        ("too large for some", large.clone()),
        ("too large for some before it was compressed", gzipped(&large)),
    ]
}
