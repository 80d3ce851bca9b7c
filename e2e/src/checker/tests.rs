//! The checker against known histories: a sound one, and each anomaly by itself.

use super::planted::prove_the_checker;
use super::{Anomaly, History, Placed, Value, check};

fn value(writer: u32, number: u64) -> Value {
    Value { writer, number }
}

fn at(partition: i32, offset: i64, writer: u32, number: u64) -> Placed {
    Placed { partition, offset, value: value(writer, number) }
}

/// Two writers, one partition each; the last value of writer 1 was sent but never acknowledged, and is there.
fn sound() -> History {
    History {
        sent: [(1, 3), (2, 2)].into(),
        acked: vec![at(0, 0, 1, 0), at(0, 1, 1, 1), at(1, 0, 2, 0), at(1, 1, 2, 1)],
        read: vec![at(0, 0, 1, 0), at(0, 1, 1, 1), at(0, 2, 1, 2), at(1, 0, 2, 0), at(1, 1, 2, 1)],
        seen: vec![at(0, 0, 1, 0)],
    }
}

#[test]
fn a_sound_history_passes() {
    assert_eq!(check(&sound()), vec![]);
}

#[test]
fn every_planted_fault_is_seen() {
    assert_eq!(prove_the_checker(&sound()), Ok(()));
}

#[test]
fn an_acknowledged_record_at_another_offset_has_moved() {
    let mut history = sound();
    history.acked[1].offset = 2;
    assert_eq!(check(&history), vec![Anomaly::Moved { acked: at(0, 2, 1, 1), found_at: 1 }]);
}

#[test]
fn what_a_consumer_saw_must_stay_where_it_was() {
    let mut history = sound();
    let seen = at(0, 0, 1, 7);
    history.seen = vec![seen];
    assert_eq!(check(&history), vec![Anomaly::Reused { seen, now: Some(value(1, 0)) }]);
}

#[test]
fn a_value_that_nobody_sent_is_a_phantom() {
    let mut history = sound();
    history.read.push(at(1, 2, 2, 2));
    assert_eq!(check(&history), vec![Anomaly::Phantom(at(1, 2, 2, 2))]);
}

#[test]
fn a_jump_in_the_offsets_is_a_gap() {
    let mut history = sound();
    history.read[2].offset = 5;
    assert_eq!(check(&history), vec![Anomaly::Gap { partition: 0, from: 2, to: 5 }]);
}

#[test]
fn an_offset_delivered_twice_is_repeated() {
    let mut history = sound();
    history.read[2].offset = 1;
    assert_eq!(check(&history), vec![Anomaly::OffsetRepeated { partition: 0, offset: 1 }]);
}

#[test]
fn values_read_back_as_they_were_written() {
    assert_eq!("w12-345".parse(), Ok(value(12, 345)));
    assert_eq!(value(12, 345).to_string(), "w12-345");
    assert!("12-345".parse::<Value>().is_err());
}
