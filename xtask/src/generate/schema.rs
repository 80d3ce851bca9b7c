//! Kafka's message schemas as they stand in the JSON files: parsed, not yet interpreted.
//!
//! The files are JSON with `//` comments. Unknown properties are refused, so that a new one of a later Kafka
//! is noticed and not ignored. The format is described in Kafka's `clients/src/main/resources/common/message/README.md`.

use anyhow::Context;
use serde::Deserialize;
use std::path::Path;

/// One file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Schema {
    pub api_key: Option<i16>,
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
    pub valid_versions: String,
    #[serde(default)]
    pub flexible_versions: String,
    #[serde(default)]
    pub latest_version_unstable: bool,
    #[serde(default)]
    pub fields: Vec<FieldSchema>,
    #[serde(default)]
    pub common_structs: Vec<StructSchema>,
    /// Which listeners serve the API; the broker decides that in its own table.
    #[serde(default, rename = "listeners")]
    _listeners: Vec<String>,
}

/// A struct that several fields of one message share.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StructSchema {
    pub name: String,
    /// Kafka ignores it as well: the fields' versions decide.
    #[serde(default, rename = "versions")]
    _versions: String,
    #[serde(default, rename = "about")]
    pub about: String,
    pub fields: Vec<FieldSchema>,
}

/// One field, with the struct it may define in place.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FieldSchema {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// Absent for some tagged fields: then `tagged_versions` holds.
    pub versions: Option<String>,
    #[serde(default)]
    pub nullable_versions: String,
    #[serde(default)]
    pub tagged_versions: String,
    pub flexible_versions: Option<String>,
    pub tag: Option<u32>,
    /// A string, or a bare number or bool. A bare `null` means the same as no default, as in Kafka.
    #[serde(default)]
    pub default: serde_json::Value,
    #[serde(default)]
    pub ignorable: bool,
    #[serde(default)]
    pub about: String,
    #[serde(default)]
    pub fields: Vec<FieldSchema>,
    /// For Java's collections only.
    #[serde(default, rename = "mapKey")]
    _map_key: bool,
    /// For Java's buffers only: here everything is borrowed.
    #[serde(default, rename = "zeroCopy")]
    _zero_copy: bool,
    /// For Kafka's own checks only.
    #[serde(default, rename = "entityType")]
    _entity_type: String,
}

impl Schema {
    /// Every `*.json` file of a folder, by file name.
    pub fn read_folder(folder: &Path) -> anyhow::Result<Vec<Schema>> {
        let entries =
            std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        paths.iter().map(|path| Schema::read(path)).collect()
    }

    fn read(path: &Path) -> anyhow::Result<Schema> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Schema::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    /// Parses JSON with `//` comments.
    pub fn parse(text: &str) -> anyhow::Result<Schema> {
        let json: String = text.lines().flat_map(|line| [without_comment(line), "\n"]).collect();
        Ok(serde_json::from_str(&json)?)
    }
}

/// The line up to a `//` that stands outside of a string.
fn without_comment(line: &str) -> &str {
    let mut inside_string = false;
    let mut previous = ' ';
    for (at, letter) in line.char_indices() {
        match letter {
            '"' if previous != '\\' => inside_string = !inside_string,
            '/' if previous == '/' && !inside_string => return &line[..at - 1],
            _ => {}
        }
        previous = letter;
    }
    line
}
