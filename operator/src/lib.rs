//! The Kubernetes operator of Logspine: custom resources in, Kubernetes objects and admin calls out.
//!
//! `crd` holds the types, `controllers` the five verbs (gather, validate, build or plan, apply, status) of
//! each kind, `kube` what every kind needs of Kubernetes, `brokers` what is asked of brokers. Decisions
//! are pure: builders and planners hold no client and read no clock. Nothing of a decision lives in this
//! process's memory: a crash after any call is understood by the next one.

#![forbid(unsafe_code)]

pub mod brokers;
pub mod controllers;
pub mod crd;
pub mod http;
pub mod kube;
pub mod metrics;
pub mod run;
pub mod watch;
