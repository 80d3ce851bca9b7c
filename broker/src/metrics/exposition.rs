//! Prometheus' text format, version 0.0.4, into one reused string: families, samples, escaped labels.
//!
//! A label value may hold any character: backslash, quote and line feed are escaped, nothing else. Samples
//! follow the family that was opened last. Called by the writers beside it.

use std::fmt::{Display, Write};

use super::families::{Family, family};

/// A page that grows.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    family: &'static str,
}

impl Exposition {
    /// Continues after what another encoder has written.
    pub fn after(text: String) -> Exposition {
        Exposition { text, family: "" }
    }

    /// Opens a family of the table.
    pub fn family(&mut self, name: &str) {
        let Family { name, kind, help, .. } = family(name);
        self.family = name;
        // Writing into a string does not fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {}\n", kind.name());
    }

    /// One sample of the open family.
    pub fn sample(&mut self, labels: &[(&str, &dyn Display)], value: impl Display) {
        self.text.push_str(self.family);
        for (position, (name, label)) in labels.iter().enumerate() {
            self.text.push(if position == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            let start = self.text.len();
            let _ = write!(self.text, "{label}");
            self.escape_from(start);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// Escapes what was written since `start`; nearly every label needs nothing.
    fn escape_from(&mut self, start: usize) {
        if !self.text[start..].contains(['\\', '"', '\n']) {
            return;
        }
        let raw = self.text.split_off(start);
        for c in raw.chars() {
            match c {
                '\\' => self.text.push_str("\\\\"),
                '"' => self.text.push_str("\\\""),
                '\n' => self.text.push_str("\\n"),
                other => self.text.push(other),
            }
        }
    }

    pub fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A parser of the format as its description says it, for one line: name, labels, value.
    fn parse(line: &str) -> (String, Vec<(String, String)>, String) {
        let name_end = line.find(['{', ' ']).unwrap();
        let (name, mut rest) = line.split_at(name_end);
        let mut labels = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            while !rest.starts_with('}') {
                let (label, after) = rest.trim_start_matches(',').split_once("=\"").unwrap();
                let mut value = String::new();
                let mut chars = after.char_indices();
                let end = loop {
                    match chars.next().unwrap() {
                        (_, '\\') => match chars.next().unwrap().1 {
                            'n' => value.push('\n'),
                            escaped => value.push(escaped),
                        },
                        (at, '"') => break at,
                        (_, c) => value.push(c),
                    }
                };
                labels.push((label.to_owned(), value));
                rest = &after[end + 1..];
            }
            rest = &rest[1..];
        }
        (name.to_owned(), labels, rest.trim().to_owned())
    }

    #[test]
    fn any_label_value_survives_a_parser() {
        for value in ["plain", "a\"b", "back\\slash", "line\nfeed", "\\n", "\\\"", "ünï,{}=\"", ""] {
            let mut page = Exposition::default();
            page.family("kafka_consumergroup_lag");
            page.sample(&[("consumergroup", &value), ("partition", &3)], 42);
            let text = page.finish();
            let lines: Vec<&str> = text.split_terminator('\n').collect();
            assert_eq!(lines.len(), 3, "one sample is one line: {text:?}");
            let (name, labels, number) = parse(lines[2]);
            assert_eq!(name, "kafka_consumergroup_lag");
            assert_eq!(
                labels,
                [("consumergroup".to_owned(), value.to_owned()), ("partition".to_owned(), "3".to_owned())]
            );
            assert_eq!(number, "42");
        }
    }

    #[test]
    fn a_sample_without_labels_has_no_braces() {
        let mut page = Exposition::default();
        page.family("kafka_brokers");
        page.sample(&[], 1);
        assert!(page.finish().ends_with("# TYPE kafka_brokers gauge\nkafka_brokers 1\n"));
    }
}
