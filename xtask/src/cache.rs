//! Where things live: the checkout, and the cache folder outside of it (`LOGSPINE_CACHE`, else `~/.cache/logspine`).
//!
//! Invariants: nothing that is built or downloaded lands in the checkout; every entry of the cache can be deleted
//! at any time and is made again. Called by every command.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// The root of the checkout: the parent of this crate's folder.
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the checkout")
}

/// The cache folder and the paths inside it.
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    pub fn open() -> anyhow::Result<Cache> {
        let root = match std::env::var_os("LOGSPINE_CACHE") {
            Some(path) if !path.is_empty() => PathBuf::from(path),
            _ => match std::env::var_os("HOME") {
                Some(home) => PathBuf::from(home).join(".cache/logspine"),
                None => bail!(
                    "neither LOGSPINE_CACHE nor HOME is set: set LOGSPINE_CACHE to a folder for build output"
                ),
            },
        };
        std::fs::create_dir_all(&root)
            .with_context(|| format!("cannot create the cache folder {}", root.display()))?;
        Ok(Cache { root: root.canonicalize()? })
    }

    /// Cargo's target folder: the caller's own choice wins.
    pub fn target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.root.join("target"), PathBuf::from)
    }

    /// The file or folder of this name in the cache; its parent exists.
    pub fn path(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.root.join(name);
        let parent = path.parent().expect("a name in the cache has a parent");
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        Ok(path)
    }

    /// The folder of this name in the cache, made if it is not there.
    pub fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.root.join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(path)
    }
}
