//! Promise: a broker always starts on a full disk, again and again, serves what is there, and goes on when there is room.

use anyhow::ensure;
use logspine_e2e::disk_story::{DiskStory, REFUSED};

#[test]
fn a_broker_starts_on_a_full_disk_and_serves_reads() -> anyhow::Result<()> {
    let Some(mut story) = DiskStory::begin("disk_full_start")? else { return Ok(()) };
    // Full to the last byte but for the broker's own reserve.
    story.disk.leave_room(Some(0));
    for start in 1..=3 {
        story.kill_and_start()?;
        ensure!(story.status("diskState")? == "\"full\"", "start {start}");
        story.keeper.expect("read good 0", "g1")?;
        story.keeper.expect("committed group good", "1")?;
        story.keeper.refused("send all good 0 refused", REFUSED)?;
    }
    story.broker.stop()?;
    story.broker.spawn()?;
    story.keeper.expect("read good 0", "g1")?;

    story.disk.leave_room(None);
    story.until("send all good 0 g2", "ok")?;
    story.keeper.expect("read good 0", "g1 g2")
}
