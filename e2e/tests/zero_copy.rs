//! Promise: record bytes leave by sendfile; a large fetch reads no `.log` file into the broker.
//!
//! strace watches a stock consumer read 64 MiB from the beginning with 1 MiB fetches: at least 99 % of the record
//! bytes go through sendfile, and what else is read of `.log` files is small responses only (up to 32 KiB each).

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use logspine_e2e::broker::Broker;
use logspine_e2e::foreign;
use logspine_e2e::strace::{Call, Strace};

const RECORDS: usize = 65_536;
const RECORD_BYTES: usize = 1024;
/// Responses up to this size may be read and written instead (docs/decisions).
const SMALL_RESPONSE_BYTES: i64 = 32 * 1024;

/// How the bytes of `.log` files left.
#[derive(Debug, PartialEq, Eq)]
struct Ways {
    sendfile_bytes: i64,
    read_bytes: i64,
    largest_read: i64,
}

fn ways(calls: &[Call]) -> Ways {
    let mut ways = Ways { sendfile_bytes: 0, read_bytes: 0, largest_read: 0 };
    for call in calls.iter().filter(|call| call.result > 0 && call.arguments.contains(".log>")) {
        match call.name.as_str() {
            "sendfile" => ways.sendfile_bytes += call.result,
            _ => {
                ways.read_bytes += call.result;
                ways.largest_read = ways.largest_read.max(call.result);
            }
        }
    }
    ways
}

fn judge(ways: &Ways, record_bytes: i64) -> anyhow::Result<()> {
    println!("{record_bytes} record bytes: {ways:?}");
    ensure!(ways.sendfile_bytes * 100 >= record_bytes * 99, "less than 99 % went by sendfile");
    ensure!(ways.largest_read <= SMALL_RESPONSE_BYTES, "a .log file was read on the path of large responses");
    ensure!(ways.read_bytes * 100 <= record_bytes, "too much of the .log files was read");
    Ok(())
}

fn fill(broker: &Broker, dir: &Path) -> anyhow::Result<()> {
    let lines = dir.join("lines");
    let line = format!("{}\n", "x".repeat(RECORD_BYTES));
    std::fs::write(&lines, line.repeat(RECORDS))?;
    let status = Command::new("kcat")
        .args(["-P", "-b", &broker.bootstrap(), "-t", "large", "-p", "0", "-X", "batch.size=65536", "-l"])
        .arg(&lines)
        .status()?;
    ensure!(status.success(), "kcat produce: {status}");
    Ok(())
}

#[test]
fn large_fetches_leave_by_sendfile() -> anyhow::Result<()> {
    let strace = foreign::Tool {
        name: "strace",
        probe: || Command::new("strace").arg("-V").output().is_ok(),
        get: "apt-get install strace",
    };
    if foreign::skip_without("zero_copy", &[foreign::KCAT, foreign::PYTHON_WITH_LIBRDKAFKA, strace]) {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let broker = Broker::start(dir.path(), &["log.segment.bytes=16777216"])?;
    foreign::create_topic(&broker.bootstrap(), "large", 1)?;
    fill(&broker, dir.path())?;

    let pid = broker.pid().context("the broker runs")?;
    let calls = "sendfile,pread64,preadv,preadv2,read,readv,copy_file_range,splice";
    let strace = Strace::attach(pid, calls, &dir.path().join("strace.out"))?;
    let output = Command::new("kcat")
        .args(["-C", "-b", &broker.bootstrap(), "-t", "large", "-o", "beginning", "-e", "-q"])
        .args(["-X", "fetch.message.max.bytes=1048576", "-X", "check.crcs=true", "-f", "%o %S\n"])
        .output()?;
    let calls = strace.stop()?;

    let text = String::from_utf8(output.stdout)?;
    for (number, line) in text.lines().enumerate() {
        ensure!(line == format!("{number} {RECORD_BYTES}"), "record {number} came as {line:?}");
    }
    ensure!(text.lines().count() == RECORDS, "{} of {RECORDS} records came", text.lines().count());

    let record_bytes = i64::try_from(RECORDS * RECORD_BYTES)?;
    let ways = ways(&calls);
    judge(&ways, record_bytes)?;
    // The judge must see a broker that copies: turn this very trace's sendfiles into reads.
    let copied = Ways { sendfile_bytes: 0, read_bytes: ways.sendfile_bytes, largest_read: 1 << 20 };
    ensure!(judge(&copied, record_bytes).is_err(), "the judge is blind");
    Ok(())
}
