//! A disk that does not let anybody open one path, whoever runs the test: root reads files without permission.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use logspine_storage::disk::{Access, Disk, DiskFile, DiskLock, Entry, Space};
use logspine_storage::sim_disk::SimDisk;

#[derive(Debug)]
pub struct Denying {
    pub disk: SimDisk,
    pub denied: Mutex<Vec<PathBuf>>,
}

impl Disk for Denying {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        if self.denied.lock().unwrap().iter().any(|denied| denied == path)
            && self.disk.open(path, Access::Read).is_ok()
        {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.disk.open(path, access)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)?;
        for denied in self.denied.lock().unwrap().iter_mut().filter(|denied| *denied == from) {
            *denied = to.to_path_buf();
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.disk.lock(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.disk.space(path)
    }
}
