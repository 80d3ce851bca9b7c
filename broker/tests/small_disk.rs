//! A real ext4 of 48 MiB that fills up to its last block, and one that is mounted read-only: writes are refused with
//! Kafka's code, reads go on, room that comes back is used, and a start on a read-only disk says why it is none.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use logspine_protocol::error::ErrorCode;
use support::Broker;
use support::calls::{batch, create_topic, delete_topic, fetch, fetch_request, offsets, produce};
use support::raw::RawClient;

const VALUE_BYTES: usize = 512 << 10;
/// More than fit into the file system.
const BATCHES_MAX: i64 = 200;

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output =
        Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {}", said.trim())) }
}

/// A file system in a file, mounted where it is asked for, until it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn at(image: &Path, dir: &Path) -> Result<Mounted, String> {
        std::fs::create_dir_all(dir).unwrap();
        std::fs::File::create(image).unwrap().set_len(48 << 20).unwrap();
        let (image, place) = (image.to_str().unwrap(), dir.to_str().unwrap());
        run("mkfs.ext4", &["-q", "-F", image])?;
        run("mount", &["-o", "loop", image, place])?;
        Ok(Mounted(dir.to_path_buf()))
    }

    fn remount(&self, how: &str) {
        run("mount", &["-o", &format!("remount,{how}"), self.0.to_str().unwrap()]).unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = run("umount", &[self.0.to_str().unwrap()]) {
            eprintln!("{} stays mounted: {error}", self.0.display());
        }
    }
}

#[test]
fn a_disk_that_is_really_full_or_read_only_refuses_what_it_must_and_no_more() {
    let broker = Broker::prepared(&["log.disk.reserve.bytes=2097152", "file.delete.delay.ms=0"]);
    let mounted = match Mounted::at(&broker.dir.path().join("image"), &broker.data_dir()) {
        Ok(mounted) => mounted,
        Err(reason) => return support::skip("small_disk", &reason),
    };
    // The process goes before its file system.
    let mut guarded = Guarded { broker, mounted };
    let Guarded { broker, mounted } = &mut guarded;
    broker.start_again();
    let mut client = RawClient::connect(&broker.address());
    for topic in ["kept", "filler"] {
        create_topic(&mut client, topic, 1, &[]);
    }
    assert_eq!(produce(&mut client, "kept", 0, &batch(1, &["before"])).error_code, 0);
    let large = "x".repeat(VALUE_BYTES);
    let refused = (0..BATCHES_MAX)
        .map(|number| produce(&mut client, "filler", 0, &batch(number, &[&large])).error_code)
        .find(|code| *code != 0);
    assert_eq!(refused, Some(ErrorCode::KafkaStorageError.code()), "the disk is never full");
    assert_eq!(offsets(&fetch(&mut client, &fetch_request("kept", 0, 0, 1_000))), [(0, 0)]);

    broker.kill();
    broker.start_again();
    let mut client = RawClient::connect(&broker.address());
    assert_eq!(offsets(&fetch(&mut client, &fetch_request("kept", 0, 0, 1_000))), [(0, 0)]);
    delete_topic(&mut client, "filler");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while produce(&mut client, "kept", 0, &batch(2, &["after"])).error_code != 0 {
        assert!(std::time::Instant::now() < deadline, "room that came back is not used");
        std::thread::sleep(std::time::Duration::from_millis(50)); // A client's back-off.
    }

    assert!(broker.stop().success());
    mounted.remount("ro");
    let (status, said) = broker.run_to_end(broker.command());
    assert!(!status.success(), "{said}");
    assert!(said.contains("Read-only file system") && said.contains(".lock"), "{said}");
    mounted.remount("rw");
    broker.start_again();
    let mut client = RawClient::connect(&broker.address());
    assert_eq!(offsets(&fetch(&mut client, &fetch_request("kept", 0, 0, 1_000))), [(0, 0), (1, 1)]);
    assert!(broker.stop().success());
    // Before its directory is removed.
    drop(guarded.mounted);
}

/// Fields are dropped in this order.
struct Guarded {
    broker: Broker,
    mounted: Mounted,
}
