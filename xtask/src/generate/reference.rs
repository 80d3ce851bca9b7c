//! The pages under `docs/reference` that our own programs print from their tables.
//!
//! xtask knows none of our crates, so it runs `logspine reference PAGE`, built as for any test. The operator's page
//! is written by its own test. Called by `generate`.

use std::process::Command;

use anyhow::{Context as _, ensure};

use super::output::Output;
use crate::cache::checkout;
use crate::console::Step;
use crate::process::tail;

/// Pages of the broker; each is a word of `logspine reference`.
const PAGES: &[&str] = &["api", "configs", "metrics"];

/// Every page as it should stand in the repository.
pub fn pages() -> anyhow::Result<Vec<Output>> {
    let step = Step::start("Printing the reference pages", "builds the broker if need be");
    let pages: anyhow::Result<Vec<Output>> = PAGES.iter().map(|page| print(page)).collect();
    step.finish("");
    pages
}

fn print(page: &str) -> anyhow::Result<Output> {
    // Warnings of a build go to standard error, so they do not get into the page.
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["run", "--locked", "--quiet", "--package", "logspine", "--", "reference", page])
        .current_dir(checkout())
        .output()
        .context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "`logspine reference {page}` failed:\n{}",
        tail(&String::from_utf8_lossy(&output.stderr))
    );
    Ok(Output { path: format!("docs/reference/{page}.md"), code: String::from_utf8(output.stdout)? })
}
