//! The floor of latency: 64 bytes there and back, each end on its own processor.

use std::io::{Read as _, Write as _};
use std::time::Instant;

use super::{BROKER_CPU, CLIENT_CPU, Floor, Options, connection, pin};
use crate::latency::Latencies;

pub fn run(options: &Options) -> anyhow::Result<Floor> {
    let (mut broker, mut client) = connection()?;
    let echo = std::thread::spawn(move || {
        pin(BROKER_CPU);
        let mut bytes = [0; 64];
        while broker.read_exact(&mut bytes).is_ok() && broker.write_all(&bytes).is_ok() {}
    });
    pin(CLIENT_CPU);
    let mut latencies = Latencies::new();
    let started = Instant::now();
    let mut bytes = [7; 64];
    while started.elapsed() < options.length() {
        let asked = Instant::now();
        client.write_all(&bytes)?;
        client.read_exact(&mut bytes)?;
        latencies.record(0, asked.elapsed().as_nanos() as u64);
    }
    let seconds = started.elapsed().as_secs_f64();
    drop(client);
    echo.join().map_err(|_| anyhow::anyhow!("the echo panicked"))?;
    let percentiles = latencies.percentiles();
    Ok(Floor {
        per_s: percentiles.as_ref().map(|found| found.count as f64 / seconds),
        p50_us: percentiles.as_ref().map(|found| found.p50 as f64),
        p99_us: percentiles.as_ref().map(|found| found.p99 as f64),
        ..Floor::new("64 bytes there and back".to_owned(), seconds)
    })
}
