//! Promise: lines become records and records become lines, whole, in order, in the format asked for.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod support;
mod terminal;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};
use support::Broker;
use terminal::{fails, json, logspine, produce, run, run_with_input};

#[test]
fn two_hundred_thousand_lines_come_back_byte_for_byte_with_every_codec() {
    let broker = Broker::start(&[]);
    let lines: String = (0..40_000).map(|n| format!("line {n} {}\n", "x".repeat(n % 90))).collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        run(&broker, &format!("topic create {codec} -p 1"));
        produce(&broker, &format!("produce {codec} -z {codec}"), &lines);
        assert!(run(&broker, &format!("consume {codec} -e")) == lines, "{codec} differs");
    }
}

#[test]
fn bytes_that_are_not_text_and_empty_lines_survive() {
    let broker = Broker::start(&[]);
    run(&broker, "topic create bytes -p 1");
    let lines = b"\xff\x00\xfe\n\n \nlast\n";
    assert!(run_with_input(&broker, "produce bytes", lines).status.success());
    assert_eq!(logspine(&broker, "consume bytes -e").output().unwrap().stdout, lines);
}

#[test]
fn keys_headers_nulls_and_places_are_printed_as_the_format_says() {
    let broker = Broker::start(&[]);
    run(&broker, "topic create orders -p 2");
    produce(
        &broker,
        "produce orders -p 1 -k : -H to=go -H by=bike -Z",
        "table 4:one coffee\nno key\ntable 5:\n",
    );
    let format = r"%t[%p]@%o_%K:%k_%S:%s_{%h}\n";
    let expected = "orders[1]@0_7:table 4_10:one coffee_{to=go,by=bike}\n\
                    orders[1]@1_-1:NULL_6:no key_{to=go,by=bike}\n\
                    orders[1]@2_7:table 5_-1:NULL_{to=go,by=bike}\n";
    assert_eq!(run(&broker, &format!("consume orders -e --null NULL -f {format}")), expected);

    let lines = run(&broker, "consume orders -e --output json");
    let records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&records[0]["key"], &records[0]["value"]), (&json!("table 4"), &json!("one coffee")));
    assert_eq!((&records[1]["key"], &records[2]["value"]), (&Value::Null, &Value::Null));
    assert_eq!(records[0]["headers"][1], json!({"name": "by", "value": "bike"}));
    let time = records[0]["timestamp"].as_i64().expect("a time");
    assert_eq!(run(&broker, r"consume orders -n 1 -f %T"), time.to_string());
}

#[test]
fn reading_begins_and_ends_where_it_is_told() {
    let broker = Broker::start(&[]);
    run(&broker, "topic create places -p 1");
    produce(&broker, "produce places", "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    let cases = [
        ("-o beginning", "0 1 2 3 4 5 6 7 8 9"),
        ("-o 7", "7 8 9"),
        ("-o -2", "8 9"),
        ("-o end", ""),
        ("-o @0 -n 2", "0 1"),
        ("-o @99999999999999", ""),
        ("-n 3", "0 1 2"),
        ("-p 0 -o 9", "9"),
    ];
    for (options, expected) in cases {
        let read = run(&broker, &format!("consume places -e {options}"));
        assert_eq!(read.lines().collect::<Vec<_>>().join(" "), expected, "{options}");
    }
}

#[test]
fn a_waiting_consumer_prints_what_comes_and_ends_when_it_is_told() {
    let broker = Broker::start(&[]);
    run(&broker, "topic create live -p 1");
    let mut consumer = logspine(&broker, "consume live").stdout(Stdio::piped()).spawn().unwrap();
    let mut printed = BufReader::new(consumer.stdout.take().unwrap()).lines();
    for word in ["one", "two"] {
        produce(&broker, "produce live", &format!("{word}\n"));
        assert_eq!(printed.next().unwrap().unwrap(), word);
    }
    let pid = consumer.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(consumer.wait().unwrap().success());
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let broker = Broker::start(&[]);
    run(&broker, "topic create much -p 1");
    produce(&broker, "produce much", &"some line\n".repeat(100_000));
    let mut consumer =
        logspine(&broker, "consume much").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let first = BufReader::new(consumer.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert_eq!(first, "some line");
    let output = consumer.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn produce_counts_what_was_acknowledged() {
    let broker = Broker::start(&[]);
    run(&broker, "topic create counted -p 2");
    let output = run_with_input(&broker, "produce counted -p 1 -o json", b"a\nb\n");
    let counted: Value = serde_json::from_slice(&output.stdout).unwrap();
    let partitions = json!([{"partition": 1, "records": 2, "firstOffset": 0, "lastOffset": 1}]);
    assert_eq!(counted, json!({"topic": "counted", "records": 2, "partitions": partitions}));
    for acks in ["1", "0"] {
        produce(&broker, &format!("produce counted -p 0 --acks {acks}"), "c\n");
    }
    let read = || run(&broker, "consume counted -p 0 -e").lines().count();
    while read() < 2 {} // acks=0 says nothing about when; the test runner bounds the wait.
}

#[test]
fn what_cannot_be_written_is_said_with_what_could() {
    let broker = Broker::start(&[]);
    let (code, words) = fails(&broker, "produce nowhere");
    assert_eq!(code, 4);
    assert!(words.contains("topic nowhere does not exist") && words.contains("topic create"), "{words}");
    run(&broker, "topic create small -p 1 -c max.message.bytes=500");
    let output = run_with_input(&broker, "produce small", format!("fits\n{}\n", "x".repeat(1000)).as_bytes());
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(words.contains("MESSAGE_TOO_LARGE") && words.contains("after 1 records were written"), "{words}");
    assert_eq!(fails(&broker, "consume small -p 7").0, 4);
    assert_eq!(json(&broker, "topic describe small")[0]["partitions"][0]["nextOffset"], json!(1));
}
