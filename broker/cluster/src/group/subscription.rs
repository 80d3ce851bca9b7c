//! Which topics a member subscribes to, read from the consumer protocol's subscription.
//!
//! Only the prefix that every version shares (version 0: version, topics) is read, as Kafka does, so that no
//! later version can confuse the coordinator. What does not parse is unknown, never an error.

use std::collections::BTreeSet;

/// The protocol type of consumers; groups of other types (Connect) are opaque.
pub(super) const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// The topics of a `ConsumerProtocolSubscription`, or `None` if the bytes are not one.
pub(super) fn subscribed_topics(metadata: &[u8]) -> Option<BTreeSet<String>> {
    let mut rest = metadata;
    take(&mut rest, 2)?;
    let count = i32::from_be_bytes(take(&mut rest, 4)?.try_into().ok()?);
    let mut topics = BTreeSet::new();
    // Every topic takes at least two bytes, so the loop is bounded by the bytes that are there.
    for _ in 0..count.max(0) {
        let len = i16::from_be_bytes(take(&mut rest, 2)?.try_into().ok()?);
        let name = take(&mut rest, usize::try_from(len).ok()?)?;
        topics.insert(std::str::from_utf8(name).ok()?.to_owned());
    }
    Some(topics)
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(len)?;
    *rest = left;
    Some(taken)
}

/// A version 0 subscription, for tests.
#[cfg(test)]
pub(super) fn subscription_to(topics: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    bytes.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend([0xff; 4]); // null user data
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_from_the_shared_prefix() {
        let topics = subscribed_topics(&subscription_to(&["orders", "payments"])).unwrap();
        assert_eq!(topics.into_iter().collect::<Vec<_>>(), ["orders", "payments"]);
    }

    #[test]
    fn bytes_that_are_no_subscription_are_unknown() {
        assert_eq!(subscribed_topics(b""), None);
        assert_eq!(subscribed_topics(&[0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 1]), None);
        assert_eq!(subscribed_topics(&[0, 0, 0, 0, 0, 1, 0, 1, 0xff]), None);
    }
}
