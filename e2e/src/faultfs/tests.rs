//! Each command does what it says, seen by a program through the mounted file system.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::*;
use crate::foreign::skip_without;

/// A mounted file system in a directory of its own, or `None` where there is no FUSE.
fn mounted(test: &str) -> Option<(tempfile::TempDir, FaultFs)> {
    if skip_without(test, &[FUSE]) {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let fs = FaultFs::mount(dir.path()).unwrap();
    Some((dir, fs))
}

fn write_synced(fs: &FaultFs, name: &str, bytes: &[u8]) -> File {
    let path = fs.path().join(name);
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_data().unwrap();
    File::open(fs.path()).unwrap().sync_all().unwrap();
    file
}

fn os_error<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[test]
fn programs_read_write_list_rename_and_remove() {
    let Some((_dir, fs)) = mounted("programs") else { return };
    fs::create_dir(fs.path().join("d")).unwrap();
    fs::write(fs.path().join("d/a"), vec![7; 300_000]).unwrap();
    fs::rename(fs.path().join("d/a"), fs.path().join("d/b")).unwrap();
    let listed: Vec<_> = fs::read_dir(fs.path().join("d")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(listed, ["b"]);
    assert_eq!(fs::read(fs.path().join("d/b")).unwrap(), vec![7; 300_000]);
    fs::remove_file(fs.path().join("d/b")).unwrap();
    fs::remove_dir(fs.path().join("d")).unwrap();
    assert_eq!(fs::read_dir(fs.path()).unwrap().count(), 0);
}

#[test]
fn sendfile_serves_what_was_written() {
    let Some((_dir, fs)) = mounted("sendfile") else { return };
    let bytes: Vec<u8> = (0..200_000_u32).map(|i| i as u8).collect();
    write_synced(&fs, "f", &bytes);
    let mut file = File::open(fs.path().join("f")).unwrap();
    let (mut there, mut here) = UnixStream::pair().unwrap();
    // From a file to a socket the standard library copies by sendfile.
    let sender = std::thread::spawn(move || io::copy(&mut file, &mut there).unwrap());
    let mut received = Vec::new();
    here.read_to_end(&mut received).unwrap();
    assert_eq!(sender.join().unwrap(), 200_000);
    assert!(received == bytes);
}

#[test]
fn a_cut_takes_what_was_not_synced_from_open_and_from_new_readers() {
    let Some((_dir, fs)) = mounted("cut") else { return };
    let file = write_synced(&fs, "f", b"synced");
    file.write_all_at(b"-later", 6).unwrap();
    fs::write(fs.path().join("new"), b"no sync at all").unwrap();
    assert_eq!(fs::read(fs.path().join("f")).unwrap(), b"synced-later");
    drop(file);
    assert_eq!(fs.cut(Cut::Drop), Lost { bytes: 12 + 14, names: 1 }, "in whole pages");
    assert_eq!(fs::read(fs.path().join("f")).unwrap(), b"synced");
    assert!(!fs.path().join("new").exists());
}

#[test]
fn a_disk_that_lies_about_syncs_loses_them_at_a_cut() {
    let Some((_dir, fs)) = mounted("lie") else { return };
    fs.lie_about_syncs(true);
    drop(write_synced(&fs, "f", b"synced, it said"));
    assert!(fs.counters().lies >= 2);
    fs.cut(Cut::Drop);
    assert!(!fs.path().join("f").exists());
}

#[test]
fn failures_hit_the_operation_the_path_and_the_number_they_were_told() {
    let Some((_dir, fs)) = mounted("fail") else { return };
    let file = write_synced(&fs, "hit", b"1");
    let other = write_synced(&fs, "other", b"1");
    let eio = Errno::EIO;
    let rule = Rule { op: Op::Sync, path: "hit".to_owned(), effect: Effect::Fail(eio), times: Some(1) };
    let once = fs.rule(rule);
    file.write_all_at(b"2", 0).unwrap();
    assert_eq!(os_error(file.sync_data()), Some(eio.code()));
    file.sync_data().unwrap();
    drop(once);
    let writes = fs.fail(Op::Write, "hit", eio);
    assert_eq!(os_error(file.write_at(b"3", 0)), Some(eio.code()));
    other.write_all_at(b"3", 0).unwrap();
    drop(writes);
    file.write_all_at(b"3", 0).unwrap();
    drop(file);
    let _reads = fs.fail(Op::Read, "hit", eio);
    assert_eq!(os_error(fs::read(fs.path().join("hit"))), Some(eio.code()));
    assert_eq!(fs::read(fs.path().join("other")).unwrap(), b"3");
}

#[test]
fn a_sync_that_failed_once_has_lost_its_bytes_although_they_are_seen() {
    let Some((_dir, fs)) = mounted("failed sync") else { return };
    let file = write_synced(&fs, "f", b"1");
    file.write_all_at(b"2", 0).unwrap();
    let failing = fs.fail(Op::Sync, "f", Errno::EIO);
    assert!(file.sync_data().is_err());
    drop(failing);
    file.sync_data().unwrap();
    assert_eq!(fs::read(fs.path().join("f")).unwrap(), b"2");
    drop(file);
    fs.cut(Cut::Drop);
    assert_eq!(fs::read(fs.path().join("f")).unwrap(), b"1");
}

#[test]
fn a_full_disk_says_so_until_there_is_room() {
    let Some((_dir, fs)) = mounted("full") else { return };
    let file = write_synced(&fs, "f", b"1");
    fs.leave_room(Some(0));
    let no_room = Some(Errno::ENOSPC.code());
    assert_eq!(os_error(file.write_at(b"more", 1)), no_room);
    fs.leave_room(None);
    file.write_all_at(b"more", 1).unwrap();
    assert_eq!(fs::read(fs.path().join("f")).unwrap(), b"1more");
    assert!(fs.counters().full >= 1);
}

#[test]
fn a_read_only_disk_serves_reads_and_refuses_changes() {
    let Some((_dir, fs)) = mounted("read-only") else { return };
    let file = write_synced(&fs, "f", b"1");
    fs.read_only(true);
    let refused = Some(Errno::EROFS.code());
    assert_eq!(os_error(file.write_at(b"2", 0)), refused);
    assert_eq!(os_error(fs::write(fs.path().join("g"), b"")), refused);
    assert_eq!(os_error(OpenOptions::new().write(true).open(fs.path().join("f"))), refused);
    assert_eq!(fs::read(fs.path().join("f")).unwrap(), b"1");
    fs.read_only(false);
    file.write_all_at(b"2", 0).unwrap();
}

#[test]
fn a_held_sync_ends_when_it_is_let_go_and_holds_nothing_else() {
    let Some((_dir, fs)) = mounted("hold") else { return };
    let (file, other) = (write_synced(&fs, "held", b"1"), write_synced(&fs, "other", b"1"));
    let hold = fs.hold_syncs("held");
    file.write_all_at(b"2", 0).unwrap();
    let syncing = std::thread::spawn(move || file.sync_data());
    assert!(fs.wait_held(1, Duration::from_secs(10)));
    other.sync_data().unwrap();
    assert!(!syncing.is_finished());
    drop(hold);
    syncing.join().unwrap().unwrap();
}

#[test]
fn a_held_read_goes_on_when_it_is_let_go_and_holds_nothing_else() {
    let Some((_dir, fs)) = mounted("hold-read") else { return };
    let (file, other) = (write_synced(&fs, "held", b"1"), write_synced(&fs, "other", b"2"));
    fs.drop_cached("held").unwrap();
    fs.drop_cached("other").unwrap();
    let hold = fs.hold_reads("held");
    let reading = std::thread::spawn(move || {
        let mut byte = [0];
        file.read_exact_at(&mut byte, 0).map(|()| byte)
    });
    assert!(fs.wait_held(1, Duration::from_secs(10)));
    let mut byte = [0];
    other.read_exact_at(&mut byte, 0).unwrap();
    assert_eq!(byte, *b"2");
    assert!(!reading.is_finished());
    drop(hold);
    assert_eq!(reading.join().unwrap().unwrap(), *b"1");
}

#[test]
fn a_slow_disk_takes_its_time() {
    let Some((_dir, fs)) = mounted("slow") else { return };
    let file = write_synced(&fs, "f", b"1");
    let pause = Duration::from_millis(100);
    let rule = Rule { op: Op::Sync, path: String::new(), effect: Effect::Delay(pause), times: None };
    let slow = fs.rule(rule);
    let started = Instant::now();
    file.sync_data().unwrap();
    assert!(started.elapsed() >= pause);
    drop(slow);
    let effect = Effect::BytesPerSecond(1_000_000);
    let _crawl = fs.rule(Rule { op: Op::Write, path: String::new(), effect, times: None });
    let started = Instant::now();
    file.write_all_at(&[0; 100_000], 0).unwrap();
    assert!(started.elapsed() >= pause);
}

#[test]
fn a_flipped_bit_is_read_back_flipped() {
    let Some((_dir, fs)) = mounted("flip") else { return };
    drop(write_synced(&fs, "f", &[0; 8192]));
    assert_eq!(fs::read(fs.path().join("f")).unwrap()[5000], 0);
    fs.flip_bit("f", 5000, 3).unwrap();
    assert_eq!(fs::read(fs.path().join("f")).unwrap()[5000], 8);
    assert!(fs.flip_bit("f", 8192, 0).is_err());
}
