//! The broker: the shell around `replica` and `cluster`. Sockets, threads and clocks live here and nowhere else.
//!
//! `net -> api -> {partition, controller, coordinator} -> replica`, never upward. Only `api/` knows versions
//! and error codes; only `net/` knows sockets. `server` puts the pieces together, `shutdown` takes them apart.
//! `cli` is the command line for people; it knows none of the others.

#![cfg_attr(not(feature = "count-allocations"), forbid(unsafe_code))]

pub mod admin;
#[cfg(feature = "count-allocations")]
mod allocation_count;
pub mod api;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod controller;
pub mod coordinator;
pub mod identity;
pub mod kafka;
pub mod lifecycle;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod partition;
pub mod reference;
pub mod server;
pub mod shutdown;
