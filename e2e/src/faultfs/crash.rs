//! The power goes: what was not synced is dropped, or torn into what a disk may leave of it.
//!
//! Dropped is the strictest outcome that a file system may choose: nothing without a sync survives. Torn is any
//! outcome in between: of each directory the beginning of its changes, of each file some pages and half pages, and
//! a truncation or not. The tests plant a cut that drops too little and one that drops too much: the judge must
//! see both.

use super::content::PAGE_BYTES;
use super::tree::{Body, Tree};
use crate::random::SplitMix;

/// How the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    Drop,
    Tear { seed: u64 },
}

/// What went with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// Of pages that were written and not synced.
    pub bytes: u64,
    pub names: u64,
}

impl std::ops::AddAssign for Lost {
    fn add_assign(&mut self, more: Lost) {
        self.bytes += more.bytes;
        self.names += more.names;
    }
}

/// Leaves in the tree what the disk would hold after the power came back.
pub fn cut(tree: &mut Tree, cut: Cut) -> Lost {
    let mut random = match cut {
        Cut::Drop => None,
        Cut::Tear { seed } => Some(SplitMix(seed)),
    };
    let mut lost = Lost::default();
    for (_, inode) in tree.inodes_mut() {
        match &mut inode.body {
            Body::Dir(names) => {
                if let Some(random) = &mut random {
                    names.keep(random.below(names.pending() as u64 + 1) as usize);
                }
                lost.names += names.revert();
            }
            Body::File(content) => {
                if let Some(random) = &mut random
                    && content.is_cut()
                    && random.below(2) == 0
                {
                    content.keep_cut();
                }
                lost.bytes += content.keep_pages(|_| random.as_mut().and_then(torn_page));
                content.revert();
            }
        }
    }
    tree.rebuild();
    lost
}

/// Nothing of the page, one half of it, or all.
fn torn_page(random: &mut SplitMix) -> Option<std::ops::Range<u64>> {
    const HALF: u64 = PAGE_BYTES / 2;
    [None, Some(0..HALF), Some(HALF..PAGE_BYTES), Some(0..PAGE_BYTES)][random.below(4) as usize].clone()
}

#[cfg(test)]
mod tests {
    use super::super::content::Content;
    use super::super::names::Names;
    use super::super::tree::ROOT;
    use super::*;

    /// A history with one of everything: returns the tree before the cut.
    fn history() -> Tree {
        let mut tree = Tree::new();
        let dir = tree.create(ROOT, "d", Body::Dir(Names::default())).unwrap();
        let safe = tree.create(dir, "safe", Body::File(Content::default())).unwrap();
        tree.write(safe, 0, &[1; 5 * 4096]).unwrap();
        tree.sync(safe, false).unwrap();
        tree.sync(dir, false).unwrap();
        tree.sync(ROOT, false).unwrap();
        tree.write(safe, 4096, &[2; 4 * 4096]).unwrap();
        let nameless = tree.create(dir, "nameless", Body::File(Content::default())).unwrap();
        tree.write(nameless, 0, b"synced, but its directory is not").unwrap();
        tree.sync(nameless, false).unwrap();
        tree
    }

    /// What a strict cut must leave of it.
    fn judge(tree: &Tree) -> Result<(), String> {
        let safe = tree.find("d/safe").map_err(|errno| format!("a synced file is gone: {errno:?}"))?;
        let bytes = tree.file(safe).map_err(|errno| format!("{errno:?}"))?.read(0, u64::MAX);
        if bytes.len() != 5 * 4096 || bytes[..4096] != [1; 4096] {
            return Err("synced bytes are gone".to_owned());
        }
        if bytes.contains(&2) {
            return Err("bytes that were not synced are there".to_owned());
        }
        match tree.find("d/nameless") {
            Ok(_) => Err("a name that was not synced is there".to_owned()),
            Err(_) => Ok(()),
        }
    }

    #[test]
    fn a_cut_keeps_what_was_synced_and_nothing_else() {
        let mut tree = history();
        assert_eq!(cut(&mut tree, Cut::Drop), Lost { bytes: 4 * 4096, names: 1 });
        assert_eq!(judge(&tree), Ok(()));
    }

    #[test]
    fn a_cut_that_drops_too_little_is_seen() {
        let mut tree = history();
        let dir = tree.find("d").unwrap();
        tree.sync(dir, false).unwrap(); // Planted: names survive that nobody synced.
        cut(&mut tree, Cut::Drop);
        assert!(judge(&tree).unwrap_err().contains("a name that was not synced"));
        let mut tree = history();
        let safe = tree.find("d/safe").unwrap();
        tree.sync(safe, false).unwrap(); // Planted: so do bytes.
        cut(&mut tree, Cut::Drop);
        assert!(judge(&tree).unwrap_err().contains("bytes that were not synced"));
    }

    #[test]
    fn a_cut_that_drops_too_much_is_seen() {
        let mut tree = history();
        cut(&mut tree, Cut::Drop);
        let safe = tree.find("d/safe").unwrap();
        tree.set_len(safe, 4096).unwrap(); // Planted: the end of a synced file is cut off.
        assert!(judge(&tree).unwrap_err().contains("synced bytes are gone"));
        let dir = tree.find("d").unwrap();
        tree.unlink(dir, "safe").unwrap(); // Planted: its name is.
        assert!(judge(&tree).unwrap_err().contains("a synced file is gone"));
    }

    #[test]
    fn a_torn_cut_keeps_every_synced_page_and_some_but_not_all_of_the_others() {
        let (mut kept, mut halves, mut named) = (0, 0, 0);
        for seed in 0..64 {
            let mut tree = history();
            cut(&mut tree, Cut::Tear { seed });
            let safe = tree.find("d/safe").unwrap();
            let bytes = tree.file(safe).unwrap().read(0, u64::MAX);
            assert_eq!(bytes[..4096], [1; 4096], "seed {seed}");
            for page in bytes[4096..].chunks(4096) {
                let new = page.iter().filter(|byte| **byte == 2).count();
                assert!(new == 0 || new == 2048 || new == 4096, "seed {seed}: {new} bytes of a page");
                kept += usize::from(new == 4096);
                halves += usize::from(new == 2048);
            }
            named += usize::from(tree.find("d/nameless").is_ok());
        }
        assert!((32..96).contains(&kept) && (96..160).contains(&halves), "{kept} {halves}");
        assert!((16..48).contains(&named), "{named}");
    }

    #[test]
    fn the_room_of_what_is_gone_is_free_again() {
        let mut tree = history();
        tree.leave_room(Some(0));
        cut(&mut tree, Cut::Drop);
        assert_eq!(tree.free(), 32);
    }
}
