//! What the page cache holds of a file, and making it forget: as any program may, without privileges.

use std::fs::File;
use std::process::Command;

/// Drops a file from the page cache. It must have been synced.
pub fn drop_file(file: &File) {
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

/// Bytes of a file that are in the page cache, by util-linux's `fincore`.
pub fn resident_bytes(path: &std::path::Path) -> u64 {
    let output =
        Command::new("fincore").args(["--bytes", "--noheadings", "--output", "RES"]).arg(path).output();
    let output = output.expect("fincore is a part of util-linux");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
}
