//! Promises about groups: every record once per group, nothing lost in a rebalance, bookmarks that move.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use logspine_client::{
    Client, ClientError, Codec, ConsumerConfig, GroupConfig, GroupConsumer, TopicPartition,
};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::types::Offset;

use super::*;

fn member(client: &Client, group: &str, topic: &str) -> GroupConsumer {
    let config = GroupConfig {
        heartbeat_interval: Duration::from_millis(100),
        session_timeout: Duration::from_secs(10),
        auto_commit_interval: Some(Duration::from_millis(100)),
        ..GroupConfig::new(group, [topic])
    };
    client.group_consumer(config, ConsumerConfig::default())
}

async fn read_all(member: &mut GroupConsumer) -> Vec<String> {
    member.stop_at_end().await.expect("ends are known");
    let mut values = Vec::new();
    let all = async {
        while !member.is_finished() {
            values.extend(member.poll(Duration::from_millis(200)).await.expect("records").iter().map(value));
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("the end comes");
    values
}

/// A group begins at the beginning, goes on where it stopped, and leaves other groups alone.
pub async fn a_group_goes_on_where_it_stopped(client: &Client) {
    create_topic(client, "resume", 2).await;
    write_numbered(client, "resume", 0..100, Codec::Zstd).await;
    let mut first = member(client, "resume", "resume");
    assert_eq!(read_all(&mut first).await.len(), 100);
    first.close().await.expect("left");
    write_numbered(client, "resume", 100..110, Codec::None).await;
    let mut again = member(client, "resume", "resume");
    let expected: BTreeSet<_> = (100..110).map(|n| n.to_string()).collect();
    assert_eq!(read_all(&mut again).await.into_iter().collect::<BTreeSet<_>>(), expected);
    again.close().await.expect("left");
    let mut other = member(client, "resume-other", "resume");
    assert_eq!(read_all(&mut other).await.len(), 110);
    other.close().await.expect("left");
}

/// Three members share six partitions, two of them leave, and every record is read at least once, none lost.
pub async fn three_members_share_and_take_over(client: &Client) {
    create_topic(client, "share", 6).await;
    write_numbered(client, "share", 0..600, Codec::Snappy).await;
    let mut values = BTreeSet::new();
    let mut a = member(client, "share", "share");
    let mut b = member(client, "share", "share");
    let mut c = member(client, "share", "share");
    let turn = Duration::from_millis(50);
    let together = async {
        loop {
            let (from_a, from_b, from_c) = tokio::join!(a.poll(turn), b.poll(turn), c.poll(turn));
            for records in [from_a, from_b, from_c] {
                values.extend(records.expect("records").iter().map(value));
            }
            let held = [&a, &b, &c].map(|member| member.assignment());
            if held.iter().all(|held| held.len() == 2) && values.len() == 600 {
                return held.concat();
            }
        }
    };
    let held = tokio::time::timeout(PATIENCE, together).await.expect("two partitions each");
    assert_eq!(held.into_iter().collect::<BTreeSet<_>>().len(), 6);
    assert_eq!((a.generation(), b.generation()), (b.generation(), c.generation()));

    a.close().await.expect("left");
    b.close().await.expect("left");
    write_numbered(client, "share", 600..700, Codec::None).await;
    let alone = async {
        while c.assignment().len() < 6 || values.len() < 700 {
            values.extend(c.poll(turn).await.expect("records").iter().map(value));
        }
    };
    tokio::time::timeout(PATIENCE, alone).await.expect("the last member takes over");
    c.close().await.expect("left");
    assert_eq!(values, (0..700).map(|n| n.to_string()).collect());
}

/// A group is listed and described with who holds what; bookmarks and lag are figures.
pub async fn a_group_describes_itself(client: &Client) {
    create_topic(client, "described", 2).await;
    write_numbered(client, "described", 0..50, Codec::None).await;
    let mut reader = member(client, "described", "described");
    assert_eq!(read_all(&mut reader).await.len(), 50);
    reader.commit().await.expect("committed");
    let admin = client.admin();
    let described = admin.describe_groups(&["described"]).await.expect("there").remove(0);
    assert_eq!((described.state.as_str(), described.protocol_type.as_str()), ("Stable", "consumer"));
    assert_eq!((described.protocol.as_str(), described.members.len()), ("range", 1));
    let expected = vec![TopicPartition::new("described", 0), TopicPartition::new("described", 1)];
    assert_eq!(described.members[0].assignment, expected);
    assert_eq!(described.members[0].client_id, client.config().client_id);
    let listed = admin.list_groups().await.expect("listed");
    let listed = listed.into_iter().find(|group| group.group_id == "described").expect("in the list");
    assert_eq!((listed.state.as_str(), listed.protocol_type.as_str()), ("Stable", "consumer"));
    let bookmarks = admin.group_offsets("described").await.expect("bookmarks");
    assert_eq!(bookmarks.values().map(|bookmark| bookmark.offset.0).sum::<i64>(), 50);
    assert_eq!(
        admin.delete_group("described").await.expect_err("it reads").code(),
        Some(ErrorCode::NonEmptyGroup)
    );
    reader.close().await.expect("left");
}

/// Bookmarks of a group at rest are moved and taken away; the group is deleted.
pub async fn bookmarks_are_moved_and_groups_deleted(client: &Client) {
    create_topic(client, "moved", 1).await;
    write_numbered(client, "moved", 0..20, Codec::None).await;
    let (admin, partition) = (client.admin(), TopicPartition::new("moved", 0));
    admin
        .alter_group_offsets("moved", &BTreeMap::from([(partition.clone(), Offset(15))]))
        .await
        .expect("moved");
    let mut reader = member(client, "moved", "moved");
    assert_eq!(read_all(&mut reader).await, ["15", "16", "17", "18", "19"]);
    let refused = admin.alter_group_offsets("moved", &BTreeMap::from([(partition.clone(), Offset(0))])).await;
    assert_eq!(refused.expect_err("the group reads").code(), Some(ErrorCode::UnknownMemberId));
    reader.close().await.expect("left");
    assert_eq!(admin.group_offsets("moved").await.expect("there")[&partition].offset, Offset(20));
    admin.delete_group_offsets("moved", std::slice::from_ref(&partition)).await.expect("taken away");
    assert!(admin.group_offsets("moved").await.expect("there").is_empty());
    admin.alter_group_offsets("moved", &BTreeMap::from([(partition, Offset(3))])).await.expect("moved");
    admin.delete_group("moved").await.expect("deleted");
    let gone = admin.describe_groups(&["moved"]).await.expect_err("gone");
    assert_eq!(gone.code(), Some(ErrorCode::GroupIdNotFound));
}

/// A static member that returns within its session gets its partitions back without a rebalance.
pub async fn a_static_member_returns_to_what_it_had(client: &Client) {
    create_topic(client, "static", 2).await;
    let static_member = |instance: &str| {
        let config =
            GroupConfig { instance_id: Some(instance.to_owned()), ..GroupConfig::new("static", ["static"]) };
        client.group_consumer(config, ConsumerConfig::default())
    };
    let mut a = static_member("a");
    a.poll(Duration::from_millis(50)).await.expect("joined");
    let (generation, held) = (a.generation(), a.assignment());
    assert_eq!(held.len(), 2);
    a.close().await.expect("gone, not left");
    let mut again = static_member("a");
    again.poll(Duration::from_millis(50)).await.expect("back");
    assert_eq!((again.generation(), again.assignment()), (generation, held));
    again.close().await.expect("gone");
}

/// What happens to a member whose group has gone on without it: it joins again by itself.
pub async fn a_member_that_was_taken_out_joins_again(client: &Client) {
    create_topic(client, "expelled", 1).await;
    let config = GroupConfig {
        // No heartbeat within the shortest session that brokers allow: the coordinator takes the member out.
        heartbeat_interval: Duration::from_secs(7),
        session_timeout: Duration::from_secs(6),
        ..GroupConfig::new("expelled", ["expelled"])
    };
    let mut reader = client.group_consumer(config, ConsumerConfig::default());
    write_numbered(client, "expelled", 0..1, Codec::None).await;
    assert_eq!(reader.poll(PATIENCE).await.expect("joined").len(), 1);
    // A bookmark keeps the empty group, and so its generations, alive.
    reader.commit().await.expect("committed");
    let generation = reader.generation();
    let rejoined = async {
        while reader.generation() <= generation {
            let polled: Result<_, ClientError> = reader.poll(Duration::from_millis(500)).await;
            polled.expect("a member again");
        }
    };
    tokio::time::timeout(PATIENCE, rejoined).await.expect("joins again");
    reader.close().await.expect("left");
}
