//! Promise: a network thread never waits for the disk to read: while the disk holds a read of old records, every other
//! connection is answered, those on the same thread too.

use std::time::Duration;

use anyhow::ensure;
use logspine_e2e::disk_story::DiskStory;
use logspine_e2e::keeper::Keeper;

const REQUESTS: u32 = 100;

#[test]
fn a_read_that_is_held_holds_nobody_else() -> anyhow::Result<()> {
    let Some(mut story) = DiskStory::begin("disk_slow_read")? else { return Ok(()) };
    let bootstrap = story.broker.bootstrap();
    // Connections are dealt out in turn, so that each network thread has some that wait for the held read.
    let mut readers = (0..4).map(|_| Keeper::start(&bootstrap)).collect::<anyhow::Result<Vec<_>>>()?;
    story.disk.drop_cached("bad-0/00000000000000000000.log")?;
    let hold = story.disk.hold_reads("bad-0/");
    for reader in &mut readers {
        reader.post("read bad 0")?;
    }
    ensure!(story.disk.wait_held(1, Duration::from_secs(10)), "nobody asked the disk");
    story.wait_metric("logspine_cold_reads_waiting", readers.len() as f64)?;
    for number in 0..REQUESTS {
        story.keeper.expect(&format!("send 1 good 0 {number}"), "ok")?;
        story.keeper.expect(&format!("send all good 0 {number}"), "ok")?;
        ensure!(story.status("ready")? == "true");
    }
    ensure!(story.keeper.ask("read good 0")?.ends_with(&format!("{0} {0}", REQUESTS - 1)));
    ensure!(story.disk.wait_held(1, Duration::ZERO), "the read was held all the time");
    drop(hold);
    for reader in &mut readers {
        let answer = reader.answer()?;
        ensure!(answer == "b1", "a reader that waited: {answer}");
    }
    println!("FIGURE requests completed beside a held read: {}", 3 * REQUESTS + 1);
    Ok(())
}
