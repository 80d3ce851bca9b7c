//! The power goes after every single operation of a compaction, and the log opens: nothing that survives is lost,
//! nothing comes back that was never written, and a second recovery changes nothing.

use std::path::Path;
use std::sync::Arc;

use logspine_storage::sim_disk::{Replay, SimDisk};
use logspine_storage::{Disk, Log};

use crate::life::{Life, ROOMY, compact, open_args, read};
use crate::{DATA, LATER_MS, within};

#[test]
fn the_log_opens_whole_after_a_power_cut_at_any_operation_of_a_swap() {
    let mut cuts = 0;
    for seed in 0..6 {
        let disk = SimDisk::new();
        disk.record();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut life = Life::live(seed, &shared, Path::new(DATA), 40);
        let begun = disk.operations() as usize;
        let (mut checkpoint, last_stable) = (None, life.last_stable());
        let before = read(&life.log.reader(), 1 << 20);
        compact(&mut life.log, &mut checkpoint, last_stable, ROOMY, LATER_MS, |_| {}).unwrap();
        let must = life.expected(checkpoint.unwrap());
        let recorded = disk.recorded();
        let mut replay = Replay::new();
        recorded[..begun].iter().for_each(|op| replay.apply(op));
        for (number, op) in recorded[begun..].iter().enumerate() {
            replay.apply(op);
            for fate in 0..3 {
                let cut = replay.power_cut(seed * 1_000 + number as u64 * 3 + fate);
                let label = format!("LOGSPINE_SEED={seed}, cut after operation {number}, fate {fate}");
                check(&cut, &life, &before, &must, &label);
                cuts += 1;
            }
        }
    }
    assert!(cuts > 300, "a compaction has steps");
    println!("FIGURE power cuts within compactions: {cuts}");
}

fn check(
    cut: &SimDisk,
    life: &Life,
    before: &[crate::life::Record],
    must: &[crate::life::Record],
    label: &str,
) {
    let shared: Arc<dyn Disk> = Arc::new(cut.clone());
    for recovery_point in [life.log.log_start(), life.log.durable_end()] {
        let mut args = open_args(&shared, Path::new(DATA));
        args.recovery_point = recovery_point;
        let (log, recovered) = Log::open(args).unwrap_or_else(|error| panic!("{label}: {error}"));
        assert_eq!((recovered.damage, recovered.truncated_bytes), (None, 0), "{label}");
        assert_eq!((log.log_start(), log.log_end()), (life.log.log_start(), life.log.log_end()), "{label}");
        for max_bytes in [1, 1 << 20] {
            let seen = read(&log.reader(), max_bytes);
            within(&seen, before, must, 0);
        }
        let names = |disk: &SimDisk| -> Vec<_> { disk.dump().into_iter().map(|(path, _)| path).collect() };
        let unfinished = |path: &std::path::PathBuf| {
            let name = path.to_string_lossy();
            name.ends_with(".swap") || name.ends_with(".cleaned")
        };
        assert!(!names(cut).iter().any(unfinished), "{label}: {:?}", names(cut));
    }
}
