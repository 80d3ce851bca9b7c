//! Idempotent acks=all load by librdkafka in the background, and the history of what it was told.
//!
//! The client is `clients/python/idempotent_load.py`, at librdkafka's default settings. A record that the client
//! gives up is an error: the tests that use this promise that no client has to. Used by the crash tests on loopback
//! and on Kubernetes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::checker::{History, Placed};
use crate::foreign;

/// A running load. Dropping it ends the client by its id.
pub struct Load {
    client: Child,
    output: PathBuf,
}

impl Load {
    /// Starts `writers` writers, one per partition, which together send `per_second` records.
    pub fn start(
        bootstrap: &str,
        topic: &str,
        writers: u32,
        per_second: u32,
        dir: &Path,
    ) -> anyhow::Result<Load> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python/idempotent_load.py");
        let output = dir.join("load.out");
        let client = Command::new(foreign::python())
            .arg(script)
            .args([bootstrap, topic, &writers.to_string(), &per_second.to_string()])
            .stdin(Stdio::piped())
            .stdout(std::fs::File::create(&output)?)
            .spawn()
            .context("cannot start the load")?;
        Ok(Load { client, output })
    }

    /// How many records have been acknowledged so far.
    pub fn acknowledged(&self) -> anyhow::Result<usize> {
        let text = std::fs::read_to_string(&self.output)?;
        Ok(text.lines().filter(|line| line.starts_with("ack ")).count())
    }

    /// How much the client has written down; it grows with every few hundred acknowledgements.
    pub fn written_bytes(&self) -> anyhow::Result<u64> {
        Ok(std::fs::metadata(&self.output)?.len())
    }

    /// Tells the client to stop, waits for the last answers, and returns what was sent and acknowledged.
    pub fn stop(mut self) -> anyhow::Result<History> {
        drop(self.client.stdin.take());
        let status = self.client.wait()?;
        ensure!(status.success(), "the load ended with {status}");
        history(&std::fs::read_to_string(&self.output)?)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Gone already after `stop`; after a failed step it would go on for ever.
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

fn history(text: &str) -> anyhow::Result<History> {
    let (mut sent, mut acked) = (BTreeMap::new(), Vec::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["ack", partition, offset, value] => acked.push(Placed {
                partition: partition.parse()?,
                offset: offset.parse()?,
                value: value.parse().map_err(anyhow::Error::msg)?,
            }),
            ["sent", writer, count] => {
                sent.insert(writer.parse()?, count.parse()?);
            }
            ["unflushed", left] => ensure!(left == "0", "{left} records were never answered"),
            _ => bail!("the client gave up a record at default settings: {line}"),
        }
    }
    Ok(History { sent, acked, ..History::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_the_client_gave_up_is_an_error() {
        assert!(history("ack 0 0 w0-0\nsent 0 1\nunflushed 0\n").is_ok());
        assert!(history("failed w0-0 timed out\n").is_err());
        assert!(history("unflushed 3\n").is_err());
    }
}
