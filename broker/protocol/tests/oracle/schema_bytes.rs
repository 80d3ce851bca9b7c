//! Random messages straight from Kafka's JSON schemas: a second reading of the schemas, independent of the
//! generator's, that writes bytes without knowing any Rust struct.
//!
//! The bytes are canonical (a tagged field that holds its default is left out), so decoding and encoding must give
//! the very same bytes.

use super::dice::Dice;
use serde_json::Value;
use std::path::Path;

/// One parsed schema.
pub struct SchemaBytes {
    schema: Value,
}

impl SchemaBytes {
    /// Reads the schema `<folder>/<name>`. One of Kafka's files is named otherwise than its schema.
    pub fn read(name: &str) -> SchemaBytes {
        let (folder, name) = name.split_once('/').expect("a folder and a name");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(folder);
        let file = if name == "ZkMigrationStateRecord" { "ZkMigrationRecord" } else { name };
        let text = std::fs::read_to_string(folder.join(format!("{file}.json")))
            .expect("a file of the schema folder");
        let lines: Vec<&str> = text.lines().map(without_comment).collect();
        let schema: Value = serde_json::from_str(&lines.join("\n")).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(schema["name"], name);
        SchemaBytes { schema }
    }

    /// A message of this version; without dice, the one whose fields all hold their defaults.
    pub fn message(&self, version: i16, mut dice: Option<&mut Dice>) -> Vec<u8> {
        let scope = Scope {
            schema: &self.schema,
            version,
            flexible: holds(&self.schema["flexibleVersions"], version),
        };
        let mut out = Vec::new();
        scope.write_struct(&self.schema["fields"], &mut dice, &mut out);
        out
    }
}

/// No schema has `//` inside of a string that ends on the same line after it.
fn without_comment(line: &str) -> &str {
    match line.find("//") {
        Some(at) if line[..at].matches('"').count().is_multiple_of(2) => &line[..at],
        _ => line,
    }
}

/// Whether `version` lies in a range such as `3+`, `0-2`, `7` or `none`.
fn holds(range: &Value, version: i16) -> bool {
    let Some(range) = range.as_str() else { return false };
    let number = |text: &str| text.parse::<i16>().expect("a version");
    match (range, range.split_once('-')) {
        ("none", _) => false,
        (_, Some((low, high))) => (number(low)..=number(high)).contains(&version),
        (range, None) => match range.strip_suffix('+') {
            Some(low) => version >= number(low),
            None => version == number(range),
        },
    }
}

struct Scope<'s> {
    schema: &'s Value,
    version: i16,
    flexible: bool,
}

impl Scope<'_> {
    fn write_struct(&self, fields: &Value, dice: &mut Option<&mut Dice>, out: &mut Vec<u8>) {
        let mut tagged = Vec::new();
        for field in fields.as_array().map_or(&[][..], Vec::as_slice) {
            let versions = field.get("versions").unwrap_or(&field["taggedVersions"]);
            if !holds(versions, self.version) {
                continue;
            }
            if holds(&field["taggedVersions"], self.version) {
                tagged.push(field);
            } else {
                self.write_field(field, dice, out);
            }
        }
        if self.flexible {
            self.write_tagged(tagged, dice, out);
        }
    }

    fn write_tagged(&self, mut fields: Vec<&Value>, dice: &mut Option<&mut Dice>, out: &mut Vec<u8>) {
        fields.sort_by_key(|field| field["tag"].as_u64());
        let mut present = Vec::new();
        for field in fields {
            let (mut value, mut default) = (Vec::new(), Vec::new());
            self.write_field(field, &mut None, &mut default);
            self.write_field(field, dice, &mut value);
            if value != default {
                present.push((field["tag"].as_u64().expect("a tag"), value));
            }
        }
        uvarint(present.len() as u64, out);
        for (tag, value) in present {
            uvarint(tag, out);
            uvarint(value.len() as u64, out);
            out.extend(value);
        }
    }

    fn write_field(&self, field: &Value, dice: &mut Option<&mut Dice>, out: &mut Vec<u8>) {
        let kind = field["type"].as_str().expect("a type");
        let nullable = holds(&field["nullableVersions"], self.version);
        let null = match dice {
            Some(dice) => nullable && dice.one_in(8),
            None => field["default"] == "null" || (kind == "records" && nullable),
        };
        match kind.strip_prefix("[]") {
            Some(_) if null => self.length(None, 4, out),
            Some(element) => {
                let is_struct = element.starts_with(char::is_uppercase);
                let count = match dice {
                    Some(dice) if is_struct => dice.below(4),
                    Some(dice) => dice.array_len(),
                    None => 0,
                };
                self.length(Some(count), 4, out);
                (0..count).for_each(|_| self.write_value(field, element, dice, out));
            }
            None if null => match kind {
                "string" => self.length(None, 2, out),
                "bytes" | "records" => self.length(None, 4, out),
                _ if field.get("tag").is_some() => out.push(0),
                _ => out.push(0xff),
            },
            None => {
                if nullable && kind.starts_with(char::is_uppercase) {
                    out.push(1);
                }
                self.write_value(field, kind, dice, out);
            }
        }
    }

    fn write_value(&self, field: &Value, kind: &str, dice: &mut Option<&mut Dice>, out: &mut Vec<u8>) {
        let number = |dice: &mut Option<&mut Dice>| {
            dice.as_mut().map_or_else(|| integer(&field["default"]), |d| d.number())
        };
        match kind {
            "bool" => {
                let default = || u8::from(field["default"] == "true" || field["default"] == true);
                out.push(dice.as_mut().map_or_else(default, |dice| dice.below(2) as u8));
            }
            "int8" => out.push(number(dice) as u8),
            "int16" | "uint16" => out.extend((number(dice) as i16).to_be_bytes()),
            "int32" | "uint32" => out.extend((number(dice) as i32).to_be_bytes()),
            "int64" => out.extend(number(dice).to_be_bytes()),
            "float64" => out.extend((number(dice) as f64).to_be_bytes()),
            "uuid" => (0..2).for_each(|_| out.extend(number(dice).to_be_bytes())),
            "string" => {
                let default = || field["default"].as_str().unwrap_or("").to_owned();
                let text = dice.as_mut().map_or_else(default, |dice| dice.text());
                self.length(Some(text.len()), 2, out);
                out.extend(text.bytes());
            }
            "bytes" | "records" => {
                let bytes = dice.as_mut().map_or_else(Vec::new, |dice| dice.bytes());
                self.length(Some(bytes.len()), 4, out);
                out.extend(bytes);
            }
            _ => self.write_struct(self.fields_of(field, kind), dice, out),
        }
    }

    /// Defined in place, or among the common structs.
    fn fields_of<'f>(&'f self, field: &'f Value, name: &str) -> &'f Value {
        if field.get("fields").is_some() {
            return &field["fields"];
        }
        let common = self.schema["commonStructs"].as_array().expect("a common struct");
        &common.iter().find(|common| common["name"] == name).expect("the struct is defined")["fields"]
    }

    /// `width`: how many bytes the classic form has.
    fn length(&self, length: Option<usize>, width: usize, out: &mut Vec<u8>) {
        match (self.flexible, length) {
            (true, length) => uvarint(length.map_or(0, |length| length as u64 + 1), out),
            (false, length) => {
                let classic = length.map_or(-1, |length| length as i32).to_be_bytes();
                out.extend(&classic[4 - width..]);
            }
        }
    }
}

fn integer(default: &Value) -> i64 {
    let text = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).expect("hexadecimal"),
        None => text.parse().unwrap_or(0),
    }
}

fn uvarint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
