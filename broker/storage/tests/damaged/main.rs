//! Whatever is done to files of a data directory while the broker is away: the log opens, or one sentence names what
//! does not; every record that is served is the one that was appended there; what no damage touched is served;
//! no byte of a log is deleted; and a second start changes nothing more.
//!
//! A random life fills several segments with every kind of file there is; then one file, or several, are harmed. Seeds
//! replay: `LOGSPINE_SEED=7` runs one, `LOGSPINE_SEEDS=100000` many. The judge is first shown what it must refuse.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "../support/mod.rs"]
mod support;

mod denying;
mod harm;
mod judge;
mod life;

use logspine_protocol::batch::{BatchView, patch_offset_and_epoch};
use logspine_storage::sim_disk::Rng;

use harm::Harm;

const SEEDS: u64 = 400;

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// One life, one harm or up to three, three starts. Whether it opened.
fn run(seed: u64) -> Result<bool, String> {
    let rng = &mut Rng::new(seed);
    let life = life::run(rng);
    let harms: Vec<Harm> =
        (0..if rng.percent(70) { 1 } else { 3 }).map(|_| harm::strike(rng, &life)).collect();
    judge::after(&life, &harms).map_err(|error| format!("LOGSPINE_SEED={seed}: {harms:?}: {error}"))
}

#[test]
fn what_was_not_harmed_is_served_and_nothing_else_ever() {
    let (first, count) = match env("LOGSPINE_SEED") {
        Some(seed) => (seed, 1),
        None => (0, env("LOGSPINE_SEEDS").unwrap_or(SEEDS)),
    };
    let (mut opened, mut wrong) = (0, Vec::new());
    for seed in first..first + count {
        match run(seed) {
            Ok(is_open) => opened += u64::from(is_open),
            Err(error) => wrong.push(error),
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong[..wrong.len().min(12)].join("\n"));
    println!("FIGURE damaged data directories: {count}, {opened} opened, the others said why not");
}

/// A life without harm, and what somebody did to its second segment.
fn forged(forge: impl FnOnce(&mut Vec<u8>)) -> Result<bool, String> {
    let life = life::run(&mut Rng::new(1));
    life.disk.damage(&life.segments()[1], forge).unwrap();
    judge::after(&life, &[])
}

#[test]
fn the_judge_lets_an_unharmed_log_pass() {
    assert_eq!(forged(|_| {}), Ok(true));
}

#[test]
fn the_judge_sees_a_record_that_was_never_appended_whose_checksum_is_right() {
    let error = forged(|bytes| {
        let (first, _) = BatchView::parse(bytes).unwrap();
        let (offset, epoch, records) =
            (first.base_offset(), first.partition_leader_epoch(), first.record_count() as usize);
        let value_len = (20..120).find(|len| support::batch(7, records, *len).len() == first.total_len());
        let mut other = support::batch(7, records, value_len.expect("a plain batch of that size"));
        patch_offset_and_epoch((&mut other[..61]).try_into().unwrap(), offset, epoch);
        bytes[..other.len()].copy_from_slice(&other);
    });
    assert!(error.as_ref().is_err_and(|error| error.contains("never appended")), "{error:?}");
}

#[test]
fn the_judge_sees_a_sound_batch_that_is_not_served() {
    let error = forged(|bytes| bytes[40] ^= 1);
    assert!(error.as_ref().is_err_and(|error| error.contains("is sound and not served")), "{error:?}");
}

#[test]
fn the_judge_sees_bytes_of_a_log_that_are_gone() {
    let life = life::run(&mut Rng::new(1));
    let before = judge::logs(&life.disk);
    life.disk.damage(&life.segments()[0], |bytes| bytes.truncate(10)).unwrap();
    let error = judge::kept(&before, &judge::logs(&life.disk));
    assert!(error.is_err(), "{error:?}");
}
