//! How small and how quick: start to the first acknowledged record, memory at rest, the program's size.
//!
//! Invariants: the program is the one that ships; the first record is a stock client's, acks=all, so that it is on
//! stable storage. Called by the benchmark.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::cache::Cache;
use crate::console::bytes;
use crate::demo::{Background, free_port, get};
use crate::process::Program;
use crate::{debian, image};

const STARTS: usize = 5;
const REST: Duration = Duration::from_secs(5);
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Prints the figures.
pub fn run(cache: &Cache) -> anyhow::Result<()> {
    debian::ensure(&["kcat"], "The footprint's stock client")?;
    let binary = image::broker_program(cache)?;
    let mut ready_ms = Vec::new();
    let mut first_ms = Vec::new();
    let mut at_rest = 0;
    for _ in 0..STARTS {
        let started = Instant::now();
        let (broker, address, admin) = start(cache, &binary)?;
        while get(&admin, "/readyz").is_err() {
            ensure!(started.elapsed() < READY_WITHIN, "the broker is not ready");
            std::thread::sleep(Duration::from_millis(1));
        }
        ready_ms.push(started.elapsed().as_millis());
        let line = format!("echo first | kcat -P -b {address} -t first -X acks=all -X linger.ms=0");
        Program::new("sh").args(["-c", &line]).run(None)?;
        first_ms.push(started.elapsed().as_millis());
        std::thread::sleep(REST);
        at_rest = resident_bytes(broker.0.id())?;
    }
    ready_ms.sort_unstable();
    first_ms.sort_unstable();
    println!("FIGURE program of the broker: {}", bytes(std::fs::metadata(&binary)?.len()));
    println!("FIGURE start to ready: {} ms (median of {STARTS})", ready_ms[STARTS / 2]);
    println!(
        "FIGURE start to first acknowledged record: {} ms (median of {STARTS}, kcat's own start included)",
        first_ms[STARTS / 2]
    );
    println!("FIGURE memory at rest: {}", bytes(at_rest));
    Ok(())
}

fn start(cache: &Cache, binary: &Path) -> anyhow::Result<(Background, String, String)> {
    let folder = cache.folder("bench/footprint")?;
    std::fs::remove_dir_all(&folder)?;
    std::fs::create_dir_all(&folder)?;
    let (address, admin) = (format!("127.0.0.1:{}", free_port()?), format!("127.0.0.1:{}", free_port()?));
    let child = Program::new(binary)
        .args(["broker", "--data-dir"])
        .arg(&folder)
        .args(["--override", &format!("listeners=PLAINTEXT://{address}")])
        .args(["--override", &format!("admin.listeners=http://{admin}")])
        .log(cache.path("bench/broker.log")?)
        .start()?;
    Ok((Background(child), address, admin))
}

/// Memory that a process holds in RAM, as the kernel counts it.
fn resident_bytes(process_id: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process_id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in status")?;
    let kibibytes: u64 = line.split_whitespace().next().unwrap_or_default().parse()?;
    Ok(kibibytes * 1024)
}
