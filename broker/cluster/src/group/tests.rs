//! Conversations with a shard (`testdata/group_*.txt`) and random operations against its invariants.

mod harness;
mod property;
mod script;

use std::fmt::Write as _;
use std::path::Path;

use harness::Harness;

/// Plays every conversation of a file and compares what was said. With `REWRITE=1` the file is written anew.
fn play(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    let text = std::fs::read_to_string(&path).expect("the conversation is part of the repository");
    let mut harness = Harness::new();
    let (mut told, mut commands, mut in_answer) = (String::new(), Vec::new(), false);
    for line in text.lines().chain([""]) {
        if line == "----" {
            in_answer = true;
            let answer: String = commands.drain(..).map(|command: String| harness.run(&command)).collect();
            let answer = if answer.is_empty() { "ok\n".to_owned() } else { answer };
            write!(told, "----\n{answer}").unwrap();
        } else if line.is_empty() || line.starts_with('#') {
            assert!(commands.is_empty(), "{name}: commands without ---- before {line:?}");
            in_answer = false;
            writeln!(told, "{line}").unwrap();
        } else if !in_answer {
            commands.push(line.to_owned());
            writeln!(told, "{line}").unwrap();
        }
    }
    let told = format!("{}\n", told.trim_end());
    if std::env::var_os("REWRITE").is_some() {
        std::fs::write(&path, told).unwrap();
    } else {
        assert!(told == text, "{name} tells another story now (REWRITE=1 accepts it):\n{told}");
    }
}

macro_rules! conversations {
    ($($name:ident)*) => { $(#[test] fn $name() { play(concat!("group_", stringify!($name), ".txt")); })* };
}

conversations! {
    first_join
    third_member
    static_member
    leader_dies
    late_and_early
    commit
    leave
    expiry
    delete
    reload
    lost_records
    bad_requests
}
