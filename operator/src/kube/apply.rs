//! Server-side apply that writes only what differs.
//!
//! A write is needed when the object is absent, when what is desired differs from what was last applied
//! (the hash annotation says; this is how a field taken out again is noticed), or when the live object no
//! longer contains what is desired (somebody else changed it). Fields of others are never looked at.
//! Callers pass the live object that their gather step read, so that a pass without changes costs no
//! request here. An object of the same name that is not ours is refused, never taken over.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::labels;

/// First 16 hex digits of the SHA-256 of some bytes.
pub fn hash(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Hash of a value's JSON.
pub fn hash_json<T: Serialize>(value: &T) -> String {
    hash(&serde_json::to_vec(value).expect("plain data always serializes"))
}

/// Why an object was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An object of that name exists and belongs to somebody else.
    #[error("{kind} {name} exists and does not belong to this Cluster; rename one of them")]
    Foreign {
        /// Kind of the object.
        kind: String,
        /// Name of the object.
        name: String,
    },
    /// An object of that name is on its way out, left by a deleted Cluster of the same name.
    #[error("{kind} {name} of a deleted Cluster is not gone yet")]
    Leaving {
        /// Kind of the object.
        kind: String,
        /// Name of the object.
        name: String,
    },
    /// The API server refused or did not answer.
    #[error("applying {kind} {name}: {source}")]
    Api {
        /// Kind of the object.
        kind: String,
        /// Name of the object.
        name: String,
        /// What went wrong.
        source: Box<kube::Error>,
    },
}

/// Bring `desired` about. `live` is the object as gathered. True when something was written.
pub async fn apply<K>(client: &Client, live: Option<&K>, desired: &K) -> Result<bool, ApplyError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Serialize
        + DeserializeOwned
        + Clone
        + Debug,
{
    let kind = K::kind(&()).into_owned();
    let name = desired.name_any();
    if let Some(live) = live {
        match belongs(live, desired) {
            Belongs::Ours => {}
            Belongs::Leaving => return Err(ApplyError::Leaving { kind, name }),
            Belongs::Others => return Err(ApplyError::Foreign { kind, name }),
        }
    }
    let body = with_hash(desired);
    if let Some(live) = live
        && contains(&serde_json::to_value(live).expect("plain data always serializes"), &body)
    {
        return Ok(false);
    }
    let namespace = desired.namespace().expect("builders set the namespace");
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    match api.patch(&name, &PatchParams::apply(labels::OPERATOR).force(), &Patch::Apply(&body)).await {
        Ok(_) => {
            tracing::info!(kind, namespace, name, "applied");
            Ok(true)
        }
        Err(source) => Err(ApplyError::Api { kind, name, source: Box::new(source) }),
    }
}

/// The desired object as JSON, bearing the hash of itself.
pub fn with_hash<K: Serialize>(desired: &K) -> Value {
    let mut body = serde_json::to_value(desired).expect("plain data always serializes");
    let hash = hash_json(&body);
    body["metadata"]["annotations"][labels::APPLIED_HASH] = Value::String(hash);
    body
}

enum Belongs {
    Ours,
    Leaving,
    Others,
}

/// Whose object it is. An owner of our kind and name with another uid is a Cluster that was deleted: the
/// garbage collector will take the object.
fn belongs<K: Resource>(live: &K, desired: &K) -> Belongs {
    let wanted: &[OwnerReference] = desired.owner_references();
    let owners = live.owner_references();
    let ours = wanted.iter().all(|wanted| owners.iter().any(|owner| owner.uid == wanted.uid));
    let predecessor = wanted
        .iter()
        .any(|wanted| owners.iter().any(|owner| owner.kind == wanted.kind && owner.name == wanted.name));
    match (ours, live.meta().deletion_timestamp.is_some() || predecessor) {
        (true, _) if live.meta().deletion_timestamp.is_none() => Belongs::Ours,
        (_, true) => Belongs::Leaving,
        _ => Belongs::Others,
    }
}

/// Whether `live` already says everything that `desired` says.
///
/// Objects may have more keys, because the API server adds defaults. Lists must be of equal length and
/// agree element by element. Quantities may be written differently: the API server normalizes them.
pub fn contains(live: &Value, desired: &Value) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => desired.iter().all(|(key, wanted)| {
            live.get(key).is_some_and(|found| contains(found, wanted))
                || (is_empty(wanted) && !live.contains_key(key))
        }),
        (Value::Array(live), Value::Array(desired)) => {
            live.len() == desired.len()
                && live.iter().zip(desired).all(|(live, wanted)| contains(live, wanted))
        }
        (Value::String(live), Value::String(desired)) => live == desired || same_quantity(live, desired),
        (live, desired) => live == desired,
    }
}

/// Empty maps and lists may be dropped by the API server.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Null => true,
        _ => false,
    }
}

fn same_quantity(left: &str, right: &str) -> bool {
    matches!((quantity(left), quantity(right)), (Some(left), Some(right)) if left == right)
}

/// A Kubernetes quantity in thousandths, or `None` when it is not one or has finer parts.
fn quantity(text: &str) -> Option<i128> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if number.is_empty() || fraction.len() > 3 {
        return None;
    }
    let thousandths: i128 = format!("{whole}{fraction:0<3}").parse().ok()?;
    let (factor, divisor): (i128, i128) = match suffix {
        "" => (1, 1),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        _ => return None,
    };
    let scaled = thousandths.checked_mul(factor)?;
    (scaled % divisor == 0).then_some(scaled / divisor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_that_the_api_server_adds_are_not_a_difference() {
        let desired = json!({ "spec": { "ports": [{ "port": 9092 }], "labels": {} } });
        let live =
            json!({ "spec": { "ports": [{ "port": 9092, "protocol": "TCP" }], "clusterIP": "10.0.0.1" } });
        assert!(contains(&live, &desired));
    }

    #[test]
    fn a_changed_value_and_a_longer_list_are_differences() {
        let desired = json!({ "ports": [{ "port": 9092 }] });
        assert!(!contains(&json!({ "ports": [{ "port": 9093 }] }), &desired));
        assert!(!contains(&json!({ "ports": [{ "port": 9092 }, { "port": 1 }] }), &desired));
        assert!(!contains(&json!({}), &desired));
    }

    #[test]
    fn a_field_taken_out_changes_the_hash() {
        let before = with_hash(&json!({ "metadata": { "annotations": {} }, "spec": { "a": 1, "b": 2 } }));
        let after = with_hash(&json!({ "metadata": { "annotations": {} }, "spec": { "a": 1 } }));
        assert!(!contains(&before, &after), "the live object still has b, and only the hash says so");
        assert!(contains(&after, &after));
    }

    #[test]
    fn quantities_are_compared_by_value() {
        for (left, right) in
            [("1000m", "1"), ("1024Mi", "1Gi"), ("0.5", "500m"), ("2k", "2000"), ("1Gi", "1Gi")]
        {
            assert!(same_quantity(left, right), "{left} {right}");
        }
        for (left, right) in [("1", "2"), ("1Gi", "1G"), ("abc", "abd"), ("", "0"), ("1.0001", "1")] {
            assert!(!same_quantity(left, right), "{left} {right}");
        }
    }
}
