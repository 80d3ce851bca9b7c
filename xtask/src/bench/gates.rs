//! `cargo xtask bench gates`: instructions and system calls of one request, held to gates that noise cannot trip.
//!
//! Invariants: the broker is the program that ships, whole, under callgrind and under strace; a figure is the difference
//! of two lives that differ by so many requests, so that start and stop cancel out; a gate may fall (`--lower`), never rise.
//! callgrind counts user space only, and its processor has no AVX-512: CRC-32C takes its AVX or SSE path there.
//! broker/tests/request_cost.rs counts allocations, on a debug build, because only that has the counter.
//! Called by people and by the table of tests.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use super::Programs;
use super::contender::{Contender, Home, Running};
use super::kblast::Kblast;
use crate::cache::{Cache, checkout};
use crate::console::Step;
use crate::process::Program;
use crate::{debian, image};

#[derive(clap::Args)]
pub struct Args {
    /// Lower the gates to what is measured now
    #[arg(long)]
    lower: bool,
    /// Count this program instead of building the one that ships
    #[arg(long, value_name = "FILE")]
    broker: Option<PathBuf>,
}

/// Where the gates are kept: request, figure.
const GATES: &str = "bench/request.gates";
/// What a run may differ from another without any change: measured are 0.3 % of the instructions and 0.1 calls.
const INSTRUCTIONS_SLACK: f64 = 1.02;
const SYSTEM_CALLS_SLACK: f64 = 0.2;

/// Requests that every life serves, and how many more the one that is measured does.
const FEW: u32 = 20;
const MORE: u32 = 400;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counter {
    Instructions,
    SystemCalls,
}

impl Counter {
    const ALL: [Counter; 2] = [Counter::Instructions, Counter::SystemCalls];

    fn name(self) -> &'static str {
        match self {
            Counter::Instructions => "instructions",
            Counter::SystemCalls => "system-calls",
        }
    }

    fn before(self, out: &Path) -> Vec<String> {
        match self {
            Counter::Instructions => {
                vec![
                    "valgrind".into(),
                    "--tool=callgrind".into(),
                    format!("--callgrind-out-file={}", out.display()),
                ]
            }
            Counter::SystemCalls => {
                vec!["strace".into(), "-f".into(), "-c".into(), "-o".into(), out.display().to_string()]
            }
        }
    }

    /// The total in what the counter wrote.
    fn total(self, text: &str) -> Option<f64> {
        match self {
            Counter::Instructions => text
                .lines()
                .find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")))
                .and_then(|rest| rest.split_whitespace().next()?.parse().ok()),
            Counter::SystemCalls => text
                .lines()
                .find(|line| line.trim_end().ends_with(" total"))
                .and_then(|line| line.split_whitespace().nth(3)?.parse().ok()),
        }
    }
}

/// A figure and what it may be.
#[derive(Debug, Clone, PartialEq)]
struct Gate {
    name: String,
    most: f64,
}

impl Gate {
    fn allowed(&self) -> f64 {
        match self.name.ends_with(Counter::SystemCalls.name()) {
            true => self.most + SYSTEM_CALLS_SLACK,
            false => self.most * INSTRUCTIONS_SLACK,
        }
    }
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    debian::ensure(&["valgrind", "strace", "util-linux"], "Counting a request's instructions")?;
    let cache = Cache::open()?;
    let programs = Programs {
        logspine: match &args.broker {
            Some(broker) => broker.canonicalize()?,
            None => image::broker_program(&cache)?,
        },
        kblast: debug_kblast(&cache)?,
        kafka_libs: PathBuf::new(),
        rdkafka_performance: None,
    };
    let step = Step::start("Counting", "six lives of the broker, three of them under callgrind");
    let mut measured = Vec::new();
    for counter in Counter::ALL {
        measured.extend(figures(&cache, &programs, counter)?);
    }
    step.finish("");
    for gate in &measured {
        println!("FIGURE {}: {:.1}", gate.name, gate.most);
    }
    let path = checkout().join(GATES);
    let gates = read(&std::fs::read_to_string(&path).unwrap_or_default())?;
    if args.lower {
        return Ok(std::fs::write(&path, written(&lowered(&gates, &measured)))?);
    }
    judge(&gates, &measured)
}

/// The client is not counted: the build that the tests have made already does.
fn debug_kblast(cache: &Cache) -> anyhow::Result<PathBuf> {
    let build = Program::cargo().args(["build", "--locked", "--package", "logspine-bench"]);
    build.folder(checkout()).env("CARGO_TARGET_DIR", cache.target()).run(None)?;
    Ok(cache.target().join("debug/kblast"))
}

fn figures(cache: &Cache, programs: &Programs, counter: Counter) -> anyhow::Result<Vec<Gate>> {
    let life = |produce: u32, fetch: u32| life(cache, programs, counter, produce, fetch);
    let base = life(FEW, FEW)?;
    let figure = |request: &str, total: f64| Gate {
        name: format!("{request}-{}", counter.name()),
        most: (total - base) / f64::from(MORE),
    };
    Ok(vec![figure("produce-64-KiB", life(FEW + MORE, FEW)?), figure("fetch-1-MiB", life(FEW, FEW + MORE)?)])
}

/// Starts a broker under the counter, serves so many requests of each kind, ends it; the counter's total.
fn life(
    cache: &Cache,
    programs: &Programs,
    counter: Counter,
    produce: u32,
    fetch: u32,
) -> anyhow::Result<f64> {
    let out = cache.path("bench/counted")?;
    let _ = std::fs::remove_file(&out);
    let home = Home::new(cache, programs, Contender::Logspine, "gates", "")?;
    let before = counter.before(&out);
    let running = home.start_with(&before.iter().map(String::as_str).collect::<Vec<_>>())?;
    let kblast = Kblast { program: programs.kblast.clone() };
    let load = |words: &str| kblast.load(&running, words, "counted");
    load(
        "produce -d 1 --warm-up-seconds 0 --seconds 600 --requests 40 --config flush.messages=9223372036854775807",
    )?;
    load(&format!("produce -d 1 --warm-up-seconds 0 --seconds 600 --requests {produce}"))?;
    load(&format!("fetch --warm-up-seconds 0 --seconds 600 --requests {fetch}"))?;
    stop(running)?;
    let text = std::fs::read_to_string(&out).context("the counter wrote nothing")?;
    counter.total(&text).context("no total in what the counter wrote")
}

/// Only the broker gets the signal: strace, its parent, writes when the broker has ended.
fn stop(running: Running) -> anyhow::Result<()> {
    let child = Program::new("pgrep").args(["-P", &running.id().to_string()]).run(None).unwrap_or_default();
    let broker = child.split_whitespace().find_map(|id| id.parse().ok()).unwrap_or(running.id());
    running.stop_process(broker)
}

fn read(text: &str) -> anyhow::Result<Vec<Gate>> {
    let rows = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    rows.map(|row| {
        let (name, most) =
            row.trim().split_once(char::is_whitespace).with_context(|| format!("no figure: {row}"))?;
        Ok(Gate { name: name.to_owned(), most: most.trim().parse()? })
    })
    .collect()
}

fn written(gates: &[Gate]) -> String {
    let head = "# What one request may cost the program that ships. A gate may fall, never rise: cargo xtask bench gates --lower\n";
    let rows = gates.iter().map(|gate| format!("{:<32} {:.1}\n", gate.name, gate.most));
    head.to_owned() + &rows.collect::<String>()
}

/// Each gate, or what was measured where that is less; what had no gate gets one.
fn lowered(gates: &[Gate], measured: &[Gate]) -> Vec<Gate> {
    let lowest = |found: &Gate| {
        let before = gates.iter().find(|gate| gate.name == found.name);
        Gate { most: before.map_or(found.most, |gate| gate.most.min(found.most)), ..found.clone() }
    };
    measured.iter().map(lowest).collect()
}

fn judge(gates: &[Gate], measured: &[Gate]) -> anyhow::Result<()> {
    ensure!(!measured.is_empty(), "nothing was measured");
    for found in measured {
        let gate = gates.iter().find(|gate| gate.name == found.name);
        let gate = gate.with_context(|| format!("{} has no gate in {GATES}", found.name))?;
        if found.most > gate.allowed() {
            bail!("{}: {:.1} is above the gate {:.1} in {GATES}", found.name, found.most, gate.most);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(most: f64) -> Gate {
        Gate { name: "produce".to_owned(), most }
    }

    #[test]
    fn the_totals_of_both_counters_are_found() {
        let text = "version: 1\nsummary: 123456 7\n\ntotals: 123456 7\n";
        assert_eq!(Counter::Instructions.total(text), Some(123_456.0));
        let text = " 90.00    0.001000           5       200           sendto\n\
                    100.00    0.001100           3       300        50 total\n";
        assert_eq!(Counter::SystemCalls.total(text), Some(300.0));
        assert_eq!(Counter::SystemCalls.total("nothing"), None);
    }

    #[test]
    fn a_request_that_costs_more_is_refused_and_noise_is_not() {
        assert!(judge(&[gate(1000.0)], &[gate(1019.0)]).is_ok());
        let error = judge(&[gate(1000.0)], &[gate(1021.0)]).expect_err("too dear");
        assert_eq!(error.to_string(), "produce: 1021.0 is above the gate 1000.0 in bench/request.gates");
        assert!(judge(&[], &[gate(1.0)]).is_err(), "a figure without a gate is no pass");
        let calls = |most| Gate { name: "produce-system-calls".to_owned(), most };
        assert!(judge(&[calls(4.0)], &[calls(4.1)]).is_ok());
        assert!(judge(&[calls(4.0)], &[calls(5.0)]).is_err(), "one call more is no noise");
    }

    #[test]
    fn lowering_never_raises() {
        assert_eq!(lowered(&[gate(1000.0)], &[gate(900.0)]), [gate(900.0)]);
        assert_eq!(lowered(&[gate(1000.0)], &[gate(1100.0)]), [gate(1000.0)]);
        assert_eq!(lowered(&[], &[gate(5.0)]), [gate(5.0)]);
    }

    #[test]
    fn the_file_of_gates_survives_being_written() {
        let gates = [gate(123.4)];
        assert_eq!(read(&written(&gates)).expect("readable"), gates);
    }
}
