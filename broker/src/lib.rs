//! The broker: the shell around `replica` and `cluster`. Sockets, threads and clocks live here and nowhere else.
//!
//! `net -> api -> {partition, controller, coordinator} -> replica`, never upward. Only `api/` knows versions
//! and error codes; only `net/` knows sockets. `server` puts the pieces together, `shutdown` takes them apart.

#![forbid(unsafe_code)]

pub mod config;
pub mod lifecycle;
