//! Promise: after one failed sync a partition confirms nothing more until a restart, for the kernel may have dropped
//! what it could not write; it goes on serving what was confirmed, and all others are unaffected. The same for metadata.

use anyhow::ensure;
use logspine_e2e::disk_story::{DiskStory, REFUSED};
use logspine_e2e::faultfs::{Cut, DiskError, Effect, Op, Rule};

fn once(path: &str) -> Rule {
    Rule { op: Op::Sync, path: path.to_owned(), effect: Effect::Fail(DiskError::EIO), times: Some(1) }
}

#[test]
fn a_failed_sync_is_never_tried_again_as_if_nothing_had_happened() -> anyhow::Result<()> {
    let Some(mut story) = DiskStory::begin("disk_sync_error")? else { return Ok(()) };
    let rule = story.disk.rule(once("bad-0/"));
    for _ in 0..3 {
        story.keeper.refused("send all bad 0 refused", REFUSED)?;
        story.keeper.refused("send 1 bad 0 refused", REFUSED)?;
        story.keeper.expect("send all good 0 g", "ok")?;
    }
    ensure!(story.disk.counters().failed_syncs == 1, "the rule bit once");
    story.keeper.expect("read bad 0", "b1")?;
    ensure!(story.status("refusingWrites")? == "1");
    drop(rule);
    story.kill_and_start()?;
    story.keeper.expect("send all bad 0 b2", "ok")?;
    // What was confirmed after the restart survives a power cut, although the kernel once dropped pages before it.
    story.broker.kill()?;
    story.disk.cut(Cut::Drop);
    story.broker.spawn()?;
    let values = story.keeper.ask("read bad 0")?;
    ensure!(values.starts_with("b1") && values.ends_with("b2"), "{values}");
    story.keeper.expect("read good 0", "g1 g g g")
}

#[test]
fn metadata_whose_sync_failed_is_served_and_not_changed_until_a_restart() -> anyhow::Result<()> {
    let Some(mut story) = DiskStory::begin("disk_sync_error_metadata")? else { return Ok(()) };
    let pid = story.broker.pid();
    let rule = story.disk.rule(once("__cluster_metadata-0/"));
    story.keeper.refused("topic doubtful", REFUSED)?;
    story.keeper.refused("topic refused", REFUSED)?;
    story.keeper.expect("send all good 0 g2", "ok")?;
    story.keeper.expect("exists good", "yes")?;
    ensure!(story.broker.pid() == pid);
    drop(rule);
    story.kill_and_start()?;
    story.keeper.expect("exists refused", "no")?;
    story.keeper.expect("topic after", "ok")?;
    story.keeper.expect("read good 0", "g1 g2")
}
