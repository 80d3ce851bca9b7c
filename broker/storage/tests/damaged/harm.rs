//! What may happen to a file, and what of the log may be lost by it.

use std::path::{Path, PathBuf};

use logspine_storage::Disk;
use logspine_storage::disk::Access;
use logspine_storage::sim_disk::Rng;

use crate::life::{Life, partition_dir};
use crate::support::DATA_DIR;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Truncated,
    Emptied,
    /// Random bytes, as many as there were.
    Filled,
    Flipped,
    /// Of a segment's file: the name of another base offset.
    Renamed {
        to: i64,
    },
    /// A directory of that name in its place.
    Directory,
    /// It cannot be opened.
    Denied,
}

#[derive(Debug, Clone)]
pub struct Harm {
    pub path: PathBuf,
    pub kind: Kind,
    /// From this byte on the file is not what it was.
    pub position: u64,
}

impl Harm {
    pub fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap()
    }

    pub fn is_log(&self) -> bool {
        self.name().ends_with(".log")
    }
}

const KINDS: [Kind; 7] = [
    Kind::Truncated,
    Kind::Emptied,
    Kind::Filled,
    Kind::Flipped,
    Kind::Renamed { to: 0 },
    Kind::Directory,
    Kind::Denied,
];

/// Files of the partition and of the data directory that the broker wrote.
fn targets(life: &Life) -> Vec<PathBuf> {
    let list = |dir: &Path| {
        life.disk
            .list(dir)
            .unwrap()
            .into_iter()
            .filter(|entry| !entry.is_dir)
            .map(|entry| dir.join(entry.name))
            .collect::<Vec<_>>()
    };
    let mut files = list(&partition_dir());
    files.extend(list(Path::new(DATA_DIR)));
    files.retain(|path| life.foreign.iter().all(|(foreign, _)| foreign != path) && !path.ends_with(".lock"));
    files
}

/// Harms one file.
pub fn strike(rng: &mut Rng, life: &Life) -> Harm {
    let files = targets(life);
    let path = files[rng.below(files.len() as u64) as usize].clone();
    let kind = KINDS[rng.below(KINDS.len() as u64) as usize];
    let is_of_segment = path.file_name().unwrap().to_str().unwrap().starts_with("000");
    let kind = match kind {
        Kind::Renamed { .. } if is_of_segment => Kind::Renamed { to: rename(rng, life, &path) },
        Kind::Renamed { .. } => Kind::Filled,
        kind => kind,
    };
    let position = apply(rng, life, &path, kind);
    Harm { path, kind, position }
}

fn apply(rng: &mut Rng, life: &Life, path: &Path, kind: Kind) -> u64 {
    let disk = &life.disk;
    if matches!(kind, Kind::Renamed { .. }) {
        return 0;
    }
    let len = disk.open(path, Access::Read).and_then(|file| file.len_bytes()).unwrap_or(0);
    let at = rng.below(len);
    match kind {
        Kind::Truncated => disk.damage(path, |bytes| bytes.truncate(at as usize)).unwrap(),
        Kind::Emptied => disk.damage(path, Vec::clear).unwrap(),
        Kind::Filled => {
            disk.damage(path, |bytes| bytes.iter_mut().for_each(|byte| *byte = rng.next_u64() as u8))
                .unwrap();
        }
        Kind::Flipped => {
            disk.damage(path, |bytes| {
                if let Some(byte) = bytes.get_mut(at as usize) {
                    *byte ^= 1 << rng.below(8);
                }
            })
            .unwrap();
        }
        Kind::Directory => {
            disk.remove_file(path).unwrap();
            disk.create_dir(path).unwrap();
        }
        Kind::Renamed { .. } | Kind::Denied => {}
    }
    match kind {
        Kind::Truncated | Kind::Flipped => at,
        _ => 0,
    }
}

/// To a base offset that no other such file has, which is returned.
fn rename(rng: &mut Rng, life: &Life, path: &Path) -> i64 {
    let suffix = path.file_name().unwrap().to_str().unwrap()[20..].to_owned();
    let (base, to) = loop {
        let base = rng.below(life.log_end as u64 + 20) as i64;
        let to = path.with_file_name(format!("{base:020}{suffix}"));
        if life.disk.open(&to, Access::Read).is_err() {
            break (base, to);
        }
    };
    life.disk.rename(path, &to).unwrap();
    base
}
