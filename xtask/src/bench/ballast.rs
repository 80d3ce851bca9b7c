//! Keeps the machine's memory full of clean pages, as it is under a broker that has run for days.
//!
//! A virtual machine whose host takes free pages back pays for each page again when it is used: half a processor second
//! per gigabyte here, billed to whoever writes first after files were deleted. So what is free at the beginning is held
//! for the whole run, and what a window's deletion frees is filled with a file's cached pages before the next one; new
//! pages then come from those, and cost the same for everybody. Called between runs.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::cache::Cache;

const BLOCK_BYTES: usize = 4 << 20;
/// Enough for what a window and its deletion free.
const FILE_BYTES: u64 = 6 << 30;
/// Free memory that the kernel keeps anyhow, and a little more.
const FREE_MAX_KIB: u64 = 700 * 1024;
/// Left to the brokers and the tools: two JVMs of a gigabyte, and what they map.
const WORKING_KIB: u64 = 3 << 20;

/// A file that is gone with the value, and memory that is only held.
pub struct Ballast {
    file: PathBuf,
    _held: Vec<u8>,
}

impl Ballast {
    pub fn new(cache: &Cache) -> anyhow::Result<Ballast> {
        let mut ballast = Ballast { file: cache.path("bench/ballast")?, _held: Vec::new() };
        let mut file = File::create(&ballast.file)?;
        let block = vec![7; BLOCK_BYTES];
        for _ in 0..FILE_BYTES / BLOCK_BYTES as u64 {
            file.write_all(&block)?;
        }
        file.sync_all()?;
        let spare_kib = free_kib("/proc/meminfo").unwrap_or(0).saturating_sub(WORKING_KIB);
        // Ones: pages of zeros would all be the same one until somebody writes to them.
        ballast._held = vec![1; usize::try_from(spare_kib * 1024)?];
        Ok(ballast)
    }

    /// Reads the file until little memory is free; once through is all that it can give.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut file = File::open(&self.file)?;
        let mut block = vec![0; BLOCK_BYTES];
        while free_kib("/proc/meminfo").is_some_and(|kib| kib > FREE_MAX_KIB) && file.read(&mut block)? > 0 {}
        Ok(())
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        // A file that stays is written over by the next run.
        let _ = std::fs::remove_file(&self.file);
    }
}

fn free_kib(path: impl AsRef<Path>) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix("MemFree:")?.split_whitespace().next()?.parse().ok())
}
