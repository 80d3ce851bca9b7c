//! `logspine group`: list, describe with lag, delete, move bookmarks.
//!
//! Lag is what is still to be read: next offset of the partition minus the group's bookmark. A partition that a
//! member holds but that has no bookmark yet is shown too, without lag.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use logspine_client::{
    Client, ClientError, CommittedOffset, Consumer, ConsumerConfig, GroupDescription, GroupListing,
    GroupMember, ListedOffset, OffsetSpec, StartAt, TopicPartition,
};
use logspine_protocol::types::Offset;

use super::connect::ConnectArgs;
use super::failure::Failure;
use super::offset::OffsetArg;
use super::output::{OutputArgs, or_dash, table};
use super::with_exit_codes;

const EXAMPLES: &str = "\
Examples:
  logspine group list
  logspine group describe billing
  logspine group reset-offsets billing --topic orders --to beginning --dry-run
  logspine group reset-offsets billing --topic orders:0,3 --to @1700000000000
  logspine group delete billing
";

/// `logspine group`.
#[derive(Debug, Args)]
#[command(after_help = with_exit_codes(EXAMPLES))]
pub struct GroupCommand {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    action: GroupAction,
}

#[derive(Debug, Subcommand)]
enum GroupAction {
    /// Show every group
    #[command(visible_alias = "ls")]
    List,
    /// Show who reads what, how far, and how much is left
    Describe {
        #[arg(required = true, value_name = "GROUP")]
        groups: Vec<String>,
    },
    /// Delete groups that nobody is in, and their bookmarks
    #[command(visible_alias = "rm")]
    Delete {
        #[arg(required = true, value_name = "GROUP")]
        groups: Vec<String>,
    },
    /// Move the bookmarks of a group that nobody is in
    ResetOffsets(ResetArgs),
}

#[derive(Debug, Args)]
struct ResetArgs {
    /// The group's name
    group: String,
    /// In this topic, or in these partitions of it; may be given several times
    #[arg(long, value_name = "TOPIC[:PARTITION,...]", required_unless_present = "all_topics")]
    topic: Vec<String>,
    /// In every topic that the group has bookmarks in
    #[arg(long, conflicts_with = "topic")]
    all_topics: bool,
    /// beginning, end, an offset, -N for N before the end, @MILLISECONDS for a time
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true)]
    to: OffsetArg,
    /// Only show where the bookmarks would go
    #[arg(long)]
    dry_run: bool,
}

impl GroupCommand {
    /// Runs it.
    pub async fn run(self) -> Result<(), Failure> {
        let client = self.connect.connect().await?;
        match self.action {
            GroupAction::List => list(&client, &self.output).await,
            GroupAction::Describe { groups } => describe(&client, &self.output, &groups).await,
            GroupAction::Delete { groups } => delete(&client, &self.output, &groups).await,
            GroupAction::ResetOffsets(args) => reset(&client, &self.output, args).await,
        }
    }
}

async fn list(client: &Client, output: &OutputArgs) -> Result<(), Failure> {
    let groups = client.admin().list_groups().await?;
    let row = |group: &GroupListing| {
        vec![
            group.group_id.clone(),
            group.state.clone(),
            group.group_type.clone(),
            group.protocol_type.clone(),
            group.coordinator.to_string(),
        ]
    };
    let entry = |group: &GroupListing| {
        json!({
            "group": group.group_id, "state": group.state, "type": group.group_type,
            "protocolType": group.protocol_type, "coordinator": group.coordinator.0,
        })
    };
    output.print(
        || table(&["GROUP", "STATE", "TYPE", "PROTOCOL", "COORDINATOR"], groups.iter().map(row).collect()),
        || groups.iter().map(entry).collect(),
    )
}

async fn delete(client: &Client, output: &OutputArgs, groups: &[String]) -> Result<(), Failure> {
    for group in groups {
        client.admin().delete_group(group).await?;
    }
    let lines = groups.iter().map(|group| format!("group {group} deleted")).collect::<Vec<_>>().join("\n");
    output.print(|| lines, || json!({"deleted": groups}))
}

/// A group, its bookmarks, and the ends of the partitions it reads.
struct Described {
    group: GroupDescription,
    bookmarks: BTreeMap<TopicPartition, CommittedOffset>,
    ends: BTreeMap<TopicPartition, ListedOffset>,
}

/// One line of it.
struct Line<'a> {
    partition: &'a TopicPartition,
    bookmark: Option<i64>,
    end: Option<i64>,
    member: Option<&'a GroupMember>,
}

impl Line<'_> {
    fn lag(&self) -> Option<i64> {
        Some((self.end? - self.bookmark?).max(0))
    }
}

async fn describe(client: &Client, output: &OutputArgs, names: &[String]) -> Result<(), Failure> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut described = Vec::new();
    for group in client.admin().describe_groups(&names).await? {
        described.push(Described::gather(client, group).await?);
    }
    output.print(
        || described.iter().map(Described::to_text).collect::<Vec<_>>().join("\n\n"),
        || described.iter().map(Described::to_json).collect(),
    )
}

impl Described {
    async fn gather(client: &Client, group: GroupDescription) -> Result<Self, ClientError> {
        let bookmarks = client.admin().group_offsets(&group.group_id).await?;
        let held = group.members.iter().flat_map(|member| &member.assignment);
        let partitions: BTreeSet<_> = bookmarks.keys().chain(held).cloned().collect();
        let ends = client.admin().offsets_at(existing(client, partitions).await?, OffsetSpec::Latest).await?;
        Ok(Self { group, bookmarks, ends })
    }

    fn lines(&self) -> Vec<Line<'_>> {
        let holder = |partition: &TopicPartition| {
            self.group.members.iter().find(|member| member.assignment.contains(partition))
        };
        let held = self.group.members.iter().flat_map(|member| &member.assignment);
        let partitions: BTreeSet<_> = self.bookmarks.keys().chain(held).collect();
        let line = |partition| Line {
            partition,
            bookmark: self.bookmarks.get(partition).map(|bookmark| bookmark.offset.0),
            end: self.ends.get(partition).map(|listed| listed.offset.0),
            member: holder(partition),
        };
        partitions.into_iter().map(line).collect()
    }

    fn to_text(&self) -> String {
        let group = &self.group;
        let rows = self.lines().into_iter().map(|line| {
            vec![
                line.partition.topic.clone(),
                line.partition.partition.to_string(),
                or_dash(line.bookmark),
                or_dash(line.end),
                or_dash(line.lag()),
                or_dash(line.member.map(|member| &member.member_id)),
                or_dash(line.member.map(|member| &member.client_host)),
            ]
        });
        let headings = ["TOPIC", "PARTITION", "BOOKMARK", "NEXT OFFSET", "LAG", "MEMBER", "HOST"];
        format!(
            "Group {}  {}  {} members  coordinator {}\n{}",
            group.group_id,
            group.state,
            group.members.len(),
            group.coordinator,
            table(&headings, rows.collect())
        )
    }

    fn to_json(&self) -> Value {
        let partition = |line: Line<'_>| {
            json!({
                "topic": line.partition.topic, "partition": line.partition.partition.0, "bookmark": line.bookmark,
                "nextOffset": line.end, "lag": line.lag(), "member": line.member.map(|member| &member.member_id),
            })
        };
        let member = |member: &GroupMember| {
            let held: Vec<_> = member.assignment.iter().map(ToString::to_string).collect();
            json!({
                "member": member.member_id, "instance": member.instance_id, "clientId": member.client_id,
                "host": member.client_host, "assignment": held,
            })
        };
        let lines = self.lines();
        let lag: i64 = lines.iter().filter_map(Line::lag).sum();
        json!({
            "group": self.group.group_id, "state": self.group.state, "coordinator": self.group.coordinator.0,
            "assignor": self.group.protocol, "lag": lag,
            "members": self.group.members.iter().map(member).collect::<Vec<_>>(),
            "partitions": lines.into_iter().map(partition).collect::<Vec<_>>(),
        })
    }
}

/// Those of the partitions that are still there: a bookmark may outlive its topic.
async fn existing(
    client: &Client,
    partitions: BTreeSet<TopicPartition>,
) -> Result<BTreeSet<TopicPartition>, ClientError> {
    let names: BTreeSet<&str> = partitions.iter().map(|partition| partition.topic.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let mut present = BTreeSet::new();
    if names.is_empty() {
        return Ok(present);
    }
    for topic in client.topics(&names).await? {
        match topic {
            Ok(topic) => {
                let all = topic.partitions.iter().filter(|partition| partition.leader.is_some());
                present.extend(all.map(|partition| TopicPartition::new(&topic.name, partition.index.0)));
            }
            Err(error) if error.is_unknown_topic() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(partitions.intersection(&present).cloned().collect())
}

async fn reset(client: &Client, output: &OutputArgs, args: ResetArgs) -> Result<(), Failure> {
    let before = client.admin().group_offsets(&args.group).await?;
    let partitions = match args.all_topics {
        true => existing(client, before.keys().cloned().collect()).await?,
        false => chosen(client, &args.topic).await?,
    };
    if partitions.is_empty() {
        return Err(Failure::of_usage(
            format!("group {} has no bookmarks to move", args.group),
            "Name a topic with --topic to set the first ones.",
        ));
    }
    let targets = targets(client, partitions, args.to.0).await?;
    if !args.dry_run {
        client.admin().alter_group_offsets(&args.group, &targets).await?;
    }
    let was = |partition: &TopicPartition| before.get(partition).map(|bookmark| bookmark.offset.0);
    let row = |(partition, target): (&TopicPartition, &Offset)| {
        let TopicPartition { topic, partition: index } = partition;
        vec![topic.clone(), index.to_string(), or_dash(was(partition)), target.to_string()]
    };
    let entry = |(partition, target): (&TopicPartition, &Offset)| json!({"topic": partition.topic, "partition": partition.partition.0, "before": was(partition), "bookmark": target.0});
    output.print(
        || {
            let rows =
                table(&["TOPIC", "PARTITION", "BEFORE", "BOOKMARK"], targets.iter().map(row).collect());
            if args.dry_run { format!("{rows}\n(dry run: nothing was moved)") } else { rows }
        },
        || {
            let moved: Vec<_> = targets.iter().map(entry).collect();
            json!({"group": args.group, "dryRun": args.dry_run, "partitions": moved})
        },
    )
}

/// `orders` is all of its partitions, `orders:0,3` these two.
async fn chosen(client: &Client, topics: &[String]) -> Result<BTreeSet<TopicPartition>, Failure> {
    let mut partitions = BTreeSet::new();
    for text in topics {
        let (topic, indexes) = match text.split_once(':') {
            None => {
                let description = client.topic(text).await?;
                (text.as_str(), description.partitions.iter().map(|partition| partition.index.0).collect())
            }
            Some((topic, list)) => {
                let index = |text: &str| text.trim().parse::<i32>();
                let indexes: Result<Vec<i32>, _> = list.split(',').map(index).collect();
                let indexes = indexes.map_err(|_| {
                    Failure::of_usage(format!("{text} names no partitions"), "Write TOPIC or TOPIC:0,1,2.")
                })?;
                (topic, indexes)
            }
        };
        partitions.extend(indexes.into_iter().map(|index| TopicPartition::new(topic, index)));
    }
    Ok(partitions)
}

/// Where the words of `--to` are in each partition; an offset outside of the log is moved to its nearer end.
async fn targets(
    client: &Client,
    partitions: BTreeSet<TopicPartition>,
    to: StartAt,
) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
    let mut consumer: Consumer = client.consumer(ConsumerConfig::default());
    consumer.assign(partitions.iter().map(|partition| (partition.clone(), to))).await?;
    let starts = client.admin().offsets_at(partitions.iter().cloned(), OffsetSpec::Earliest).await?;
    let ends = client.admin().offsets_at(partitions, OffsetSpec::Latest).await?;
    let within = |(partition, offset): (TopicPartition, Offset)| {
        let bound = |offsets: &BTreeMap<_, ListedOffset>, none| {
            offsets.get(&partition).map_or(none, |listed| listed.offset)
        };
        let offset = offset.min(bound(&ends, offset)).max(bound(&starts, offset));
        (partition, offset)
    };
    Ok(consumer.positions().into_iter().map(within).collect())
}
