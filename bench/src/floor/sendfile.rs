//! The floor of fetch: cached bytes to a socket, 1 MiB at a time, to a reader that lets the kernel drop them.

use std::io::Write as _;
use std::net::Shutdown;
use std::time::Instant;

use rustix::net::{RecvFlags, recv};

use super::{BROKER_CPU, CLIENT_CPU, Floor, Options, connection, pin};
use crate::observe::thread_cpu_s;

const FILE_BYTES: usize = 256 << 20;
const PIECE_BYTES: usize = 1 << 20;

pub fn run(options: &Options) -> anyhow::Result<Floor> {
    let mut scratch = options.file()?;
    for _ in 0..FILE_BYTES / PIECE_BYTES {
        scratch.file.write_all(&vec![7; PIECE_BYTES])?;
    }
    let (broker, client) = connection()?;
    let reader = std::thread::spawn(move || {
        pin(CLIENT_CPU);
        let mut dropped = vec![0; PIECE_BYTES];
        while recv(&client, &mut dropped, RecvFlags::TRUNC).is_ok_and(|(_, count)| count > 0) {}
    });
    pin(BROKER_CPU);
    let (started, cpu_before) = (Instant::now(), thread_cpu_s());
    let (mut bytes, mut offset) = (0, 0);
    while started.elapsed() < options.length() {
        if offset >= FILE_BYTES as u64 {
            offset = 0;
        }
        bytes += rustix::fs::sendfile(&broker, &scratch.file, Some(&mut offset), PIECE_BYTES)? as u64;
    }
    let (cpu_s, seconds) = (thread_cpu_s() - cpu_before, started.elapsed().as_secs_f64());
    broker.shutdown(Shutdown::Both)?;
    reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
    Ok(Floor::of_bytes("sendfile 1 MiB".to_owned(), seconds, bytes, cpu_s))
}
