//! `logspine topic`: list, create, describe, alter, add partitions, delete.
//!
//! `describe` joins three answers: partitions and replicas, first and last offsets, and the configs that are not
//! the default, because that is what a person wants to see at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use logspine_client::{
    Admin, Client, ClientError, ConfigEntry, ConfigOp, ConfigSource, ListedOffset, OffsetSpec, Resource,
    TopicDescription, TopicPartition, TopicRef,
};
use logspine_protocol::error::ErrorCode;

use super::connect::ConnectArgs;
use super::failure::Failure;
use super::output::{OutputArgs, ids, or_dash, table};
use super::pairs::key_value;
use super::with_exit_codes;

const EXAMPLES: &str = "\
Examples:
  logspine topic create orders --partitions 12 --config retention.ms=86400000
  logspine topic describe orders
  logspine topic alter orders --set retention.bytes=1073741824 --unset retention.ms
  logspine topic add-partitions orders --total 24
  logspine topic list -o json | jq -r '.[].name'
";

/// `logspine topic`.
#[derive(Debug, Args)]
#[command(after_help = with_exit_codes(EXAMPLES))]
pub struct TopicCommand {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    action: TopicAction,
}

#[derive(Debug, Subcommand)]
enum TopicAction {
    /// Show every topic
    #[command(visible_alias = "ls")]
    List {
        /// Also those that the cluster keeps for itself
        #[arg(long)]
        internal: bool,
    },
    /// Make a topic
    Create(CreateArgs),
    /// Show partitions, replicas, offsets and changed configs
    Describe {
        #[arg(required = true, value_name = "TOPIC")]
        topics: Vec<String>,
        /// Show every config, also those that have their default
        #[arg(long)]
        all_configs: bool,
    },
    /// Change configs
    Alter(AlterArgs),
    /// Add partitions; records stay where they are, so keys change partition
    AddPartitions {
        /// Its name
        topic: String,
        /// How many partitions there shall be in total
        #[arg(long, value_name = "N")]
        total: i32,
    },
    /// Delete topics and their records
    #[command(visible_alias = "rm")]
    Delete {
        #[arg(required = true, value_name = "TOPIC")]
        topics: Vec<String>,
        /// A topic that does not exist is no failure
        #[arg(long)]
        if_exists: bool,
    },
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Its name
    topic: String,
    /// How many partitions; the broker's num.partitions when not given
    #[arg(short, long, value_name = "N")]
    partitions: Option<i32>,
    /// How many replicas; the broker's default.replication.factor when not given
    #[arg(short, long, value_name = "N")]
    replication_factor: Option<i16>,
    /// A config of the topic; may be given several times
    #[arg(short, long = "config", value_name = "KEY=VALUE", value_parser = key_value)]
    configs: Vec<(String, String)>,
    /// A topic that exists is no failure, and stays as it is
    #[arg(long)]
    if_not_exists: bool,
    /// Only say whether it could be made
    #[arg(long)]
    validate_only: bool,
}

#[derive(Debug, Args)]
struct AlterArgs {
    /// Its name
    topic: String,
    /// Give a config this value; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value, required_unless_present = "unset")]
    set: Vec<(String, String)>,
    /// Give a config its default again; may be given several times
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    /// Only say whether it could be changed
    #[arg(long)]
    validate_only: bool,
}

impl TopicCommand {
    /// Runs it.
    pub async fn run(self) -> Result<(), Failure> {
        let client = self.connect.connect().await?;
        let output = &self.output;
        match self.action {
            TopicAction::List { internal } => list(&client.admin(), output, internal).await,
            TopicAction::Create(args) => create(&client.admin(), output, args).await,
            TopicAction::Describe { topics, all_configs } => {
                describe(&client, output, &topics, all_configs).await
            }
            TopicAction::Alter(args) => alter(&client.admin(), output, args).await,
            TopicAction::AddPartitions { topic, total } => {
                client.admin().create_partitions(&topic, total).await?;
                let done = json!({"name": topic, "partitions": total});
                output.print(|| format!("topic {topic} has {total} partitions"), || done)
            }
            TopicAction::Delete { topics, if_exists } => {
                delete(&client.admin(), output, &topics, if_exists).await
            }
        }
    }
}

async fn list(admin: &Admin, output: &OutputArgs, internal: bool) -> Result<(), Failure> {
    let mut topics = admin.list_topics().await?;
    topics.retain(|topic| internal || !topic.internal);
    let replicas =
        |topic: &TopicDescription| topic.partitions.first().map_or(0, |partition| partition.replicas.len());
    let row = |topic: &Arc<TopicDescription>| {
        vec![topic.name.clone(), topic.partitions.len().to_string(), replicas(topic).to_string()]
    };
    let entry = |topic: &Arc<TopicDescription>| {
        json!({
            "name": topic.name, "topicId": topic.topic_id.to_string(), "partitions": topic.partitions.len(),
            "replicationFactor": replicas(topic), "internal": topic.internal,
        })
    };
    output.print(
        || table(&["TOPIC", "PARTITIONS", "REPLICAS"], topics.iter().map(row).collect()),
        || topics.iter().map(entry).collect(),
    )
}

async fn create(admin: &Admin, output: &OutputArgs, args: CreateArgs) -> Result<(), Failure> {
    let configs: BTreeMap<_, _> = args.configs.into_iter().collect();
    let (partitions, replicas) = (args.partitions.unwrap_or(-1), args.replication_factor.unwrap_or(-1));
    let name = &args.topic;
    let outcome = admin.create_topic(name, partitions, replicas, &configs, args.validate_only).await;
    let (done, words) = match outcome {
        Ok(topic_id) if args.validate_only => (topic_id.to_string(), "could be created"),
        Ok(topic_id) => (topic_id.to_string(), "created"),
        Err(error) if args.if_not_exists && error.code() == Some(ErrorCode::TopicAlreadyExists) => {
            let topic = admin.describe_topics(&[name]).await?;
            (topic.first().map(|topic| topic.topic_id.to_string()).unwrap_or_default(), "exists already")
        }
        Err(error) => return Err(error.into()),
    };
    let json = json!({"name": name, "topicId": done, "outcome": words});
    output.print(|| format!("topic {name} {words}"), || json)
}

async fn alter(admin: &Admin, output: &OutputArgs, args: AlterArgs) -> Result<(), Failure> {
    let set = args.set.iter().map(|(key, value)| ConfigOp::set(key, value));
    let ops: Vec<_> = set.chain(args.unset.iter().map(ConfigOp::delete)).collect();
    admin.incremental_alter_configs(&Resource::Topic(args.topic.clone()), &ops, args.validate_only).await?;
    let words = if args.validate_only { "could be changed" } else { "changed" };
    let json = json!({"name": args.topic, "outcome": words});
    output.print(|| format!("topic {} {words}", args.topic), || json)
}

async fn delete(
    admin: &Admin,
    output: &OutputArgs,
    topics: &[String],
    if_exists: bool,
) -> Result<(), Failure> {
    let mut deleted = Vec::new();
    for topic in topics {
        match admin.delete_topic(TopicRef::Name(topic)).await {
            Ok(()) => deleted.push(topic),
            Err(error) if if_exists && error.is_unknown_topic() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let lines = deleted.iter().map(|topic| format!("topic {topic} deleted")).collect::<Vec<_>>().join("\n");
    output.print(|| lines, || json!({"deleted": deleted}))
}

/// Everything that `describe` shows of one topic.
struct Described {
    topic: Arc<TopicDescription>,
    starts: BTreeMap<TopicPartition, ListedOffset>,
    ends: BTreeMap<TopicPartition, ListedOffset>,
    configs: Vec<ConfigEntry>,
}

async fn describe(client: &Client, output: &OutputArgs, names: &[String], all: bool) -> Result<(), Failure> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut described = Vec::new();
    for topic in client.admin().describe_topics(&names).await? {
        described.push(Described::gather(&client.admin(), topic, all).await?);
    }
    output.print(
        || described.iter().map(Described::to_text).collect::<Vec<_>>().join("\n\n"),
        || described.iter().map(Described::to_json).collect(),
    )
}

impl Described {
    async fn gather(admin: &Admin, topic: Arc<TopicDescription>, all: bool) -> Result<Self, ClientError> {
        // Only a leader knows offsets; a partition without one is shown without them.
        let led = topic.partitions.iter().filter(|partition| partition.leader.is_some());
        let led: Vec<_> = led.map(|partition| TopicPartition::new(&topic.name, partition.index.0)).collect();
        let starts = admin.offsets_at(led.iter().cloned(), OffsetSpec::Earliest).await?;
        let ends = admin.offsets_at(led, OffsetSpec::Latest).await?;
        let mut configs = admin.describe_configs(&Resource::Topic(topic.name.clone())).await?;
        configs.retain(|config| all || config.source == ConfigSource::Topic);
        Ok(Self { topic, starts, ends, configs })
    }

    fn offset(&self, offsets: &BTreeMap<TopicPartition, ListedOffset>, index: i32) -> Option<i64> {
        offsets.get(&TopicPartition::new(&self.topic.name, index)).map(|listed| listed.offset.0)
    }

    fn to_text(&self) -> String {
        let topic = &self.topic;
        let mut text = format!("Topic {}  id {}", topic.name, topic.topic_id);
        for config in &self.configs {
            text += &format!("\n  {}={}", config.name, config.value.as_deref().unwrap_or("(hidden)"));
        }
        let rows = topic.partitions.iter().map(|partition| {
            let index = partition.index.0;
            vec![
                index.to_string(),
                or_dash(partition.leader),
                ids(&partition.replicas),
                ids(&partition.isr),
                or_dash(self.offset(&self.starts, index)),
                or_dash(self.offset(&self.ends, index)),
            ]
        });
        let headings = ["PARTITION", "LEADER", "REPLICAS", "ISR", "FIRST OFFSET", "NEXT OFFSET"];
        format!("{text}\n{}", table(&headings, rows.collect()))
    }

    fn to_json(&self) -> Value {
        let topic = &self.topic;
        let broker_ids =
            |ids: &[logspine_protocol::types::BrokerId]| ids.iter().map(|id| id.0).collect::<Vec<_>>();
        let partition = |partition: &logspine_client::PartitionDescription| {
            let index = partition.index.0;
            json!({
                "partition": index, "leader": partition.leader.map(|id| id.0), "leaderEpoch": partition.leader_epoch.0,
                "replicas": broker_ids(&partition.replicas), "isr": broker_ids(&partition.isr),
                "offline": broker_ids(&partition.offline),
                "firstOffset": self.offset(&self.starts, index), "nextOffset": self.offset(&self.ends, index),
            })
        };
        let configs: serde_json::Map<_, _> =
            self.configs.iter().map(|config| (config.name.clone(), json!(config.value))).collect();
        json!({
            "name": topic.name, "topicId": topic.topic_id.to_string(), "internal": topic.internal,
            "partitions": topic.partitions.iter().map(partition).collect::<Vec<_>>(), "configs": configs,
        })
    }
}
