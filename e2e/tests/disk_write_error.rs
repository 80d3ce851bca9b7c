//! Promise: where one partition's files refuse writes, that partition refuses, all others serve; once the disk takes
//! them again, so does the partition.

use anyhow::ensure;
use logspine_e2e::disk_story::{DiskStory, REFUSED};
use logspine_e2e::faultfs::{DiskError, Op};

#[test]
fn one_partition_that_cannot_be_written_harms_no_other_and_comes_back() -> anyhow::Result<()> {
    let Some(mut story) = DiskStory::begin("disk_write_error")? else { return Ok(()) };
    let rule = story.disk.fail(Op::Write, "bad-0/", DiskError::EIO);
    for round in 0..3 {
        story.keeper.refused("send all bad 0 refused", REFUSED)?;
        story.keeper.expect(&format!("send all good 0 during-{round}"), "ok")?;
    }
    story.keeper.expect("read bad 0", "b1")?;
    ensure!(story.status("refusingWrites")? == "1");
    ensure!(story.logged("the disk refuses this partition's writes")? == 1, "it is said once");
    drop(rule);
    story.keeper.expect("send all bad 0 b2", "ok")?;
    story.keeper.expect("read bad 0", "b1 b2")?;
    ensure!(story.status("refusingWrites")? == "0");
    story.kill_and_start()?;
    story.keeper.expect("read bad 0", "b1 b2")?;
    story.keeper.expect("read good 0", "g1 during-0 during-1 during-2")
}
