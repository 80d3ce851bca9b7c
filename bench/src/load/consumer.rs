//! A fetching connection: asks for a partition, reads the head of the answer, lets the kernel drop the records.
//!
//! Invariants: one request at a time; the position moves by whole batches only, so a broker that cuts the last batch is
//! asked for it again, and the bytes of a cut batch are not counted. Driven by the loop.

use anyhow::ensure;

use super::link::Link;
use super::{Fetch, Ledger};
use crate::broker::Topic;
use crate::frames::{FetchFrame, announced_len};

/// Enough for every field before the records.
const HEAD_BYTES: usize = 512;
/// At most this much is dropped by one call.
const DISCARD_BYTES: usize = 1 << 20;
/// A fetch at the end of the log waits this long at the broker.
const WAIT_MS: i32 = 500;

/// Where a consumer reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// From the beginning to the end, and again.
    Again,
    /// What comes in, as it comes.
    Tail,
}

/// The partitions of a consumer, asked for in turn.
pub struct Route {
    partitions: Vec<Position>,
    current: usize,
}

#[derive(Debug, Clone, Copy)]
struct Position {
    partition: u32,
    /// Number of the next batch since the topic's beginning.
    batch: u64,
    /// The first batch that this run wrote.
    base: u64,
    end: u64,
}

impl Route {
    /// Partitions go round the consumers; when there are more consumers than partitions, several read the same.
    pub fn of(number: usize, fetch: &Fetch, partitions: u32) -> Route {
        let first = (number % partitions as usize) as u32;
        let mine = (first..partitions).step_by(fetch.connections.min(partitions as usize));
        let position = |partition: u32| {
            let end_offset = fetch.ends.get(partition as usize).copied().unwrap_or(0);
            let end = end_offset.unsigned_abs() / u64::from(fetch.batch_records);
            let batch = if fetch.reading == Reading::Tail { end } else { 0 };
            Position { partition, batch, base: end, end }
        };
        Route { partitions: mine.map(position).collect(), current: 0 }
    }
}

/// How far the current answer is read.
enum Progress {
    Idle,
    Head,
    /// Bytes of the frame that are still to come, and whole batches in it.
    Body {
        left: usize,
        batches: u64,
    },
}

pub struct Consumer {
    pub link: Link,
    frame: FetchFrame,
    sent: usize,
    route: Route,
    reading: Reading,
    progress: Progress,
    head: Vec<u8>,
    head_len: usize,
    dropped: Vec<u8>,
    next_id: i32,
    batch_records: u32,
    batch_bytes: usize,
}

impl Consumer {
    pub fn new(link: Link, topic: &Topic, fetch: &Fetch, route: Route) -> anyhow::Result<Consumer> {
        let frame = FetchFrame::new(topic, fetch.version, fetch.bytes_max, WAIT_MS)?;
        Ok(Consumer {
            link,
            frame,
            sent: 0,
            route,
            reading: fetch.reading,
            progress: Progress::Idle,
            head: vec![0; HEAD_BYTES],
            head_len: 0,
            dropped: vec![0; DISCARD_BYTES],
            next_id: 0,
            batch_records: fetch.batch_records,
            batch_bytes: fetch.batch_bytes,
        })
    }

    pub fn send(&mut self) -> anyhow::Result<bool> {
        if matches!(self.progress, Progress::Idle) {
            let position = self.route.partitions[self.route.current];
            let offset = position.batch * u64::from(self.batch_records);
            self.frame.patch(self.next_id, position.partition, offset.cast_signed());
            self.next_id = self.next_id.wrapping_add(1);
            (self.sent, self.head_len, self.progress) = (0, 0, Progress::Head);
        }
        self.sent = self.link.send(self.frame.bytes(), self.sent)?;
        Ok(self.sent < self.frame.bytes().len())
    }

    pub fn receive(&mut self, now_ns: u64, ledger: &mut Ledger) -> anyhow::Result<()> {
        if matches!(self.progress, Progress::Head) {
            self.receive_head()?;
        }
        while let Progress::Body { left, batches } = &mut self.progress {
            if *left == 0 {
                let batches = *batches;
                return self.finish(batches, now_ns, ledger);
            }
            let wanted = (*left).min(DISCARD_BYTES);
            let Some(count) = self.link.discard(&mut self.dropped[..wanted])? else { return Ok(()) };
            *left -= count;
        }
        Ok(())
    }

    fn receive_head(&mut self) -> anyhow::Result<()> {
        let Some(count) = self.link.receive(&mut self.head[self.head_len..])? else { return Ok(()) };
        self.head_len += count;
        let Some((prefix, head)) = self.head[..self.head_len].split_first_chunk::<4>() else { return Ok(()) };
        let length = announced_len(*prefix)?;
        let Some(records_len) = self.frame.records_len(head)? else {
            ensure!(self.head_len < HEAD_BYTES, "the records do not begin within {HEAD_BYTES} bytes");
            return Ok(());
        };
        let batches = (records_len / self.batch_bytes) as u64;
        self.progress = Progress::Body { left: (length + 4).saturating_sub(self.head_len), batches };
        Ok(())
    }

    fn finish(&mut self, batches: u64, now_ns: u64, ledger: &mut Ledger) -> anyhow::Result<()> {
        self.progress = Progress::Idle;
        let position = &mut self.route.partitions[self.route.current];
        if batches > 0 {
            let (records, bytes) =
                (batches * u64::from(self.batch_records), batches * self.batch_bytes as u64);
            let first = position.batch.saturating_sub(position.base);
            ledger.delivered(position.partition, first, batches, now_ns, records, bytes);
        } else {
            ensure!(
                self.reading == Reading::Tail,
                "nothing of partition {} before its end",
                position.partition
            );
        }
        position.batch += batches;
        if self.reading == Reading::Again && position.batch >= position.end {
            position.batch = 0;
        }
        self.route.current = (self.route.current + 1) % self.route.partitions.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(connections: usize, reading: Reading) -> Fetch {
        Fetch {
            connections,
            bytes_max: 1,
            version: 17,
            reading,
            batch_records: 10,
            batch_bytes: 1000,
            ends: vec![50; 6],
        }
    }

    fn partitions(route: &Route) -> Vec<u32> {
        route.partitions.iter().map(|position| position.partition).collect()
    }

    #[test]
    fn every_partition_is_read_by_one_consumer_when_there_are_enough_partitions() {
        let fetch = fetch(4, Reading::Again);
        let routes: Vec<_> = (0..4).map(|number| partitions(&Route::of(number, &fetch, 6))).collect();
        assert_eq!(routes, [vec![0, 4], vec![1, 5], vec![2], vec![3]]);
    }

    #[test]
    fn more_consumers_than_partitions_share_them() {
        let fetch = fetch(4, Reading::Again);
        let routes: Vec<_> = (0..4).map(|number| partitions(&Route::of(number, &fetch, 1))).collect();
        assert_eq!(routes, [[0], [0], [0], [0]]);
    }

    #[test]
    fn a_tail_begins_at_the_end_and_a_replay_at_the_beginning() {
        let begin = |reading| Route::of(0, &fetch(1, reading), 6).partitions[0].batch;
        assert_eq!((begin(Reading::Tail), begin(Reading::Again)), (5, 0));
    }
}
