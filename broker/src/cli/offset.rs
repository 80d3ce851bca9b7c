//! A place in a log, as people write it: `beginning`, `end`, `42`, `-10`, `@1700000000000`.
//!
//! The words are kcat's, and the same in `consume --offset` and `group reset-offsets --to`.

use std::str::FromStr;

use logspine_client::StartAt;
use logspine_protocol::types::Offset;

/// A `StartAt` that can be read from the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetArg(pub StartAt);

impl FromStr for OffsetArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            "expected beginning, end, an offset, -N for N before the end, or @MILLISECONDS since 1970";
        let number = |digits: &str| {
            digits.parse::<i64>().ok().filter(|_| digits.starts_with(|c: char| c.is_ascii_digit()))
        };
        let start = match text {
            "beginning" | "earliest" => Some(StartAt::Earliest),
            "end" | "latest" => Some(StartAt::Latest),
            _ => match text.split_at_checked(1) {
                Some(("@", digits)) => number(digits).map(StartAt::Timestamp),
                Some(("-", digits)) => number(digits).map(StartAt::BeforeEnd),
                _ => number(text).map(|offset| StartAt::Offset(Offset(offset))),
            },
        };
        start.map(OffsetArg).ok_or_else(|| expected.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kcats_words_are_understood() {
        let read = |text: &str| text.parse::<OffsetArg>().map(|arg| arg.0);
        assert_eq!(read("beginning"), Ok(StartAt::Earliest));
        assert_eq!(read("end"), Ok(StartAt::Latest));
        assert_eq!(read("42"), Ok(StartAt::Offset(Offset(42))));
        assert_eq!(read("-10"), Ok(StartAt::BeforeEnd(10)));
        assert_eq!(read("@1700000000000"), Ok(StartAt::Timestamp(1_700_000_000_000)));
    }

    #[test]
    fn anything_else_is_refused_with_the_words_there_are() {
        for text in ["", "-", "--3", "@", "@-1", "+4", "begin", "1.5", "é"] {
            let refused = text.parse::<OffsetArg>().expect_err(text);
            assert!(refused.contains("beginning, end"), "{text}");
        }
    }
}
