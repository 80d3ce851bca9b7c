//! A Python interpreter with the foreign Kafka clients of the tests, named to them by `LOGSPINE_PYTHON`.
//!
//! Invariants: packages are pinned here and live in a folder of the cache; the machine's own Python is not
//! changed. Called by the test table and the tests on Kubernetes.

use std::path::PathBuf;

use crate::cache::Cache;
use crate::console::Step;
use crate::process::Program;
use crate::tools;

/// Names the interpreter to tests.
pub const VARIABLE: &str = "LOGSPINE_PYTHON";

const PACKAGES: &[&str] = &["confluent-kafka==2.16.1"];

/// The interpreter's path, after fetching what is missing.
pub fn with_clients(cache: &Cache) -> anyhow::Result<PathBuf> {
    let folder = cache.folder(&format!("python/{}", PACKAGES.join("+")))?;
    let interpreter = folder.join("python");
    if interpreter.is_file() {
        return Ok(interpreter);
    }
    tools::require(&[&tools::PIP])?;
    let step = Step::start("Fetching the Python client", "");
    let packages = folder.join("packages");
    Program::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--root-user-action",
            "ignore",
        ])
        .args(["--upgrade", "--target"])
        .arg(&packages)
        .args(PACKAGES)
        .run(Some(&step))?;
    let script = format!("#!/bin/sh\nPYTHONPATH='{}' exec python3 \"$@\"\n", packages.display());
    let partial = folder.join("partial");
    std::fs::write(&partial, script)?;
    Program::new("chmod").arg("755").arg(&partial).run(None)?;
    std::fs::rename(&partial, &interpreter)?;
    step.finish("");
    Ok(interpreter)
}
