//! docs/benchmarks and the README's table, from the committed results alone.
//!
//! Invariants: the same results give the same bytes, so a test can hold the pages to the results; cells without a result
//! and aims that are not met are named, never left out. Called by the benchmark, by people and by a test.

mod charts;
mod judge;
mod pages;
mod svg;

use std::path::PathBuf;

use anyhow::{Context as _, bail};

use super::cells::CELLS;
use super::results::{CellResult, Folder};
use crate::cache::checkout;
use crate::console::say;

/// The README's table stands between these lines.
const BEGIN: &str = "<!-- benchmarks: cargo xtask bench report -->";
const END: &str = "<!-- end of benchmarks -->";

/// Writes the pages, or with `check` only says if they are right.
pub fn run(check: bool) -> anyhow::Result<()> {
    let mut stale = Vec::new();
    for (path, text) in files()? {
        let before = std::fs::read_to_string(checkout().join(&path)).unwrap_or_default();
        if before == text {
            continue;
        }
        if check {
            stale.push(path.display().to_string());
        } else {
            std::fs::write(checkout().join(&path), text)?;
            say(&format!("wrote {}", path.display()));
        }
    }
    if !stale.is_empty() {
        bail!("not what the results say: {}; run cargo xtask bench report", stale.join(", "));
    }
    Ok(())
}

/// The summary of a folder of results, for a person.
pub fn print(folder: &Folder) -> anyhow::Result<()> {
    println!("{}", pages::summary(&read(folder)?));
    Ok(())
}

fn read(folder: &Folder) -> anyhow::Result<Vec<CellResult>> {
    let results = CELLS.iter().map(|cell| folder.read(cell.id)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(results.into_iter().flatten().collect())
}

/// Every file that the results decide, by its path in the checkout.
fn files() -> anyhow::Result<Vec<(PathBuf, String)>> {
    let results = read(&Folder::committed())?;
    let readme = std::fs::read_to_string(checkout().join("README.md"))?;
    let mut files = vec![
        (PathBuf::from("README.md"), with_table(&readme, &pages::readme_table(&results))?),
        (PathBuf::from("docs/benchmarks/README.md"), pages::page(&results)),
    ];
    for (name, svg) in charts::all(&results) {
        files.push((PathBuf::from(format!("docs/benchmarks/{name}.svg")), svg));
    }
    Ok(files)
}

fn with_table(readme: &str, table: &str) -> anyhow::Result<String> {
    let (before, rest) =
        readme.split_once(BEGIN).with_context(|| format!("the README lacks the line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("the README lacks the line {END}"))?;
    Ok(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_pages_are_what_the_committed_results_say() {
        run(true).expect("up to date");
    }

    #[test]
    fn the_table_stands_between_its_markers() {
        let readme = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let new = with_table(&readme, "| new |").expect("markers");
        assert_eq!(new, format!("a\n{BEGIN}\n\n| new |\n{END}\nb\n"));
        assert_eq!(with_table(&new, "| new |").expect("markers"), new);
        assert!(with_table("no markers", "").is_err());
    }
}
