//! The language of `testdata/group_*.txt`: a command per line, an answer in plain words.
//!
//! `VERB SPEAKER key=value...`. A speaker remembers what the coordinator told it (its member id, its
//! generation) and says so in its next request unless the command says otherwise. The group is `g` unless
//! named. What each verb does stands beside its name in `run`.

use std::fmt::Write as _;

use logspine_protocol::error::ErrorCode;
use logspine_protocol::types::TopicId;

use super::harness::{Event, Harness};
use crate::group::request::*;
use crate::group::response::*;
use crate::group::subscription::subscription_to;
use crate::group::{DeletedTopic, GroupRecord, GroupRequest, Input, Token};

/// What a speaker was last told.
#[derive(Default, Clone)]
pub(super) struct Speaker {
    member_id: String,
    generation_id: i32,
}

struct Command<'a> {
    speaker: &'a str,
    words: Vec<&'a str>,
}

impl<'a> Command<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        self.words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    fn get_or(&self, key: &str, default: &str) -> String {
        self.get(key).unwrap_or(default).to_owned()
    }

    fn number<N: std::str::FromStr>(&self, key: &str, default: N) -> N {
        self.get(key).map_or(default, |word| word.parse().ok().expect("a number"))
    }

    fn has(&self, flag: &str) -> bool {
        self.words.contains(&flag)
    }

    /// Words of the form `topic/partition` with what follows it.
    fn partitions(&self) -> impl Iterator<Item = (&'a str, i32, &'a str)> {
        self.words.iter().filter_map(|word| {
            let (topic, rest) = word.split_once('/')?;
            let (partition, value) = rest.split_once('=').unwrap_or((rest, ""));
            Some((topic, partition.parse().ok()?, value))
        })
    }
}

impl Harness {
    pub(super) fn run(&mut self, line: &str) -> String {
        let mut words = line.split_whitespace();
        let verb = words.next().expect("a verb");
        let words: Vec<&str> = words.collect();
        let command = Command { speaker: words.first().copied().unwrap_or_default(), words };
        match verb {
            "config" => self.configure(&command), // new shard with other limits
            "advance" => self.advance_in_words(command.speaker), // time passes, timers fire
            "hold" => self.hold = true,           // appends stay in flight
            "release" => {
                self.hold = false;
                self.commit_all();
            }
            "commit-one" => {
                self.commit_one(); // of the appends that are held back
            }
            "lose" => self.lose_all(), // what is in flight will never commit
            "refuse" => self.refuse_next = true, // the log refuses the next append
            "restart" => self.restart(), // a new process has replayed the log
            "loaded" => self.step(Input::Loaded), // and starts to serve
            "topic-deleted" => {
                let topic_id = TopicId([command.number("id", 0); 16]);
                let topic = DeletedTopic { topic_id, name: command.speaker.into() };
                self.step(Input::TopicsDeleted(vec![topic]));
            }
            "groups" => return self.groups_in_words(),
            _ => self.ask(verb, &command),
        }
        self.tell()
    }

    fn configure(&mut self, command: &Command<'_>) {
        let mut config = self.config.clone();
        config.max_size = command.number("max-size", config.max_size);
        config.offset_metadata_max_bytes = command.number("metadata-max", config.offset_metadata_max_bytes);
        config.offsets_retention_ms = command.number("retention-ms", config.offsets_retention_ms);
        *self = Harness::with_config(config);
    }

    fn advance_in_words(&mut self, amount: &str) {
        let at = amount.find(|c: char| !c.is_ascii_digit()).expect("a unit, such as 3s");
        let number: i64 = amount[..at].parse().expect("a number");
        let unit = match &amount[at..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "d" => 86_400_000,
            unit => panic!("unknown unit {unit}"),
        };
        self.advance(number * unit);
    }

    fn ask(&mut self, verb: &str, command: &Command<'_>) {
        let speaker = self.speakers.entry(command.speaker.into()).or_default().clone();
        let request = match verb {
            "join" => self.join_in_words(command, &speaker),
            "sync" => self.sync_in_words(command, &speaker),
            "heartbeat" => GroupRequest::Heartbeat(Heartbeat {
                group_id: command.get_or("group", "g"),
                generation_id: command.number("generation", speaker.generation_id),
                member_id: command.get_or("member", &speaker.member_id),
                group_instance_id: command.get("instance").map(str::to_owned),
            }),
            "leave" => self.leave_in_words(command, &speaker),
            "commit" => commit(command, &speaker),
            "fetch" => fetch(command),
            "delete-offsets" => GroupRequest::DeleteOffsets(DeleteOffsets {
                group_id: command.get_or("group", "g"),
                partitions: command
                    .partitions()
                    .map(|(topic, partition, _)| (topic.into(), partition))
                    .collect(),
            }),
            "describe" => GroupRequest::Describe { group_id: command.get_or("group", "g") },
            "delete" => GroupRequest::Delete { group_id: command.get_or("group", "g") },
            "list" => GroupRequest::List(List {
                states_filter: command.get("state").map(str::to_owned).into_iter().collect(),
                types_filter: command.get("type").map(str::to_owned).into_iter().collect(),
            }),
            _ => panic!("unknown verb {verb}"),
        };
        self.asked.insert(self.next_token(), (command.speaker.into(), verb.into()));
        self.request(request);
    }

    fn join_in_words(&self, command: &Command<'_>, speaker: &Speaker) -> GroupRequest {
        let topics: Vec<&str> = command.get("topics").unwrap_or("orders").split(',').collect();
        let names = command.get_or("protocols", "range");
        let protocols = names.split(',').filter(|name| !name.is_empty());
        GroupRequest::Join(Join {
            group_id: command.get_or("group", "g"),
            member_id: command.get_or("member", &speaker.member_id),
            group_instance_id: command.get("instance").map(str::to_owned),
            client_id: command.speaker.into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: command.number("rebalance", 60_000),
            session_timeout_ms: command.number("session", 10_000),
            protocol_type: command.get_or("type", "consumer"),
            protocols: protocols
                .map(|name| Protocol { name: name.into(), metadata: subscription_to(&topics) })
                .collect(),
            new_member_uuid: self.next_token().to_string(),
            requires_known_member_id: !command.has("old-client"),
            supports_skipping_assignment: !command.has("old-client"),
        })
    }

    /// A speaker's name stands for the member id it was told; anything else for itself.
    fn member_id_of(&self, word: &str) -> String {
        self.speakers.get(word).map_or_else(|| word.to_owned(), |speaker| speaker.member_id.clone())
    }

    fn sync_in_words(&self, command: &Command<'_>, speaker: &Speaker) -> GroupRequest {
        let assignments = command.get("assign").unwrap_or_default().split(',').filter_map(|one| {
            let (member_id, assignment) = one.split_once(':')?;
            Some((self.member_id_of(member_id), assignment.as_bytes().to_vec()))
        });
        GroupRequest::Sync(Sync {
            group_id: command.get_or("group", "g"),
            generation_id: command.number("generation", speaker.generation_id),
            member_id: command.get_or("member", &speaker.member_id),
            group_instance_id: command.get("instance").map(str::to_owned),
            protocol_type: command.get("type").map(str::to_owned),
            protocol_name: command.get("protocol").map(str::to_owned),
            assignments: assignments.collect(),
        })
    }

    fn leave_in_words(&self, command: &Command<'_>, speaker: &Speaker) -> GroupRequest {
        let asked = command.get_or("members", &speaker.member_id);
        let members = asked.split(',').map(|who| match who.split_once('@') {
            Some((member_id, instance_id)) => MemberIdentity {
                member_id: self.member_id_of(member_id),
                group_instance_id: Some(instance_id.into()),
            },
            None => MemberIdentity { member_id: self.member_id_of(who), group_instance_id: None },
        });
        GroupRequest::Leave(Leave { group_id: command.get_or("group", "g"), members: members.collect() })
    }

    /// What happened since the last telling, in words.
    fn tell(&mut self) -> String {
        let mut told = String::new();
        for event in self.take_happened() {
            match event {
                Event::Appended(records) => {
                    let held = if self.hold { " (held)" } else { "" };
                    records
                        .iter()
                        .for_each(|record| writeln!(told, "log{held}: {}", record_in_words(record)).unwrap());
                }
                Event::Refused(records) => {
                    records.iter().for_each(|record| {
                        writeln!(told, "log refuses: {}", record_in_words(record)).unwrap()
                    });
                }
                Event::Replied(token, response) => {
                    let said = self.hear(token, &response);
                    writeln!(told, "{said}").unwrap();
                }
            }
        }
        told
    }

    /// The speaker takes note of an answer.
    fn hear(&mut self, token: Token, response: &GroupResponse) -> String {
        let (name, verb) = self.asked.remove(&token).unwrap_or_default();
        if let GroupResponse::Joined(joined) = response {
            let speaker = self.speakers.entry(name.clone()).or_default();
            match joined.error {
                ErrorCode::None => {
                    speaker.member_id = joined.member_id.clone();
                    speaker.generation_id = joined.generation_id;
                }
                ErrorCode::MemberIdRequired => speaker.member_id = joined.member_id.clone(),
                ErrorCode::UnknownMemberId => speaker.member_id.clear(),
                _ => {}
            }
        }
        format!("{name} {verb}: {}", response_in_words(response))
    }

    fn groups_in_words(&self) -> String {
        let lines = self.shard.groups.values().map(|group| {
            let members: Vec<&str> = group.members.keys().map(String::as_str).collect();
            let pending: Vec<&str> = group.pending_members.iter().map(String::as_str).collect();
            let pending =
                if pending.is_empty() { String::new() } else { format!(", pending {}", pending.join(" ")) };
            let (name, state, generation) = (&group.group_id, group.state, group.generation_id);
            format!("{name}: {state}, generation {generation}, members [{}]{pending}\n", members.join(" "))
        });
        let told: String = lines.collect();
        if told.is_empty() { "none\n".into() } else { told }
    }
}

fn commit(command: &Command<'_>, speaker: &Speaker) -> GroupRequest {
    let offsets = command.partitions().map(|(topic, partition, value)| {
        let (offset, metadata) = value.split_once(':').unwrap_or((value, ""));
        OffsetToCommit {
            topic: topic.into(),
            topic_id: TopicId([command.number("id", 0); 16]),
            partition,
            offset: offset.parse().expect("an offset"),
            leader_epoch: -1,
            metadata: metadata.into(),
        }
    });
    let is_alone = command.has("alone");
    let (member_id, generation_id) =
        if is_alone { (String::new(), -1) } else { (speaker.member_id.clone(), speaker.generation_id) };
    GroupRequest::CommitOffsets(CommitOffsets {
        group_id: command.get_or("group", "g"),
        generation_id: command.number("generation", generation_id),
        member_id: command.get_or("member", &member_id),
        group_instance_id: command.get("instance").map(str::to_owned),
        retention_time_ms: command.get("retention").map(|word| word.parse().expect("a number")),
        knows_group_id_not_found: !command.has("old-client"),
        offsets: offsets.collect(),
    })
}

fn fetch(command: &Command<'_>) -> GroupRequest {
    let topics: Vec<FetchTopic> = command
        .partitions()
        .map(|(topic, partition, _)| FetchTopic {
            topic: topic.into(),
            topic_id: TopicId([command.number("id", 0); 16]),
            partitions: vec![partition],
        })
        .collect();
    GroupRequest::FetchOffsets(FetchOffsets {
        group_id: command.get_or("group", "g"),
        topics: (!topics.is_empty()).then_some(topics),
        require_stable: command.has("stable"),
    })
}

fn record_in_words(record: &GroupRecord) -> String {
    match record {
        GroupRecord::Offset { key, value: None } => {
            format!("{} {}/{} removed", key.group_id, key.topic, key.partition)
        }
        GroupRecord::Offset { key, value: Some(value) } => {
            let metadata =
                if value.metadata.is_empty() { String::new() } else { format!(" {:?}", value.metadata) };
            format!("{} {}/{} = {}{metadata}", key.group_id, key.topic, key.partition, value.offset)
        }
        GroupRecord::Group { group_id, value: None } => format!("group {group_id} removed"),
        GroupRecord::Group { group_id, value: Some(group) } => {
            let members = group.members.iter().map(|member| {
                format!(" {}={}", member.member_id, String::from_utf8_lossy(&member.assignment))
            });
            let members: String = members.collect();
            let members = if members.is_empty() { " nobody".to_owned() } else { members };
            format!("group {group_id}, generation {}:{members}", group.generation)
        }
    }
}

fn response_in_words(response: &GroupResponse) -> String {
    let names = |codes: &[ErrorCode]| codes.iter().map(|code| code.name()).collect::<Vec<_>>().join(" ");
    match response {
        GroupResponse::Error(code) => code.name().into(),
        GroupResponse::Joined(joined) => joined_in_words(joined),
        GroupResponse::Synced(synced) => {
            format!("assignment {:?}", String::from_utf8_lossy(&synced.assignment))
        }
        GroupResponse::Left(codes)
        | GroupResponse::Committed(codes)
        | GroupResponse::OffsetsDeleted(codes) => names(codes),
        GroupResponse::Fetched(topics) => {
            let all = topics.iter().flat_map(|topic| topic.partitions.iter().map(move |p| (topic, p)));
            let all = all.map(|(topic, offset)| {
                let metadata = if offset.metadata.is_empty() {
                    String::new()
                } else {
                    format!(" {:?}", offset.metadata)
                };
                format!("{}/{} = {}{metadata}", topic.topic, offset.partition, offset.offset)
            });
            let all: Vec<String> = all.collect();
            if all.is_empty() { "nothing".into() } else { all.join(", ") }
        }
        GroupResponse::Described(None) => "no such group".into(),
        GroupResponse::Described(Some(group)) => {
            let members = group.members.iter().map(|member| {
                format!(" {}={}", member.member_id, String::from_utf8_lossy(&member.assignment))
            });
            let members: String = members.collect();
            format!("{}, {:?} {:?}:{members}", group.state, group.protocol_type, group.protocol)
        }
        GroupResponse::Listed(groups) => {
            let groups = groups.iter().map(|group| {
                format!(
                    "{} ({}, {:?}, {})",
                    group.group_id, group.state, group.protocol_type, group.group_type
                )
            });
            let groups: Vec<String> = groups.collect();
            if groups.is_empty() { "no groups".into() } else { groups.join(", ") }
        }
    }
}

fn joined_in_words(joined: &Joined) -> String {
    if joined.error != ErrorCode::NONE {
        let member = &joined.member_id;
        let suffix = if member.is_empty() { String::new() } else { format!(", member {member}") };
        return format!("{}{suffix}", joined.error.name());
    }
    let members: Vec<&str> = joined.members.iter().map(|member| member.member_id.as_str()).collect();
    let members =
        if members.is_empty() { String::new() } else { format!(", members [{}]", members.join(" ")) };
    let skip = if joined.skip_assignment { ", skip assignment" } else { "" };
    format!(
        "generation {}, {}, leader {}, you are {}{members}{skip}",
        joined.generation_id,
        joined.protocol_name.as_deref().unwrap_or("no protocol"),
        joined.leader,
        joined.member_id
    )
}
