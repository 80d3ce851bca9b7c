//! Directories that somebody may read and must not write to: noted before, compared after.
//!
//! A file counts with its path, its content and the time of its last change. Called by the tests that take over the
//! directories of an Apache Kafka.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::ensure;

type Files = BTreeMap<PathBuf, (SystemTime, Vec<u8>)>;

/// What some directories held.
pub struct Untouched {
    dirs: Vec<PathBuf>,
    before: Files,
}

impl Untouched {
    pub fn note(dirs: &[impl AsRef<Path>]) -> anyhow::Result<Untouched> {
        let dirs: Vec<PathBuf> = dirs.iter().map(|dir| dir.as_ref().to_path_buf()).collect();
        Ok(Untouched { before: files(&dirs)?, dirs })
    }

    /// An error that names some of the files that are not as they were.
    pub fn check(&self) -> anyhow::Result<()> {
        let (before, after) = (&self.before, files(&self.dirs)?);
        let all = before.keys().chain(after.keys());
        let changed: Vec<_> = all.filter(|path| before.get(*path) != after.get(*path)).take(6).collect();
        ensure!(changed.is_empty(), "the directories are not as they were: {changed:?}");
        Ok(())
    }
}

/// Every file below some directories.
fn files(dirs: &[PathBuf]) -> anyhow::Result<Files> {
    let (mut found, mut left) = (Files::new(), dirs.to_vec());
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.is_dir() {
                left.push(path);
            } else {
                found.insert(path.clone(), (path.metadata()?.modified()?, std::fs::read(&path)?));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::Untouched;

    #[test]
    fn a_changed_a_new_and_a_missing_file_are_named() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = |name: &str| dir.path().join("below").join(name);
        std::fs::create_dir(dir.path().join("below"))?;
        for name in ["kept", "changed", "removed"] {
            std::fs::write(path(name), name)?;
        }
        let untouched = Untouched::note(&[dir.path()])?;
        untouched.check()?;
        std::fs::write(path("changed"), "otherwise")?;
        std::fs::write(path("new"), "")?;
        std::fs::remove_file(path("removed"))?;
        let told = untouched.check().expect_err("three files are not as they were").to_string();
        assert!(
            ["changed", "new", "removed"].iter().all(|name| told.contains(&format!("below/{name}"))),
            "{told}"
        );
        assert!(!told.contains("kept"), "{told}");
        Ok(())
    }
}
