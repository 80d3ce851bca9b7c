//! Promise: librdkafka, through confluent-kafka-python, writes with every codec, replays, seeks by time and shares
//! in groups of three; and it is told at once that there are no transactions.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod foreign;
mod support;

use support::Broker;

#[test]
fn librdkafka_tells_its_story_without_contradiction() {
    let Some(mut python) = foreign::python("librdkafka_tells_its_story_without_contradiction") else {
        return;
    };
    let broker = Broker::start(&["group.initial.rebalance.delay.ms=0", "num.partitions=6"]);
    let program = python.arg(foreign::clients().join("python/story.py"));
    let facts = foreign::run(program, &broker, &["story"]);
    foreign::story::Story::parse(&facts).believe("librdkafka");
}

#[test]
fn a_transaction_is_refused_at_once_and_with_words() {
    let Some(mut python) = foreign::python("a_transaction_is_refused_at_once_and_with_words") else {
        return;
    };
    let broker = Broker::start(&[]);
    let program = python.arg(foreign::clients().join("python/transaction.py"));
    let printed = foreign::run(program, &broker, &[]);
    let told: Vec<&str> = printed.trim().split('\t').collect();
    let ["refused", "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "True", seconds, words] = told[..] else {
        panic!("{printed}");
    };
    assert!(words.contains("coordinates neither transactions"), "{words}");
    // Without a final answer it would ask until its 30 seconds are over.
    assert!(seconds.parse::<f64>().unwrap() < 10.0, "{seconds} s");
}
