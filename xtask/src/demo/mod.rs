//! `cargo xtask demo`: what the product does, shown on a real system in a few minutes, told as it happens.
//!
//! Invariants: nothing is mocked, every figure is checked before it is shown, and a check that fails stops the
//! demo with an error. What it started is ended and removed at its end, after a failure and after Ctrl-C. Standard output is the transcript; progress goes to standard error. Called by people, and by
//! CI with `--local`.

mod apache;
mod existing;
mod kubernetes;
mod local;
mod place;
mod prometheus;
mod story;
mod transcript;

use std::path::PathBuf;

use crate::cache::Cache;
use crate::interrupt;
pub use place::Background;
pub use prometheus::free_port;

#[derive(clap::Args)]
pub struct Args {
    /// Without Kubernetes: one broker process on this machine, in under a minute
    #[arg(long, conflicts_with_all = ["kubeconfig", "down", "keep"])]
    local: bool,
    /// Use the cluster that this file points to instead of building one
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The images are already where that cluster finds them
    #[arg(long, requires = "kubeconfig")]
    images_loaded: bool,
    /// Leave everything running at the end and say how to look around
    #[arg(long)]
    keep: bool,
    /// Fail unless the copy of the transcript in this document tells the same
    #[arg(long, value_name = "DOCUMENT", conflicts_with = "local")]
    check: Option<PathBuf>,
    /// Only remove what a former demo left running
    #[arg(long)]
    down: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let cache = Cache::open()?;
    interrupt::watch()?;
    if args.local {
        return local::run(&cache);
    }
    let cluster = match &args.kubeconfig {
        Some(file) => kubernetes::Cluster::existing(&cache, file)?,
        None => kubernetes::Cluster::own(&cache)?,
    };
    if args.down {
        return cluster.remove();
    }
    kubernetes::run(&cache, &cluster, args)
}
