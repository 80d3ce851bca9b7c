//! Kafka's own classes as an oracle: where its jars are, and `DumpLogSegments` over files that must be flawless.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The jars, or why the test cannot run.
pub fn kafka_libs(test: &str) -> Option<PathBuf> {
    let libs = std::env::var_os("LOGSPINE_KAFKA_LIBS").map(PathBuf::from).filter(|libs| libs.is_dir());
    let java = Command::new("java").arg("-version").output().is_ok();
    if let (Some(libs), true) = (&libs, java) {
        return Some(libs.clone());
    }
    let words =
        format!("SKIPPED {test}: needs java and LOGSPINE_KAFKA_LIBS, a folder with the jars of Kafka 4.3.1");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{words}");
    println!("{words}");
    None
}

/// Runs the tool over files of one partition.
pub fn dump(libs: &Path, dir: &Path, suffixes: &[&str]) -> String {
    dump_but(libs, dir, suffixes, is_about_the_first_record)
}

/// The same over a compacted partition, whose offsets have gaps but rise.
pub fn dump_with_gaps(libs: &Path, dir: &Path, suffixes: &[&str]) -> String {
    dump_but(libs, dir, suffixes, |line, _| {
        let offsets = line.trim().split_once(" is followed by ");
        let rises = |(a, b): (&str, &str)| Some(a.parse::<i64>().ok()? < b.parse::<i64>().ok()?);
        offsets.and_then(rises).unwrap_or(false)
    })
}

/// Complaints in lines that `is_fine` are none.
fn dump_but(libs: &Path, dir: &Path, suffixes: &[&str], is_fine: impl Fn(&str, &[String]) -> bool) -> String {
    let mut files: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            suffixes.iter().any(|suffix| path.extension().is_some_and(|extension| extension == *suffix))
        })
        .map(|path| path.display().to_string())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no files with {suffixes:?}");
    let output = Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", &format!("{}/*", libs.display())])
        .args(["org.apache.kafka.tools.DumpLogSegments", "--deep-iteration", "--print-data-log", "--files"])
        .arg(files.join(","))
        .output()
        .unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    let lines: Vec<&str> = text.lines().filter(|line| !is_fine(line, &files)).collect();
    for complaint in [
        "mismatch",
        "Mismatch",
        "followed by",
        "out of order",
        "Exception",
        "isvalid: false",
        "corrupt",
        "invalid bytes",
        "not fully",
    ] {
        let line = lines.iter().position(|line| line.contains(complaint));
        let around: Vec<_> = lines.iter().skip(line.unwrap_or_default()).take(5).collect();
        assert!(line.is_none(), "DumpLogSegments complains: {around:#?}");
    }
    text
}

/// The tool of 4.3.1 compares the first record of every uncompressed segment with offset -1 and so complains about
/// each segment that does not start at 0, Kafka's own included: `-1 is followed by 112`, below a heading.
fn is_about_the_first_record(line: &str, files: &[String]) -> bool {
    let Some(first) = line.strip_prefix("  -1 is followed by ") else { return false };
    files.iter().any(|file| file.ends_with(&format!("/{first:0>20}.log")))
}
