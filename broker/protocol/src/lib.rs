//! Kafka's wire protocol and record formats: bytes in, values out.
//!
//! No state, no I/O, no clock. Everything that reads is hardened against hostile bytes: a length is believed
//! only as far as bytes remain, arrays are charged to a budget, nothing indexes, unwraps or overflows.
//!
//! - [`types`]: newtypes shared by the whole broker. [`error`]: Kafka's error codes.
//! - [`wire`]: primitives, and the [`wire::Message`] trait. [`frame`]: what stands around a message.
//! - [`api_key`]: every API with its versions. [`messages`]: requests and responses, generated.
//! - [`records`]: what Kafka's internal topics and files hold, generated.
//! - [`batch`], [`compression`]: record batch v2 and its codecs.
#![doc = ""]
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects))]

pub mod api_key;
pub mod batch;
pub mod compression;
pub mod error;
pub mod frame;
pub mod messages;
pub mod records;
pub mod types;
pub mod wire;
