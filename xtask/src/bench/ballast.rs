//! Keeps the machine's memory full of clean pages, as it is under a broker that has run for days.
//!
//! A virtual machine whose host takes free pages back pays for each page again when it is used: half a processor second
//! per gigabyte here, billed to whoever writes first after files were deleted. So free memory is filled with a file's
//! cached pages before each window; new pages then come from those, and cost the same for everybody. Called between runs.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::cache::Cache;

const BLOCK_BYTES: usize = 4 << 20;
/// Enough for what a window and its deletion free.
const FILE_BYTES: u64 = 6 << 30;
/// Free memory that the kernel keeps anyhow, and a little more.
const FREE_MAX_KIB: u64 = 700 * 1024;

/// A file that is gone with the value.
pub struct Ballast(PathBuf);

impl Ballast {
    pub fn new(cache: &Cache) -> anyhow::Result<Ballast> {
        let ballast = Ballast(cache.path("bench/ballast")?);
        let mut file = File::create(&ballast.0)?;
        let block = vec![7; BLOCK_BYTES];
        for _ in 0..FILE_BYTES / BLOCK_BYTES as u64 {
            file.write_all(&block)?;
        }
        file.sync_all()?;
        Ok(ballast)
    }

    /// Reads the file until little memory is free; once through is all that it can give.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut file = File::open(&self.0)?;
        let mut block = vec![0; BLOCK_BYTES];
        while free_kib("/proc/meminfo").is_some_and(|kib| kib > FREE_MAX_KIB) && file.read(&mut block)? > 0 {}
        Ok(())
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        // A file that stays is written over by the next run.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn free_kib(path: impl AsRef<Path>) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix("MemFree:")?.split_whitespace().next()?.parse().ok())
}
