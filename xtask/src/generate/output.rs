//! Generated files on their way to disk: formatted by rustfmt, then written, or compared with what is there.
//!
//! A file that nothing generates any more is removed, or reported, as well: the folders of generated code hold
//! nothing else.

use anyhow::{Context, bail, ensure};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The command that mends drift.
const MEND: &str = "cargo xtask generate";

/// One generated file.
pub struct Output {
    /// From the root of the repository.
    pub path: String,
    pub code: String,
}

impl Output {
    /// `path` is relative to the protocol crate's sources.
    pub fn new(path: &str, code: String) -> Output {
        Output { path: format!("{}/{path}", super::SOURCE), code }
    }

    /// Lays the code out as `cargo fmt` would.
    pub fn format(&mut self) -> anyhow::Result<()> {
        let mut rustfmt = Command::new("rustfmt")
            .args(["--edition", "2024", "--quiet", "--config-path"])
            .arg(repository_root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("rustfmt is missing: `rustup component add rustfmt` installs it")?;
        let mut stdin = rustfmt.stdin.take().context("rustfmt has no standard input")?;
        stdin.write_all(self.code.as_bytes())?;
        drop(stdin);
        let output = rustfmt.wait_with_output()?;
        ensure!(output.status.success(), "rustfmt refuses {}:\n{}", self.path, self.code);
        self.code = String::from_utf8(output.stdout)?;
        Ok(())
    }
}

/// The folder with the workspace's `Cargo.toml`.
pub fn repository_root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let manifest = manifest.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    manifest.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Writes what differs, removes what is no longer generated, and says how many files that were.
pub fn write(root: &Path, outputs: &[Output], folders: &[String]) -> anyhow::Result<usize> {
    let mut changed = 0;
    for output in outputs {
        let path = root.join(&output.path);
        if std::fs::read_to_string(&path).is_ok_and(|current| current == output.code) {
            continue;
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, &output.code).with_context(|| format!("cannot write {}", output.path))?;
        changed += 1;
    }
    for stale in stale(root, outputs, folders)? {
        std::fs::remove_file(root.join(&stale))?;
        changed += 1;
    }
    Ok(changed)
}

/// Fails with the name of every file that is not what its schemas say.
pub fn check(root: &Path, outputs: &[Output], folders: &[String]) -> anyhow::Result<()> {
    let mut drifted = Vec::new();
    for output in outputs {
        match std::fs::read_to_string(root.join(&output.path)) {
            Ok(current) if current == output.code => {}
            Ok(_) => drifted.push(format!("{} differs from its schema", output.path)),
            Err(_) => drifted.push(format!("{} is missing", output.path)),
        }
    }
    drifted.extend(
        stale(root, outputs, folders)?.into_iter().map(|path| format!("{path} is not generated any more")),
    );
    if !drifted.is_empty() {
        bail!("generated code has drifted:\n  {}\n`{MEND}` mends it", drifted.join("\n  "));
    }
    Ok(())
}

/// Files in the folders of generated code that are not among the outputs.
fn stale(root: &Path, outputs: &[Output], folders: &[String]) -> anyhow::Result<Vec<String>> {
    let current: BTreeSet<&str> = outputs.iter().map(|output| output.path.as_str()).collect();
    let mut stale = Vec::new();
    for folder in folders {
        let Ok(entries) = std::fs::read_dir(root.join(folder)) else { continue };
        for entry in entries {
            let path = format!("{folder}/{}", entry?.file_name().to_string_lossy());
            if path.ends_with(".rs") && !current.contains(path.as_str()) {
                stale.push(path);
            }
        }
    }
    stale.sort();
    Ok(stale)
}
