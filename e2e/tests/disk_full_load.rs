//! Promise: a disk that fills up in the middle of writes, and empties again, costs an idempotent producer nothing:
//! nothing lost, duplicated or reordered, and no client is restarted.

use anyhow::ensure;
use logspine_e2e::crash::Story;
use logspine_e2e::faultfs::{FUSE, FaultFs};
use logspine_e2e::foreign::{KCAT, PYTHON_WITH_LIBRDKAFKA, skip_without};

const ROUNDS: u64 = 5;

#[test]
fn a_producer_goes_on_after_a_full_disk_as_if_nothing_had_been() -> anyhow::Result<()> {
    if skip_without("disk_full_load", &[PYTHON_WITH_LIBRDKAFKA, KCAT, FUSE]) {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    std::fs::create_dir(&data)?;
    let disk = FaultFs::mount(&data)?;
    let mut story = Story::begin(dir.path())?;
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        acknowledged += 1000;
        story.wait_acknowledged(acknowledged)?;
        // Odd, so that the last write fits in part.
        disk.leave_room(Some(1001 + 2 * round));
        story.wait_refused()?;
        story.confirm()?;
        disk.leave_room(None);
        acknowledged = story.acknowledged()?;
    }
    ensure!(disk.counters().full > 0, "the disk was never full");
    story.wait_acknowledged(acknowledged + 1000)?;
    story.end()?;
    println!("FIGURE full disks under load: {ROUNDS}, {} writes found no room", disk.counters().full);
    Ok(())
}
