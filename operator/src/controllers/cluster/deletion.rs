//! What happens when a Cluster with `deletionPolicy: deleteVolumes` is deleted. Pure.
//!
//! Brokers go first, volumes only when no pod can write to them any more, the finalizer last. Only volumes
//! that bear this Cluster's id are deleted; a volume that says otherwise stays. With `retain` there is no
//! finalizer and nothing to do: owner references take the rest, volumes have none.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use crate::crd::ClusterDeletionPolicy;
use crate::kube::labels;

/// The next step of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Delete the StatefulSet with this name and uid, and its pods with it.
    DeleteSet(String, String),
    /// Pods are still stopping.
    WaitForPods(usize),
    /// Delete these volume claims, by name and uid.
    DeleteClaims(Vec<(String, String)>),
    /// Claims are deleted and not yet gone.
    WaitForClaims(usize),
    /// Remove the finalizer.
    Release,
}

/// Decide upon the next step.
pub fn decide(
    policy: ClusterDeletionPolicy,
    cluster_id: Option<&str>,
    set: Option<&StatefulSet>,
    pods: usize,
    claims: &[PersistentVolumeClaim],
) -> Step {
    if policy == ClusterDeletionPolicy::Retain {
        return Step::Release;
    }
    if let Some(set) = set {
        return Step::DeleteSet(set.name_any(), set.uid().unwrap_or_default());
    }
    if pods > 0 {
        return Step::WaitForPods(pods);
    }
    let ours: Vec<&PersistentVolumeClaim> = claims
        .iter()
        .filter(|claim| {
            cluster_id.is_some()
                && claim.annotations().get(labels::CLUSTER_ID).map(String::as_str) == cluster_id
        })
        .collect();
    let to_delete: Vec<(String, String)> = ours
        .iter()
        .filter(|claim| claim.metadata.deletion_timestamp.is_none())
        .map(|claim| (claim.name_any(), claim.uid().unwrap_or_default()))
        .collect();
    match (to_delete.is_empty(), ours.len()) {
        (false, _) => Step::DeleteClaims(to_delete),
        (true, 0) => Step::Release,
        (true, waiting) => Step::WaitForClaims(waiting),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kube::api::ObjectMeta;

    use super::*;

    fn claim(name: &str, id: &str) -> PersistentVolumeClaim {
        PersistentVolumeClaim {
            metadata: ObjectMeta {
                name: Some(name.into()),
                uid: Some(format!("uid-{name}")),
                annotations: Some(BTreeMap::from([(labels::CLUSTER_ID.into(), id.into())])),
                ..ObjectMeta::default()
            },
            ..PersistentVolumeClaim::default()
        }
    }

    #[test]
    fn brokers_go_before_volumes_and_the_finalizer_goes_last() {
        let policy = ClusterDeletionPolicy::DeleteVolumes;
        let set = StatefulSet {
            metadata: ObjectMeta { name: Some("s".into()), uid: Some("u".into()), ..ObjectMeta::default() },
            ..StatefulSet::default()
        };
        let claims = [claim("a", "id")];
        assert_eq!(
            decide(policy, Some("id"), Some(&set), 1, &claims),
            Step::DeleteSet("s".into(), "u".into())
        );
        assert_eq!(decide(policy, Some("id"), None, 1, &claims), Step::WaitForPods(1));
        let wanted = Step::DeleteClaims(vec![("a".into(), "uid-a".into())]);
        assert_eq!(decide(policy, Some("id"), None, 0, &claims), wanted);
        assert_eq!(decide(policy, Some("id"), None, 0, &[]), Step::Release);
    }

    #[test]
    fn volumes_of_another_cluster_or_under_retain_are_never_deleted() {
        let claims = [claim("a", "other")];
        assert_eq!(decide(ClusterDeletionPolicy::DeleteVolumes, Some("id"), None, 0, &claims), Step::Release);
        assert_eq!(decide(ClusterDeletionPolicy::DeleteVolumes, None, None, 0, &claims), Step::Release);
        assert_eq!(decide(ClusterDeletionPolicy::Retain, Some("other"), None, 0, &claims), Step::Release);
    }
}
