//! Kafka's range assignor: per topic, consecutive partitions in equal shares, the first members getting one
//! more where it does not divide (`RangeAssignor.java`, `AbstractPartitionAssignor.java`).
//!
//! Pure, and equal on every member: whichever member leads computes what Java's would. Members are ordered as
//! Java's `MemberInfo` has it: static members before dynamic ones, by instance id, the others by member id. The
//! rack-aware variant (KIP-881) is not applied: it needs racks on both sides, and then only moves reads.

use std::collections::BTreeMap;

use crate::metadata::TopicPartition;

/// A member as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub topics: Vec<String>,
}

/// What each member gets. Every member has an entry, if only an empty one; a topic without known partitions
/// is assigned to nobody.
pub(crate) fn range(
    members: &[Candidate],
    partition_counts: &BTreeMap<String, i32>,
) -> BTreeMap<String, Vec<TopicPartition>> {
    let mut assignment: BTreeMap<String, Vec<TopicPartition>> =
        members.iter().map(|member| (member.member_id.clone(), Vec::new())).collect();
    for (topic, count) in partition_counts {
        let subscribed = ordered(members.iter().filter(|member| member.topics.contains(topic)).collect());
        let Ok(consumers) = i32::try_from(subscribed.len()) else { continue };
        if consumers == 0 {
            continue;
        }
        let (share, rest) = (count / consumers, count % consumers);
        let mut next = 0;
        for (position, member) in (0..consumers).zip(subscribed) {
            let end = next + share + i32::from(position < rest);
            let partitions = (next..end).map(|index| TopicPartition::new(topic.clone(), index));
            assignment.entry(member.member_id.clone()).or_default().extend(partitions);
            next = end;
        }
    }
    assignment
}

fn ordered(mut members: Vec<&Candidate>) -> Vec<&Candidate> {
    members.sort_by(|a, b| match (&a.instance_id, &b.instance_id) {
        (Some(a), Some(b)) => a.cmp(b),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => a.member_id.cmp(&b.member_id),
    });
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, topics: &[&str]) -> Candidate {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        Candidate { member_id: id.to_owned(), instance_id: None, topics }
    }

    fn counts(counts: &[(&str, i32)]) -> BTreeMap<String, i32> {
        counts.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect()
    }

    /// The assignment as one line: `a: t-0 t-1; b: t-2`.
    fn line(assignment: &BTreeMap<String, Vec<TopicPartition>>) -> String {
        let member = |(id, partitions): (&String, &Vec<TopicPartition>)| {
            let partitions: Vec<_> = partitions.iter().map(ToString::to_string).collect();
            format!("{id}: {}", partitions.join(" "))
        };
        assignment.iter().map(member).collect::<Vec<_>>().join("; ")
    }

    // The cases of Kafka's RangeAssignorTest.

    #[test]
    fn one_member_gets_everything() {
        let got = range(&[member("a", &["t"])], &counts(&[("t", 3)]));
        assert_eq!(line(&got), "a: t-0 t-1 t-2");
    }

    #[test]
    fn the_first_members_get_one_more() {
        let members = [member("b", &["t", "u"]), member("a", &["t", "u"])];
        let got = range(&members, &counts(&[("t", 3), ("u", 3)]));
        assert_eq!(line(&got), "a: t-0 t-1 u-0 u-1; b: t-2 u-2");
    }

    #[test]
    fn members_beyond_the_partitions_stay_empty() {
        let got = range(&[member("a", &["t"]), member("b", &["t"])], &counts(&[("t", 1)]));
        assert_eq!(line(&got), "a: t-0; b: ");
    }

    #[test]
    fn a_topic_is_shared_among_its_subscribers_only() {
        let members = [member("a", &["t"]), member("b", &["t", "u"]), member("c", &["t"])];
        let got = range(&members, &counts(&[("t", 3), ("u", 2)]));
        assert_eq!(line(&got), "a: t-0; b: t-1 u-0 u-1; c: t-2");
    }

    #[test]
    fn static_members_come_first_by_instance_id() {
        let mut members = [member("a", &["t"]), member("z", &["t"])];
        members[1].instance_id = Some("i".to_owned());
        let got = range(&members, &counts(&[("t", 3)]));
        assert_eq!(line(&got), "a: t-2; z: t-0 t-1");
    }
}
