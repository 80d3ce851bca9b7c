//! Kafka's cluster id: made once, recorded before it is used, stamped on volumes, read back from kept ones. Pure.
//!
//! The id in status is the truth. Without one, volumes of an earlier Cluster of the same name say it; only
//! without those is a new one made, from 16 random bytes that the caller brings. The id is recorded in a
//! pass of its own, so that a crash can never make two. A volume of another cluster is never bound.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use crate::kube::labels;

/// What the cluster id is, or what has to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// It is recorded and agrees with the volumes.
    Known(String),
    /// It must be recorded before anything else happens.
    Record(String),
    /// Volumes say different things.
    Conflict(String),
}

/// Decide upon the cluster id. `recorded` comes from status, `claims` are those with the Cluster's label.
pub fn decide(recorded: Option<&str>, claims: &[PersistentVolumeClaim], random: [u8; 16]) -> Identity {
    let stamps: Vec<(String, &str)> = claims
        .iter()
        .filter_map(|claim| Some((claim.name_any(), claim.annotations().get(labels::CLUSTER_ID)?.as_str())))
        .collect();
    let Some(id) = recorded.or_else(|| stamps.first().map(|(_, id)| *id)) else {
        return Identity::Record(encode(random));
    };
    if let Some((claim, other)) = stamps.iter().find(|(_, stamp)| *stamp != id) {
        return Identity::Conflict(format!(
            "volume claim {claim} holds data of the cluster {other}, and this Cluster is {id}: delete or rename one of them"
        ));
    }
    match recorded {
        Some(id) => Identity::Known(id.into()),
        None => Identity::Record(id.into()),
    }
}

/// A uuid (version 4) in URL-safe base64 without padding, as Kafka prints its own.
fn encode(mut bytes: [u8; 16]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    // 128 bits are 21 digits of six bits and one of two bits, which the last shift fills up.
    let number = u128::from_be_bytes(bytes);
    let text: String = (0..22)
        .map(|digit| {
            let at = 122 - digit * 6;
            let six = if at >= 0 { number >> at } else { number << -at };
            char::from(ALPHABET[(six & 0x3f) as usize])
        })
        .collect();
    // Kafka's tools take an id that begins with a dash for an option.
    match text.strip_prefix('-') {
        Some(rest) => format!("A{rest}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kube::api::ObjectMeta;

    use super::*;

    fn claim(name: &str, stamp: Option<&str>) -> PersistentVolumeClaim {
        let annotations = stamp.map(|id| BTreeMap::from([(labels::CLUSTER_ID.into(), id.into())]));
        PersistentVolumeClaim {
            metadata: ObjectMeta { name: Some(name.into()), annotations, ..ObjectMeta::default() },
            ..PersistentVolumeClaim::default()
        }
    }

    #[test]
    fn a_new_cluster_records_a_new_id_before_it_is_used() {
        let Identity::Record(id) = decide(None, &[], [7; 16]) else { panic!("nothing to record") };
        assert_eq!(id, "BwcHBwcHRweHBwcHBwcHBw");
        assert_eq!(decide(Some(&id), &[], [9; 16]), Identity::Known(id));
    }

    #[test]
    fn kept_volumes_say_who_they_belong_to() {
        let kept = [claim("data-events-main-0", Some("old"))];
        assert_eq!(decide(None, &kept, [7; 16]), Identity::Record("old".into()));
        assert_eq!(decide(Some("old"), &kept, [7; 16]), Identity::Known("old".into()));
    }

    #[test]
    fn a_volume_of_another_cluster_is_never_bound() {
        let foreign = [claim("a", Some("x")), claim("b", Some("y"))];
        assert!(matches!(decide(None, &foreign, [7; 16]), Identity::Conflict(_)));
        assert!(
            matches!(decide(Some("z"), &foreign[..1], [7; 16]), Identity::Conflict(words) if words.contains("claim a"))
        );
    }

    #[test]
    fn an_unstamped_volume_decides_nothing() {
        assert!(matches!(decide(None, &[claim("a", None)], [7; 16]), Identity::Record(id) if id.len() == 22));
    }

    #[test]
    fn ids_are_what_kafka_prints() {
        for byte in 0..=255u8 {
            let id = encode([byte; 16]);
            assert_eq!(id.len(), 22);
            assert!(!id.starts_with('-'));
        }
    }
}
