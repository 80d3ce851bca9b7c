//! Format strings in kcat's style: what to print of a record, and between records.
//!
//! `%t` topic, `%p` partition, `%o` offset, `%k` key, `%K` its length, `%s` value, `%S` its length, `%T`
//! timestamp in milliseconds, `%h` headers as `name=value,...`, `%%` a percent sign; `\n \r \t \0 \\ \xNN`.
//! A null key or value prints as nothing (or as `--null` says) and has length -1. Parsed once, then applied.

use std::io::{self, Write};
use std::str::FromStr;

use logspine_client::ConsumerRecord;

/// A parsed format string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Key,
    KeyLength,
    Value,
    ValueLength,
    Timestamp,
    Headers,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            let piece = match character {
                '%' => directive(rest.next())?,
                '\\' => Piece::Literal(vec![escape(&mut rest)?]),
                other => Piece::Literal(other.encode_utf8(&mut [0; 4]).as_bytes().to_vec()),
            };
            match piece {
                Piece::Literal(bytes) => literal.extend(bytes),
                field => {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    pieces.push(field);
                }
            }
        }
        pieces.push(Piece::Literal(literal));
        pieces.retain(|piece| *piece != Piece::Literal(Vec::new()));
        Ok(Self(pieces))
    }
}

fn directive(letter: Option<char>) -> Result<Piece, String> {
    Ok(match letter {
        Some('t') => Piece::Topic,
        Some('p') => Piece::Partition,
        Some('o') => Piece::Offset,
        Some('k') => Piece::Key,
        Some('K') => Piece::KeyLength,
        Some('s') => Piece::Value,
        Some('S') => Piece::ValueLength,
        Some('T') => Piece::Timestamp,
        Some('h') => Piece::Headers,
        Some('%') => Piece::Literal(b"%".to_vec()),
        Some(other) => return Err(format!("unknown %{other}: there are %t %p %o %k %K %s %S %T %h %%")),
        None => return Err("a % at the end: write %% for a percent sign".to_owned()),
    })
}

fn escape(rest: &mut std::str::Chars<'_>) -> Result<u8, String> {
    Ok(match rest.next() {
        Some('n') => b'\n',
        Some('r') => b'\r',
        Some('t') => b'\t',
        Some('0') => 0,
        Some('\\') => b'\\',
        Some('x') => {
            let digits: String = rest.take(2).collect();
            let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 2);
            byte.ok_or_else(|| format!("\\x{digits}: expected two hexadecimal digits"))?
        }
        other => {
            return Err(format!("unknown \\{}: there are \\n \\r \\t \\0 \\\\ \\xNN", other.unwrap_or(' ')));
        }
    })
}

impl Format {
    /// Writes one record; `null` stands for a key, value or header that is null.
    pub fn write(&self, record: &ConsumerRecord, null: &str, out: &mut impl Write) -> io::Result<()> {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(-1, |bytes| bytes.len() as i64);
        let bytes = |out: &mut dyn Write, bytes: &Option<Vec<u8>>| {
            out.write_all(bytes.as_deref().unwrap_or(null.as_bytes()))
        };
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => out.write_all(literal)?,
                Piece::Topic => out.write_all(record.topic.as_bytes())?,
                Piece::Partition => write!(out, "{}", record.partition)?,
                Piece::Offset => write!(out, "{}", record.offset)?,
                Piece::Key => bytes(out, &record.key)?,
                Piece::KeyLength => write!(out, "{}", length(&record.key))?,
                Piece::Value => bytes(out, &record.value)?,
                Piece::ValueLength => write!(out, "{}", length(&record.value))?,
                Piece::Timestamp => write!(out, "{}", record.timestamp_ms)?,
                Piece::Headers => {
                    for (position, (name, value)) in record.headers.iter().enumerate() {
                        write!(out, "{}{name}=", if position == 0 { "" } else { "," })?;
                        bytes(out, value)?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use logspine_client::TimestampType;
    use logspine_protocol::types::{Offset, PartitionIndex};

    use super::*;

    fn printed(format: &str, record: &ConsumerRecord) -> String {
        let mut out = Vec::new();
        format.parse::<Format>().unwrap().write(record, "NULL", &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn record() -> ConsumerRecord {
        ConsumerRecord {
            topic: "orders".into(),
            partition: PartitionIndex(2),
            offset: Offset(17),
            timestamp_ms: 1_700_000_000_000,
            timestamp_type: TimestampType::CreateTime,
            key: Some(b"table 4".to_vec()),
            value: Some(b"one coffee".to_vec()),
            headers: vec![("to".into(), Some(b"go".to_vec())), ("gift".into(), None)],
        }
    }

    #[test]
    fn every_field_can_be_printed() {
        let text = printed("%t[%p]@%o %k(%K)=%s(%S) %T {%h} 100%%", &record());
        assert_eq!(text, "orders[2]@17 table 4(7)=one coffee(10) 1700000000000 {to=go,gift=NULL} 100%");
    }

    #[test]
    fn escapes_are_bytes() {
        assert_eq!(printed("%o\\t%s\\n\\x41\\\\é", &record()), "17\tone coffee\nA\\é");
    }

    #[test]
    fn null_is_told_apart_by_its_length_and_by_the_word_chosen() {
        let record = ConsumerRecord { key: None, value: Some(Vec::new()), ..record() };
        assert_eq!(printed("%k %K|%s %S", &record), "NULL -1| 0");
    }

    #[test]
    fn what_is_not_understood_is_refused_with_what_there_is() {
        for (format, word) in [("%q", "%q"), ("%", "%%"), ("\\q", "\\q"), ("\\x4", "hexadecimal")] {
            let refused = format.parse::<Format>().expect_err(format);
            assert!(refused.contains(word), "{format}: {refused}");
        }
    }
}
