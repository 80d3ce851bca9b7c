//! Promise: on a file system that became read-only reads go on, writes are refused with words, and the broker neither
//! ends nor needs a restart when it is mounted for writing again.

use anyhow::ensure;
use logspine_e2e::disk_story::{DiskStory, REFUSED};

#[test]
fn a_read_only_disk_serves_reads_and_takes_writes_again_without_a_restart() -> anyhow::Result<()> {
    let Some(mut story) = DiskStory::begin("disk_read_only")? else { return Ok(()) };
    let pid = story.broker.pid();
    story.disk.read_only(true);
    story.keeper.refused("send all good 0 refused", REFUSED)?;
    story.keeper.refused("send 1 bad 0 refused", REFUSED)?;
    story.keeper.refused("topic refused", REFUSED)?;
    let committed = story.keeper.ask("commit group good 7")?;
    ensure!(committed.starts_with("error"), "a commit was confirmed: {committed}");
    story.keeper.expect("read good 0", "g1")?;
    story.keeper.expect("committed group good", "1")?;
    ensure!(story.status("diskState")? == "\"readOnly\"");
    ensure!(story.logged("the file system is read-only")? == 1, "it is said once: {}", story.broker.log()?);

    story.disk.read_only(false);
    story.until("send all good 0 g2", "ok")?;
    story.until("send all bad 0 b2", "ok")?;
    story.until("topic after", "ok")?;
    story.until("commit group good 2", "ok")?;
    ensure!(story.status("diskState")? == "\"writable\"");
    ensure!(story.broker.pid() == pid, "the broker was never restarted");

    story.kill_and_start()?;
    story.keeper.expect("read good 0", "g1 g2")?;
    story.keeper.expect("read bad 0", "b1 b2")?;
    story.keeper.expect("committed group good", "2")?;
    story.keeper.expect("exists after", "yes")?;
    story.keeper.expect("exists refused", "no")
}
