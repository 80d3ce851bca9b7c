//! `logspine produce TOPIC`: the lines of standard input become records, in order.
//!
//! Idempotent with acks=all unless told otherwise. Lines are read while batches are on their way; how many may
//! wait is bounded, by the producer's buffer and by `UNACKNOWLEDGED`. Ends at the end of input once every record
//! is acknowledged, or at the first that is refused.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;

use logspine_client::{
    Acks, ClientError, Codec, Delivery, Producer, ProducerConfig, ProducerRecord, RecordMetadata,
};
use logspine_protocol::types::PartitionIndex;

use super::connect::ConnectArgs;
use super::failure::Failure;
use super::lines;
use super::output::{OutputArgs, OutputFormat, print_json};
use super::pairs::key_value;
use super::with_exit_codes;

/// Deliveries that are remembered before the oldest is waited for.
const UNACKNOWLEDGED: usize = 50_000;

const EXAMPLES: &str = "\
Examples:
  echo 'one coffee' | logspine produce orders
  logspine produce orders -k : -z zstd < orders.txt          # 'table 4:one coffee'
  logspine produce orders -H source=till-2 -p 0 < orders.txt
  logspine produce metrics --acks 1 --linger-ms 50 < figures.txt
";

/// `logspine produce`.
#[derive(Debug, Args)]
#[command(after_help = with_exit_codes(EXAMPLES))]
pub struct ProduceCommand {
    /// Its name
    topic: String,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// What is before the first of these is the key; a line without it has no key
    #[arg(short, long, value_name = "SEPARATOR")]
    key_separator: Option<String>,
    /// A header of every record; may be given several times
    #[arg(short = 'H', long = "header", value_name = "KEY=VALUE", value_parser = key_value)]
    headers: Vec<(String, String)>,
    /// To this partition; by key, or evenly, when not given
    #[arg(short, long, value_name = "N")]
    partition: Option<i32>,
    /// Compress batches
    #[arg(short = 'z', long, value_enum, default_value = "none")]
    compression: Compression,
    /// When a record counts as written
    #[arg(long, value_enum, default_value = "all")]
    acks: AcksArg,
    /// How long a batch waits for more records, in milliseconds
    #[arg(long, default_value_t = 5, value_name = "MS")]
    linger_ms: u64,
    /// An empty value is a null: the tombstone of compacted topics
    #[arg(short = 'Z', long)]
    null_empty: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AcksArg {
    /// Once every in-sync replica has it on stable storage
    #[value(alias = "-1")]
    All,
    /// Once the leader has it
    #[value(name = "1")]
    Leader,
    /// Never
    #[value(name = "0")]
    None,
}

impl ProduceCommand {
    /// Runs it.
    pub async fn run(self) -> Result<(), Failure> {
        let client = self.connect.connect().await?;
        // A typing mistake in the topic is better said before any input is read.
        client.topic(&self.topic).await?;
        let producer = client.producer(self.config())?;
        let mut written = Written::default();
        let outcome = self.produce(&producer, &mut written).await;
        if self.output.output == OutputFormat::Json {
            print_json(&written.to_json(&self.topic))?;
        }
        outcome.map_err(|failure| match written.records {
            0 => failure,
            records => Failure {
                sentence: format!("{} (after {records} records were written)", failure.sentence),
                ..failure
            },
        })
    }

    fn config(&self) -> ProducerConfig {
        let acks = match self.acks {
            AcksArg::All => Acks::All,
            AcksArg::Leader => Acks::Leader,
            AcksArg::None => Acks::None,
        };
        let codec = match self.compression {
            Compression::None => Codec::None,
            Compression::Gzip => Codec::Gzip,
            Compression::Snappy => Codec::Snappy,
            Compression::Lz4 => Codec::Lz4,
            Compression::Zstd => Codec::Zstd,
        };
        ProducerConfig {
            acks,
            idempotent: acks == Acks::All,
            codec,
            linger: Duration::from_millis(self.linger_ms),
            delivery_timeout: Duration::from_secs(self.connect.timeout.max(1)),
            ..ProducerConfig::default()
        }
    }

    async fn produce(&self, producer: &Producer, written: &mut Written) -> Result<(), Failure> {
        let mut input = lines::stdin();
        let mut unacknowledged: VecDeque<Delivery> = VecDeque::new();
        while let Some(bunch) = input.recv().await {
            for line in bunch.map_err(|error| Failure::of_system("cannot read standard input", &error))? {
                unacknowledged.push_back(producer.send(self.record(&line)).await?);
            }
            if unacknowledged.len() >= UNACKNOWLEDGED {
                // Half at once: waiting for one after the other would wake this task for every record.
                written.take(unacknowledged.drain(..UNACKNOWLEDGED / 2)).await?;
            }
        }
        producer.flush().await?;
        Ok(written.take(unacknowledged.drain(..)).await?)
    }

    fn record(&self, line: &[u8]) -> ProducerRecord {
        let (key, value) =
            match self.key_separator.as_deref().and_then(|separator| split(line, separator.as_bytes())) {
                Some((key, value)) => (Some(key), value),
                None => (None, line),
            };
        ProducerRecord {
            topic: self.topic.clone(),
            partition: self.partition.map(PartitionIndex),
            key: key.map(<[u8]>::to_vec),
            value: (!(self.null_empty && value.is_empty())).then(|| value.to_vec()),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), Some(value.clone().into_bytes())))
                .collect(),
            timestamp_ms: None,
        }
    }
}

/// The parts before and after the first separator.
fn split<'a>(line: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    if separator.is_empty() {
        return None;
    }
    let at = line.windows(separator.len()).position(|window| window == separator)?;
    Some((&line[..at], &line[at + separator.len()..]))
}

/// What was acknowledged so far.
#[derive(Debug, Default)]
struct Written {
    records: u64,
    /// Per partition: how many, the first offset and the last.
    partitions: BTreeMap<i32, (u64, i64, i64)>,
}

impl Written {
    /// Waits for these; the first that failed is the error.
    async fn take(&mut self, deliveries: impl Iterator<Item = Delivery>) -> Result<(), ClientError> {
        let mut failed = None;
        for delivery in deliveries {
            match delivery.await {
                Ok(metadata) => self.count(&metadata),
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn count(&mut self, metadata: &RecordMetadata) {
        self.records += 1;
        let offset = metadata.offset.0;
        let (records, _, last) = self.partitions.entry(metadata.partition.0).or_insert((0, offset, offset));
        *records += 1;
        *last = offset;
    }

    fn to_json(&self, topic: &str) -> serde_json::Value {
        let partition = |(partition, (records, first, last)): (&i32, &(u64, i64, i64))| json!({"partition": partition, "records": records, "firstOffset": first, "lastOffset": last});
        let partitions: Vec<_> = self.partitions.iter().map(partition).collect();
        json!({"topic": topic, "records": self.records, "partitions": partitions})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_separator_splits_key_from_value() {
        assert_eq!(split(b"k:v:w", b":"), Some((&b"k"[..], &b"v:w"[..])));
        assert_eq!(split(b"k=>v", b"=>"), Some((&b"k"[..], &b"v"[..])));
        assert_eq!(split(b":v", b":"), Some((&b""[..], &b"v"[..])));
        assert_eq!(split(b"no key", b":"), None);
    }
}
