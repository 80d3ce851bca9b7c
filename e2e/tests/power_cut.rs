//! Promise: ten power cuts under idempotent acks=all load lose, duplicate and reorder nothing that was confirmed.
//!
//! The broker's data lies on a file system that knows what was synced. A cut kills the broker and drops all that
//! was not, or tears it: some pages and half pages, the beginning of the changes of a directory. The story and
//! its judge are `src/crash.rs`. `LOGSPINE_CUTS` and `LOGSPINE_SEED` widen and replay it.

use std::time::Duration;

use anyhow::ensure;
use logspine_e2e::crash::{Story, setting};
use logspine_e2e::faultfs::{Cut, Effect, FUSE, FaultFs, Lost, Op, Rule};
use logspine_e2e::foreign::{KCAT, PYTHON_WITH_LIBRDKAFKA, skip_without};
use logspine_e2e::random::{SplitMix, seed_of_the_clock};

/// A sync takes as long as on a good disk, so that a cut finds something that waits for one.
const SYNC: Duration = Duration::from_millis(8);

#[test]
fn ten_power_cuts_under_load_lose_duplicate_and_reorder_nothing() -> anyhow::Result<()> {
    if skip_without("power_cut", &[PYTHON_WITH_LIBRDKAFKA, KCAT, FUSE]) {
        return Ok(());
    }
    let cuts: u64 = setting("LOGSPINE_CUTS", 10)?;
    let mut random = SplitMix(setting("LOGSPINE_SEED", seed_of_the_clock())?);
    println!("LOGSPINE_SEED={} LOGSPINE_CUTS={cuts}", random.0);
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    std::fs::create_dir(&data)?;
    let disk = FaultFs::mount(&data)?;
    let effect = Effect::Delay(SYNC);
    let _syncs_take_time = disk.rule(Rule { op: Op::Sync, path: String::new(), effect, times: None });
    let mut story = Story::begin(dir.path())?;
    let mut lost = Lost::default();
    for number in 0..cuts {
        let cut = if number % 2 == 0 { Cut::Drop } else { Cut::Tear { seed: random.next_u64() } };
        story.strike(&mut random, |broker| {
            broker.kill()?;
            lost += disk.cut(cut);
            Ok(())
        })?;
    }
    story.end()?;
    ensure!(lost.bytes > 0 && lost.names > 0, "no cut took anything: {lost:?}");
    println!("FIGURE power cuts: {cuts}, {} bytes and {} names went with them", lost.bytes, lost.names);
    Ok(())
}
