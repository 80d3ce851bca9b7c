//! Cluster metadata: topics, partitions, brokers, settings, as records in the metadata log.
pub mod configs;
