//! Adding and removing one finalizer, and nothing else.
//!
//! Only deleting policies take a finalizer: what keeps its data can then never hang a namespace. The patch
//! carries the resource version that was read, so that a stale view cannot undo somebody else's change.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::labels;

/// Whether the object bears the finalizer.
pub fn present<K: Resource>(object: &K, finalizer: &str) -> bool {
    object.finalizers().iter().any(|name| name == finalizer)
}

/// Add or remove the finalizer so that it is there exactly when `wanted`. True when something was written.
pub async fn set<K>(client: &Client, object: &K, finalizer: &str, wanted: bool) -> Result<bool, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    if present(object, finalizer) == wanted {
        return Ok(false);
    }
    let mut names: Vec<&str> =
        object.finalizers().iter().map(String::as_str).filter(|name| *name != finalizer).collect();
    if wanted {
        names.push(finalizer);
    }
    let namespace = object.namespace().unwrap_or_default();
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let patch = json!({ "metadata": { "finalizers": names, "resourceVersion": object.resource_version() } });
    let params = PatchParams { field_manager: Some(labels::OPERATOR.into()), ..PatchParams::default() };
    api.patch(&object.name_any(), &params, &Patch::Merge(&patch)).await?;
    Ok(true)
}
