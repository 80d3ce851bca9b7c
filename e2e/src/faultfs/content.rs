//! One file's bytes twice: as programs see them, and as a power cut would leave them.
//!
//! What was written since the last sync is known page by page. A sync makes both alike; a failed sync forgets what
//! was dirty without writing it, as Linux does: the bytes stay visible, a later sync does not bring them to the
//! disk, and only a power cut shows that they are gone. Pure; called by `tree.rs` and `crash.rs`.

use std::collections::BTreeSet;

/// What the kernel writes at once.
pub const PAGE_BYTES: u64 = 4096;

/// A file.
#[derive(Debug, Clone, Default)]
pub struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Numbers of pages that may differ since the last sync.
    dirty: BTreeSet<u64>,
    length_is_dirty: bool,
    /// Room taken by fallocate, at least up to the length.
    allocated: u64,
}

impl Content {
    pub fn len(&self) -> u64 {
        self.seen.len() as u64
    }

    /// Bytes of the disk that this file takes.
    pub fn taken(&self) -> u64 {
        self.allocated.max(self.len())
    }

    /// Up to `size` bytes; fewer at the end.
    pub fn read(&self, offset: u64, size: u64) -> &[u8] {
        let start = offset.min(self.len());
        let end = offset.saturating_add(size).min(self.len());
        &self.seen[start as usize..end as usize]
    }

    pub fn write(&mut self, offset: u64, data: &[u8]) {
        let end = offset + data.len() as u64;
        if end > self.len() {
            self.set_len(end);
        }
        self.seen[offset as usize..end as usize].copy_from_slice(data);
        self.mark(offset, end);
    }

    /// Cuts, or extends by zeros.
    pub fn set_len(&mut self, len: u64) {
        let (low, high) = (len.min(self.len()), len.max(self.len()));
        self.seen.resize(len as usize, 0);
        self.mark(low, high);
        self.length_is_dirty = true;
    }

    /// Room that a truncation gives back.
    pub fn set_allocated(&mut self, bytes: u64) {
        self.allocated = bytes;
    }

    fn mark(&mut self, start: u64, end: u64) {
        self.dirty.extend(start / PAGE_BYTES..end.div_ceil(PAGE_BYTES));
    }

    /// Everything written so far survives a power cut.
    pub fn sync(&mut self) {
        self.keep_pages(|_| Some(0..PAGE_BYTES));
        self.durable.resize(self.seen.len(), 0);
        self.forget_dirty();
    }

    /// A sync failed: what was dirty counts as clean and is not on the disk.
    pub fn forget_dirty(&mut self) {
        self.dirty.clear();
        self.length_is_dirty = false;
    }

    /// Whether the file was cut below its durable length since the last sync.
    pub fn is_cut(&self) -> bool {
        self.length_is_dirty && self.seen.len() < self.durable.len()
    }

    /// Takes over, of each dirty page, the bytes that `survives` names (relative to the page), durable length
    /// included as far as they reach. Returns how many pages and bytes did not survive.
    pub fn keep_pages(&mut self, mut survives: impl FnMut(u64) -> Option<std::ops::Range<u64>>) -> u64 {
        let mut lost = 0;
        for &page in &self.dirty {
            let (first, seen_end) = (page * PAGE_BYTES, self.seen.len() as u64);
            let page_end = (first + PAGE_BYTES).min(seen_end);
            let Some(kept) = survives(page) else {
                lost += page_end.saturating_sub(first);
                continue;
            };
            let (start, end) = (first + kept.start, (first + kept.end).min(seen_end));
            lost += page_end.saturating_sub(first).saturating_sub(end.saturating_sub(start));
            if start >= end {
                continue;
            }
            if (self.durable.len() as u64) < end {
                self.durable.resize(end as usize, 0);
            }
            self.durable[start as usize..end as usize]
                .copy_from_slice(&self.seen[start as usize..end as usize]);
        }
        lost
    }

    /// Cuts what a power cut would leave to the length that programs see.
    pub fn keep_cut(&mut self) {
        self.durable.truncate(self.seen.len());
    }

    /// The power is gone: what programs see from now on is what is durable.
    pub fn revert(&mut self) {
        self.seen.clone_from(&self.durable);
        self.allocated = self.allocated.min(self.len());
        self.forget_dirty();
    }

    /// The disk itself rots: both images change.
    pub fn flip_bit(&mut self, byte: u64, bit: u8) -> bool {
        let mut found = false;
        for image in [&mut self.seen, &mut self.durable] {
            if let Some(byte) = image.get_mut(byte as usize) {
                *byte ^= 1 << (bit % 8);
                found = true;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn synced(bytes: &[u8]) -> Content {
        let mut content = Content::default();
        content.write(0, bytes);
        content.sync();
        content
    }

    fn after_a_cut(mut content: Content) -> Vec<u8> {
        content.revert();
        content.read(0, u64::MAX).to_vec()
    }

    #[test]
    fn synced_bytes_survive_and_later_ones_do_not() {
        let mut content = synced(b"safe");
        content.write(2, b"XXYY");
        assert_eq!(content.read(0, 100), b"saXXYY");
        assert_eq!(after_a_cut(content), b"safe");
    }

    #[test]
    fn a_cut_that_was_not_synced_comes_undone_and_a_synced_one_stays() {
        let mut content = synced(b"long");
        content.set_len(1);
        assert!(content.is_cut());
        assert_eq!(after_a_cut(content.clone()), b"long");
        content.write(1, b"-new");
        content.sync();
        assert_eq!(after_a_cut(content), b"l-new");
    }

    #[test]
    fn a_file_that_was_cut_and_grew_again_has_zeros_where_nothing_was_written() {
        let mut content = synced(&[7; 10_000]);
        content.set_len(0);
        content.set_len(10_000);
        content.sync();
        assert_eq!(after_a_cut(content), vec![0; 10_000]);
    }

    #[test]
    fn after_a_failed_sync_the_next_one_does_not_write_what_was_lost() {
        let mut content = synced(b"safe");
        content.write(4, b"lost");
        content.forget_dirty();
        content.sync();
        assert_eq!(content.read(0, 100), b"safelost");
        assert_eq!(after_a_cut(content), b"safe\0\0\0\0", "the length is the file system's own");
    }

    #[test]
    fn a_page_survives_whole_or_in_part_as_told() {
        let mut content = synced(&[1; 3 * 4096]);
        content.write(0, &[2; 3 * 4096]);
        let lost =
            content.keep_pages(|page| (page != 0).then_some(if page == 1 { 0..4096 } else { 0..2048 }));
        assert_eq!(lost, 4096 + 2048);
        let left = after_a_cut(content);
        assert_eq!(left[..4096], [1; 4096]);
        assert_eq!(left[4096..8192 + 2048], [2; 4096 + 2048]);
        assert_eq!(left[8192 + 2048..], [1; 2048]);
    }

    #[test]
    fn a_flipped_bit_is_flipped_on_the_disk_too() {
        let mut content = synced(&[0; 8]);
        assert!(content.flip_bit(3, 1));
        assert!(!content.flip_bit(8, 1));
        assert_eq!(after_a_cut(content), [0, 0, 0, 2, 0, 0, 0, 0]);
    }
}
