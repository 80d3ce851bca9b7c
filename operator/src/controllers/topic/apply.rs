//! Carries out what plan decided. Decides nothing.
//!
//! Each action may be repeated after a crash: a topic that exists already, a configuration that is there
//! already and partitions that were added already are all seen by the next pass.

use super::super::Context;
use super::plan::Action;
use super::validate::ValidTopic;
use crate::brokers::AdminError;
use crate::brokers::connections::Connection;
use crate::crd::Topic;
use crate::kube::client::exit_after_writes;
use crate::kube::events::Notice;
use kube::Resource;

/// Carry out one action and tell about it.
pub async fn apply(
    context: &Context,
    connection: &Connection,
    topic: &Topic,
    wanted: &ValidTopic,
    action: &Action,
) -> Result<(), AdminError> {
    let admin = connection.admin();
    match action {
        Action::Create(new) => connection.ask("createTopic", admin.create_topic(new)).await,
        Action::AddPartitions { to, .. } => {
            connection.ask("createPartitions", admin.add_partitions(&wanted.name, *to)).await
        }
        Action::AlterConfig { change, .. } => {
            connection.ask("alterConfig", admin.alter_config(&wanted.name, change)).await
        }
    }?;
    exit_after_writes();
    context.events.publish(&topic.object_ref(&()), &notice(wanted, action)).await;
    Ok(())
}

/// Delete the topic with this id.
pub async fn delete(
    context: &Context,
    connection: &Connection,
    topic: &Topic,
    topic_id: &str,
) -> Result<(), AdminError> {
    connection.ask("deleteTopic", connection.admin().delete_topic(topic_id)).await?;
    exit_after_writes();
    let note = format!("topic with id {topic_id} deleted, as deletionPolicy orders");
    context.events.publish(&topic.object_ref(&()), &Notice::normal("TopicDeleted", note)).await;
    Ok(())
}

fn notice(wanted: &ValidTopic, action: &Action) -> Notice {
    let name = &wanted.name;
    match action {
        Action::Create(new) => {
            Notice::normal("TopicCreated", format!("topic {name} created with {} partitions", new.partitions))
        }
        Action::AddPartitions { from, to } => {
            Notice::normal("TopicAltered", format!("topic {name}: partitions raised from {from} to {to}"))
        }
        Action::AlterConfig { change, drift } => {
            let set = change.set.iter().map(|(key, value)| format!("{key}={value}"));
            let reset = change.reset.iter().map(|key| format!("{key} reset to its default"));
            let list = set.chain(reset).collect::<Vec<_>>().join(", ");
            match drift {
                true => Notice::warning(
                    "TopicDriftCorrected",
                    format!("topic {name} had been changed elsewhere; again: {list}"),
                ),
                false => Notice::normal("TopicAltered", format!("topic {name}: {list}")),
            }
        }
    }
}
