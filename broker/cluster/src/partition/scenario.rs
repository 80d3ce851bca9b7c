//! Runs the conversations of `testdata/partition_*.txt`: a command, `----`, and what the decision answered.
//!
//! Commands: `leader`, `follower`, `append`, `durable`, `fetch`, `tick`, `isr`, `refused`, `learn`, `truncate`,
//! `min-isr`; arguments are `key=value`. After each command the watermark is printed. Rewrite the expected parts
//! with `LOGSPINE_REWRITE=1 cargo test -p logspine-cluster scenario`, then read the diff.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

struct Arguments<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Arguments<'a> {
    fn text(&self, key: &str) -> &'a str {
        self.0.get(key).copied().unwrap_or_else(|| panic!("{key}= is missing"))
    }

    fn number(&self, key: &str) -> i64 {
        self.text(key).parse().unwrap_or_else(|_| panic!("{key}= is not a number"))
    }

    fn number_or(&self, key: &str, default: i64) -> i64 {
        if self.0.contains_key(key) { self.number(key) } else { default }
    }

    fn brokers(&self, key: &str) -> Vec<BrokerId> {
        self.text(key).split(',').map(|id| BrokerId(id.parse().unwrap())).collect()
    }
}

fn show(effects: Vec<Effect>) -> String {
    let line = |effect: Effect| match effect {
        Effect::AdvanceHighWatermark(offset) => format!("advance high watermark to {offset}\n"),
        Effect::ProposeIsr { isr, leader_epoch, partition_epoch } => {
            let isr: Vec<_> = isr.iter().map(ToString::to_string).collect();
            format!(
                "propose isr {} (leader epoch {leader_epoch}, partition epoch {partition_epoch})\n",
                isr.join(",")
            )
        }
    };
    effects.into_iter().map(line).collect()
}

fn leadership(args: &Arguments<'_>) -> Leadership {
    let log_end = args.number("end");
    Leadership {
        leader_epoch: LeaderEpoch(args.number("epoch") as i32),
        partition_epoch: args.number_or("partition-epoch", 0) as i32,
        replicas: args.brokers("replicas"),
        isr: args.brokers("isr"),
        min_insync_replicas: args.number_or("min-isr", 1) as usize,
        lag_time_max_ms: args.number_or("lag", 30_000),
        log_end: Offset(log_end),
        durable_end: Offset(args.number_or("durable", log_end)),
        high_watermark: Offset(args.number_or("hw", 0)),
    }
}

fn run(state: &mut PartitionState, command: &str) -> String {
    let mut words = command.split_whitespace();
    let verb = words.next().unwrap();
    let args = Arguments(words.map(|word| word.split_once('=').expect("key=value")).collect());
    let now_ms = args.number_or("now", 0);
    let said = match verb {
        "leader" => show(state.become_leader(now_ms, leadership(&args))),
        "follower" => {
            state.become_follower(LeaderEpoch(args.number("epoch") as i32));
            String::new()
        }
        "append" => {
            state.appended(Offset(args.number("end")));
            String::new()
        }
        "durable" => show(state.durable(Offset(args.number("end")))),
        "fetch" => {
            let fetch = FollowerFetch {
                broker: BrokerId(args.number("from") as i32),
                leader_epoch: LeaderEpoch(args.number("epoch") as i32),
                fetch_offset: Offset(args.number("offset")),
            };
            state.follower_fetch(now_ms, fetch).map_or_else(|reject| format!("rejected: {reject}\n"), show)
        }
        "tick" => show(state.tick(now_ms).into_iter().collect()),
        "isr" => show(state.isr_committed(&args.brokers("set"), args.number("partition-epoch") as i32)),
        "refused" => show(state.isr_refused()),
        "learn" => show(state.learn_high_watermark(Offset(args.number("hw")), Offset(args.number("end")))),
        "truncate" => {
            state.truncated(Offset(args.number("end")));
            String::new()
        }
        "min-isr" => show(state.update_min_insync_replicas(args.number("count") as usize)),
        other => panic!("unknown command {other}"),
    };
    let under = if state.is_under_min_isr() { ", under min isr" } else { "" };
    format!("{said}hw {}{under}\n", state.high_watermark())
}

/// One file: blocks of comments, a command line, `----`, the answer, an empty line.
fn replay(text: &str) -> String {
    let mut state = PartitionState::new(BrokerId(1), Offset(0));
    let mut out = String::new();
    for block in text.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        let told = block.split("\n----").next().unwrap_or(block);
        let command = told.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join(" ");
        out.push_str(told.trim_end_matches("----").trim_end());
        if !command.trim().is_empty() {
            out.push_str(&format!("\n----\n{}", run(&mut state, command.trim())));
        } else {
            out.push('\n');
        }
        out.push('\n');
    }
    out.trim_end().to_owned() + "\n"
}

#[test]
fn conversations_go_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files
        .retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("partition_")));
    files.sort();
    assert!(files.len() >= 4, "the conversations are missing from {}", folder.display());
    for path in files {
        let written = std::fs::read_to_string(&path).unwrap();
        let happened = replay(&written);
        if std::env::var_os("LOGSPINE_REWRITE").is_some() {
            std::fs::write(&path, &happened).unwrap();
        } else {
            assert_eq!(written, happened, "in {}", path.display());
        }
    }
}
