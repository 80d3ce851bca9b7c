//! Promise: twenty `kill -9` under idempotent acks=all load lose, duplicate and reorder nothing.
//!
//! The story and its judge are `src/crash.rs`. `LOGSPINE_KILLS` and `LOGSPINE_SEED` widen and replay it.

use logspine_e2e::crash::{Story, setting};
use logspine_e2e::foreign::{KCAT, PYTHON_WITH_LIBRDKAFKA, skip_without};
use logspine_e2e::random::{SplitMix, seed_of_the_clock};

#[test]
fn twenty_kills_under_load_lose_duplicate_and_reorder_nothing() -> anyhow::Result<()> {
    if skip_without("crash_kill", &[PYTHON_WITH_LIBRDKAFKA, KCAT]) {
        return Ok(());
    }
    let kills: u32 = setting("LOGSPINE_KILLS", 20)?;
    let mut random = SplitMix(setting("LOGSPINE_SEED", seed_of_the_clock())?);
    println!("LOGSPINE_SEED={} LOGSPINE_KILLS={kills}", random.0);
    let dir = tempfile::tempdir()?;
    let mut story = Story::begin(dir.path())?;
    for _ in 0..kills {
        story.strike(&mut random, |broker| broker.kill())?;
    }
    story.end()
}
