//! Whoever reads old data on gets several MiB from the disk at once; whoever jumps about gets what was asked for.
//!
//! On a disk whose pages are all cold at first: a page is resident from its first read on. What is counted is bytes.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::collections::{HashMap, HashSet};
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use logspine_protocol::batch::iter_batches;
use logspine_protocol::types::Offset;
use logspine_storage::disk::{Access, DiskLock, Entry, Space};
use logspine_storage::sim_disk::SimDisk;
use logspine_storage::{Disk, DiskFile, LogConfig, LogReader};
use support::*;

const PAGE_BYTES: u64 = 4096;
const AHEAD_BYTES: u64 = 4 << 20;
const FETCH_BYTES: u32 = 1 << 20;

/// Pages of one file that were read, whoever opened it.
type Resident = Arc<Mutex<HashSet<u64>>>;

/// A simulated disk with a page cache that starts empty.
#[derive(Debug)]
struct ColdDisk {
    disk: SimDisk,
    files: Mutex<HashMap<PathBuf, Resident>>,
}

#[derive(Debug)]
struct ColdFile {
    file: Arc<dyn DiskFile>,
    resident: Resident,
}

fn pages(position: u64, len: u64) -> std::ops::Range<u64> {
    position / PAGE_BYTES..(position + len).div_ceil(PAGE_BYTES)
}

impl DiskFile for ColdFile {
    fn len_bytes(&self) -> io::Result<u64> {
        self.file.len_bytes()
    }
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.resident.lock().unwrap().extend(pages(position, buffer.len() as u64));
        self.file.read_at(buffer, position)
    }
    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        self.file.write_at(slices, position)
    }
    fn truncate(&self, len_bytes: u64) -> io::Result<()> {
        self.file.truncate(len_bytes)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    fn is_resident(&self, position: u64, len: u64) -> bool {
        let resident = self.resident.lock().unwrap();
        pages(position, len).all(|page| resident.contains(&page))
    }
}

impl Disk for ColdDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(path, access)?;
        let resident = self.files.lock().unwrap().entry(path.to_owned()).or_default().clone();
        Ok(Arc::new(ColdFile { file, resident }))
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.disk.lock(path)
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        self.disk.space(path)
    }
}

/// A log of one segment, opened by a process that has read nothing of it; batches of so many bytes.
fn cold_log(batch_bytes: usize, batches: u64) -> logspine_storage::Log {
    let sim = SimDisk::new();
    let (shared, config): (Arc<dyn Disk>, _) = (Arc::new(sim.clone()), LogConfig::default());
    let mut log = fresh(&shared, &config);
    for tag in 0..batches {
        log.append_as_leader(&batch(tag, 1, batch_bytes), EPOCH, NOW_MS).unwrap();
    }
    let end = log.close(true).unwrap();
    let cold: Arc<dyn Disk> = Arc::new(ColdDisk { disk: sim, files: Mutex::default() });
    reopen(&cold, &config, end, Offset(0), true).unwrap().0
}

/// One fetch; whether it had to wait for the disk, and where the next one starts.
fn fetch(reader: &LogReader, from: Offset) -> (bool, Offset) {
    let end = reader.log_end();
    let at_once = reader.try_read(from, end, FETCH_BYTES, true).unwrap();
    let waited = at_once.is_none();
    let slice = at_once
        .unwrap_or_else(|| reader.read_verified(from, end, FETCH_BYTES, true, AHEAD_BYTES).unwrap().slice);
    let last = iter_batches(&slice.to_vec().unwrap()).last().unwrap().unwrap().next_offset();
    (waited, last)
}

#[test]
fn a_reader_that_goes_on_waits_for_the_disk_once_in_four_fetches_whatever_the_size_of_batches() {
    for batch_bytes in [20_000, 64_000, 900_000] {
        let batches = 24_000_000 / batch_bytes as u64;
        let log = cold_log(batch_bytes, batches);
        let (reader, mut next, mut waits, mut fetches) = (log.reader(), Offset(0), 0, 0);
        while next < reader.log_end() {
            let (waited, after) = fetch(&reader, next);
            (waits, fetches, next) = (waits + u32::from(waited), fetches + 1, after);
        }
        println!("FIGURE batches of {batch_bytes} bytes: {waits} of {fetches} fetches waited for the disk");
        assert!(waits * 3 <= fetches, "{waits} of {fetches} with batches of {batch_bytes}");
    }
}

#[test]
fn a_reader_that_jumps_about_has_nothing_read_ahead() {
    let log = cold_log(64_000, 375);
    let reader = log.reader();
    for from in [300, 100, 200, 40] {
        let (waited, after) = fetch(&reader, Offset(from));
        assert!(waited, "nobody read {from} before");
        // A batch and a piece behind it are looked at to judge the last one.
        assert!(fetch(&reader, after + 32).0, "32 batches behind {from} were read though nobody goes on");
    }
}
