//! After a failed sync, refuse: the kernel has dropped the error and perhaps the pages, so a second sync that
//! succeeds proves nothing.
//!
//! Set once, never cleared; only a restart, which recovers from what is really on disk, ends it.

use std::path::Path;
use std::sync::OnceLock;

use crate::error::Poisoned;

/// Whether a log may still be written.
#[derive(Debug, Default)]
pub(crate) struct Poison(OnceLock<Poisoned>);

impl Poison {
    /// Refuses from now on. The first reason stays.
    pub fn set(&self, path: &Path, reason: impl ToString) -> Poisoned {
        self.0.get_or_init(|| Poisoned { path: path.to_path_buf(), reason: reason.to_string() }).clone()
    }

    /// Fails if the log was poisoned.
    pub fn check(&self) -> Result<(), Poisoned> {
        self.0.get().map_or(Ok(()), |poisoned| Err(poisoned.clone()))
    }
}
