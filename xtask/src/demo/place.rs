//! Where a story happens: on this machine or in Kubernetes. The story itself does not know.
//!
//! Implemented by `local` and `kubernetes`, used by `story`.

use std::process::Child;

/// A running broker and the ways to reach it.
pub trait Place: Sync {
    /// Runs a shell line where kcat is, and returns what it wrote; `$BROKERS` holds the bootstrap address.
    fn shell(&self, line: &str) -> anyhow::Result<String>;

    /// The bootstrap address for Apache's tools, which run on this machine; nothing if they cannot reach it.
    fn address_for_tools(&self) -> Option<String>;

    /// Kills the broker without a word, and says how.
    fn kill_broker(&self) -> anyhow::Result<String>;

    /// Waits until the broker serves again; the bound is the place's own.
    fn await_broker(&self) -> anyhow::Result<()>;

    /// `host:port` of the broker's metrics as this machine reaches them, and what must live on meanwhile.
    fn metrics(&self) -> anyhow::Result<(String, Option<Background>)>;

    /// The partitions of the topic, for the words of the story.
    fn topic(&self) -> &str {
        "orders"
    }
}

/// A program that runs in the background and ends with this value, by its id.
pub struct Background(pub Child);

impl Drop for Background {
    fn drop(&mut self) {
        crate::process::end_tree(self.0.id());
        // The process is gone; this only takes its exit status from the kernel.
        let _ = self.0.wait();
    }
}
