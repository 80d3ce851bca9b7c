//! The simulator itself keeps what it promises, or no test above it means anything.

use super::*;
use crate::disk::{create_dir_all, read_file, replace_file};

fn content(disk: &SimDisk, path: &str) -> Vec<u8> {
    read_file(disk, Path::new(path)).unwrap().unwrap()
}

fn write(disk: &SimDisk, path: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = disk.open(Path::new(path), Access::Write).unwrap();
    file.write_at(&[IoSlice::new(bytes)], 0).unwrap();
    file
}

#[test]
fn what_is_synced_with_its_name_survives_every_cut() {
    for seed in 0..200 {
        let disk = SimDisk::new();
        write(&disk, "/f", b"synced").sync_data().unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        write(&disk, "/f", b"SYNCED and more");
        disk.power_cut(seed);
        let content = content(&disk, "/f");
        // Behind the synced bytes a hole may be left: the size survived, the bytes did not.
        assert!(content[..6].eq_ignore_ascii_case(b"synced"), "seed {seed}: {content:?}");
    }
}

#[test]
fn a_name_or_bytes_without_sync_are_lost_under_some_seed() {
    let survives = |sync_file: bool, sync_dir: bool, seed| {
        let disk = SimDisk::new();
        let file = write(&disk, "/f", b"bytes");
        if sync_file {
            file.sync_data().unwrap();
        }
        if sync_dir {
            disk.sync_dir(Path::new("/")).unwrap();
        }
        disk.power_cut(seed);
        read_file(&disk, Path::new("/f")).unwrap().is_some_and(|content| content == b"bytes")
    };
    assert!((0..100).all(|seed| survives(true, true, seed)));
    assert!((0..100).any(|seed| !survives(false, true, seed)));
    assert!((0..100).any(|seed| !survives(true, false, seed)));
    assert!((0..100).any(|seed| survives(false, false, seed)));
}

#[test]
fn a_replaced_file_is_old_or_new_at_every_operation() {
    for cut in 1..20 {
        for seed in 0..50 {
            let disk = SimDisk::new();
            create_dir_all(&disk, Path::new("/d")).unwrap();
            replace_file(&disk, Path::new("/d/f"), b"old").unwrap();
            disk.cut_power_after(cut);
            let replaced = replace_file(&disk, Path::new("/d/f"), b"new, longer");
            disk.power_cut(seed);
            let content = read_file(&disk, Path::new("/d/f")).unwrap().unwrap();
            assert!(
                content == b"new, longer" || (content == b"old" && replaced.is_err()),
                "cut {cut} seed {seed}"
            );
        }
    }
}

#[test]
fn a_sync_that_failed_is_not_repaired_by_one_that_succeeds() {
    let is_lost = |operations_before: u64| {
        let disk = SimDisk::new();
        (0..operations_before).for_each(|_| disk.sync_dir(Path::new("/")).unwrap());
        let file = write(&disk, "/f", b"lost");
        disk.sync_dir(Path::new("/")).unwrap();
        disk.fail_syncs(1);
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        assert_eq!(content(&disk, "/f"), b"lost", "the page cache still shows it");
        disk.power_cut(1);
        content(&disk, "/f") != b"lost"
    };
    assert!((0..20).any(is_lost), "some of what a failed sync dropped is gone");
    assert!(!(0..20).all(is_lost), "and some of it was written before the failure");
}

#[test]
fn a_full_disk_takes_what_fits_and_says_so() {
    let disk = SimDisk::new();
    disk.set_free_bytes(Some(6));
    let file = write(&disk, "/f", b"1234");
    let error = file.write_at(&[IoSlice::new(b"5678")], 4).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.len_bytes().unwrap(), 6);
    file.write_at(&[IoSlice::new(b"over")], 0).unwrap();
}

#[test]
fn a_recording_played_again_is_the_same_disk_under_every_seed() {
    let disk = SimDisk::new();
    disk.record();
    create_dir_all(&disk, Path::new("/a")).unwrap();
    write(&disk, "/a/f", b"one").sync_data().unwrap();
    replace_file(&disk, Path::new("/a/g"), b"two").unwrap();
    write(&disk, "/a/f", b"three");
    disk.rename(Path::new("/a/g"), Path::new("/a/h")).unwrap();
    let mut replay = Replay::new();
    disk.recorded().iter().for_each(|op| replay.apply(op));
    assert_eq!(disk.recorded().len() as u64, disk.operations());
    for seed in 0..50 {
        let twin = SimDisk(Arc::new(Mutex::new(Inner {
            state: replay.power_cut(seed).0.lock().state.crash(&mut Rng::new(0), &mut FaultCounts::default()),
            ..Inner::default()
        })));
        assert_eq!(replay.power_cut(seed).dump(), twin.dump());
    }
}

#[test]
fn handles_and_locks_end_with_the_power() {
    let disk = SimDisk::new();
    let file = write(&disk, "/f", b"x");
    let lock = disk.lock(Path::new("/l")).unwrap();
    assert!(disk.lock(Path::new("/l")).unwrap().is_none());
    disk.power_cut(0);
    assert!(file.len_bytes().is_err());
    let again = disk.lock(Path::new("/l")).unwrap();
    drop(lock);
    assert!(again.is_some() && disk.lock(Path::new("/l")).unwrap().is_none());
}

/// What is seen under many seeds after a cut.
fn outcomes<T: Ord>(prepare: impl Fn(&SimDisk), look: impl Fn(&SimDisk) -> T) -> BTreeSet<T> {
    let outcome = |seed| {
        let disk = SimDisk::new();
        prepare(&disk);
        disk.power_cut(seed);
        look(&disk)
    };
    (0..500).map(outcome).collect()
}

#[test]
fn writes_are_torn_at_sectors_and_reordered() {
    let seen = outcomes(
        |disk| {
            let file = write(disk, "/f", &[1; 1024]);
            disk.sync_dir(Path::new("/")).unwrap();
            file.sync_data().unwrap();
            file.write_at(&[IoSlice::new(&[2; 512])], 0).unwrap();
            file.write_at(&[IoSlice::new(&[3; 512])], 512).unwrap();
        },
        |disk| {
            let content = content(disk, "/f");
            (content[0], content[511], content[512], content[1023])
        },
    );
    for whole_sectors in [(1, 1, 1, 1), (2, 2, 1, 1), (1, 1, 3, 3), (2, 2, 3, 3)] {
        assert!(seen.contains(&whole_sectors), "{whole_sectors:?} of {seen:?}");
    }
}

#[test]
fn a_truncation_and_the_append_after_it_are_lost_apart() {
    let seen = outcomes(
        |disk| {
            let file = write(disk, "/f", &[1; 1024]);
            disk.sync_dir(Path::new("/")).unwrap();
            file.sync_data().unwrap();
            file.truncate(512).unwrap();
            file.write_at(&[IoSlice::new(&[2; 128])], 512).unwrap();
        },
        |disk| {
            let content = content(disk, "/f");
            (content.len(), content.get(512).copied())
        },
    );
    let (neither, both) = ((1024, Some(1)), (640, Some(2)));
    let (append_alone, truncation_alone, size_alone) = ((1024, Some(2)), (512, None), (640, Some(0)));
    for outcome in [neither, both, append_alone, truncation_alone, size_alone] {
        assert!(seen.contains(&outcome), "{outcome:?} of {seen:?}");
    }
}

#[test]
fn names_that_were_not_synced_are_lost_each_apart_and_whole() {
    let seen = outcomes(
        |disk| {
            write(disk, "/old", b"1");
            write(disk, "/gone", b"2");
            disk.sync_dir(Path::new("/")).unwrap();
            write(disk, "/made", b"3");
            disk.rename(Path::new("/old"), Path::new("/new")).unwrap();
            disk.remove_file(Path::new("/gone")).unwrap();
        },
        |disk| {
            let names = disk.list(Path::new("/")).unwrap();
            names.into_iter().map(|entry| entry.name).collect::<Vec<_>>().join(" ")
        },
    );
    let mut expected = BTreeSet::new();
    for (gone, made, renamed) in (0..8).map(|bits| (bits & 1 > 0, bits & 2 > 0, bits & 4 > 0)) {
        let mut names = vec![if renamed { "new" } else { "old" }];
        names.extend((!gone).then_some("gone").into_iter().chain(made.then_some("made")));
        names.sort_unstable();
        expected.insert(names.join(" "));
    }
    assert_eq!(seen, expected);
}

#[test]
fn a_full_disk_makes_no_names_and_works_again_when_room_comes_back() {
    let disk = SimDisk::new();
    let file = write(&disk, "/f", b"1234");
    disk.set_free_bytes(Some(0));
    let full = |result: io::Result<()>| result.unwrap_err().kind() == io::ErrorKind::StorageFull;
    assert!(full(disk.open(Path::new("/g"), Access::Write).map(|_| ())));
    assert!(full(disk.create_dir(Path::new("/d"))));
    assert!(full(disk.rename(Path::new("/f"), Path::new("/h"))));
    assert!(full(file.write_at(&[IoSlice::new(b"5")], 4)));
    assert!(full(replace_file(&disk, Path::new("/f"), b"new")));
    file.sync_data().unwrap();
    assert_eq!(content(&disk, "/f"), b"1234");
    disk.set_free_bytes(None);
    replace_file(&disk, Path::new("/f"), b"new").unwrap();
    assert_eq!(content(&disk, "/f"), b"new");
}

#[test]
fn a_fault_hits_the_operation_it_was_placed_at_and_no_other() {
    for (skip, expected) in [(0, "create"), (1, "write"), (2, "sync"), (3, "sync_dir")] {
        let disk = SimDisk::new();
        disk.fail_operation(skip, io::ErrorKind::Other);
        let opened = disk.open(Path::new("/f"), Access::Write);
        let failed = match opened {
            Err(_) => "create",
            Ok(file) if file.write_at(&[IoSlice::new(b"x")], 0).is_err() => "write",
            Ok(file) if file.sync_data().is_err() => "sync",
            Ok(_) if disk.sync_dir(Path::new("/")).is_err() => "sync_dir",
            Ok(_) => "none",
        };
        assert_eq!(failed, expected);
    }
}

#[test]
fn reads_fail_or_come_short_on_cue_and_rot_is_seen() {
    let disk = SimDisk::new();
    write(&disk, "/f", &[0; 4096]);
    disk.fail_reads(1);
    assert!(read_file(&disk, Path::new("/f")).is_err());
    disk.shorten_reads(1);
    let before = disk.reads();
    assert_eq!(content(&disk, "/f").len(), 4096);
    (0..50).for_each(|_| drop(content(&disk, "/f")));
    assert!(disk.reads() > before + 51, "some reads were short");
    disk.damage(Path::new("/f"), |bytes| bytes[77] ^= 4).unwrap();
    disk.power_cut(3);
    assert!(disk.list(Path::new("/")).unwrap().is_empty() || content(&disk, "/f")[77] == 4);
}
