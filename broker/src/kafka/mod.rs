//! The directories of an Apache Kafka node: taken over (`import`), and given back.
//!
//! Works on stopped brokers and on files alone: `node` finds and locks Kafka's log directories, `metadata_log`
//! reads records out of `__cluster_metadata-0`, `metadata` adds them up. Everything read here was written by another
//! program: whatever does not fit ends in a `KafkaError` of one sentence, never in a guess. Called by `main.rs`.

pub mod error;
pub mod export;
pub mod import;
pub mod metadata;
pub mod metadata_log;
mod node;
#[cfg(test)]
mod tests;

pub use error::KafkaError;
