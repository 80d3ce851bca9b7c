//! Kafka's own performance tools and librdkafka's beside kblast, so that nobody has to believe our load generator.
//!
//! Invariants: records come from a file (a random payload per record would measure the producer); the order is A B B A;
//! processor time is the broker's from the start of the tool to its end. Called for W1, W2 and W5.

use std::time::Instant;

use anyhow::Context as _;

use super::contender::{Contender, Running};
use super::pairs::{Bench, Brokers, settle};
use super::results::ToolRun;
use crate::process::Program;

const ORDER: [Contender; 4] = [Contender::Logspine, Contender::Kafka, Contender::Kafka, Contender::Logspine];
const PAGE_CACHE: &str = "--config flush.messages=9223372036854775807";

/// What a tool moves.
struct Volume {
    records: u64,
    record_bytes: u64,
    batch_bytes: u64,
    partitions: u64,
}

pub fn run(bench: &Bench<'_>, cell: &str, brokers: &Brokers) -> anyhow::Result<Vec<ToolRun>> {
    let bulk = Volume { records: 2_000_000, record_bytes: 1024, batch_bytes: 65_536, partitions: 1 };
    let tiny = Volume { records: 10_000_000, record_bytes: 100, batch_bytes: 16_384, partitions: 6 };
    match cell {
        "W1" => produced(bench, brokers, &bulk),
        "W2" => produced(bench, brokers, &tiny),
        "W5" => each(|contender, number| consume(bench, brokers.of(contender), contender, &bulk, number)),
        _ => Ok(Vec::new()),
    }
}

/// By each client library in turn.
fn produced(bench: &Bench<'_>, brokers: &Brokers, volume: &Volume) -> anyhow::Result<Vec<ToolRun>> {
    let mut runs = Vec::new();
    for client in [Client::Java, Client::Librdkafka] {
        runs.extend(each(|contender, number| {
            produce(bench, brokers.of(contender), contender, volume, client, number)
        })?);
    }
    Ok(runs)
}

fn each(run: impl Fn(Contender, usize) -> anyhow::Result<ToolRun>) -> anyhow::Result<Vec<ToolRun>> {
    ORDER.into_iter().enumerate().map(|(number, contender)| run(contender, number)).collect()
}

/// Whose producer it is.
#[derive(Debug, Clone, Copy)]
enum Client {
    Java,
    Librdkafka,
}

fn produce(
    bench: &Bench<'_>,
    broker: &Running,
    contender: Contender,
    volume: &Volume,
    client: Client,
    number: usize,
) -> anyhow::Result<ToolRun> {
    let topic = format!("tool-{client:?}-{number}");
    // One request makes the topic with the partitions and the durability that kblast's topics have.
    let make = format!("produce -n 1 --warm-up-seconds 0 --requests 1 -p {} {PAGE_CACHE}", volume.partitions);
    bench.kblast.load(broker, &make, &topic)?;
    let (name, tool) = match client {
        Client::Java => ("kafka-producer-perf-test", java_producer(bench, broker, &topic, volume)?),
        Client::Librdkafka => ("rdkafka_performance", librdkafka_producer(bench, broker, &topic, volume)?),
    };
    settle();
    let run = measured(broker, contender, name, volume, || tool.run(None))?;
    bench.kblast.delete(broker, &topic)?;
    Ok(run)
}

fn java_producer(
    bench: &Bench<'_>,
    broker: &Running,
    topic: &str,
    volume: &Volume,
) -> anyhow::Result<Program> {
    let payload = bench.cache.path("bench/payload.txt")?;
    let line = |letter: u8| char::from(letter).to_string().repeat(volume.record_bytes as usize);
    std::fs::write(&payload, (b'a'..=b'e').map(line).collect::<Vec<_>>().join("\n"))?;
    Ok(java(bench, "org.apache.kafka.tools.ProducerPerformance")
        .args(["--topic", topic, "--num-records", &volume.records.to_string(), "--throughput", "-1"])
        .arg("--payload-file")
        .arg(&payload)
        .arg("--producer-props")
        .arg(format!("bootstrap.servers={}", broker.bootstrap()))
        .args(["acks=1", "linger.ms=5", "enable.idempotence=false"])
        .arg(format!("batch.size={}", volume.batch_bytes)))
}

fn librdkafka_producer(
    bench: &Bench<'_>,
    broker: &Running,
    topic: &str,
    volume: &Volume,
) -> anyhow::Result<Program> {
    let tool = bench.programs.rdkafka_performance.as_ref().context("librdkafka's load tool was not built")?;
    Ok(Program::new("taskset")
        .args(["-c", "1"])
        .arg(tool)
        .args(["-P", "-b", &broker.bootstrap(), "-t", topic, "-a", "1"])
        .args(["-s", &volume.record_bytes.to_string(), "-c", &volume.records.to_string()])
        .args(["-X", "linger.ms=5", "-X", "queue.buffering.max.messages=500000"])
        .args(["-X", &format!("batch.size={}", volume.batch_bytes)]))
}

fn consume(
    bench: &Bench<'_>,
    broker: &Running,
    contender: Contender,
    volume: &Volume,
    number: usize,
) -> anyhow::Result<ToolRun> {
    let topic = format!("tool-read-{number}");
    // A fetch that ends at once leaves the topic filled with a little more than is read.
    let bytes = volume.records * volume.record_bytes * 11 / 10;
    let fill = format!("fetch --fill {bytes} --warm-up-seconds 0 --seconds 0.1 {PAGE_CACHE}");
    bench.kblast.load(broker, &fill, &topic)?;
    let tool = java(bench, "org.apache.kafka.tools.ConsumerPerformance")
        .args(["--bootstrap-server", &broker.bootstrap(), "--topic", &topic])
        .args(["--messages", &volume.records.to_string(), "--fetch-size", "1048576"])
        .args(["--timeout", "60000", "--hide-header"]);
    settle();
    let run = measured(broker, contender, "kafka-consumer-perf-test", volume, || tool.run(None))?;
    bench.kblast.delete(broker, &topic)?;
    Ok(run)
}

fn java(bench: &Bench<'_>, class: &str) -> Program {
    let class_path = format!("{}/*", bench.programs.kafka_libs.display());
    Program::new("taskset").args(["-c", "1", "java", "-Xmx512m", "-cp", &class_path, class])
}

fn measured(
    broker: &Running,
    contender: Contender,
    tool: &str,
    volume: &Volume,
    run: impl Fn() -> anyhow::Result<String>,
) -> anyhow::Result<ToolRun> {
    let (started, before) = (Instant::now(), broker.cpu_s()?);
    let output = run()?;
    let (cpu_s, seconds) = (broker.cpu_s()? - before, started.elapsed().as_secs_f64());
    let megabytes = (volume.records * volume.record_bytes) as f64 / 1e6;
    // The tool's own figure leaves out the start of its JVM.
    let mb_per_s = produced_mb_per_s(&output, volume)
        .or_else(|| librdkafka_mb_per_s(&output, volume))
        .or_else(|| consumed_mb_per_s(&output, volume));
    let mb_per_s = mb_per_s.unwrap_or(megabytes / seconds);
    Ok(ToolRun { tool: tool.to_owned(), contender, cpu_s_per_gb: cpu_s / (megabytes / 1000.0), mb_per_s })
}

/// From the last line of `kafka-producer-perf-test`: `..., 123456.7 records/sec (...)`.
fn produced_mb_per_s(output: &str, volume: &Volume) -> Option<f64> {
    let line = output.lines().rev().find(|line| line.contains("records/sec"))?;
    let rate: f64 = line.split(" records/sec").next()?.rsplit(' ').next()?.parse().ok()?;
    Some(rate * volume.record_bytes as f64 / 1e6)
}

/// From the last line of `rdkafka_performance`: `...: 123456 msgs/s and 12.34 MB/s, ...`.
fn librdkafka_mb_per_s(output: &str, volume: &Volume) -> Option<f64> {
    let line = output.lines().rev().find(|line| line.contains(" msgs/s"))?;
    let rate: f64 = line.split(" msgs/s").next()?.rsplit(' ').next()?.parse().ok()?;
    Some(rate * volume.record_bytes as f64 / 1e6)
}

/// From the fetch time of `kafka-consumer-perf-test`: column 8 (fetch.time.ms) of its comma-separated line.
fn consumed_mb_per_s(output: &str, volume: &Volume) -> Option<f64> {
    let line = output.lines().rev().find(|line| line.matches(',').count() >= 9)?;
    let fetch_ms: f64 = line.split(',').nth(7)?.trim().parse().context("a time").ok()?;
    Some((volume.records * volume.record_bytes) as f64 / 1e3 / fetch_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOLUME: Volume =
        Volume { records: 1_000_000, record_bytes: 1000, batch_bytes: 16_384, partitions: 1 };

    #[test]
    fn the_figures_of_each_tool_are_found() {
        let line = "500000 records sent, 123456.7 records/sec (120.56 MB/sec), 3.2 ms avg latency, 99 ms max latency.";
        let rate = produced_mb_per_s(line, &VOLUME).expect("a rate");
        assert!((rate - 123.4567).abs() < 0.001, "{rate}");
        let line = "2026-06-17 14:47:00:000, 2026-06-17 14:47:03:000, 488.2, 162.7, 500000, 166666.6, 300, 2500, 180.8, 185185.1";
        assert_eq!(consumed_mb_per_s(line, &VOLUME), Some(400.0));
        let line = "% 500000 messages produced (500000000 bytes), 500000 delivered (offset 0, 0 failed) in 4050ms: 123456 msgs/s and 123.46 MB/s, 0 produce failures, 0 in queue, no compression";
        assert_eq!(librdkafka_mb_per_s(line, &VOLUME), Some(123.456));
        assert_eq!(produced_mb_per_s(line, &VOLUME), None);
        assert_eq!(produced_mb_per_s("nothing", &VOLUME), None);
    }
}
