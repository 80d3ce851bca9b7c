//! Kafka's own `DumpLogSegments` as a judge of the files that a broker left: what it prints, or what it complains of.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// What the tool prints when it does not like a file (`DumpLogSegments.java`); none of it may appear.
const COMPLAINTS: [&str; 12] = [
    "mismatch",
    "Mismatch",
    "out of order",
    "Exception",
    "isvalid: false",
    "corrupt",
    "invalid bytes",
    "Could not",
    "Found invalid messages",
    "Index sanity check failed",
    "not properly closed",
    " is followed by ",
];

/// Files of the data directory whose names end so, grouped by nothing: the tool takes them all at once.
pub fn files(
    data_dir: &Path,
    partition: impl Fn(&str) -> bool,
    suffixes: &[&str],
) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(data_dir)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() || !partition(&entry.file_name().to_string_lossy()) {
            continue;
        }
        for file in std::fs::read_dir(entry.path())? {
            let path = file?.path();
            let is_wanted = path.extension().is_some_and(|end| suffixes.iter().any(|suffix| end == *suffix));
            if is_wanted {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The tool holds -1 for the offset before any file, so it finds a gap at the start of each that is not the first,
/// whoever wrote it. That line alone is no complaint.
pub fn is_complaint(line: &str) -> bool {
    COMPLAINTS.iter().any(|complaint| line.contains(complaint)) && !line.contains("-1 is followed by ")
}

/// What Kafka's `DumpLogSegments` prints of these files; an error if anything of it is a complaint.
pub fn dump(libs: &Path, files: &[PathBuf], options: &[&str]) -> anyhow::Result<String> {
    ensure!(!files.is_empty(), "there is nothing to dump for {options:?}");
    let list: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
    let output = Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-cp", &format!("{}/*", libs.display())])
        .args(["org.apache.kafka.tools.DumpLogSegments", "--deep-iteration"])
        .args(options)
        .args(["--files", &list.join(",")])
        .output()
        .context("cannot run java")?;
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "DumpLogSegments {options:?}: {text}");
    let at = text.lines().position(is_complaint);
    let lines: Vec<_> = text.lines().skip(at.unwrap_or(0)).take(4).collect();
    ensure!(at.is_none(), "DumpLogSegments {options:?} complains: {lines:#?}");
    Ok(text)
}
