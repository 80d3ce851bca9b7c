//! `docs/reliability/ledger.md`: what was tested how often, on which commit, with which seeds. Lines are only added.
//!
//! A table for people that a script can read, too: one line a campaign, seven columns.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;

use super::campaign::State;
use crate::cache::checkout;
use crate::process::Program;

pub const PATH: &str = "docs/reliability/ledger.md";

/// The commit of the checkout, short; with a `+` if it was changed.
pub fn commit() -> anyhow::Result<String> {
    let git = |arguments: &[&str]| Program::new("git").args(arguments).folder(checkout()).run(None);
    let commit = git(&["rev-parse", "--short=10", "HEAD"])?;
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.trim().is_empty();
    Ok(format!("{}{}", commit.trim(), if changed { "+" } else { "" }))
}

/// A campaign's line.
pub fn line(name: &str, figure: &str, state: &State, result: &str) -> anyhow::Result<String> {
    let date = Program::new("date").args(["-u", "+%F"]).run(None)?;
    let seeds = if state.next_seed > state.first_seed + 1 {
        format!("{} to {}", state.first_seed, state.next_seed - 1)
    } else {
        state.first_seed.to_string()
    };
    let State { commit, done, checked, .. } = state;
    let mut checked = format!("{checked} {}", figure.trim_end_matches(" checked"));
    for (name, count) in &state.faults {
        checked += &format!(", {count} {}", name.trim_start_matches("simulated "));
    }
    Ok(format!("| {} | {commit} | {name} | {done} | {seeds} | {checked} | {result} |", date.trim()))
}

/// Adds a line at the end.
pub fn append(path: &Path, line: &str) -> anyhow::Result<()> {
    let mut file = std::fs::OpenOptions::new().append(true).open(path);
    let file = file.as_mut().map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    writeln!(file, "{line}").with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_the_table_and_is_added_at_its_end() {
        let state = State {
            wanted: 100,
            done: 100,
            first_seed: 7,
            next_seed: 9,
            checked: 1234,
            faults: [("simulated torn sectors".to_owned(), 5)].into(),
            commit: "0123456789".to_owned(),
        };
        let line = line("power cut", "acknowledged records checked", &state, "0 lost").unwrap();
        assert!(line.ends_with(
            " | 0123456789 | power cut | 100 | 7 to 8 | 1234 acknowledged records, 5 torn sectors | 0 lost |"
        ));
        let header = include_str!("../../../docs/reliability/ledger.md");
        let columns = |line: &str| line.matches('|').count();
        let last = header.lines().last().unwrap();
        assert_eq!(columns(&line), columns(last));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.md");
        std::fs::write(&path, header).unwrap();
        append(&path, &line).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{header}{line}\n"));
    }
}
