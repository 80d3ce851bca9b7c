//! The simulator itself keeps what it promises, or no test above it means anything.

use super::*;
use crate::disk::{create_dir_all, read_file, replace_file};

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
        let content = read_file(&disk, Path::new("/f")).unwrap().unwrap();
        assert!(
            content.eq_ignore_ascii_case(&b"synced and more"[..content.len()]),
            "seed {seed}: {content:?}"
        );
        assert!(content.len() >= 6);
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
    let disk = SimDisk::new();
    let file = write(&disk, "/f", b"lost");
    disk.sync_dir(Path::new("/")).unwrap();
    disk.fail_syncs(1);
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    let mut live = [0; 4];
    file.read_at(&mut live, 0).unwrap();
    assert_eq!(&live, b"lost");
    disk.power_cut(1);
    assert_eq!(read_file(&disk, Path::new("/f")).unwrap().unwrap(), b"");
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
            state: replay.power_cut(seed).0.lock().state.crash(&mut Rng::new(0)),
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
