//! Promise: where one partition's files cannot be read, its consumers are told so by Kafka's code, and everybody else is
//! served; once the disk reads again, so do they.

use std::time::Duration;

use anyhow::ensure;
use logspine_e2e::disk_story::DiskStory;
use logspine_e2e::faultfs::{DiskError, Op};
use logspine_e2e::keeper::Keeper;

const TOLD: &str =
    "kafka_network_requestmetrics_errors_total{error=\"KAFKA_STORAGE_ERROR\",request=\"Fetch\"}";

#[test]
fn one_partition_that_cannot_be_read_harms_no_other() -> anyhow::Result<()> {
    let Some(mut story) = DiskStory::begin("disk_read_error")? else { return Ok(()) };
    let mut reader = Keeper::start(&story.broker.bootstrap())?;
    story.disk.drop_cached("bad-0/00000000000000000000.log")?;
    let rule = story.disk.fail(Op::Read, "bad-0/", DiskError::EIO);
    reader.post("read bad 0")?;
    story.wait_told(TOLD, Duration::from_secs(10))?;
    for number in 0..10 {
        story.keeper.expect(&format!("send all good 0 {number}"), "ok")?;
    }
    story.keeper.expect("read good 0", "g1 0 1 2 3 4 5 6 7 8 9")?;
    story.keeper.expect("send all bad 0 b2", "ok")?;
    ensure!(story.disk.counters().failed_reads > 0);
    drop(rule);
    ensure!(reader.answer()? == "b1 b2");
    Ok(())
}
