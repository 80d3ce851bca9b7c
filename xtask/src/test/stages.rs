//! THE table of tests: name, promise, commands, needs, budget in seconds, and the share of the full counts that
//! CI runs. `cargo xtask test --list` prints it.
//!
//! Invariants: a command is a line that a person can type in the checkout; all budgets together stay within 35
//! minutes warm and 75 cold on two cores, and a stage that overruns its own lowers its share, not its promise.

use std::time::Duration;

use crate::cargo_tools::CargoTool;
use crate::test::needs::Need;

/// Seconds on two cores, with everything in the cache and with nothing.
#[derive(Clone, Copy)]
pub struct Budget {
    pub warm_s: u64,
    pub cold_s: u64,
}

/// How much of a count CI runs: the variable that tests read, CI's value and the full one.
pub struct Share {
    pub variable: &'static str,
    pub ci: &'static str,
    pub full: &'static str,
}

pub struct Stage {
    pub name: &'static str,
    /// What is true when the stage has passed.
    pub promise: &'static str,
    pub commands: &'static [&'static str],
    pub needs: &'static [Need],
    pub budget: Budget,
    pub shares: &'static [Share],
}

impl Stage {
    /// When a command is ended: well past its budget, for a slow machine.
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.budget.cold_s * 2 + 300)
    }
}

pub const STAGES: &[Stage] = &[
    Stage {
        name: "fmt",
        promise: "every file is formatted",
        commands: &["cargo fmt --all --check"],
        needs: &[],
        budget: Budget { warm_s: 10, cold_s: 10 },
        shares: &[],
    },
    Stage {
        name: "clippy",
        promise: "no warning in any area",
        commands: &[
            "cargo clippy --locked --keep-going -p logspine-protocol -p logspine-client -p logspine-storage -p logspine-cluster \
             -p logspine-replica -p logspine --all-targets -- -D warnings",
            "cargo clippy --locked -p logspine --features count-allocations --test request_cost --test scrape_cost \
             -- -D warnings",
            "cargo clippy --locked -p logspine-operator --all-targets -- -D warnings",
            "cargo clippy --locked -p xtask -p logspine-bench -p logspine-e2e --all-targets -- -D warnings",
        ],
        needs: &[],
        budget: Budget { warm_s: 90, cold_s: 420 },
        shares: &[],
    },
    Stage {
        name: "generate",
        promise: "codecs are what Kafka's schemas say, reference pages what the tables say",
        commands: &["cargo xtask generate --check"],
        needs: &[],
        budget: Budget { warm_s: 30, cold_s: 160 },
        shares: &[],
    },
    Stage {
        name: "tidy",
        promise: "the laws of ARCHITECTURE.md hold: imports, sizes, headers, names, words",
        commands: &["cargo xtask tidy"],
        needs: &[],
        budget: Budget { warm_s: 5, cold_s: 5 },
        shares: &[],
    },
    Stage {
        name: "deny",
        promise: "licences, sources and banned crates are as deny.toml says",
        commands: &["cargo deny --locked check bans licenses sources"],
        needs: &[Need::Cargo(CargoTool::Deny)],
        budget: Budget { warm_s: 10, cold_s: 30 },
        shares: &[],
    },
    Stage {
        name: "unit",
        promise: "every crate keeps its own promises",
        commands: &[
            "cargo nextest run --locked -p logspine-protocol -p logspine-client -p logspine-storage \
             -p logspine-cluster -p logspine-replica -E !binary(power_cut)&!binary(kafka_oracle)",
            "cargo build --locked -p logspine",
            "cargo nextest run --locked -p logspine-operator",
            "cargo nextest run --locked -p xtask -p logspine-e2e --lib --bins",
            "cargo nextest run --locked -p logspine-bench",
        ],
        needs: &[Need::Cargo(CargoTool::Nextest), Need::KafkaLibs, Need::ChartTools, Need::BrokerPath],
        budget: Budget { warm_s: 150, cold_s: 410 },
        shares: &[],
    },
    Stage {
        name: "doc",
        promise: "the examples in the documentation compile and run",
        commands: &["cargo test --locked --doc -p logspine-protocol -p logspine-client -p logspine-storage \
                     -p logspine-cluster -p logspine-replica"],
        needs: &[],
        budget: Budget { warm_s: 10, cold_s: 60 },
        shares: &[],
    },
    Stage {
        name: "power-cut",
        promise: "a power cut after any write takes nothing that was synced",
        commands: &["cargo nextest run --locked -p logspine-storage -E binary(power_cut)"],
        needs: &[Need::Cargo(CargoTool::Nextest)],
        budget: Budget { warm_s: 60, cold_s: 120 },
        shares: &[Share { variable: "LOGSPINE_SEEDS", ci: "1000", full: "100000" }],
    },
    Stage {
        name: "oracles",
        promise: "every message is byte for byte what Kafka's own classes write and read",
        commands: &["cargo nextest run --locked -p logspine-protocol -E binary(kafka_oracle)"],
        needs: &[Need::Cargo(CargoTool::Nextest), Need::KafkaLibs],
        budget: Budget { warm_s: 40, cold_s: 120 },
        shares: &[],
    },
    Stage {
        name: "broker",
        promise: "whole brokers on loopback serve stock clients, through crashes too",
        commands: &[
            "cargo nextest run --locked -p logspine",
            "cargo nextest run --locked -p logspine --features count-allocations \
             -E binary(request_cost)+binary(scrape_cost) --test-threads 1",
            "cargo build --locked -p logspine",
            "cargo nextest run --locked -p logspine-e2e -E !binary(/^kube_/)&kind(test)",
        ],
        needs: &[
            Need::Cargo(CargoTool::Nextest),
            Need::KafkaLibs,
            Need::PythonClients,
            Need::Debian("The broker's tests", &["kcat", "strace"]),
            Need::BrokerPath,
        ],
        budget: Budget { warm_s: 340, cold_s: 520 },
        shares: &[
            Share { variable: "LOGSPINE_KILLS", ci: "20", full: "1000" },
            Share { variable: "LOGSPINE_CUTS", ci: "10", full: "1000" },
        ],
    },
    Stage {
        name: "fuzz",
        promise: "no bytes make the codec panic or grow",
        commands: &["cargo xtask fuzz"],
        needs: &[Need::Cargo(CargoTool::Fuzz)],
        budget: Budget { warm_s: 110, cold_s: 300 },
        shares: &[Share { variable: "LOGSPINE_FUZZ_SECONDS", ci: "60", full: "3600" }],
    },
    Stage {
        name: "chart",
        promise: "the chart renders in every shape, every alert fires and has a runbook",
        commands: &["cargo xtask chart"],
        needs: &[],
        budget: Budget { warm_s: 10, cold_s: 60 },
        shares: &[],
    },
    Stage {
        name: "image",
        promise: "broker and operator are static programs in images without anything else, and a request costs no more than its gates",
        commands: &["cargo xtask image broker operator faulty-operator", "cargo xtask bench gates"],
        needs: &[],
        budget: Budget { warm_s: 270, cold_s: 840 },
        shares: &[],
    },
    Stage {
        name: "kube",
        promise: "on a real Kubernetes: install, crash, edit, recreate, upgrade, rest, die after any write",
        commands: &["cargo xtask e2e"],
        needs: &[Need::LinuxRoot, Need::Cargo(CargoTool::Nextest)],
        budget: Budget { warm_s: 800, cold_s: 1200 },
        shares: &[Share { variable: "LOGSPINE_REST_SECONDS", ci: "300", full: "3600" }],
    },
    Stage {
        name: "demo",
        promise: "the demo tells its story in both places, and the README tells the same",
        commands: &[
            "cargo xtask footprint --check",
            "cargo xtask demo --local",
            "cargo xtask demo --check README.md",
        ],
        needs: &[Need::LinuxRoot],
        budget: Budget { warm_s: 150, cold_s: 240 },
        shares: &[],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_no_command_is_empty() {
        let mut names: Vec<&str> = STAGES.iter().map(|stage| stage.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STAGES.len());
        let mut commands = STAGES.iter().flat_map(|stage| stage.commands);
        assert!(commands.all(|command| !command.trim().is_empty()));
    }

    #[test]
    fn all_budgets_together_fit_the_project_s_own() {
        let total = |pick: fn(&Budget) -> u64| STAGES.iter().map(|stage| pick(&stage.budget)).sum::<u64>();
        assert!(total(|budget| budget.warm_s) <= 35 * 60);
        assert!(total(|budget| budget.cold_s) <= 75 * 60);
    }
}
