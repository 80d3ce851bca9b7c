//! What the numbers were measured on, in words that a reader can judge them by.
//!
//! Called when a cell is written.

use serde::{Deserialize, Serialize};

use crate::process::Program;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub processors: usize,
    pub memory_gib: u64,
    pub kernel: String,
    pub file_system: String,
    pub java: String,
    /// Of the minute in which the cell was begun.
    pub load_average: String,
}

impl Machine {
    pub fn describe(folder: &std::path::Path) -> Machine {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown").to_owned()
        };
        let memory_kib: u64 = read("/proc/meminfo")
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok())
            .unwrap_or(0);
        let run = |program: Program| program.run(None).unwrap_or_default();
        let java = run(Program::new("java").arg("-version"));
        Machine {
            processor: field("model name"),
            processors: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            memory_gib: memory_kib.div_ceil(1 << 20),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: run(Program::new("stat").args(["-f", "-c", "%T"]).arg(folder)).trim().to_owned(),
            java: java.lines().next().unwrap_or_default().to_owned(),
            load_average: read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" "),
        }
    }
}
