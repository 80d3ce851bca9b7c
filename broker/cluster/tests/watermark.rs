//! The high watermark under random positions: it never falls in one reign, and never passes what a member holds.
//!
//! The model below knows only what each replica last reported in the current epoch; it is asked whenever the
//! decision moves the watermark or proposes an in-sync set. A planted bug in the model's place is caught by
//! `the_checker_catches_a_watermark_from_log_ends`.

use std::collections::{BTreeMap, BTreeSet};

use logspine_cluster::partition::{Effect, FollowerFetch, Leadership, PartitionState};
use logspine_protocol::types::{BrokerId, LeaderEpoch, Offset};
use proptest::prelude::*;

const LOCAL: BrokerId = BrokerId(1);

#[derive(Debug, Clone)]
enum Event {
    Append(i64),
    Durable(i64),
    /// Follower, how far behind the log end, and how old its leader epoch is.
    Fetch(i32, i64, i32),
    Tick(i64),
    Commit,
    Refuse,
    NewReign,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (1..20i64).prop_map(Event::Append),
        3 => (0..10i64).prop_map(Event::Durable),
        6 => (2..5i32, 0..6i64, prop::sample::select(vec![0, 0, 0, 1])).prop_map(|(f, l, e)| Event::Fetch(f, l, e)),
        1 => (0..5_000i64).prop_map(Event::Tick),
        2 => Just(Event::Commit),
        1 => Just(Event::Refuse),
        1 => Just(Event::NewReign),
    ]
}

/// What is known from outside.
#[derive(Debug)]
struct Model {
    epoch: i32,
    partition_epoch: i32,
    now_ms: i64,
    log_end: i64,
    durable_end: i64,
    epoch_start: i64,
    reported: BTreeMap<BrokerId, i64>,
    isr: BTreeSet<BrokerId>,
    proposed: Option<BTreeSet<BrokerId>>,
    high_watermark: i64,
}

impl Model {
    fn word(&self) -> Leadership {
        Leadership {
            leader_epoch: LeaderEpoch(self.epoch),
            partition_epoch: self.partition_epoch,
            replicas: (1..5).map(BrokerId).collect(),
            isr: self.isr.iter().copied().collect(),
            min_insync_replicas: 2,
            lag_time_max_ms: 1_000,
            log_end: Offset(self.log_end),
            durable_end: Offset(self.durable_end),
            high_watermark: Offset(self.high_watermark),
        }
    }

    /// The checker: every effect must be true of the reported positions.
    fn check(&mut self, effects: Vec<Effect>) -> Result<(), String> {
        for effect in effects {
            match effect {
                Effect::AdvanceHighWatermark(Offset(to)) => self.check_watermark(to)?,
                Effect::ProposeIsr { isr, leader_epoch, partition_epoch } => {
                    let set: BTreeSet<_> = isr.into_iter().collect();
                    if self.proposed.is_some() {
                        return Err("two proposals at once".to_owned());
                    }
                    if (leader_epoch.0, partition_epoch) != (self.epoch, self.partition_epoch) {
                        return Err(format!("a proposal of epoch {leader_epoch}/{partition_epoch}"));
                    }
                    for joining in set.difference(&self.isr) {
                        let held = self.reported.get(joining).copied().unwrap_or(-1);
                        if held < self.high_watermark || held < self.epoch_start {
                            return Err(format!("broker {joining} may join with {held}: {self:?}"));
                        }
                    }
                    self.proposed = Some(set);
                }
            }
        }
        Ok(())
    }

    fn check_watermark(&mut self, to: i64) -> Result<(), String> {
        let members = self.isr.iter().chain(self.proposed.iter().flatten());
        let held = |id: &BrokerId| match *id == LOCAL {
            true => self.durable_end,
            false => self.reported.get(id).copied().unwrap_or(-1),
        };
        if let Some(short) = members.clone().find(|id| held(id) < to) {
            return Err(format!("watermark {to}, but broker {short} holds {}: {self:?}", held(short)));
        }
        if to <= self.high_watermark || self.isr.len() < 2 {
            return Err(format!("watermark moved to {to}: {self:?}"));
        }
        self.high_watermark = to;
        Ok(())
    }

    fn play(&mut self, state: &mut PartitionState, event: &Event) -> Result<(), String> {
        match *event {
            Event::Append(records) => {
                self.log_end += records;
                state.appended(Offset(self.log_end));
                Ok(())
            }
            Event::Durable(behind) => {
                self.durable_end = self.durable_end.max(self.log_end - behind);
                self.check(state.durable(Offset(self.durable_end)))
            }
            Event::Fetch(from, behind, age) => self.fetch(state, BrokerId(from), behind, age),
            Event::Tick(elapsed_ms) => {
                self.now_ms += elapsed_ms;
                self.check(state.tick(self.now_ms).into_iter().collect())
            }
            Event::Commit => {
                let Some(set) = self.proposed.take() else { return Ok(()) };
                self.partition_epoch += 1;
                self.isr = set.clone();
                let set: Vec<_> = set.into_iter().collect();
                self.check(state.isr_committed(&set, self.partition_epoch))
            }
            Event::Refuse => {
                self.proposed = None;
                self.check(state.isr_refused())
            }
            Event::NewReign => {
                self.epoch += 1;
                self.partition_epoch += 1;
                self.epoch_start = self.log_end;
                self.durable_end = self.log_end;
                self.reported.clear();
                self.proposed = None;
                self.check(state.become_leader(self.now_ms, self.word()))
            }
        }
    }

    fn fetch(
        &mut self,
        state: &mut PartitionState,
        broker: BrokerId,
        behind: i64,
        age: i32,
    ) -> Result<(), String> {
        // A follower's disk never loses what it reported.
        let before = self.reported.get(&broker).copied().unwrap_or(0);
        let fetch_offset = (self.log_end - behind).max(before).max(0);
        let leader_epoch = LeaderEpoch(self.epoch - age);
        let fetch = FollowerFetch { broker, leader_epoch, fetch_offset: Offset(fetch_offset) };
        if age == 0 {
            self.reported.insert(broker, fetch_offset);
        }
        match state.follower_fetch(self.now_ms, fetch) {
            Ok(effects) if age == 0 => self.check(effects),
            Err(_) if age > 0 => Ok(()),
            other => Err(format!("a fetch of age {age} was answered {other:?}")),
        }
    }
}

fn start() -> (Model, PartitionState) {
    let model = Model {
        epoch: 1,
        partition_epoch: 0,
        now_ms: 0,
        log_end: 0,
        durable_end: 0,
        epoch_start: 0,
        reported: BTreeMap::new(),
        isr: (1..4).map(BrokerId).collect(),
        proposed: None,
        high_watermark: 0,
    };
    let mut state = PartitionState::new(LOCAL, Offset(0));
    assert!(state.become_leader(0, model.word()).is_empty());
    (model, state)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_watermark_never_passes_what_a_member_holds(events in prop::collection::vec(event(), 1..120)) {
        let (mut model, mut state) = start();
        for event in &events {
            let checked = model.play(&mut state, event);
            prop_assert!(checked.is_ok(), "{}", checked.unwrap_err());
            prop_assert_eq!(state.high_watermark(), Offset(model.high_watermark));
        }
    }
}

#[test]
fn the_checker_catches_a_watermark_from_log_ends() {
    let (mut model, mut state) = start();
    model.play(&mut state, &Event::Append(5)).unwrap();
    model.play(&mut state, &Event::Fetch(2, 0, 0)).unwrap();
    model.play(&mut state, &Event::Fetch(3, 0, 0)).unwrap();
    let from_log_end = vec![Effect::AdvanceHighWatermark(Offset(5))];
    let caught = model.check(from_log_end).unwrap_err();
    assert!(caught.starts_with("watermark 5, but broker 1 holds 0"), "{caught}");
}

#[test]
fn the_checker_catches_an_expansion_below_the_start_of_the_epoch() {
    let (mut model, mut state) = start();
    model.play(&mut state, &Event::Append(5)).unwrap();
    model.play(&mut state, &Event::NewReign).unwrap();
    model.reported.insert(BrokerId(4), 3);
    let isr = (1..5).map(BrokerId).collect();
    let effect = Effect::ProposeIsr { isr, leader_epoch: LeaderEpoch(2), partition_epoch: 1 };
    let caught = model.check(vec![effect]).unwrap_err();
    assert!(caught.starts_with("broker 4 may join with 3"), "{caught}");
}
