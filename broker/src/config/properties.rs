//! Java's `.properties` syntax, as `java.util.Properties.load` reads it.
//!
//! `key=value`, `key:value` or `key value`; `#` and `!` start a comment line; a line that ends with an odd
//! number of backslashes continues on the next; `\t \n \r \f \uXXXX` are escapes, any other escaped character
//! stands for itself. The last of several equal keys wins. Pure: text in, map out.

use std::collections::BTreeMap;

/// Keys and values in key order.
pub type Properties = BTreeMap<String, String>;

/// Reads a whole file's text. Every text is valid; a line without a separator is a key with an empty value.
pub fn parse(text: &str) -> Properties {
    let mut properties = Properties::new();
    for line in logical_lines(text) {
        let (key, value) = split(&line);
        if !key.is_empty() {
            properties.insert(unescape(key), unescape(value));
        }
    }
    properties
}

/// Joins continued lines; drops comments and blank lines. A comment line is never continued.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut pending = String::new();
    for natural in text.lines() {
        let trimmed = natural.trim_start_matches([' ', '\t', '\x0c']);
        if pending.is_empty() && (trimmed.is_empty() || trimmed.starts_with(['#', '!'])) {
            continue;
        }
        let backslashes = trimmed.chars().rev().take_while(|&c| c == '\\').count();
        if backslashes % 2 == 1 {
            pending.push_str(&trimmed[..trimmed.len() - 1]);
            continue;
        }
        pending.push_str(trimmed);
        lines.push(std::mem::take(&mut pending));
    }
    if !pending.is_empty() {
        lines.push(pending);
    }
    lines
}

/// Splits at the first separator that is not escaped: white space, then at most one of `=` and `:`.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line
        .char_indices()
        .find(|&(_, c)| {
            let is_separator = !escaped && matches!(c, '=' | ':' | ' ' | '\t' | '\x0c');
            escaped = !escaped && c == '\\';
            is_separator
        })
        .map_or(line.len(), |(at, _)| at);
    let blank = [' ', '\t', '\x0c'];
    let rest = line[end..].trim_start_matches(blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&line[..end], rest.trim_start_matches(blank))
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\x0c'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                plain.push(code.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> (String, String) {
        let properties = parse(text);
        assert_eq!(properties.len(), 1, "{properties:?}");
        properties.into_iter().next().unwrap()
    }

    #[test]
    fn separators_escapes_and_continuations_read_as_java_reads_them() {
        let cases = [
            ("node.id=1", ("node.id", "1")),
            ("  node.id : 1", ("node.id", "1")),
            ("node.id 1", ("node.id", "1")),
            ("node.id = a = b", ("node.id", "a = b")),
            ("node.id", ("node.id", "")),
            ("a\\=b=c", ("a=b", "c")),
            ("path=C\\:\\\\data", ("path", "C:\\data")),
            ("list=a,\\\n   b,\\\n   c", ("list", "a,b,c")),
            ("text=\\u00e9\\t!", ("text", "é\t!")),
            ("trailing=kept  ", ("trailing", "kept  ")),
        ];
        for (text, (key, value)) in cases {
            assert_eq!(one(text), (key.to_owned(), value.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn comments_and_blank_lines_are_nothing_and_the_last_key_wins() {
        let properties = parse("# a=1\n! b=2\n\n   \nc=3\nc=4\r\n");
        assert_eq!(properties, Properties::from([("c".to_owned(), "4".to_owned())]));
    }
}
