//! `logspine consume TOPIC`: records to standard output, alone or as a member of a group.
//!
//! Ends at the end (`--exit-at-end`), after `--count` records, on Ctrl-C or SIGTERM, or when the reader of its
//! output goes away. As a member it commits exactly what it has printed and leaves the group at once.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use logspine_client::{
    Client, ClientError, Consumer, ConsumerConfig, ConsumerRecord, GroupConfig, GroupConsumer, StartAt,
    TimestampType, TopicPartition,
};
use logspine_protocol::types::Offset;

use super::connect::ConnectArgs;
use super::failure::Failure;
use super::format::Format;
use super::offset::OffsetArg;
use super::with_exit_codes;

/// How long one turn waits for records before it looks at everything else again.
const TURN: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Offsets: beginning, end, N, -N (N before the end), @MILLISECONDS (since 1970).
Format:  %t topic  %p partition  %o offset  %k key  %K its length  %s value  %S its length
         %T timestamp  %h headers  %% percent  \\n \\r \\t \\0 \\\\ \\xNN
In this command -o is the offset, as in kcat; the output format has only its long form, --output.

Examples:
  logspine consume orders                                # everything, then what comes
  logspine consume orders -o -10 -e                      # the last ten of each partition
  logspine consume orders -o @1700000000000 -n 5 -f '%T %k: %s\\n'
  logspine consume orders -g billing                     # as a member of a group
  logspine consume orders -e --output json | jq .value
";

/// `logspine consume`.
#[derive(Debug, Args)]
#[command(after_help = with_exit_codes(EXAMPLES))]
pub struct ConsumeCommand {
    /// Its name
    topic: String,
    #[command(flatten)]
    connect: ConnectArgs,
    /// Where to begin; with --group, only where the group has no bookmark
    #[arg(short, long, default_value = "beginning", allow_hyphen_values = true)]
    offset: OffsetArg,
    /// Only this partition; may be given several times
    #[arg(short, long, value_name = "N", conflicts_with = "group")]
    partition: Vec<i32>,
    /// As a member of this group
    #[arg(short, long)]
    group: Option<String>,
    /// What to print of each record
    #[arg(short, long, default_value = "%s\\n", allow_hyphen_values = true)]
    format: Format,
    /// What to print for a key or value that is null
    #[arg(long, default_value = "", value_name = "TEXT")]
    null: String,
    /// Stop after so many records
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// Stop at what is the end when the command starts
    #[arg(short, long)]
    exit_at_end: bool,
    /// Formatted text, or one JSON object per line
    #[arg(long, value_enum, default_value = "text")]
    output: ConsumeOutput,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ConsumeOutput {
    Text,
    Json,
}

/// Where records come from.
enum Source {
    Partitions(Consumer),
    Group(Box<GroupConsumer>),
}

/// Why printing stopped.
enum Printed {
    All,
    /// The first so many of them; then the count was reached.
    Enough(usize),
    /// The reader has gone away: whether the last ones arrived is unknown.
    ReaderGone,
}

impl ConsumeCommand {
    /// Runs it.
    pub async fn run(self) -> Result<(), Failure> {
        let client = self.connect.connect().await?;
        let mut source = self.source(&client).await?;
        let read = self.read(&mut source).await;
        let closed = match source {
            Source::Group(group) => group.close().await,
            Source::Partitions(_) => Ok(()),
        };
        read?;
        Ok(closed?)
    }

    async fn source(&self, client: &Client) -> Result<Source, Failure> {
        // A typing mistake in the topic would otherwise wait for ever.
        let topic = client.topic(&self.topic).await?;
        let OffsetArg(start) = self.offset;
        if let Some(group) = &self.group {
            let config = GroupConfig { start, ..GroupConfig::new(group, [&self.topic]) };
            let mut consumer = client.group_consumer(config, ConsumerConfig::default());
            if self.exit_at_end {
                consumer.stop_at_end().await?;
            }
            return Ok(Source::Group(Box::new(consumer)));
        }
        let mut consumer = client.consumer(ConsumerConfig::default());
        if self.partition.is_empty() {
            consumer.assign_topic(&self.topic, start).await?;
        } else {
            for partition in &self.partition {
                topic.partition((*partition).into())?;
            }
            let starts = self.partition.iter().map(|index| (TopicPartition::new(&self.topic, *index), start));
            consumer.assign(starts.collect::<BTreeMap<_, StartAt>>()).await?;
        }
        if self.exit_at_end {
            consumer.stop_at_end().await?;
        }
        Ok(Source::Partitions(consumer))
    }

    async fn read(&self, source: &mut Source) -> Result<(), Failure> {
        let mut left = self.count.unwrap_or(u64::MAX);
        let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
        let mut stop = std::pin::pin!(stop_signal());
        while left > 0 {
            let records = tokio::select! {
                records = source.poll() => records?,
                signal = &mut stop => return signal.map_err(|error| Failure::of_system("cannot wait for signals", &error)),
            };
            let printed = self.print(&records, left, &mut out);
            let kept = match printed
                .map_err(|error| Failure::of_system("cannot write to standard output", &error))?
            {
                Printed::All => records.len(),
                Printed::Enough(kept) => kept,
                Printed::ReaderGone => {
                    source.give_back(&records)?;
                    return Ok(());
                }
            };
            source.give_back(&records[kept..])?;
            left -= kept as u64;
            if records.is_empty() && self.exit_at_end && source.is_finished() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn print(
        &self,
        records: &[ConsumerRecord],
        left: u64,
        out: &mut BufWriter<StdoutLock<'_>>,
    ) -> io::Result<Printed> {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(records.len());
        let write = |record: &ConsumerRecord, out: &mut BufWriter<StdoutLock<'_>>| match self.output {
            ConsumeOutput::Text => self.format.write(record, &self.null, out),
            ConsumeOutput::Json => writeln!(out, "{}", to_json(record)),
        };
        let written =
            records[..wanted].iter().try_for_each(|record| write(record, out)).and_then(|()| out.flush());
        match written {
            Ok(()) if wanted < records.len() => Ok(Printed::Enough(wanted)),
            Ok(()) => Ok(Printed::All),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Printed::ReaderGone),
            Err(error) => Err(error),
        }
    }
}

impl Source {
    async fn poll(&mut self) -> Result<Vec<ConsumerRecord>, ClientError> {
        match self {
            Self::Partitions(consumer) => consumer.poll(TURN).await,
            Self::Group(consumer) => consumer.poll(TURN).await,
        }
    }

    fn is_finished(&self) -> bool {
        match self {
            Self::Partitions(consumer) => consumer.is_finished(),
            Self::Group(consumer) => consumer.is_finished(),
        }
    }

    /// These were read but not printed: the group's bookmarks must stay before them.
    fn give_back(&mut self, records: &[ConsumerRecord]) -> Result<(), ClientError> {
        let Self::Group(consumer) = self else { return Ok(()) };
        let mut first: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
        for record in records {
            first.entry(TopicPartition::new(&*record.topic, record.partition.0)).or_insert(record.offset);
        }
        first.iter().try_for_each(|(partition, offset)| consumer.seek(partition, *offset))
    }
}

/// Resolves at Ctrl-C or SIGTERM.
async fn stop_signal() -> io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

/// One object per record. Bytes that are not UTF-8 are given in hexadecimal, under a name that says so.
fn to_json(record: &ConsumerRecord) -> Value {
    let mut object = Map::new();
    object.insert("topic".into(), json!(*record.topic));
    object.insert("partition".into(), json!(record.partition.0));
    object.insert("offset".into(), json!(record.offset.0));
    object.insert("timestamp".into(), json!(record.timestamp_ms));
    let kind = match record.timestamp_type {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    object.insert("timestampType".into(), json!(kind));
    insert_bytes(&mut object, "key", record.key.as_deref());
    insert_bytes(&mut object, "value", record.value.as_deref());
    let header = |(name, value): &(String, Option<Vec<u8>>)| {
        let mut header = Map::from_iter([("name".to_owned(), json!(name))]);
        insert_bytes(&mut header, "value", value.as_deref());
        Value::Object(header)
    };
    object.insert("headers".into(), record.headers.iter().map(header).collect());
    Value::Object(object)
}

fn insert_bytes(object: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(std::str::from_utf8) {
        None => object.insert(name.to_owned(), Value::Null),
        Some(Ok(text)) => object.insert(name.to_owned(), json!(text)),
        Some(Err(_)) => {
            let digits = bytes.unwrap_or_default().iter().map(|byte| format!("{byte:02x}"));
            object.insert(format!("{name}Hex"), json!(digits.collect::<String>()))
        }
    };
}

#[cfg(test)]
mod tests {
    use logspine_protocol::types::PartitionIndex;

    use super::*;

    #[test]
    fn bytes_that_are_not_text_are_hexadecimal() {
        let record = ConsumerRecord {
            topic: "t".into(),
            partition: PartitionIndex(0),
            offset: Offset(1),
            timestamp_ms: 2,
            timestamp_type: TimestampType::CreateTime,
            key: None,
            value: Some(vec![0xff, 0x00]),
            headers: vec![("h".into(), Some(b"v".to_vec()))],
        };
        let expected = json!({
            "topic": "t", "partition": 0, "offset": 1, "timestamp": 2, "timestampType": "CreateTime",
            "key": null, "valueHex": "ff00", "headers": [{"name": "h", "value": "v"}],
        });
        assert_eq!(to_json(&record), expected);
    }
}
