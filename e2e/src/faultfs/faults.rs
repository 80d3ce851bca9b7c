//! What the disk does wrong: rules by operation and path, and the count of how often each kind bit.
//!
//! A rule holds for every path that contains its text, until it is dropped or has bitten its number of times. The
//! first rule that fits decides. Pure; asked by `serve.rs` before each operation.

use std::time::Duration;

use fuser::Errno;

/// What a program wants of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Read,
    /// Bytes, lengths and room of files.
    Write,
    /// fsync and fdatasync of files and directories.
    Sync,
    /// Creating, renaming and removing.
    Names,
}

/// What it gets instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Fail(Errno),
    /// No answer until the rule is dropped. A held sync needs no thread of FUSE's, anything else keeps one.
    Hold,
    /// Done after that long.
    Delay(Duration),
    /// Done as slowly as that.
    BytesPerSecond(u64),
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub op: Op,
    /// Part of a path below the mount point; empty for all.
    pub path: String,
    pub effect: Effect,
    /// How often it still bites; `None` for ever.
    pub times: Option<u64>,
}

/// How often what bit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub syncs: u64,
    /// Syncs that were answered and not done.
    pub lies: u64,
    pub failed_reads: u64,
    pub failed_writes: u64,
    pub failed_syncs: u64,
    pub failed_names: u64,
    pub held_syncs: u64,
    pub held_reads: u64,
    /// Writes that found no room, or not enough.
    pub full: u64,
    /// Changes refused while the file system was read-only.
    pub read_only: u64,
}

/// Everything that is wrong with the disk at the moment.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Vec<(u64, Rule)>,
    next: u64,
    pub read_only: bool,
    /// Every sync is answered and none is done.
    pub lies: bool,
    pub counters: Counters,
}

impl Faults {
    /// Returns what names the rule to `remove`.
    pub fn add(&mut self, rule: Rule) -> u64 {
        self.next += 1;
        self.rules.push((self.next, rule));
        self.next
    }

    pub fn remove(&mut self, id: u64) {
        self.rules.retain(|(known, _)| *known != id);
    }

    /// What shall happen to an operation; `None`: what it wants.
    pub fn meet(&mut self, op: Op, path: &str) -> Option<Effect> {
        if op == Op::Sync {
            self.counters.syncs += 1;
        }
        if self.read_only && matches!(op, Op::Write | Op::Names) {
            self.counters.read_only += 1;
            return Some(Effect::Fail(Errno::EROFS));
        }
        let fits = |rule: &Rule| rule.op == op && rule.times != Some(0) && path.contains(&rule.path);
        let (_, rule) = self.rules.iter_mut().find(|(_, rule)| fits(rule))?;
        rule.times = rule.times.map(|times| times - 1);
        match (rule.effect, op) {
            (Effect::Fail(_), Op::Read) => self.counters.failed_reads += 1,
            (Effect::Fail(_), Op::Write) => self.counters.failed_writes += 1,
            (Effect::Fail(_), Op::Sync) => self.counters.failed_syncs += 1,
            (Effect::Fail(_), Op::Names) => self.counters.failed_names += 1,
            (Effect::Hold, Op::Read) => self.counters.held_reads += 1,
            (Effect::Hold, _) => self.counters.held_syncs += 1,
            (Effect::Delay(_) | Effect::BytesPerSecond(_), _) => {}
        }
        Some(rule.effect)
    }
}

impl Faults {
    /// Whether an operation that was held is held still.
    pub fn holds(&self, op: Op, path: &str) -> bool {
        let holds = |rule: &Rule| rule.op == op && rule.effect == Effect::Hold && path.contains(&rule.path);
        self.rules.iter().any(|(_, rule)| holds(rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(op: Op, path: &str, times: Option<u64>) -> Rule {
        Rule { op, path: path.to_owned(), effect: Effect::Fail(Errno::EIO), times }
    }

    #[test]
    fn a_rule_bites_its_operation_on_its_paths_as_often_as_told() {
        let mut faults = Faults::default();
        faults.add(fails(Op::Sync, "orders-0/", Some(2)));
        assert_eq!(faults.meet(Op::Sync, "data/orders-1/0.log"), None);
        assert_eq!(faults.meet(Op::Write, "data/orders-0/0.log"), None);
        for _ in 0..2 {
            assert_eq!(faults.meet(Op::Sync, "data/orders-0/0.log"), Some(Effect::Fail(Errno::EIO)));
        }
        assert_eq!(faults.meet(Op::Sync, "data/orders-0/0.log"), None);
        assert_eq!((faults.counters.failed_syncs, faults.counters.syncs), (2, 4));
    }

    #[test]
    fn a_removed_rule_bites_no_more() {
        let mut faults = Faults::default();
        let rule = faults.add(fails(Op::Read, "", None));
        assert!(faults.meet(Op::Read, "f").is_some());
        faults.remove(rule);
        assert_eq!(faults.meet(Op::Read, "f"), None);
    }

    #[test]
    fn read_only_refuses_changes_and_nothing_else() {
        let mut faults = Faults { read_only: true, ..Faults::default() };
        let refused = Some(Effect::Fail(Errno::EROFS));
        let met = [Op::Read, Op::Write, Op::Sync, Op::Names].map(|op| faults.meet(op, "f"));
        assert_eq!(met, [None, refused, None, refused]);
        assert_eq!(faults.counters.read_only, 2);
    }
}
