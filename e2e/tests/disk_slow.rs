//! Promise: while the disk does not finish a sync of one partition, produce to others, consumers, topics and the admin
//! listener are unaffected: hundreds of their requests complete while that one sync is held.

use std::time::Duration;

use anyhow::ensure;
use logspine_e2e::disk_story::DiskStory;
use logspine_e2e::keeper::Keeper;

const REQUESTS: u32 = 100;

#[test]
fn a_sync_that_is_held_holds_nobody_else() -> anyhow::Result<()> {
    let Some(mut story) = DiskStory::begin("disk_slow")? else { return Ok(()) };
    let bootstrap = story.broker.bootstrap();
    // Several clients of the slow partition, so that some share a network thread with everybody else.
    let mut slow = (0..4).map(|_| Keeper::start(&bootstrap)).collect::<anyhow::Result<Vec<_>>>()?;
    let hold = story.disk.hold_syncs("bad-0/");
    slow[0].post("send all bad 0 held")?;
    ensure!(story.disk.wait_held(1, Duration::from_secs(10)), "no sync came");
    story.wait_metric("logspine_partitions_slow", 1.0)?;
    for (number, client) in slow.iter_mut().enumerate().skip(1) {
        client.post(&format!("send {} bad 0 behind-{number}", if number == 1 { "all" } else { "1" }))?;
    }
    for number in 0..REQUESTS {
        story.keeper.expect(&format!("send 1 good 0 {number}"), "ok")?;
        story.keeper.expect(&format!("send all good 0 {number}"), "ok")?;
        ensure!(story.status("ready")? == "true");
    }
    story.keeper.expect("read bad 0", "b1")?;
    ensure!(story.keeper.ask("read good 0")?.ends_with(&format!("{0} {0}", REQUESTS - 1)));
    story.keeper.expect("topic made-meanwhile", "ok")?;
    story.keeper.expect("commit group good 2", "ok")?;
    ensure!(story.disk.wait_held(1, Duration::ZERO), "the sync was held all the time");
    drop(hold);
    for client in &mut slow {
        ensure!(client.answer()? == "ok");
    }
    story.wait_metric("logspine_partitions_slow", 0.0)?;
    ensure!(story.keeper.ask("read bad 0")?.split(' ').count() == 1 + slow.len(), "each is there once");
    println!("FIGURE requests completed beside a held sync: {}", 3 * REQUESTS + 4);
    Ok(())
}
