//! W15: what a tailing consumer feels while four others read a backlog that memory cannot hold.
//!
//! Invariants: the broker lives in a memory cgroup of 2 GiB, page cache included; the backlog is three times that; each
//! contender alone, first without the readers, then with them. Called by the benchmark.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::contender::{Contender, Home};
use super::pairs::{Bench, settle};
use super::results::{Pair, VariantResult};

const LIMIT_BYTES: u64 = 2 << 30;
const PAGE_CACHE: &str = "--config flush.messages=9223372036854775807";
const BACKLOG: &str = "produce --warm-up-seconds 0 --seconds 900 --bytes 6000000000";
const TAIL: &str = "fanout -c 1 -r 50 --warm-up-seconds 2 --seconds 10";
const READERS: &str = "fetch -c 4 --warm-up-seconds 0.5 --seconds 16";

pub fn measure(bench: &Bench<'_>) -> anyhow::Result<Vec<VariantResult>> {
    let (ours, kafkas) = (tails(bench, Contender::Logspine)?, tails(bench, Contender::Kafka)?);
    let lost_percent = bench.lost_percent()?;
    let names = ["without readers", "with 4 readers"];
    let results = names.into_iter().zip(ours).zip(kafkas).map(|((name, logspine), kafka)| VariantResult {
        name: name.to_owned(),
        pairs: vec![Pair { logspine, kafka: Some(kafka), floors: BTreeMap::new(), lost_percent }],
        system_calls_per_1000_requests: BTreeMap::new(),
    });
    Ok(results.collect())
}

fn tails(bench: &Bench<'_>, contender: Contender) -> anyhow::Result<[Value; 2]> {
    let group = Group::new(&format!("logspine-bench-{}", std::process::id()))?;
    let home = Home::new(bench.cache, &bench.programs, contender, "replay", "")?;
    let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", group.0.display());
    let running = home.start_with(&["sh", "-c", &enter, "sh"])?;
    let load =
        |words: &str, topic: &str| bench.kblast.load(&running, &format!("{words} {PAGE_CACHE}"), topic);
    load(BACKLOG, "backlog")?;
    settle();
    let alone = load(TAIL, "tail-alone")?;
    let (readers, mut beside) = std::thread::scope(|scope| {
        let readers = scope.spawn(|| load(READERS, "backlog"));
        std::thread::sleep(Duration::from_secs(2)); // The readers are at work when the tail begins.
        let beside = load(TAIL, "tail-beside");
        (readers.join(), beside)
    });
    let readers = readers.map_err(|_| anyhow::anyhow!("the readers' thread panicked"))??;
    if let Ok(Value::Object(beside)) = &mut beside {
        beside.insert("replay".to_owned(), readers);
    }
    drop(running);
    Ok([alone, beside?])
}

/// A memory cgroup (version 1 or 2) that is gone with the value.
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> anyhow::Result<Group> {
        let first = Path::new("/sys/fs/cgroup/memory");
        let (root, limit) = match first.is_dir() {
            true => (first, "memory.limit_in_bytes"),
            false => (Path::new("/sys/fs/cgroup"), "memory.max"),
        };
        let group = Group(root.join(name));
        ensure!(
            group.0.is_dir() || std::fs::create_dir(&group.0).is_ok(),
            "no memory cgroup can be made here"
        );
        std::fs::write(group.0.join(limit), LIMIT_BYTES.to_string()).context("the cgroup takes no limit")?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel refuses while processes are left; an empty group that stays limits nobody.
        let _ = std::fs::remove_dir(&self.0);
    }
}
