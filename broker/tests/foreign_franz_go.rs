//! Promise: franz-go writes with every codec, replays, seeks by time and shares in groups of three.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod foreign;
mod support;

use support::Broker;

#[test]
fn franz_go_tells_its_story_without_contradiction() {
    let test = "franz_go_tells_its_story_without_contradiction";
    let Some(mut program) = foreign::go_program(test, "story") else { return };
    let broker = Broker::start(&["group.initial.rebalance.delay.ms=0", "num.partitions=6"]);
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_logspine"))
        .args(["topic", "create", "story", "--bootstrap", &broker.address()])
        .status();
    assert!(made.unwrap().success());
    let facts = foreign::run(&mut program, &broker, &["story"]);
    foreign::story::Story::parse(&facts).believe("franz-go");
}
