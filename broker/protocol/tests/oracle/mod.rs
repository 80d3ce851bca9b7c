//! What the oracle tests share: every codec by name, Kafka's classes behind a Java process, random messages.
//!
//! Names of schemas are those of the files below `schema/`: `messages/ProduceRequest`, `group/OffsetCommitKey`.

#![allow(dead_code, reason = "each test uses its part")]

pub mod codecs;
pub mod dice;
pub mod frames;
pub mod java;
pub mod schema_bytes;
