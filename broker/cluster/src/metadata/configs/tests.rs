//! The table is sound, values resolve as Kafka resolves them, and refusals say why.

use super::*;

fn map(pairs: &[(&str, &str)]) -> ConfigMap {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn refusal(name: &str, value: &str) -> String {
    validate_topic_change(name, value).unwrap_err().to_string()
}

#[test]
fn rows_stand_in_name_order_and_every_default_is_valid() {
    for table in [TOPIC_KEYS, BROKER_KEYS] {
        for pair in table.windows(2) {
            assert!(pair[0].name < pair[1].name, "{} and {}", pair[0].name, pair[1].name);
        }
    }
    for key in TOPIC_KEYS {
        validate_topic_change(key.name, key.default.unwrap()).unwrap();
    }
    for key in BROKER_KEYS.iter().filter(|key| key.dynamic) {
        if let Some(default) = key.default {
            validate_broker_change(key.name, default).unwrap();
        }
    }
}

#[test]
fn a_topic_key_and_its_synonym_agree_on_default_bounds_and_status() {
    for key in TOPIC_KEYS {
        for synonym in key.synonyms {
            let broker = broker_key(synonym.name).unwrap_or_else(|| panic!("{} has no row", synonym.name));
            assert!(broker.dynamic, "{} gives a topic its default", broker.name);
            if synonym.unit == Unit::Same && broker.default.is_some() {
                assert_eq!(broker.default, key.default, "{}", broker.name);
                assert_eq!(
                    std::mem::discriminant(&broker.status),
                    std::mem::discriminant(&key.status),
                    "{}",
                    key.name
                );
            }
        }
    }
}

#[test]
fn values_are_refused_in_kafkas_words() {
    assert_eq!(refusal("no.such.key", "1"), "Unknown topic config name: no.such.key");
    assert_eq!(
        refusal("retention.ms", "week"),
        "Invalid value week for configuration retention.ms: Not a number of type LONG"
    );
    assert_eq!(
        refusal("retention.ms", "-2"),
        "Invalid value -2 for configuration retention.ms: Value must be at least -1"
    );
    assert_eq!(
        refusal("cleanup.policy", "delete,shred"),
        "Invalid value delete,shred for configuration cleanup.policy: String must be one of: compact, delete"
    );
    assert_eq!(
        refusal("preallocate", "yes"),
        "Invalid value yes for configuration preallocate: Expected value to be either true or false"
    );
    assert_eq!(
        refusal("min.cleanable.dirty.ratio", "1.5"),
        "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1"
    );
    assert_eq!(
        refusal("segment.bytes", "1024"),
        "Invalid value 1024 for configuration segment.bytes: Value must be at least 1048576"
    );
    assert_eq!(
        validate_broker_change("num.io.threads", "3").unwrap_err().to_string(),
        "Cannot update these configs dynamically: Set(num.io.threads)"
    );
}

#[test]
fn what_is_not_acted_on_is_refused_unless_that_is_safe() {
    assert_eq!(
        refusal("preallocate", "true"),
        "preallocate cannot be set to true: space is reserved ahead in pieces for every segment; a whole segment at \
         once is not offered"
    );
    assert!(refusal("remote.storage.enable", "true").contains("there is no remote storage"));
    validate_topic_change("cleanup.policy", "compact").expect("keeping every record is safe");
    validate_topic_change("cleanup.policy", "").expect("an empty list keeps everything (KIP-1161)");
    validate_topic_change("remote.storage.enable", "FALSE").expect("the default is no change");
}

#[test]
fn a_file_is_judged_by_the_same_rows() {
    let file = map(&[
        ("compression.type", "gzip"),
        ("log.preallocate", "true"),
        ("controlled.shutdown.enable", "true"),
        ("log.retention.hours", "168"),
        ("log.segment.bytes", "many"),
        ("somebody.elses.key", "x"),
    ]);
    let found: Vec<_> = validate_file(&file).iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 2);
    assert!(found[0].starts_with("log.preallocate cannot be set to true: "));
    assert_eq!(found[1], "Invalid value many for configuration log.segment.bytes: Not a number of type INT");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let set = map(&[("min.compaction.lag.ms", "100"), ("max.compaction.lag.ms", "50")]);
    assert_eq!(
        validate_topic_set(&set).unwrap_err().to_string(),
        "conflict topic config setting min.compaction.lag.ms (100) > max.compaction.lag.ms (50)"
    );
}

#[test]
fn the_strongest_layer_wins_and_all_are_listed() {
    let (topic, broker) = (map(&[("retention.ms", "1")]), map(&[("log.retention.ms", "2")]));
    let (cluster, file) = (map(&[("log.retention.ms", "3")]), map(&[("log.retention.hours", "4")]));
    let layers = Layers { topic: &topic, broker: &broker, cluster: &cluster, file: &file };
    let resolved = resolve_topic(topic_key("retention.ms").unwrap(), &layers);
    assert_eq!((resolved.value.as_deref(), resolved.source), (Some("1"), ConfigSource::DynamicTopicConfig));
    let listed: Vec<_> =
        resolved.synonyms.iter().map(|s| (s.name, s.value.as_str(), s.source.code())).collect();
    assert_eq!(
        listed,
        [
            ("retention.ms", "1", 1),
            ("log.retention.ms", "2", 2),
            ("log.retention.ms", "3", 3),
            ("log.retention.hours", "4", 4),
            ("log.retention.hours", "168", 5),
        ]
    );
}

#[test]
fn hours_become_milliseconds_and_a_finer_unit_beats_a_coarser_one() {
    let none = ConfigMap::new();
    let retention = |file: &ConfigMap| {
        TopicConfig::resolve(&Layers { topic: &none, broker: &none, cluster: &none, file }).retention_ms
    };
    assert_eq!(retention(&none), 604_800_000);
    assert_eq!(retention(&map(&[("log.retention.hours", "2")])), 7_200_000);
    assert_eq!(retention(&map(&[("log.retention.hours", "2"), ("log.retention.minutes", "5")])), 300_000);
    assert_eq!(retention(&map(&[("log.retention.hours", "-1")])), -1);
}

#[test]
fn a_value_that_does_not_parse_falls_back_to_the_default() {
    let (none, topic) = (ConfigMap::new(), map(&[("segment.bytes", "many")]));
    let layers = Layers { topic: &topic, broker: &none, cluster: &none, file: &none };
    let config = TopicConfig::resolve(&layers);
    assert_eq!(config.segment_bytes, 1 << 30);
    assert_eq!(config.flush_messages, 1, "durable by default");
}

#[test]
fn the_reference_page_names_every_key_once_in_its_table() {
    let page = reference_markdown();
    for key in TOPIC_KEYS.iter().chain(BROKER_KEYS) {
        assert!(page.contains(&format!("| `{}` |", key.name)), "{}", key.name);
    }
}

/// `docs/reference/configs.md` is this table. Write it anew with
/// `LOGSPINE_REWRITE=1 cargo test -p logspine-cluster reference`.
#[test]
fn the_committed_reference_page_is_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/configs.md");
    if std::env::var_os("LOGSPINE_REWRITE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, reference_markdown()).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == reference_markdown(), "{} is not what the table says; see above", path.display());
}

/// What Kafka itself says of its keys; the file tells how it was printed.
const KAFKA: &str = include_str!("../../../testdata/kafka_4_3_configs.tsv");

#[test]
fn types_and_defaults_are_kafkas_unless_the_row_says_why_not() {
    let mut compared = 0;
    for line in KAFKA.lines().filter(|line| !line.starts_with('#')) {
        let [scope, name, kind, kafka_default] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not four columns: {line}")
        };
        let row = if scope == "topic" { topic_key(name) } else { broker_key(name) };
        let Some(row) = row else {
            assert_eq!(scope, "broker", "topic key {name} is missing");
            continue;
        };
        assert_eq!(row.kind.name(), kind, "{name}");
        if row.difference.is_none() && kafka_default != "(required)" {
            assert_eq!(row.default.unwrap_or("null"), kafka_default, "{name}");
        }
        compared += 1;
    }
    let own = BROKER_KEYS.iter().filter(|row| row.difference.is_some_and(|d| d.kafka_default.is_none()));
    assert!(
        compared + own.count() >= TOPIC_KEYS.len() + BROKER_KEYS.len(),
        "only {compared} rows are Kafka's"
    );
}
