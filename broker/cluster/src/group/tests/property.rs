//! Random operations from a seed: members that join, sync, commit, leave, restart; records that are held back,
//! refused or lost; coordinators that die. After every step the invariants hold, and one seed always tells
//! the same story.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use logspine_protocol::error::ErrorCode;
use logspine_protocol::types::TopicId;

use super::harness::{Event, Harness};
use crate::group::request::*;
use crate::group::response::GroupResponse;
use crate::group::subscription::subscription_to;
use crate::group::{ClassicGroupState, DeletedTopic, GroupConfig, GroupRecord, GroupRequest, Input, Token};

const SEEDS: u64 = 300;
const STEPS: usize = 250;

/// A small deterministic generator (SplitMix64): the tests must not depend on how a library draws.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len() as u64) as usize]
    }
}

/// What a client believes about itself.
#[derive(Default, Clone)]
struct Client {
    member_id: String,
    generation_id: i32,
}

struct World {
    dice: Dice,
    harness: Harness,
    /// By client and group.
    clients: BTreeMap<(u64, String), Client>,
    /// Who asked, of which group, in which generation.
    asked: BTreeMap<Token, (u64, String, i32)>,
    /// By group and generation, which of the assignments that were handed in was given out. Forgotten where
    /// generations may repeat: after records were lost, the coordinator died or the group was deleted.
    assigned: BTreeMap<(String, i32), String>,
    story: DefaultHasher,
}

impl World {
    fn new(seed: u64) -> World {
        let config = GroupConfig { max_size: 4, offsets_retention_ms: 900_000, ..GroupConfig::default() };
        World {
            dice: Dice(seed),
            harness: Harness::with_config(config),
            clients: BTreeMap::new(),
            asked: BTreeMap::new(),
            assigned: BTreeMap::new(),
            story: DefaultHasher::new(),
        }
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..=4 => self.harness.hold = !self.harness.hold,
            5..=7 => self.harness.refuse_next = true,
            8 => self.lose(),
            9 => self.restart(),
            10..=14 => {
                self.harness.commit_one();
            }
            15..=34 => {
                let ms = [1, 500, 3_000, 4_000, 7_000, 300_000][self.dice.below(6) as usize];
                self.harness.advance(ms);
            }
            35..=36 => {
                let topic_id = TopicId([self.dice.below(2) as u8; 16]);
                let topic = DeletedTopic { topic_id, name: self.dice.pick(&["orders", "payments"]).into() };
                self.harness.step(Input::TopicsDeleted(vec![topic]));
            }
            _ => self.ask(),
        }
        if !self.harness.hold {
            self.harness.commit_all();
        }
        self.listen();
        self.check();
    }

    fn lose(&mut self) {
        self.harness.lose_all();
        self.assigned.clear();
    }

    fn restart(&mut self) {
        self.harness.restart();
        assert!(
            self.harness.unanswered().is_empty(),
            "somebody is still parked at a coordinator that is gone"
        );
        if self.dice.one_in(2) {
            self.ask(); // while it loads
        }
        self.harness.step(Input::Loaded);
        self.assigned.clear();
    }

    fn ask(&mut self) {
        let who = self.dice.below(4);
        let group_id = self.dice.pick(&["g", "h"]).to_owned();
        let client = self.clients.entry((who, group_id.clone())).or_default().clone();
        let generation_id = client.generation_id;
        let is_static = who == 0;
        let group_instance_id = is_static.then(|| format!("i{who}"));
        let request = match self.dice.below(20) {
            0..=6 => self.join(who, &group_id, &client, group_instance_id),
            7..=10 => self.sync(&group_id, &client, group_instance_id),
            11..=12 => GroupRequest::Heartbeat(Heartbeat {
                group_id: group_id.clone(),
                generation_id: client.generation_id,
                member_id: client.member_id,
                group_instance_id,
            }),
            13 => GroupRequest::Leave(Leave {
                group_id: group_id.clone(),
                members: vec![MemberIdentity { member_id: client.member_id, group_instance_id }],
            }),
            14..=16 => self.commit(&group_id, &client),
            17 => GroupRequest::FetchOffsets(FetchOffsets {
                group_id: group_id.clone(),
                topics: None,
                require_stable: self.dice.one_in(2),
            }),
            18 => GroupRequest::DeleteOffsets(DeleteOffsets {
                group_id: group_id.clone(),
                partitions: vec![("orders".into(), 0), ("payments".into(), 0)],
            }),
            _ => GroupRequest::Delete { group_id: group_id.clone() },
        };
        self.asked.insert(self.harness.next_token(), (who, group_id, generation_id));
        self.harness.request(request);
    }

    fn join(&mut self, who: u64, group_id: &str, client: &Client, instance: Option<String>) -> GroupRequest {
        let forgets = self.dice.one_in(6);
        let topics: &[&str] = if self.dice.one_in(4) { &["orders", "payments"] } else { &["orders"] };
        let names: &[&str] = if self.dice.one_in(3) { &["sticky", "range"] } else { &["range"] };
        let protocol = |name: &&str| Protocol { name: (*name).into(), metadata: subscription_to(topics) };
        GroupRequest::Join(Join {
            group_id: group_id.into(),
            member_id: if forgets { String::new() } else { client.member_id.clone() },
            group_instance_id: instance,
            client_id: format!("c{who}"),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: [0, 5_000, 20_000][self.dice.below(3) as usize],
            session_timeout_ms: 6_000 + 1_000 * self.dice.below(5) as i32,
            protocol_type: "consumer".into(),
            protocols: names.iter().map(protocol).collect(),
            new_member_uuid: self.harness.next_token().to_string(),
            requires_known_member_id: self.dice.one_in(2),
            supports_skipping_assignment: self.dice.one_in(2),
        })
    }

    /// Everybody hands in an assignment; only the leader's counts. It names the generation.
    fn sync(&mut self, group_id: &str, client: &Client, instance: Option<String>) -> GroupRequest {
        let members = self.harness.shard.groups.get(group_id).map(|group| group.members.keys().cloned());
        let tag = self.dice.next().to_string();
        let assignments =
            members.into_iter().flatten().map(|id| (id.clone(), format!("{tag} {id}").into_bytes()));
        GroupRequest::Sync(Sync {
            group_id: group_id.into(),
            generation_id: client.generation_id,
            member_id: client.member_id.clone(),
            group_instance_id: instance,
            protocol_type: None,
            protocol_name: None,
            assignments: assignments.collect(),
        })
    }

    fn commit(&mut self, group_id: &str, client: &Client) -> GroupRequest {
        let is_alone = self.dice.one_in(3);
        let offset = OffsetToCommit {
            topic: self.dice.pick(&["orders", "payments"]).into(),
            topic_id: TopicId([self.dice.below(3) as u8; 16]),
            partition: self.dice.below(2) as i32,
            offset: self.dice.below(1_000) as i64,
            leader_epoch: 3,
            metadata: "m".into(),
        };
        GroupRequest::CommitOffsets(CommitOffsets {
            group_id: group_id.into(),
            generation_id: if is_alone { -1 } else { client.generation_id },
            member_id: if is_alone { String::new() } else { client.member_id.clone() },
            group_instance_id: None,
            retention_time_ms: self.dice.one_in(5).then_some(60_000),
            knows_group_id_not_found: true,
            offsets: vec![offset],
        })
    }

    /// Clients take note of their answers; the story is remembered for comparison.
    fn listen(&mut self) {
        for event in self.harness.take_happened() {
            format!("{event:?}").hash(&mut self.story);
            let (token, response) = match event {
                Event::Replied(token, response) => (token, response),
                Event::Refused(_) => {
                    self.assigned.clear();
                    continue;
                }
                Event::Appended(records) => {
                    let is_removal = |r: &GroupRecord| matches!(r, GroupRecord::Group { value: None, .. });
                    if records.iter().any(is_removal) {
                        self.assigned.clear();
                    }
                    continue;
                }
            };
            let (who, group_id, generation_id) =
                self.asked.remove(&token).expect("every reply answers a question");
            let client = self.clients.entry((who, group_id.clone())).or_default();
            match response {
                GroupResponse::Joined(joined) => match joined.error {
                    ErrorCode::None => {
                        client.member_id = joined.member_id;
                        client.generation_id = joined.generation_id;
                    }
                    ErrorCode::MemberIdRequired => client.member_id = joined.member_id,
                    ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => client.member_id.clear(),
                    _ => {}
                },
                GroupResponse::Synced(synced) if !synced.assignment.is_empty() => {
                    let text = String::from_utf8(synced.assignment).unwrap();
                    let (tag, _) = text.split_once(' ').expect("a tag and a member id");
                    let given = self.assigned.entry((group_id, generation_id)).or_insert(tag.to_owned());
                    assert_eq!(given, tag, "two assignments in one generation");
                }
                _ => {}
            }
        }
    }

    fn check(&self) {
        let shard = &self.harness.shard;
        let mut parked = BTreeSet::new();
        for group in shard.groups.values() {
            for member in group.members.values() {
                parked.extend(member.awaiting_join.into_iter().chain(member.awaiting_sync));
                assert!(member.awaiting_join.is_none() || member.awaiting_sync.is_none());
            }
            let (state, members) = (group.state, &group.members);
            let is_empty = matches!(state, ClassicGroupState::Empty);
            assert!(!is_empty || members.is_empty(), "an empty group has members");
            let is_led = group.leader_id.as_ref().is_none_or(|leader| members.contains_key(leader));
            assert!(is_led && group.leader_id.is_some() != members.is_empty(), "the leader is a member");
            let mapped = group.static_members.values().all(|member_id| members.contains_key(member_id));
            assert!(mapped, "an instance id points at nobody");
            if state == ClassicGroupState::Stable {
                let waiting =
                    members.values().any(|m| m.awaiting_join.is_some() || m.awaiting_sync.is_some());
                assert!(!waiting, "somebody waits in a stable group");
                let durable = shard.metadata.committed().get(&group.group_id);
                let durable = durable.expect("what is stable is written down");
                assert_eq!(durable.generation, group.generation_id, "stable before it is committed");
                for member in durable.members.iter().filter(|member| members.contains_key(&member.member_id))
                {
                    assert_eq!(member.assignment, members[&member.member_id].assignment);
                }
            }
            assert!(group.awaiting_join_count() <= self.harness.config.max_size, "over capacity");
        }
        // Whoever has no answer yet is parked at a member or waits for a record.
        let unanswered = self.harness.unanswered();
        assert!(parked.is_subset(unanswered), "parked but already answered");
        assert!(self.harness.hold || parked == *unanswered, "a question got lost");
    }
}

fn run(seed: u64) -> u64 {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    // In the end everything comes to rest: no member without heartbeats stays, nobody is left waiting.
    world.harness.hold = false;
    world.harness.refuse_next = false;
    world.harness.commit_all();
    world.harness.advance(400_000);
    world.listen();
    world.check();
    assert!(world.harness.unanswered().is_empty(), "seed {seed}: never answered");
    for group in world.harness.shard.groups.values() {
        assert_eq!(group.state, ClassicGroupState::Empty, "seed {seed}: {}", group.group_id);
    }
    world.story.finish()
}

#[test]
fn invariants_hold_whatever_happens() {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        run(seed);
    }
}

#[test]
fn one_seed_tells_one_story() {
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1), run(2));
}
