//! Debian packages: installed by us, but only as root, and only after saying so.
//!
//! Invariants: a package that is there is never touched; without root the command to type is given instead.
//! `unpack` takes single programs out of a package without installing it, so that no service is started.
//! Called before a stage or command that needs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::cache::Cache;
use crate::console::{Step, say};
use crate::process::Program;
use crate::tools;

/// Makes sure that these packages are installed; `purpose` completes "... needs".
pub fn ensure(packages: &[&str], purpose: &str) -> anyhow::Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("{purpose} needs what Debian calls {names}: install them with your system's package tool.");
    }
    if !tools::is_root() {
        bail!("{purpose} needs Debian packages that are missing: sudo apt-get install {names}.");
    }
    say(&format!("{purpose} needs Debian packages that are missing; installing as root: {names}"));
    let step = Step::start("Installing Debian packages", "");
    let apt = |arguments: &[&str]| {
        Program::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").run(Some(&step))
    };
    apt(&["update", "-qq"]).context("the list of Debian packages could not be refreshed")?;
    apt(&[&["install", "-y", "-qq", "--no-install-recommends"], missing.as_slice()].concat())?;
    step.finish(&names);
    Ok(())
}

/// The package's files in a folder of the cache, without installing it.
pub fn unpack(cache: &Cache, package: &str) -> anyhow::Result<PathBuf> {
    let folder = cache.folder(&format!("debian/{package}"))?;
    let root = folder.join("root");
    if root.is_dir() {
        return Ok(root);
    }
    let step = Step::start(&format!("Unpacking Debian's {package}"), "");
    let download =
        || Program::new("apt-get").args(["download", "-qq", package]).folder(&folder).run(Some(&step));
    if download().is_err() {
        // A new machine has no list of packages yet; refreshing it needs root, downloading does not.
        Program::new("apt-get").args(["update", "-qq"]).run(Some(&step))?;
        download()?;
    }
    let entries = std::fs::read_dir(&folder)?.flatten().map(|entry| entry.path());
    let archive = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .max()
        .with_context(|| format!("apt-get download {package} left no archive"))?;
    let partial = folder.join("partial");
    let _ = std::fs::remove_dir_all(&partial);
    Program::new("dpkg").arg("-x").arg(&archive).arg(&partial).run(Some(&step))?;
    std::fs::rename(&partial, &root)?;
    step.finish("");
    Ok(root)
}

fn is_installed(package: &str) -> bool {
    let query = Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output();
    query.is_ok_and(|output| output.stdout == b"installed")
}
