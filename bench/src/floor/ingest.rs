//! The floor of produce: bytes from a socket, their CRC-32C, one write per request.
//!
//! Over cached pages by default, as performance claims are usually made; `--append` pays for new pages too, as a log does.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use crc_fast::{CrcAlgorithm, checksum};

use super::{BROKER_CPU, CLIENT_CPU, Floor, Options, connection, pin};
use crate::observe::thread_cpu_s;

/// Written over again and again; stays in the cache.
const FILE_BYTES: usize = 256 << 20;
/// A file that grows is begun anew here, before the kernel has to write back.
const GROWN_BYTES: u64 = 1 << 30;

pub fn run(options: &Options, request_bytes: usize, append: bool) -> anyhow::Result<Floor> {
    let mut scratch = options.file()?;
    if !append {
        let block = vec![0; 1 << 20];
        for _ in 0..FILE_BYTES / block.len() {
            scratch.file.write_all(&block)?;
        }
    }
    let (mut broker, mut client) = connection()?;
    let writer = std::thread::spawn(move || {
        pin(CLIENT_CPU);
        let request = vec![7; request_bytes];
        while client.write_all(&request).is_ok() {}
    });
    pin(BROKER_CPU);
    let mut request = vec![0; request_bytes];
    let end = if append { GROWN_BYTES } else { FILE_BYTES as u64 };
    let (started, cpu_before) = (Instant::now(), thread_cpu_s());
    let (mut bytes, mut at, mut unpaid_cpu_s, mut sum) = (0, 0, 0.0, 0);
    while started.elapsed() < options.length() {
        broker.read_exact(&mut request)?;
        sum ^= checksum(CrcAlgorithm::Crc32Iscsi, &request);
        if at + request_bytes as u64 > end {
            at = 0;
            if append {
                // A broker would go on in the next segment: giving the pages back is not its work here.
                let before = thread_cpu_s();
                scratch.file.set_len(0)?;
                unpaid_cpu_s += thread_cpu_s() - before;
            }
        }
        scratch.file.write_all_at(&request, at)?;
        at += request_bytes as u64;
        bytes += request_bytes as u64;
    }
    std::hint::black_box(sum);
    let (cpu_s, seconds) = (thread_cpu_s() - cpu_before - unpaid_cpu_s, started.elapsed().as_secs_f64());
    broker.shutdown(Shutdown::Both)?;
    drop(broker);
    writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?;
    let how = if append { "appended" } else { "over cached pages" };
    Ok(Floor::of_bytes(format!("ingest {} KiB, {how}", request_bytes / 1024), seconds, bytes, cpu_s))
}
