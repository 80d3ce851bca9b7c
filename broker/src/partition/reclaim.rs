//! The queue of files to free: one piece, a pause, the next piece, so that a disk that is busy with produce and
//! fetch hardly notices.
//!
//! Fed and driven by the housekeeping thread alone: no unlink and no truncation of a deleted file happens on a
//! network thread or under a partition's lock. A file that a reader holds goes to the end of the queue. The queue
//! holds no more entries than there are deleted files on disk.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use logspine_storage::{Reclaimed, Unlink};
use tracing::error;

/// Between two pieces: as long as a piece takes, so that half of the disk's time is left.
const PAUSE: Duration = Duration::from_millis(20);
/// Before a file is asked for again that a reader holds or that the disk would not let go.
const RETRY: Duration = Duration::from_secs(1);

/// What waits, and until when.
#[derive(Default)]
pub(super) struct Reclaim {
    queue: VecDeque<Unlink>,
    due: Option<Instant>,
}

impl Reclaim {
    /// Takes over what may go.
    pub fn collect(&mut self, unlinks: Vec<Unlink>, now: Instant) {
        if self.queue.is_empty() && !unlinks.is_empty() {
            self.due = Some(now);
        }
        self.queue.extend(unlinks);
    }

    /// When `work` has something to do; `None` if nothing waits.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Frees small files until one piece of a large one is freed, or none is left.
    pub fn work(&mut self, now: Instant) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        let mut pause = RETRY;
        for _ in 0..self.queue.len() {
            let Some(mut unlink) = self.queue.pop_front() else { break };
            match unlink.step() {
                Ok(Reclaimed::All) => {}
                Ok(Reclaimed::Piece) => {
                    self.queue.push_front(unlink);
                    pause = PAUSE;
                    break;
                }
                Ok(Reclaimed::Held) => self.queue.push_back(unlink),
                Err(error) => {
                    error!(path = %unlink.path().display(), "deleted bytes stay for now: {error}");
                    self.queue.push_back(unlink);
                }
            }
        }
        self.due = (!self.queue.is_empty()).then(|| now + pause);
    }
}

#[cfg(test)]
mod tests;
