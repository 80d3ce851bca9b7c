//! Writing a status: one value, one patch, and none when nothing changed.
//!
//! The patch carries the resource version that the pass read. A pass that worked on a stale view therefore
//! fails with a conflict and is repeated, and can never overwrite what an earlier pass recorded as its
//! intent (a second cluster id, for instance).

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::labels;

/// Write `after` unless it equals `before`. True when something was written.
pub async fn write<K, S>(
    client: &Client,
    object: &K,
    before: Option<&S>,
    after: &S,
) -> Result<bool, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    S: Serialize + PartialEq,
{
    if before == Some(after) {
        return Ok(false);
    }
    let namespace = object.namespace().unwrap_or_default();
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let body = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": object.name_any(), "resourceVersion": object.resource_version() },
        "status": after,
    });
    let params = PatchParams::apply(labels::OPERATOR).force();
    api.patch_status(&object.name_any(), &params, &Patch::Apply(&body)).await?;
    Ok(true)
}
