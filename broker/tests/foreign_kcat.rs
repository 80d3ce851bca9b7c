//! Promise: kcat (librdkafka in C) writes with every codec, replays, seeks by time and shares in groups of three.
//!
//! The byte-for-byte round trips of large inputs are in `kcat_round_trip.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod foreign;
mod support;
mod terminal;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Broker, kcat, kcat_with_input, needs};
use terminal::run;

#[test]
fn every_codec_of_kcat_comes_back_from_any_place_again_and_again() {
    if !needs("every_codec_of_kcat_comes_back_from_any_place_again_and_again", "kcat") {
        return;
    }
    let broker = Broker::start(&[]);
    let file = broker.dir.path().join("lines");
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        run(&broker, &format!("topic create {codec} -p 1"));
        let lines: String = (0..500).map(|n| format!("{codec} {n} {}\n", "y".repeat(n % 60))).collect();
        std::fs::write(&file, &lines).unwrap();
        kcat_with_input(&broker, &["-P", "-t", codec, "-z", codec], Some(&file));
        for _replay in 0..2 {
            let read = kcat(&broker, &["-C", "-t", codec, "-o", "beginning", "-e"]);
            assert!(read == lines.as_bytes(), "{codec} differs");
        }
        let from_300 = kcat(&broker, &["-C", "-t", codec, "-o", "300", "-e"]);
        let expected: String = lines.lines().skip(300).map(|line| format!("{line}\n")).collect();
        assert!(from_300 == expected.as_bytes(), "{codec} differs from offset 300");
    }
}

#[test]
fn kcat_finds_a_moment() {
    if !needs("kcat_finds_a_moment", "kcat") {
        return;
    }
    let broker = Broker::start(&[]);
    run(&broker, "topic create times -p 1");
    let mut second_begins = 0;
    for part in ["first", "second"] {
        second_begins = now_ms();
        terminal::produce(&broker, "produce times", &format!("{part} a\n{part} b\n"));
        while now_ms() <= second_begins + 2 {} // The next part gets a later time.
    }
    let read = kcat(&broker, &["-C", "-t", "times", "-o", &format!("s@{second_begins}"), "-e"]);
    assert_eq!(String::from_utf8(read).unwrap(), "second a\nsecond b\n");
}

fn now_ms() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()
}

/// One kcat in a group, printing `partition offset value` to a file.
struct Member {
    process: Child,
    output: PathBuf,
}

impl Member {
    fn join(broker: &Broker, name: &str) -> Member {
        let output = broker.dir.path().join(name);
        let process = Command::new("kcat")
            .args(["-b", &broker.address(), "-q", "-u", "-f", "%p %o %s\n"])
            .args(["-X", "auto.offset.reset=earliest", "-X", "heartbeat.interval.ms=100"])
            .args(["-G", "sharers", "shared"])
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&output).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Member { process, output }
    }

    /// Offsets it has read so far, by partition.
    fn read(&self) -> BTreeMap<i32, Vec<i64>> {
        let mut read: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        for line in
            std::fs::read_to_string(&self.output).unwrap().split_inclusive('\n').filter(|l| l.ends_with('\n'))
        {
            let mut words = line.split_whitespace();
            let partition = words.next().unwrap().parse().unwrap();
            read.entry(partition).or_default().push(words.next().unwrap().parse().unwrap());
        }
        read
    }

    /// SIGTERM: commits and leaves.
    fn leave(&mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.process.wait().unwrap();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn three_kcats_share_a_topic_and_two_take_over_from_the_third() {
    if !needs("three_kcats_share_a_topic_and_two_take_over_from_the_third", "kcat") {
        return;
    }
    let broker = Broker::start(&["group.initial.rebalance.delay.ms=0"]);
    run(&broker, "topic create shared -p 6");
    let write = |count: usize| {
        for partition in 0..6 {
            let lines: String = (0..count).map(|n| format!("{n}\n")).collect();
            terminal::produce(&broker, &format!("produce shared -p {partition}"), &lines);
        }
    };
    let holds = |shares: &[usize]| {
        let group = &terminal::json(&broker, "group describe sharers")[0];
        let members = group["members"].as_array().cloned().unwrap_or_default();
        let mut held: Vec<_> =
            members.iter().map(|m| m["assignment"].as_array().map_or(0, Vec::len)).collect();
        held.sort_unstable();
        held == shares && group["state"] == "Stable"
    };
    let mut members: Vec<Member> = ["a", "b", "c"].map(|name| Member::join(&broker, name)).into();
    // Describing a group that is not there yet fails; its first bookmark or member makes it.
    wait(|| terminal::logspine(&broker, "group describe sharers").output().unwrap().status.success());
    wait(|| holds(&[2, 2, 2]));
    write(50);
    let total = |members: &[Member]| {
        members.iter().flat_map(|m| m.read().into_values()).map(|v| v.len()).sum::<usize>()
    };
    wait(|| total(&members) >= 300);
    assert!(members.iter().all(|member| member.read().len() == 2), "two partitions each");
    members[0].leave();
    wait(|| holds(&[3, 3]));
    write(50);
    wait(|| total(&members) >= 600);
    // One after the other: a commit in the middle of a rebalance may be refused, on Apache Kafka too.
    members[1].leave();
    wait(|| holds(&[6]));
    members[2].leave();
    let mut all: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for member in &members {
        member
            .read()
            .into_iter()
            .for_each(|(partition, offsets)| all.entry(partition).or_default().extend(offsets));
    }
    for (partition, mut offsets) in all {
        offsets.sort_unstable();
        assert_eq!(offsets, (0..100).collect::<Vec<_>>(), "partition {partition}");
    }
    assert_eq!(terminal::json(&broker, "group describe sharers")[0]["lag"], serde_json::json!(0));
}

fn wait(mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "waited for a minute");
        std::thread::sleep(Duration::from_millis(20)); // Other processes are waited for.
    }
}
