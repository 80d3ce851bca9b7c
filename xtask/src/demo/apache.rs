//! Apache Kafka's own tools: `kafka-consumer-groups`, the second opinion on every offset and lag, and
//! `kafka-console-producer`, a client that outlives a broker's death.
//!
//! Invariants: runs the released jars, unchanged; its table is read by column names. Called by the story.

use std::collections::BTreeMap;

use anyhow::Context as _;

use crate::cache::Cache;
use crate::kafka;
use crate::process::Program;

const CONSUMER_GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

const CONSOLE_PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";

/// Group and partition of the one topic of the story.
pub type Bookmark = (String, u32);

/// What is known of a bookmark: the committed offset and the lag.
pub type Position = (u64, u64);

/// Runs `kafka-consumer-groups` with these arguments.
pub fn consumer_groups(cache: &Cache, bootstrap: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let libs = kafka::libs(cache)?;
    Program::new("java")
        .args(["-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(format!("{}/*", libs.display()))
        .args([CONSUMER_GROUPS, "--bootstrap-server", bootstrap])
        .args(arguments)
        .run(None)
}

/// The rows of the tool's tables under one heading, without what else it and its libraries say.
pub fn one_table(output: &str, topic: &str) -> String {
    let heading = output.lines().find(|line| line.starts_with("GROUP "));
    let mut rows: Vec<&str> =
        output.lines().filter(|line| line.split_whitespace().nth(1) == Some(topic)).collect();
    rows.sort_unstable();
    heading.into_iter().chain(rows).collect::<Vec<_>>().join("\n")
}

/// Sends the lines that a shell command writes, with `kafka-console-producer`.
pub fn produce_lines(cache: &Cache, arguments: &[&str], lines: &str) -> anyhow::Result<()> {
    let class_path = format!("{}/*", kafka::libs(cache)?.display());
    let tool = format!("java -cp '{class_path}' {CONSOLE_PRODUCER} {}", arguments.join(" "));
    Program::new("sh").args(["-c", &format!("{{ {lines}; }} | {tool}")]).run(None).map(|_| ())
}

/// Every bookmark of every group on this topic, as `--describe --all-groups` tells it.
pub fn positions(table: &str, topic: &str) -> anyhow::Result<BTreeMap<Bookmark, Position>> {
    let mut columns: Vec<&str> = Vec::new();
    let mut found = BTreeMap::new();
    for line in table.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.first() == Some(&"GROUP") {
            columns = words;
            continue;
        }
        let field = |name: &str| {
            columns.iter().position(|column| *column == name).and_then(|at| words.get(at).copied())
        };
        if field("TOPIC") != Some(topic) {
            continue;
        }
        let number = |name: &str| {
            let text = field(name).with_context(|| format!("no column {name} in: {line}"))?;
            text.parse::<u64>().with_context(|| format!("{name} is not a number in: {line}"))
        };
        let group = field("GROUP").unwrap_or_default().to_owned();
        let partition = u32::try_from(number("PARTITION")?)?;
        found.insert((group, partition), (number("CURRENT-OFFSET")?, number("LAG")?));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_by_its_column_names() {
        let table = "\nConsumer group 'billing' has no active members.\n\n\
            GROUP    TOPIC   PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG  CONSUMER-ID  HOST  CLIENT-ID\n\
            billing  orders  0          10              12              2    -            -     -\n\
            billing  other   0          1               1               0    -            -     -\n";
        assert_eq!(one_table(table, "orders").lines().count(), 2);
        let positions = positions(table, "orders").expect("a table");
        assert_eq!(positions, BTreeMap::from([(("billing".to_owned(), 0), (10, 2))]));
    }
}
