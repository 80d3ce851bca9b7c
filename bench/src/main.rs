//! `kblast`: load for every broker that speaks Kafka's protocol, cheap enough to saturate one from the same machine.
//!
//! Requests are encoded once and only patched (correlation id, partition, offset); answers to fetches are
//! discarded by the kernel. One thread and one epoll loop drive every connection. Latency counts from the time a
//! request was due, so a stall is seen by every request that it delayed. Every run prints one JSON value.
//! Called by people and by `cargo xtask bench`.

#![forbid(unsafe_code)]

mod broker;
mod cli;
mod floor;
mod frames;
mod latency;
mod load;
mod observe;
mod outcome;
mod payload;

use clap::Parser as _;

fn main() {
    match cli::Cli::parse().run() {
        Ok(json) => println!("{json}"),
        Err(error) => {
            eprintln!("kblast: {error:#}");
            std::process::exit(1);
        }
    }
}
