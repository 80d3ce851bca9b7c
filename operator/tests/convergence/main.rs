//! The whole operator against an API server and brokers in memory: it converges, it then rests, and it
//! converges to the same end when its process dies after any write, or after every write, or sees only
//! stale views.
//!
//! Stories: create, edit, delete and recreate. The number of crash points visited is printed.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod api;
mod process;
mod world;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use api::{Api, Key};
use process::Process;
use world::World;

fn key(plural: &str, name: &str) -> Key {
    (plural.into(), "shop".into(), name.into())
}

fn cluster() -> Value {
    json!({ "apiVersion": "logspine.dev/v1alpha1", "kind": "Cluster", "metadata": {}, "spec": {
        "image": "logspine:1",
        "pools": [{ "name": "main", "replicas": 1, "storage": { "size": "1Gi" },
            "resources": { "requests": { "cpu": "1000m" } }, "terminationGracePeriodSeconds": 20 }],
        "listeners": [{ "name": "internal", "type": "internal", "port": 9092 },
            { "name": "external", "type": "nodePort", "port": 9094 }],
        "deletionPolicy": "retain"
    } })
}

fn topic(spec: Value) -> Value {
    let mut whole = json!({ "clusterRef": { "name": "events" }, "partitions": 3 });
    for (field, value) in spec.as_object().unwrap() {
        whole[field] = value.clone();
    }
    json!({ "apiVersion": "logspine.dev/v1alpha1", "kind": "Topic", "metadata": {}, "spec": whole })
}

fn with_cluster_and_topics(state: &mut api::State) {
    state.create(key("clusters", "events"), cluster());
    state.create(key("topics", "kept"), topic(json!({})));
    let config = json!({ "retention.ms": "1000", "segment.bytes": "2000000" });
    state.create(
        key("topics", "gone"),
        topic(json!({ "deletionPolicy": "delete", "adopt": "never", "config": config })),
    );
}

/// A change of the user's, made between two times of rest.
type Change = fn(&mut api::State);

const STORY: [(&str, Change); 4] = [
    ("create", with_cluster_and_topics),
    ("edit", |state| {
        state.update(&key("clusters", "events"), |cluster| {
            cluster["spec"]["image"] = json!("logspine:2");
            cluster["spec"]["config"] = json!({ "num.partitions": "2" });
            cluster["spec"]["deletionPolicy"] = json!("deleteVolumes");
        });
        state.update(&key("topics", "kept"), |topic| {
            topic["spec"]["partitions"] = json!(5);
            topic["spec"]["allowPartitionIncrease"] = json!(true);
        });
        state.update(&key("topics", "gone"), |topic| {
            topic["spec"]["config"] = json!({ "retention.ms": "2000" })
        });
    }),
    ("delete a topic", |state| state.delete(&key("topics", "gone"))),
    ("delete the cluster and its volumes", |state| state.delete(&key("clusters", "events"))),
];

/// What is left at a rest, without what may differ from one run to the next.
fn portrait(world: &World) -> BTreeMap<String, Value> {
    let state = world.api.0.lock().unwrap();
    let mut portrait = BTreeMap::new();
    for ((plural, _, name), object) in &state.objects {
        let mut object = object.clone();
        let metadata = object["metadata"].as_object_mut().unwrap();
        for volatile in ["uid", "resourceVersion", "creationTimestamp", "ownerReferences", "generation"] {
            metadata.remove(volatile);
        }
        let mut text = object.to_string();
        for id in ids(&text) {
            text = text.replace(&id, "ID");
        }
        portrait.insert(format!("{plural}/{name}"), serde_json::from_str(&text).unwrap());
    }
    drop(state);
    portrait.insert("topics of the brokers".into(), json!(format!("{:?}", topics_without_ids(world))));
    portrait
}

/// Hashes, ids and uids: equal in meaning, different in bytes.
fn ids(text: &str) -> Vec<String> {
    let volatile = |word: &&str| {
        word.len() == 22
            || word.starts_with("uid-")
            || word.starts_with("topic-")
            || (word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let mut ids: Vec<String> = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_')
        .filter(volatile)
        .map(str::to_owned)
        .collect();
    ids.extend(
        text.split("\"observedGeneration\":")
            .skip(1)
            .map(|rest| format!("\"observedGeneration\":{}", rest.split([',', '}']).next().unwrap())),
    );
    ids.sort_by_key(|id| std::cmp::Reverse(id.len()));
    ids.dedup();
    ids.retain(|id| !id.starts_with("\"observedGeneration\""));
    ids
}

/// Name, number of partitions, configuration.
type Shape = (String, usize, Vec<(String, String)>);

fn topics_without_ids(world: &World) -> Vec<Shape> {
    let config = |topic: &logspine_operator::brokers::ActualTopic| {
        topic.config.iter().map(|(key, entry)| (key.clone(), entry.value.clone())).collect()
    };
    world.topics().iter().map(|(name, topic)| (name.clone(), topic.partitions.len(), config(topic))).collect()
}

/// Live through the story up to `until`; returns the portraits at each rest and the writes of each chapter.
async fn live(until: usize, prepare: impl FnOnce(&mut Process)) -> (World, Process, Vec<usize>) {
    let world = World::new(Api::default());
    let mut process = Process::start(&world);
    prepare(&mut process);
    let mut writes = Vec::new();
    for (_, change) in &STORY[..until] {
        let before = world.api.0.lock().unwrap().writes;
        change(&mut world.api.0.lock().unwrap());
        process.converge().await;
        writes.push(world.api.0.lock().unwrap().writes - before);
    }
    (world, process, writes)
}

#[tokio::test(start_paused = true)]
async fn a_cluster_and_its_topics_come_to_be_and_then_rest() {
    let (world, mut process, writes) = live(1, |_| {}).await;
    println!("{} writes to create a Cluster and two Topics", writes[0]);
    let state = |plural: &str, name: &str| world.api.0.lock().unwrap().objects[&key(plural, name)].clone();
    for (plural, name) in [("clusters", "events"), ("topics", "kept"), ("topics", "gone")] {
        assert_eq!(ready(&state(plural, name)), ("True".into(), "Ready".into()), "{plural}/{name}");
    }
    let cluster = state("clusters", "events");
    assert_eq!(cluster["status"]["readyBrokers"], "1/1");
    assert_eq!(cluster["status"]["listeners"][0]["bootstrap"], "<node>:31000");
    let claim = state("persistentvolumeclaims", "data-events-main-0");
    assert_eq!(claim["metadata"]["annotations"]["logspine.dev/cluster-id"], cluster["status"]["clusterId"]);
    assert_eq!(world.topics().len(), 2);
    let before = world.api.0.lock().unwrap().writes;
    process.converge().await;
    assert_eq!(world.api.0.lock().unwrap().writes, before, "a converged cluster causes no write");
}

fn ready(object: &Value) -> (String, String) {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready").unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&ready["status"]), text(&ready["reason"]))
}

#[tokio::test(start_paused = true)]
async fn an_edit_restarts_the_broker_once_and_a_deletion_deletes_what_its_policy_says() {
    let (world, _, _) = live(2, |_| {}).await;
    assert_eq!(world.kafka.lock().unwrap().started, 2, "one start and one restart");
    assert_eq!(topics_without_ids(&world)[1], ("kept".into(), 5, vec![]));
    assert_eq!(topics_without_ids(&world)[0].2, [("retention.ms".to_owned(), "2000".to_owned())]);
    let (world, _, _) = live(3, |_| {}).await;
    assert_eq!(world.topics().keys().collect::<Vec<_>>(), ["kept"]);
    let (world, _, _) = live(4, |_| {}).await;
    let left: Vec<Key> = world.api.0.lock().unwrap().objects.keys().cloned().collect();
    assert_eq!(left, [key("topics", "kept")], "the volume is gone, and so is everything that was ours");
}

#[tokio::test(start_paused = true)]
async fn the_end_is_the_same_when_the_process_dies_after_any_write() {
    let mut points = 0;
    for (chapter, (name, change)) in STORY.iter().enumerate() {
        let (undisturbed, _, writes) = live(chapter + 1, |_| {}).await;
        let expected = portrait(&undisturbed);
        for point in 1..=writes[chapter] {
            let (world, mut process, _) = live(chapter, |_| {}).await;
            let started = world.kafka.lock().unwrap().started;
            {
                let mut state = world.api.0.lock().unwrap();
                change(&mut state);
                state.crash_after = Some(state.writes + point);
            }
            process.converge().await;
            assert_eq!(process.lives, 2, "{name}: write {point} never happened");
            compare(&portrait(&world), &expected, &format!("{name}, death after write {point}"));
            assert_eq!(
                world.api.0.lock().unwrap().recorded_ids.len(),
                1,
                "{name}, death after write {point}"
            );
            let restarts = world.kafka.lock().unwrap().started - started;
            assert!(
                restarts <= 1,
                "{name}, death after write {point}: the broker was started {restarts} times"
            );
            assert_eq!(
                world.kafka.lock().unwrap().created,
                2,
                "{name}, death after write {point}: topics made twice"
            );
            points += 1;
        }
    }
    println!("{points} crash points visited");
}

#[tokio::test(start_paused = true)]
async fn the_end_is_the_same_when_every_process_dies_after_its_first_write() {
    for chapters in 1..=STORY.len() {
        let (undisturbed, _, _) = live(chapters, |_| {}).await;
        let (world, process, _) = live(chapters, Process::die_after_each_write).await;
        compare(&portrait(&world), &portrait(&undisturbed), STORY[chapters - 1].0);
        println!("{chapters} chapters in {} lives of one write each", process.lives);
        assert!(process.lives > 10 * chapters.min(2));
    }
}

#[tokio::test(start_paused = true)]
async fn stale_views_delay_and_never_mislead() {
    for chapters in 1..=STORY.len() {
        let (undisturbed, _, _) = live(chapters, |_| {}).await;
        let (world, _, _) = live(chapters, |process| process.lag = true).await;
        compare(&portrait(&world), &portrait(&undisturbed), STORY[chapters - 1].0);
        assert_eq!(world.api.0.lock().unwrap().recorded_ids.len(), 1, "one cluster id, ever");
        assert_eq!(world.kafka.lock().unwrap().created, 2);
    }
}

/// The checks above have teeth: without the resource version in a status patch, a stale pass overwrites the
/// cluster id that an earlier one recorded, and a broker is given a volume with another id.
#[tokio::test(start_paused = true)]
async fn a_planted_bug_is_caught() {
    let planted = tokio::spawn(async {
        let world = World::new(Api::default());
        let mut process = Process::start(&world);
        process.lag = true;
        world.api.0.lock().unwrap().ignores_versions = true;
        STORY[0].1(&mut world.api.0.lock().unwrap());
        process.converge().await;
        let state = world.api.0.lock().unwrap();
        assert_eq!(state.recorded_ids.len(), 1, "more than one cluster id was recorded");
    });
    assert!(planted.await.is_err(), "nobody noticed");
}

#[tokio::test(start_paused = true)]
async fn a_recreated_cluster_takes_up_the_kept_volume_and_its_topics() {
    let (world, mut process, _) = live(1, |_| {}).await;
    let id = world.api.0.lock().unwrap().objects[&key("clusters", "events")]["status"]["clusterId"].clone();
    let topics = world.topics();
    world.api.0.lock().unwrap().delete(&key("clusters", "events"));
    process.converge().await;
    assert!(world.topics().is_empty(), "nobody serves");
    world.api.0.lock().unwrap().create(key("clusters", "events"), cluster());
    process.converge().await;
    let again = world.api.0.lock().unwrap().objects[&key("clusters", "events")].clone();
    assert_eq!(again["status"]["clusterId"], id);
    assert_eq!(ready(&again).0, "True");
    assert_eq!(world.topics(), topics, "the same topics with the same ids");
}

#[tokio::test(start_paused = true)]
async fn drift_is_corrected_and_a_lost_topic_is_said() {
    let (world, mut process, _) = live(1, |_| {}).await;
    world.set_elsewhere("gone", "retention.ms", "7");
    world.set_elsewhere("gone", "flush.ms", "9");
    process.converge().await;
    let config = topics_without_ids(&world)[0].2.clone();
    assert!(config.contains(&("retention.ms".into(), "1000".into())), "held");
    assert!(config.contains(&("flush.ms".into(), "9".into())), "never ours, left alone");
    world.delete_topic_elsewhere("kept");
    process.converge().await;
    let kept = world.api.0.lock().unwrap().objects[&key("topics", "kept")].clone();
    assert_eq!(ready(&kept), ("False".into(), "TopicLost".into()));
    assert!(!world.topics().contains_key("kept"));
}

#[tokio::test(start_paused = true)]
async fn an_object_of_somebody_else_is_never_taken_over() {
    let world = World::new(Api::default());
    let foreign = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "data": { "mine": "1" } });
    world.api.0.lock().unwrap().create(key("configmaps", "events-config"), foreign);
    world.api.0.lock().unwrap().create(key("clusters", "events"), cluster());
    let mut process = Process::start(&world);
    process.converge().await;
    let state = world.api.0.lock().unwrap();
    assert_eq!(state.objects[&key("configmaps", "events-config")]["data"], json!({ "mine": "1" }));
    assert_eq!(ready(&state.objects[&key("clusters", "events")]).1, "InvalidSpec");
}

#[tokio::test(start_paused = true)]
async fn a_paused_cluster_is_read_and_not_written() {
    let (world, mut process, _) = live(1, |_| {}).await;
    world.api.0.lock().unwrap().update(&key("clusters", "events"), |cluster| {
        cluster["spec"]["paused"] = json!(true);
        cluster["spec"]["image"] = json!("logspine:9");
    });
    process.converge().await;
    let state = world.api.0.lock().unwrap();
    assert_eq!(world.kafka.lock().unwrap().started, 1);
    let set = &state.objects[&key("statefulsets", "events-main")];
    assert_eq!(set["spec"]["template"]["spec"]["containers"][0]["image"], "logspine:1");
    assert_eq!(ready(&state.objects[&key("topics", "kept")]).1, "Paused");
}

fn compare(found: &BTreeMap<String, Value>, expected: &BTreeMap<String, Value>, what: &str) {
    for name in expected.keys().chain(found.keys()) {
        let (found, expected) = (found.get(name), expected.get(name));
        assert!(found == expected, "{what}: {name} differs\nfound    {found:?}\nexpected {expected:?}");
    }
}

/// Least privilege by proof: what the chart's roles grant is what the operator was seen to use, and what it
/// watches. Only folding a repeated event (patch) does not happen in these stories.
#[tokio::test(start_paused = true)]
async fn the_chart_grants_exactly_what_is_used() {
    let (world, mut process, _) = live(1, |_| {}).await;
    world.api.0.lock().unwrap().update(&key("clusters", "events"), |cluster| {
        cluster["spec"]["listeners"].as_array_mut().unwrap().truncate(1);
    });
    process.converge().await;
    assert!(!world.api.0.lock().unwrap().objects.contains_key(&key("services", "events-main-0-external")));
    let (story, _, _) = live(STORY.len(), |_| {}).await;

    let mut used = world.api.0.lock().unwrap().calls.clone();
    used.extend(story.api.0.lock().unwrap().calls.clone());
    used.insert(("events".into(), "patch".into()));
    let watched = [
        "clusters",
        "topics",
        "statefulsets",
        "services",
        "configmaps",
        "serviceaccounts",
        "poddisruptionbudgets",
        "pods",
    ];
    for resource in watched {
        used.extend([(resource.to_owned(), "list".to_owned()), (resource.to_owned(), "watch".to_owned())]);
    }
    let granted = granted();
    let missing: Vec<_> = used.difference(&granted).collect();
    let needless: Vec<_> = granted.difference(&used).collect();
    assert!(missing.is_empty() && needless.is_empty(), "missing {missing:?}, needless {needless:?}");
}

/// Resource and verb of each rule in the chart.
fn granted() -> std::collections::BTreeSet<(String, String)> {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/logspine/templates/_helpers.tpl");
    let text = std::fs::read_to_string(path).unwrap();
    let rules =
        text.split("{{- define \"logspine.rules\" -}}").nth(1).unwrap().split("{{- end }}").next().unwrap();
    let list = |line: &str| -> Vec<String> {
        let inner = line.split(['[', ']']).nth(1).unwrap();
        inner.split(',').map(|word| word.trim().to_owned()).collect()
    };
    let lines: Vec<&str> = rules.lines().map(str::trim).collect();
    let resources = lines.iter().filter(|line| line.starts_with("resources:")).map(|line| list(line));
    let verbs = lines.iter().filter(|line| line.starts_with("verbs:")).map(|line| list(line));
    resources
        .zip(verbs)
        .flat_map(|(resources, verbs)| {
            resources
                .into_iter()
                .flat_map(move |resource| verbs.clone().into_iter().map(move |verb| (resource.clone(), verb)))
        })
        .collect()
}
