//! Promise: an answer that says "durable" leaves only after its fdatasync has returned.
//!
//! strace watches the broker while librdkafka sends. A lone request may be answered only if a sync of the right log
//! returned since the answer before it; many at once share rounds (group commit). Produce with acks=all,
//! CreateTopics and OffsetCommit. The judge is first shown a trace in which one answer overtakes its sync.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use logspine_e2e::broker::Broker;
use logspine_e2e::foreign;
use logspine_e2e::strace::{Call, Strace};

const SYNCS_AND_SENDS: &str = "fdatasync,fsync,sendto,sendmsg,write,writev,sendfile";

/// Runs lone_requests.py under strace and returns the broker's calls.
fn trace(broker: &Broker, mode: &str, count: u32, dir: &Path) -> anyhow::Result<Vec<Call>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python/lone_requests.py");
    let mut client = Command::new(foreign::python())
        .arg(script)
        .args([&broker.bootstrap(), mode, &count.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut says = BufReader::new(client.stdout.take().context("stdout is piped")?).lines();
    ensure!(says.next().transpose()?.as_deref() == Some("ready"), "the client did not get ready");
    let pid = broker.pid().context("the broker runs")?;
    let strace = Strace::attach(pid, SYNCS_AND_SENDS, &dir.join("strace.out"))?;
    writeln!(client.stdin.take().context("stdin is piped")?, "go")?;
    ensure!(says.next().transpose()?.as_deref() == Some("done"), "the client failed");
    ensure!(client.wait()?.success(), "the client failed");
    strace.stop()
}

/// Answers on the broker's port, each with the number of syncs of `log` that returned since the one before.
fn syncs_before_each_answer(calls: &[Call], bootstrap: &str, log: &str) -> Vec<usize> {
    let from_us = format!("<TCP:[{bootstrap}->");
    let (mut answers, mut syncs) = (Vec::new(), 0);
    for call in calls {
        if call.name.ends_with("sync") && call.result == 0 && call.arguments.contains(log) {
            syncs += 1;
        } else if call.arguments.contains(&from_us) && call.result > 0 {
            answers.push(std::mem::take(&mut syncs));
        }
    }
    answers
}

/// Every lone answer had a sync of its own.
fn judge_lone(calls: &[Call], bootstrap: &str, log: &str, count: usize) -> anyhow::Result<()> {
    let answers = syncs_before_each_answer(calls, bootstrap, log);
    let synced = answers.iter().filter(|&&syncs| syncs > 0).count();
    println!("{} answers, {synced} of them after a sync of {log}", answers.len());
    ensure!(answers.len() >= count, "{count} requests, but only {} answers were seen", answers.len());
    ensure!(synced >= count, "only {synced} of {count} answers waited for a sync: {answers:?}");
    Ok(())
}

fn start() -> anyhow::Result<Option<(tempfile::TempDir, Broker)>> {
    let strace = foreign::Tool {
        name: "strace",
        probe: || Command::new("strace").arg("-V").output().is_ok(),
        get: "apt-get install strace",
    };
    if foreign::skip_without("durability", &[foreign::PYTHON_WITH_LIBRDKAFKA, strace]) {
        return Ok(None);
    }
    let dir = tempfile::tempdir()?;
    let broker = Broker::start(dir.path(), &[])?;
    foreign::create_topic(&broker.bootstrap(), "lone", 1)?;
    Ok(Some((dir, broker)))
}

#[test]
fn each_of_100_lone_acks_all_requests_is_synced_before_its_answer() -> anyhow::Result<()> {
    let Some((dir, broker)) = start()? else { return Ok(()) };
    let calls = trace(&broker, "produce", 100, dir.path())?;
    judge_lone(&calls, &broker.bootstrap(), "/lone-0/", 100)?;

    // The judge must see an answer that overtakes its sync: take one sync out of this very trace.
    let at = calls.iter().position(|call| call.name == "fdatasync" && call.arguments.contains("/lone-0/"));
    let mut spoiled = calls.clone();
    spoiled.remove(at.context("the trace has a sync")?);
    ensure!(judge_lone(&spoiled, &broker.bootstrap(), "/lone-0/", 100).is_err(), "the judge is blind");
    Ok(())
}

#[test]
fn sixty_four_concurrent_requests_share_rounds() -> anyhow::Result<()> {
    let Some((dir, broker)) = start()? else { return Ok(()) };
    let calls = trace(&broker, "concurrent", 64, dir.path())?;
    let answers = syncs_before_each_answer(&calls, &broker.bootstrap(), "/lone-0/");
    let rounds: usize = answers.iter().sum();
    println!("{} answers, {rounds} rounds", answers.len());
    ensure!(answers.len() >= 64, "64 requests, but only {} answers were seen", answers.len());
    ensure!(answers[0] > 0, "the first answer left before any sync");
    ensure!(rounds < 64, "{rounds} rounds for 64 requests: nothing was shared");
    Ok(())
}

#[test]
fn each_lone_create_topics_is_synced_before_its_answer() -> anyhow::Result<()> {
    let Some((dir, broker)) = start()? else { return Ok(()) };
    let calls = trace(&broker, "create-topics", 20, dir.path())?;
    judge_lone(&calls, &broker.bootstrap(), "/__cluster_metadata-0/", 20)
}

#[test]
fn each_lone_offset_commit_is_synced_before_its_answer() -> anyhow::Result<()> {
    let Some((dir, broker)) = start()? else { return Ok(()) };
    let calls = trace(&broker, "offset-commit", 20, dir.path())?;
    judge_lone(&calls, &broker.bootstrap(), "/__consumer_offsets-", 20)
}
