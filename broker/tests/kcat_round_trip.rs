//! Debian's kcat, which knows nothing of this broker, gets back byte for byte what it sent: twice, after a kill, and
//! over small segments with any fetch size.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use support::{Broker, kcat, kcat_with_input, needs};

/// Lines that differ in length and content; the same for the same seed.
fn write_lines(path: &Path, count: usize, seed: u64, longest: u64) {
    let mut text = String::new();
    let mut state = seed;
    for number in 0..count {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let length = (state >> 33) % longest;
        write!(text, "{number:07} {state:016x} ").unwrap();
        for at in 0..length {
            text.push(char::from(b'!' + ((state >> (at % 48)) as u8 % 90)));
        }
        text.push('\n');
    }
    std::fs::write(path, text).unwrap();
}

fn lines_file(broker: &Broker, count: usize, seed: u64, longest: u64) -> PathBuf {
    let path = broker.dir.path().join("lines");
    write_lines(&path, count, seed, longest);
    println!("{count} lines, seed {seed}");
    path
}

fn consume_all(broker: &Broker, topic: &str) -> Vec<u8> {
    kcat(broker, &["-C", "-t", topic, "-p", "0", "-o", "beginning", "-e"])
}

#[test]
fn two_hundred_thousand_lines_come_back_byte_for_byte_twice_and_after_a_kill() {
    if !needs("two_hundred_thousand_lines_come_back_byte_for_byte_twice_and_after_a_kill", "kcat") {
        return;
    }
    let mut broker = Broker::start(&[]);
    let lines = lines_file(&broker, 200_000, 7, 100);
    let sent = std::fs::read(&lines).unwrap();
    kcat_with_input(&broker, &["-P", "-t", "lines", "-p", "0"], Some(&lines));
    assert!(consume_all(&broker, "lines") == sent, "the first reading differs");
    assert!(consume_all(&broker, "lines") == sent, "the second reading differs");
    broker.kill();
    broker.start_again();
    assert!(consume_all(&broker, "lines") == sent, "the reading after the kill differs");
}

#[test]
fn every_offset_comes_once_and_in_order_across_segment_ends_whatever_the_fetch_size() {
    if !needs("every_offset_comes_once_and_in_order_across_segment_ends_whatever_the_fetch_size", "kcat") {
        return;
    }
    let broker = Broker::start(&["log.segment.bytes=1048576"]);
    let lines = lines_file(&broker, 20_000, 11, 800);
    let sent = std::fs::read_to_string(&lines).unwrap();
    let small_batches = ["-X", "batch.num.messages=50"];
    kcat_with_input(&broker, &[&["-P", "-t", "small", "-p", "0"][..], &small_batches].concat(), Some(&lines));
    let logs = std::fs::read_dir(broker.data_dir().join("small-0")).unwrap();
    let segments = logs.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|e| e == "log"));
    assert!(segments.count() > 5, "the records lie in several segments");
    let expected: String = sent
        .lines()
        .enumerate()
        .fold(String::new(), |text, (offset, line)| text + &format!("{offset} {line}\n"));
    for size in ["1", "100", "4096", "65536", "1048576", "10485760"] {
        let limit = format!("max.partition.fetch.bytes={size}");
        let all = ["-C", "-t", "small", "-p", "0", "-o", "beginning", "-e", "-f", "%o %s\n", "-X", &limit];
        let got = kcat(&broker, &all);
        assert!(got == expected.as_bytes(), "with {limit} something is missing, doubled or out of order");
    }
}

#[test]
fn every_codec_and_a_stop_in_between_make_no_difference() {
    if !needs("every_codec_and_a_stop_in_between_make_no_difference", "kcat") {
        return;
    }
    let mut broker = Broker::start(&[]);
    let lines = lines_file(&broker, 5_000, 3, 200);
    let sent = std::fs::read(&lines).unwrap();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        kcat_with_input(&broker, &["-P", "-t", codec, "-p", "0", "-z", codec], Some(&lines));
        assert!(consume_all(&broker, codec) == sent, "{codec} differs");
    }
    assert!(broker.stop().success());
    broker.start_again();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        assert!(consume_all(&broker, codec) == sent, "{codec} differs after a clean stop");
    }
}
