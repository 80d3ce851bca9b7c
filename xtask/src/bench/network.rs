//! A private network for the measurement: loopback of its own, with a congestion control that does not pace it.
//!
//! Linux's bbr paces loopback to a fraction of what it can do and doubles the cost of a byte; whatever the machine's
//! default is, both brokers and every client get cubic here, or reno where cubic cannot be had. Called by the benchmark.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use super::Programs;
use crate::process::Program;
use crate::tools;

/// Starts this very command again inside of a new network; returns only with an error.
pub fn enter(programs: &Programs) -> anyhow::Result<()> {
    ensure!(
        tools::is_root(),
        "The benchmark needs a network of its own, which only root can make: run it with sudo."
    );
    let own = std::env::current_exe()?;
    let mut command = Command::new("unshare");
    command.args(["--net", "--"]).arg(own).args(std::env::args_os().skip(1)).envs(programs.environment());
    Err(command.exec()).context("cannot start unshare")
}

/// Brings loopback up and chooses the congestion control.
pub fn prepare() -> anyhow::Result<()> {
    let ip = |words: &str| Program::new("ip").args(words.split(' ')).run(None);
    ip("link set lo up")?;
    let with_cubic = |route: &str| {
        ip(&format!(
            "route change local {route} dev lo table local proto kernel scope host src 127.0.0.1 congctl cubic"
        ))
    };
    if with_cubic("127.0.0.0/8").and(with_cubic("127.0.0.1")).is_ok() {
        return Ok(());
    }
    let reno = Program::new("sysctl").args(["-qw", "net.ipv4.tcp_congestion_control=reno"]).run(None);
    if reno.is_err() {
        bail!(
            "neither cubic nor reno can be had for loopback: measured with a pacing algorithm, nothing compares"
        );
    }
    Ok(())
}
