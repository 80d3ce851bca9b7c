//! Promise: on a full disk the broker refuses what is produced, with Kafka's code, and does everything else: it serves
//! reads, takes commits, creates and deletes topics. When there is room again it goes on by itself.

use anyhow::ensure;
use logspine_e2e::disk_story::{DiskStory, REFUSED};

#[test]
fn a_full_disk_refuses_records_serves_all_else_and_goes_on_when_there_is_room() -> anyhow::Result<()> {
    let Some(mut story) = DiskStory::begin("disk_full")? else { return Ok(()) };
    story.disk.leave_room(Some(0));
    for acks in ["all", "1"] {
        story.keeper.refused(&format!("send {acks} good 0 refused"), REFUSED)?;
        story.keeper.refused(&format!("send {acks} bad 0 refused"), REFUSED)?;
    }
    story.keeper.expect("read good 0", "g1")?;
    story.keeper.expect("commit group good 0", "ok")?;
    story.keeper.expect("topic made-on-a-full-disk", "ok")?;
    story.keeper.expect("delete bad", "ok")?;
    ensure!(story.status("diskState")? == "\"full\"");
    ensure!(story.metric("logspine_disk_state{state=\"full\"}")? == 1.0);
    ensure!(story.metric("logspine_disk_refused_appends_total")? >= 1.0);
    ensure!(story.logged("the disk is full")? == 1, "it is said once: {}", story.broker.log()?);

    story.disk.leave_room(None);
    story.until("send all good 0 g2", "ok")?;
    story.keeper.expect("read good 0", "g1 g2")?;
    ensure!(story.status("diskState")? == "\"writable\"");
    ensure!(story.logged("there is room on the disk again")? == 1);

    story.kill_and_start()?;
    story.keeper.expect("read good 0", "g1 g2")?;
    story.keeper.expect("committed group good", "0")?;
    story.keeper.expect("exists made-on-a-full-disk", "yes")?;
    story.keeper.expect("exists bad", "no")
}
