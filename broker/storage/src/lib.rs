//! Partition logs on disk, in Kafka's file formats; synchronous.
