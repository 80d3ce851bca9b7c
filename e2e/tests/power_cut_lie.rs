//! Promise: a disk that lies about syncs is found out: what it loses at a power cut is seen, by each of the judges.
//!
//! The planted bug behind the verdicts of `power_cut.rs`: there the same story ends without an anomaly.

use anyhow::{Context, ensure};
use logspine_e2e::checker::{Anomaly, check};
use logspine_e2e::crash::{Story, TOPIC};
use logspine_e2e::faultfs::{Cut, FUSE, FaultFs};
use logspine_e2e::foreign::{self, KCAT, PYTHON_WITH_LIBRDKAFKA, skip_without};

const ENOUGH: usize = 1000;

#[test]
fn records_topics_and_offsets_that_a_lying_disk_loses_are_missed() -> anyhow::Result<()> {
    if skip_without("power_cut_lie", &[PYTHON_WITH_LIBRDKAFKA, KCAT, FUSE]) {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    std::fs::create_dir(&data)?;
    let disk = FaultFs::mount(&data)?;
    let mut story = Story::begin(dir.path())?;
    story.confirm()?;
    disk.lie_about_syncs(true);
    story.confirm()?;
    story.wait_acknowledged(ENOUGH)?;
    story.wait_read_along(ENOUGH)?;
    let (mut broker, mut history, mut keeper) = story.stop_load()?;
    ensure!(disk.counters().lies > 0, "no sync was asked for");
    broker.kill()?;
    disk.cut(Cut::Drop);
    disk.lie_about_syncs(false);
    broker.spawn()?;

    history.read = foreign::read_all(&broker.bootstrap(), TOPIC)?;
    let anomalies = check(&history);
    let lost = anomalies.iter().filter(|anomaly| matches!(anomaly, Anomaly::Lost(_))).count();
    let reused = anomalies.iter().filter(|anomaly| matches!(anomaly, Anomaly::Reused { .. })).count();
    ensure!(lost >= ENOUGH / 2 && reused > 0, "the checker saw {lost} lost and {reused} reused");
    keeper.expect("exists kept-1", "yes")?;
    keeper.expect("exists kept-2", "no").context("a topic that was lost is there")?;
    keeper.expect(&format!("committed kept {TOPIC}"), "1").context("a commit that was lost is there")?;
    println!("FIGURE lies found out: {lost} records missed");
    Ok(())
}
