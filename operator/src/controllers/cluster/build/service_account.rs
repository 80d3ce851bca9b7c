//! The ServiceAccount of the brokers: an identity without any right and without a token.
//!
//! Brokers never talk to the API server, so nothing is bound to it and nothing is mounted.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::{ValidCluster, owned};

pub(super) fn build(cluster: &ValidCluster) -> ServiceAccount {
    ServiceAccount {
        metadata: owned(cluster, cluster.service_account()),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
