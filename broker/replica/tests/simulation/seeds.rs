//! Which seeds run: fixed ones, which every run shares, and fresh ones, which no run had before.
//!
//! `LOGSPINE_SEED=s` replays one. `LOGSPINE_SEEDS=n` runs n fresh ones instead of the few that CI takes, and prints where
//! they begin, as every run does; `LOGSPINE_FIRST_SEED=s` says where.

use std::time::{SystemTime, UNIX_EPOCH};

/// The first fresh seed: far from the fixed ones, and another in each process.
fn fresh_start() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    1_000_000 + (now.as_nanos() as u64 % 1_000_000_000_000) * 1_000
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Runs `run` over `fixed` seeds from 0 on and `fresh` new ones; returns the sum of what it counts.
pub fn each(name: &str, fixed: u64, fresh: u64, run: impl Fn(u64) -> Result<u64, String>) -> u64 {
    let first = number("LOGSPINE_FIRST_SEED").unwrap_or_else(fresh_start);
    let fresh = first..first + number("LOGSPINE_SEEDS").unwrap_or(fresh);
    let seeds: Vec<u64> = match number("LOGSPINE_SEED") {
        Some(seed) => vec![seed],
        None => (0..fixed).chain(fresh.clone()).collect(),
    };
    println!("{name}: {} seeds, the fresh ones {fresh:?}", seeds.len());
    let count = |seed: &u64| match run(*seed) {
        Ok(count) => count,
        Err(broken) => panic!("{broken}\nreplay it with LOGSPINE_SEED={seed}"),
    };
    let sum = seeds.iter().map(count).sum();
    println!("FIGURE seeds of simulated {name}: {}", seeds.len());
    println!("FIGURE power cuts within simulated {name}: {sum}");
    sum
}
