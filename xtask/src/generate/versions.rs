//! Ranges of versions as schemas write them, and the Rust condition that tests one.
//!
//! A condition is printed relative to a context, the versions in which the enclosing struct exists: what holds
//! in the whole context needs no test.

use anyhow::Context;

/// From `low` to `high`, both included; empty when `low` is above `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    pub low: i16,
    pub high: i16,
}

impl Versions {
    /// No version.
    pub const NONE: Versions = Versions { low: 0, high: -1 };

    /// Parses `none`, `3`, `0-7` or `2+`.
    pub fn parse(text: &str) -> anyhow::Result<Versions> {
        let number = |text: &str| -> anyhow::Result<i16> {
            text.trim().parse().with_context(|| format!("{text:?} is no version"))
        };
        if text.is_empty() || text == "none" {
            return Ok(Versions::NONE);
        }
        if let Some(low) = text.strip_suffix('+') {
            return Ok(Versions { low: number(low)?, high: i16::MAX });
        }
        match text.split_once('-') {
            Some((low, high)) => Ok(Versions { low: number(low)?, high: number(high)? }),
            None => Ok(Versions { low: number(text)?, high: number(text)? }),
        }
    }

    pub fn is_empty(self) -> bool {
        self.low > self.high
    }

    pub fn intersect(self, other: Versions) -> Versions {
        if self.is_empty() || other.is_empty() {
            return Versions::NONE;
        }
        let both = Versions { low: self.low.max(other.low), high: self.high.min(other.high) };
        if both.is_empty() { Versions::NONE } else { both }
    }

    /// Whether a version of `context` lies in this range: always, never, or when a condition holds.
    pub fn within(self, context: Versions) -> Presence {
        let both = self.intersect(context);
        if both.is_empty() {
            return Presence::Never;
        }
        let (from_start, to_end) = (both.low == context.low, both.high == context.high);
        let (low, high) = (both.low, both.high);
        let (when, unless) = match (from_start, to_end) {
            (true, true) => return Presence::Always,
            (false, true) => (format!("version >= {low}"), format!("version < {low}")),
            (true, false) => (format!("version <= {high}"), format!("version > {high}")),
            (false, false) if low == high => (format!("version == {low}"), format!("version != {low}")),
            (false, false) => (
                format!("({low}..={high}).contains(&version)"),
                format!("!({low}..={high}).contains(&version)"),
            ),
        };
        Presence::When { when, unless }
    }
}

/// When something holds within a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    Always,
    Never,
    /// Rust expressions for "holds" and "does not hold".
    When {
        when: String,
        unless: String,
    },
}
