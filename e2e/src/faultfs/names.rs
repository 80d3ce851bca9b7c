//! One directory's names twice: as programs see them, and as a power cut would leave them.
//!
//! What happened since the last sync of the directory is a list in order, as a journal has it: a power cut keeps
//! none of it, or, torn, the beginning of it. A rename is one entry: it happened or it did not. Pure; called by
//! `tree.rs` and `crash.rs`.

use std::collections::BTreeMap;

/// Inode numbers by name.
pub type Map = BTreeMap<String, u64>;

/// One change of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Link { name: String, ino: u64 },
    Unlink { name: String },
    Rename { from: String, to: String },
}

/// A directory.
#[derive(Debug, Clone, Default)]
pub struct Names {
    seen: Map,
    durable: Map,
    pending: Vec<Change>,
}

impl Names {
    pub fn seen(&self) -> &Map {
        &self.seen
    }

    pub fn get(&self, name: &str) -> Option<u64> {
        self.seen.get(name).copied()
    }

    pub fn link(&mut self, name: &str, ino: u64) {
        self.change(Change::Link { name: name.to_owned(), ino });
    }

    pub fn unlink(&mut self, name: &str) {
        self.change(Change::Unlink { name: name.to_owned() });
    }

    pub fn rename(&mut self, from: &str, to: &str) {
        self.change(Change::Rename { from: from.to_owned(), to: to.to_owned() });
    }

    fn change(&mut self, change: Change) {
        carry_out(&mut self.seen, &change);
        self.pending.push(change);
    }

    /// Every change so far survives a power cut.
    pub fn sync(&mut self) {
        self.durable.clone_from(&self.seen);
        self.pending.clear();
    }

    /// A sync failed: its changes count as clean and are not on the disk.
    pub fn forget_pending(&mut self) {
        self.pending.clear();
    }

    /// How many changes a power cut may take back.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The first `count` changes reached the disk.
    pub fn keep(&mut self, count: usize) {
        for change in self.pending.drain(..count.min(self.pending.len())) {
            carry_out(&mut self.durable, &change);
        }
    }

    /// The power is gone. Returns how many changes went with it.
    pub fn revert(&mut self) -> u64 {
        let lost = self.pending.len() as u64;
        self.seen.clone_from(&self.durable);
        self.pending.clear();
        lost
    }

    /// Whether anything, now or after a power cut, leads to this inode.
    pub fn knows(&self) -> impl Iterator<Item = u64> + '_ {
        let linked = self.pending.iter().filter_map(|change| match change {
            Change::Link { ino, .. } => Some(*ino),
            _ => None,
        });
        self.seen.values().chain(self.durable.values()).copied().chain(linked)
    }
}

fn carry_out(map: &mut Map, change: &Change) {
    match change {
        Change::Link { name, ino } => {
            map.insert(name.clone(), *ino);
        }
        Change::Unlink { name } => {
            map.remove(name);
        }
        Change::Rename { from, to } => {
            if let Some(ino) = map.remove(from) {
                map.insert(to.clone(), ino);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(of: &Names) -> Vec<(&str, u64)> {
        of.seen().iter().map(|(name, ino)| (name.as_str(), *ino)).collect()
    }

    /// `old` is durable; a temporary file was made and renamed over it.
    fn replaced() -> Names {
        let mut dir = Names::default();
        dir.link("old", 1);
        dir.sync();
        dir.link("old.tmp", 2);
        dir.rename("old.tmp", "old");
        dir
    }

    #[test]
    fn names_that_were_not_synced_are_gone_after_a_cut() {
        let mut dir = replaced();
        assert_eq!(names(&dir), [("old", 2)]);
        assert_eq!(dir.revert(), 2);
        assert_eq!(names(&dir), [("old", 1)]);
    }

    #[test]
    fn synced_names_stay() {
        let mut dir = replaced();
        dir.sync();
        assert_eq!(dir.revert(), 0);
        assert_eq!(names(&dir), [("old", 2)]);
    }

    #[test]
    fn a_torn_directory_keeps_the_beginning_of_its_changes_and_a_rename_is_whole() {
        let mut dir = replaced();
        dir.keep(1);
        dir.revert();
        assert_eq!(names(&dir), [("old", 1), ("old.tmp", 2)]);
        let mut dir = replaced();
        dir.keep(2);
        dir.revert();
        assert_eq!(names(&dir), [("old", 2)]);
    }
}
