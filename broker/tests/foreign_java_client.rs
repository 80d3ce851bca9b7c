//! Promise: Apache's Java client writes with every codec, replays, seeks by time and shares in groups of three.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod foreign;
mod support;

use support::Broker;

#[test]
fn the_java_client_tells_its_story_without_contradiction() {
    let Some(mut java) = foreign::java("the_java_client_tells_its_story_without_contradiction") else {
        return;
    };
    let broker = Broker::start(&["group.initial.rebalance.delay.ms=0", "num.partitions=6"]);
    let program = java.arg(foreign::clients().join("java/Story.java"));
    let facts = foreign::run(program, &broker, &["story"]);
    foreign::story::Story::parse(&facts).believe("Apache's Java client");
}
