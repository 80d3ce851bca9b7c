//! One layer of an image: a tar whose bytes depend on nothing but what is inside.
//!
//! Invariants: entries sorted by path, parents before children, time zero, owner root unless said otherwise.
//! Called by the images.

use std::collections::BTreeMap;

use anyhow::Context as _;
use tar::{Builder, EntryType, Header};

use crate::cache::Cache;
use crate::debian;
use crate::image::USER_ID;

enum Kind {
    Folder,
    File(Vec<u8>),
    Link(String),
}

struct Entry {
    kind: Kind,
    mode: u32,
    owner: u64,
}

/// The files of one layer, by path without leading slash.
#[derive(Default)]
pub struct Layer {
    entries: BTreeMap<String, Entry>,
}

impl Layer {
    pub fn file(mut self, path: &str, bytes: Vec<u8>, mode: u32) -> Layer {
        self.put(path, Entry { kind: Kind::File(bytes), mode, owner: 0 });
        self
    }

    pub fn link(mut self, path: &str, target: &str) -> Layer {
        self.put(path, Entry { kind: Kind::Link(target.to_owned()), mode: 0o777, owner: 0 });
        self
    }

    pub fn folder(mut self, path: &str, mode: u32, owner: u64) -> Layer {
        self.put(path, Entry { kind: Kind::Folder, mode, owner });
        self
    }

    fn put(&mut self, path: &str, entry: Entry) {
        let path = path.trim_matches('/');
        for (at, _) in path.match_indices('/') {
            let parent = Entry { kind: Kind::Folder, mode: 0o755, owner: 0 };
            self.entries.entry(path[..at].to_owned()).or_insert(parent);
        }
        self.entries.insert(path.to_owned(), entry);
    }

    /// The layer as an uncompressed tar.
    pub fn tar(&self) -> anyhow::Result<Vec<u8>> {
        let mut builder = Builder::new(Vec::new());
        for (path, entry) in &self.entries {
            let mut header = Header::new_gnu();
            header.set_mode(entry.mode);
            header.set_mtime(0);
            header.set_uid(entry.owner);
            header.set_gid(entry.owner);
            header.set_size(0);
            match &entry.kind {
                Kind::Folder => {
                    header.set_entry_type(EntryType::Directory);
                    builder.append_data(&mut header, format!("{path}/"), std::io::empty())?;
                }
                Kind::File(bytes) => {
                    header.set_entry_type(EntryType::Regular);
                    header.set_size(bytes.len() as u64);
                    builder.append_data(&mut header, path, bytes.as_slice())?;
                }
                Kind::Link(target) => {
                    header.set_entry_type(EntryType::Symlink);
                    builder.append_link(&mut header, path, target)?;
                }
            }
        }
        builder.into_inner().context("a tar in memory cannot fail to be written")
    }
}

/// What every image of ours stands on: a user, Mozilla's certificates, a folder for data, nothing else.
pub fn base(cache: &Cache) -> anyhow::Result<Layer> {
    let passwd = format!(
        "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:{USER_ID}:{USER_ID}:nonroot:/var/lib/logspine:/sbin/nologin\n"
    );
    let group = format!("root:x:0:\nnonroot:x:{USER_ID}:\n");
    Ok(Layer::default()
        .file("etc/passwd", passwd.into_bytes(), 0o644)
        .file("etc/group", group.into_bytes(), 0o644)
        .file("etc/ssl/certs/ca-certificates.crt", certificates(cache)?, 0o644)
        .folder("tmp", 0o1777, 0)
        .folder("var/lib/logspine", 0o750, USER_ID))
}

/// Mozilla's certificates from Debian's package: those of the build machine may hold its owner's own.
fn certificates(cache: &Cache) -> anyhow::Result<Vec<u8>> {
    let folder = debian::unpack(cache, "ca-certificates")?.join("usr/share/ca-certificates/mozilla");
    let entries =
        std::fs::read_dir(&folder).with_context(|| format!("no certificates in {}", folder.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut bundle = Vec::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "crt")) {
        bundle.extend(std::fs::read(path)?);
    }
    anyhow::ensure!(!bundle.is_empty(), "no certificate in {}", folder.display());
    Ok(bundle)
}

/// The one program of an image.
pub fn program(name: &str, binary: Vec<u8>) -> anyhow::Result<Layer> {
    Ok(Layer::default().file(&format!("usr/bin/{name}"), binary, 0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_adding_does_not_change_a_byte() {
        let one = Layer::default().file("b/x", b"1".to_vec(), 0o644).folder("a", 0o755, 0).link("c", "b/x");
        let two = Layer::default().link("c", "b/x").folder("a", 0o755, 0).file("b/x", b"1".to_vec(), 0o644);
        assert_eq!(one.tar().expect("in memory"), two.tar().expect("in memory"));
    }

    #[test]
    fn parents_come_before_children_and_keep_their_own_mode() {
        let layer = Layer::default().folder("tmp", 0o1777, 0).file("tmp/deep/x", Vec::new(), 0o600);
        let tar = layer.tar().expect("in memory");
        let mut archive = tar::Archive::new(tar.as_slice());
        let entries = archive.entries().expect("our own tar").map(|entry| {
            let entry = entry.expect("our own tar");
            let path = entry.path().expect("UTF-8").display().to_string();
            (path, entry.header().mode().expect("octal"), entry.header().mtime().expect("octal"))
        });
        let found: Vec<(String, u32, u64)> = entries.collect();
        let expected = [
            ("tmp/".to_owned(), 0o1777, 0),
            ("tmp/deep/".to_owned(), 0o755, 0),
            ("tmp/deep/x".to_owned(), 0o600, 0),
        ];
        assert_eq!(found, expected);
    }
}
