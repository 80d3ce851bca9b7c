//! Kafka's own generated classes judge our codec: for every API, direction and version, and every record schema.
//!
//! Kafka writes random messages, we decode and encode them: the bytes must be equal. Random messages made from the
//! schemas go the other way: through our codec, then through Kafka's. Two planted mistakes show that the
//! comparison can fail. Needs `LOGSPINE_KAFKA_LIBS`; `LOGSPINE_SEED` throws other dice.

mod oracle;

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::frame::{RequestHeader, encode_response_header};
use logspine_protocol::wire::{Reader, Writer};
use oracle::codecs::{self, Codec};
use oracle::dice::Dice;
use oracle::frames::Frame;
use oracle::java::Java;
use oracle::schema_bytes::SchemaBytes;
use std::collections::{BTreeMap, BTreeSet};

/// Messages of each schema and version, the default one included.
const MESSAGES_PER_VERSION: usize = 40;

/// The messages that do not come back from our codec as they went in, with what came instead.
fn mistakes(
    codecs: &BTreeMap<String, Codec>,
    messages: &[Frame],
    version_error: i16,
) -> Vec<(Frame, String)> {
    let mut mistakes = Vec::new();
    for message in messages {
        let recode = codecs[&message.name].recode;
        match recode(&message.bytes, message.version + version_error) {
            Ok(bytes) if bytes == message.bytes => {}
            Ok(bytes) => mistakes.push((message.clone(), format!("{bytes:?}"))),
            Err(error) => mistakes.push((message.clone(), error)),
        }
    }
    mistakes
}

fn assert_no_mistakes(mistakes: &[(Frame, String)], seed: u64) {
    for (message, ours) in mistakes.iter().take(5) {
        println!(
            "{} version {}\n  Kafka's {:?}\n  ours    {ours}",
            message.name, message.version, message.bytes
        );
    }
    assert!(mistakes.is_empty(), "{} messages differ, seed {seed}", mistakes.len());
}

/// Every version of every schema must be there in full number.
fn assert_complete(codecs: &BTreeMap<String, Codec>, messages: &[Frame]) {
    let mut counts: BTreeMap<(&str, i16), usize> = BTreeMap::new();
    for message in messages {
        *counts.entry((&message.name, message.version)).or_default() += 1;
    }
    for (name, codec) in codecs {
        for version in codec.min..=codec.max {
            let count = counts.remove(&(name.as_str(), version)).unwrap_or(0);
            assert!(count >= MESSAGES_PER_VERSION, "{name} version {version}: only {count} messages");
        }
    }
    assert!(counts.is_empty(), "versions that Kafka has and we have not: {counts:?}");
}

/// Guards the dice: messages that are all alike would prove nothing.
fn assert_varied(codecs: &BTreeMap<String, Codec>, messages: &[Frame]) {
    let mut distinct: BTreeMap<&str, BTreeSet<&[u8]>> = BTreeMap::new();
    for message in messages {
        distinct.entry(&message.name).or_default().insert(&message.bytes);
    }
    for name in codecs.keys() {
        let (bytes, longest) =
            (&distinct[name.as_str()], distinct[name.as_str()].iter().map(|b| b.len()).max());
        // A few schemas have no field, or one of a few values.
        let is_tiny = longest.is_some_and(|longest| longest < 8);
        assert!(
            is_tiny || bytes.len() > MESSAGES_PER_VERSION / 3,
            "{name}: only {} different messages",
            bytes.len()
        );
    }
}

/// Our own random messages, from the schemas.
fn messages_from_schemas(codecs: &BTreeMap<String, Codec>, seed: u64) -> Vec<Frame> {
    let mut messages = Vec::new();
    for (name, codec) in codecs {
        let schema = SchemaBytes::read(name);
        for version in codec.min..=codec.max {
            let mut dice = Dice::named(seed, name, version);
            messages.push(Frame { name: name.clone(), version, bytes: schema.message(version, None) });
            messages.extend((1..MESSAGES_PER_VERSION).map(|_| Frame {
                name: name.clone(),
                version,
                bytes: schema.message(version, Some(&mut dice)),
            }));
        }
    }
    messages
}

#[test]
fn what_kafka_writes_we_read_and_write_alike() {
    let Some(java) = Java::start("what_kafka_writes_we_read_and_write_alike") else { return };
    let (codecs, seed) = (codecs::all(), Dice::seed());
    let messages = java.write(&codecs, seed, MESSAGES_PER_VERSION);
    assert_complete(&codecs, &messages);
    assert_varied(&codecs, &messages);
    assert_no_mistakes(&mistakes(&codecs, &messages, 0), seed);
    println!("{} messages of {} schemas, Kafka to us, seed {seed}: all equal", messages.len(), codecs.len());
}

#[test]
fn what_we_write_kafka_reads_and_writes_alike() {
    let Some(java) = Java::start("what_we_write_kafka_reads_and_writes_alike") else { return };
    let (codecs, seed) = (codecs::all(), Dice::seed());
    let messages = messages_from_schemas(&codecs, seed);
    assert_complete(&codecs, &messages);
    assert_varied(&codecs, &messages);
    assert_no_mistakes(&mistakes(&codecs, &messages, 0), seed);
    let recoded = java.recode(&codecs, &messages);
    assert_eq!(messages.len(), recoded.len());
    let differ: Vec<_> = messages.iter().zip(&recoded).filter(|(ours, kafkas)| ours != kafkas).collect();
    for (ours, kafkas) in differ.iter().take(5) {
        println!(
            "{} version {}\n  ours    {:?}\n  Kafka's {:?}",
            ours.name, ours.version, ours.bytes, kafkas.bytes
        );
    }
    assert!(differ.is_empty(), "{} messages differ, seed {seed}", differ.len());
    println!("{} messages of {} schemas, us to Kafka, seed {seed}: all equal", messages.len(), codecs.len());
}

/// The planted mistake: a decoder that believes the message to be one version older.
#[test]
fn the_oracle_notices_a_decoder_that_takes_the_wrong_version() {
    let codecs = codecs::all();
    let messages = messages_from_schemas(&codecs, Dice::seed());
    let older_exists = |message: &&Frame| message.version > codecs[&message.name].min;
    let messages: Vec<Frame> = messages.iter().filter(older_exists).cloned().collect();
    let noticed = mistakes(&codecs, &messages, -1);
    for (name, version) in
        [("ProduceRequest", 9), ("FetchResponse", 5), ("MetadataResponse", 10), ("JoinGroupRequest", 6)]
    {
        let name = format!("messages/{name}");
        let of_version = |frame: &Frame| frame.name == name && frame.version == version;
        let count = noticed.iter().filter(|(message, _)| of_version(message)).count();
        // The default message and short ones may look alike in both versions.
        assert!(
            count > MESSAGES_PER_VERSION / 2,
            "{name} version {version}: noticed {count} of {MESSAGES_PER_VERSION}"
        );
    }
    println!("{} of {} messages read as one version older were noticed", noticed.len(), messages.len());
}

/// The planted mistake: one bit of what we encoded is wrong on the way to Kafka.
#[test]
fn the_oracle_notices_one_wrong_bit() {
    let Some(java) = Java::start("the_oracle_notices_one_wrong_bit") else { return };
    let mut codecs = codecs::all();
    codecs.retain(|name, _| name == "messages/HeartbeatRequest");
    let messages = messages_from_schemas(&codecs, Dice::seed());
    let mut spoilt = messages.clone();
    // The first byte of a heartbeat is part of the length of the group id.
    spoilt.iter_mut().for_each(|message| message.bytes[0] ^= 0x40);
    let recoded = java.recode(&codecs, &spoilt);
    let unnoticed = messages.iter().zip(&recoded).filter(|(ours, kafkas)| ours == kafkas).count();
    assert_eq!(unnoticed, 0, "of {} spoilt messages", messages.len());
}

/// Both headers of a version, as hexadecimal digits, with the values that the oracle puts into them.
fn header_row(api: ApiKey, version: i16) -> Vec<String> {
    let correlation_id = i32::from(api.key()) * 1000 + i32::from(version);
    let client_id = (version % 2 == 0).then_some("café");
    let header = RequestHeader { api_key: api.key(), api_version: version, correlation_id, client_id };
    let (mut request, mut response) = (Writer::new(), Writer::new());
    header.encode(&mut request).expect("a short client id");
    assert_eq!(RequestHeader::decode(&mut Reader::new(request.as_bytes())), Ok(header));
    encode_response_header(&mut response, api, version, correlation_id);
    let hex = |w: &Writer| w.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    vec![api.key().to_string(), version.to_string(), hex(&request), hex(&response)]
}

#[test]
fn keys_versions_and_headers_are_kafkas_own() {
    let Some(java) = Java::start("keys_versions_and_headers_are_kafkas_own") else { return };
    let tables = java.tables();
    let rows = |kind: &str| {
        tables.iter().filter(|row| row[0] == kind).map(|row| row[1..].to_vec()).collect::<Vec<_>>()
    };
    let ours: Vec<_> = ApiKey::ALL
        .iter()
        .map(|api| {
            let versions = api.valid_versions();
            let (key, low, high) = (api.key(), *versions.start(), *versions.end());
            let unstable = api.latest_version_unstable();
            [key.to_string(), api.name().to_owned(), low.to_string(), high.to_string(), unstable.to_string()]
                .to_vec()
        })
        .collect();
    assert_eq!(rows("api"), ours);
    let headers =
        ApiKey::ALL.iter().flat_map(|api| api.valid_versions().map(|version| header_row(*api, version)));
    assert_eq!(rows("header"), headers.collect::<Vec<Vec<String>>>());
    for row in rows("advertised") {
        let [key, low, high] = [0, 1, 2].map(|i| row[i].parse::<i16>().expect("a number"));
        let api = ApiKey::from_i16(key).expect("a known key");
        // Kafka advertises Produce from 0 and refuses 0 to 2 (KAFKA-18659).
        let expected_low = if api == ApiKey::Produce { 0 } else { *api.stable_versions().start() };
        assert_eq!((low, high), (expected_low, *api.stable_versions().end()), "{api}");
    }
    println!(
        "{} keys, {} headers, {} advertised ranges: all Kafka's",
        ours.len(),
        rows("header").len(),
        rows("advertised").len()
    );
}

#[test]
fn error_codes_are_kafkas_own() {
    let Some(java) = Java::start("error_codes_are_kafkas_own") else { return };
    let kafkas: Vec<Vec<String>> =
        java.tables().into_iter().filter(|row| row[0] == "error").map(|row| row[1..].to_vec()).collect();
    let ours: Vec<Vec<String>> = ErrorCode::ALL
        .iter()
        .map(|e| vec![e.code().to_string(), e.name().to_owned(), e.is_retriable().to_string()])
        .collect();
    assert_eq!(kafkas, ours);
}
