//! What every kind needs of Kubernetes: applying, finalizers, conditions, labels, events, the lease.
//!
//! Nothing in here knows a Cluster or a Topic. Every request that writes passes `client.rs`, which counts it.

pub mod apply;
pub mod client;
pub mod conditions;
pub mod events;
pub mod finalizer;
pub mod labels;
pub mod lease;
pub mod status;
