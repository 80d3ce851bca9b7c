//! Prints `docs/reference/configs.md` from the table. The tests beside it write the page and fail when it differs.
//!
//! Plain Markdown tables, one row per key in name order, so that a change of a row is a diff of one line.

use super::key::{ConfigKey, Status};
use super::{BROKER_KEYS, TOPIC_KEYS};

const HEAD: &str = "\
<!-- Generated from broker/cluster/src/metadata/configs. Do not edit. -->
# Configuration keys

Names, types and meanings are Kafka's. *Honoured*: the value is acted on. *Fixed* and *refused*: any value other
than the default is refused, for the reason given. *Accepted*: the value is kept and shown but not acted on yet,
which is safe for the reason given. *Dynamic* broker keys can be changed while the broker runs.

## What differs from Kafka

| Key | Here | Kafka | Reason |
| --- | --- | --- | --- |
";

/// The whole page.
pub fn reference_markdown() -> String {
    let mut page = HEAD.to_owned();
    for key in TOPIC_KEYS.iter().chain(BROKER_KEYS) {
        if let Some(difference) = key.difference {
            let kafka = difference.kafka_default.map_or("-".to_owned(), code);
            page.push_str(&format!(
                "| `{}` | {} | {kafka} | {} |\n",
                key.name,
                default(key),
                difference.reason
            ));
        }
    }
    page.push_str("\n## Topic keys\n\n| Key | Type | Default | Broker keys | Status | Meaning |\n");
    page.push_str("| --- | --- | --- | --- | --- | --- |\n");
    for key in TOPIC_KEYS {
        let synonyms: Vec<_> = key.synonyms.iter().map(|synonym| code(synonym.name)).collect();
        page.push_str(&format!(
            "| `{}` | {} | {} | {} | {} | {} |\n",
            key.name,
            key.kind.name().to_lowercase(),
            default(key),
            synonyms.join(", "),
            status(key),
            key.doc
        ));
    }
    page.push_str("\n## Broker keys\n\n| Key | Type | Default | Dynamic | Status | Meaning |\n");
    page.push_str("| --- | --- | --- | --- | --- | --- |\n");
    for key in BROKER_KEYS {
        page.push_str(&format!(
            "| `{}` | {} | {} | {} | {} | {} |\n",
            key.name,
            key.kind.name().to_lowercase(),
            default(key),
            if key.dynamic { "yes" } else { "no" },
            status(key),
            key.doc
        ));
    }
    page
}

fn default(key: &ConfigKey) -> String {
    match key.default {
        None => "none".to_owned(),
        Some("") => "empty".to_owned(),
        Some(value) => code(value),
    }
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn status(key: &ConfigKey) -> String {
    match key.status {
        Status::Honoured => "honoured".to_owned(),
        Status::Fixed(why) => format!("fixed: {why}"),
        Status::Refused(why) => format!("refused: {why}"),
        Status::Accepted(why) => format!("accepted: {why}"),
    }
}
