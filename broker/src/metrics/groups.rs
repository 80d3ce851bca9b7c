//! Series per consumer group, from the offsets that the coordinator holds: also for groups without members.
//!
//! Lag is the high watermark minus the committed offset, never below 0; a partition that is not here has none.
//! At most `metrics.lag.series.max` offset and lag pairs are written, whole groups at a time, and the page says
//! how many were left out. Names are kafka_exporter's.

use std::collections::BTreeMap;

use super::Exposition;
use crate::broker::Broker;
use crate::coordinator::GroupFigures;

/// One committed offset and what is left to read behind it.
struct Position {
    group: usize,
    topic: std::sync::Arc<str>,
    partition: i32,
    offset: i64,
    lag: i64,
}

/// A family's name, and the value of a position in it.
type Family = (&'static str, fn(&Position) -> i64);

pub fn write(page: &mut Exposition, broker: &Broker) {
    let groups = broker.coordinator.figures();
    let (positions, left_out) = positions(broker, &groups);
    page.family("kafka_consumergroup_members");
    for group in &groups {
        page.sample(&[("consumergroup", &group.group_id)], group.members);
    }
    per_partition(page, &groups, &positions);
    per_topic(page, &groups, &positions);
    page.family("kafka_consumergroup_series_left_out");
    page.sample(&[], left_out);
}

fn positions(broker: &Broker, groups: &[GroupFigures]) -> (Vec<Position>, usize) {
    let (mut positions, mut left_out) = (Vec::new(), 0);
    for (group, figures) in groups.iter().enumerate() {
        if positions.len() + figures.offsets.len() > broker.config.lag_series_max {
            left_out += figures.offsets.len();
            continue;
        }
        for (topic, partition, offset) in &figures.offsets {
            let Some(handle) = broker.partitions.by_name(topic, *partition) else { continue };
            let lag = (handle.view().high_watermark().0 - offset).max(0);
            positions.push(Position {
                group,
                topic: topic.clone(),
                partition: *partition,
                offset: *offset,
                lag,
            });
        }
    }
    (positions, left_out)
}

fn per_partition(page: &mut Exposition, groups: &[GroupFigures], positions: &[Position]) {
    let families: [Family; 2] = [
        ("kafka_consumergroup_current_offset", |position| position.offset),
        ("kafka_consumergroup_lag", |position| position.lag),
    ];
    for (family, value) in families {
        page.family(family);
        for position in positions {
            let group = &groups[position.group].group_id;
            page.sample(
                &[("consumergroup", group), ("topic", &position.topic), ("partition", &position.partition)],
                value(position),
            );
        }
    }
}

fn per_topic(page: &mut Exposition, groups: &[GroupFigures], positions: &[Position]) {
    let mut sums: BTreeMap<(usize, &str), [i64; 2]> = BTreeMap::new();
    for position in positions {
        let sum = sums.entry((position.group, &position.topic)).or_default();
        sum[0] += position.offset;
        sum[1] += position.lag;
    }
    let families = ["kafka_consumergroup_current_offset_sum", "kafka_consumergroup_lag_sum"];
    for (which, family) in families.into_iter().enumerate() {
        page.family(family);
        for ((group, topic), sum) in &sums {
            page.sample(&[("consumergroup", &groups[*group].group_id), ("topic", topic)], sum[which]);
        }
    }
}
