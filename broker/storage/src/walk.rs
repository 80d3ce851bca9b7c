//! Walks the batches of a `.log` file one by one: by headers alone, or with every byte checked.
//!
//! The file is read in chunks; by headers a large body is skipped, not read. A batch that does not parse ends
//! the walk with its position: whether that is a torn tail or a damage is for recovery to say. Memory is bounded
//! by the chunk or, when bytes are checked, by the largest batch that fits into the file.

use std::io;

use logspine_protocol::batch::{BatchError, BatchHeader, BatchView, HEADER_LEN};

use crate::disk::{DiskFile, read_exact_at};

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Headers only.
    Headers,
    /// Whole batches, with their CRC.
    Everything,
    /// The same, but a wrong CRC is told by `Found::crc_fits` and the walk goes on behind it.
    Reporting,
}

/// The walk failed.
#[derive(Debug)]
pub(crate) enum WalkError {
    /// What starts at this position is no whole batch.
    Bad { position: u64, reason: BatchError },
    /// The disk refused.
    Io(io::Error),
}

/// A batch found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'w> {
    pub position: u64,
    pub header: BatchHeader<'w>,
    /// Whether the CRC is right, as far as it was looked at.
    pub crc_fits: bool,
}

impl Found<'_> {
    /// Where the next batch starts.
    pub fn end(&self) -> u64 {
        self.position + self.header.total_len() as u64
    }
}

/// A walk in progress.
#[derive(Debug)]
pub(crate) struct Walk<'f> {
    file: &'f dyn DiskFile,
    look: Look,
    position: u64,
    end: u64,
    chunk: usize,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl<'f> Walk<'f> {
    /// Walks from `position`, a batch start, to `end`.
    pub fn new(file: &'f dyn DiskFile, look: Look, position: u64, end: u64) -> Walk<'f> {
        let chunk = if look == Look::Headers { 4 << 10 } else { 256 << 10 };
        Walk { file, look, position, end, chunk, buffer: Vec::new(), buffer_at: position }
    }

    /// Asks the disk for other amounts at once than is usual.
    pub fn in_pieces_of(self, bytes: usize) -> Walk<'f> {
        Walk { chunk: bytes, ..self }
    }

    /// The next batch.
    pub fn next(&mut self) -> Result<Option<Found<'_>>, WalkError> {
        let position = self.position;
        if position >= self.end {
            return Ok(None);
        }
        let bad = |reason| WalkError::Bad { position, reason };
        let have = (self.end - position).min(usize::MAX as u64) as usize;
        if have < HEADER_LEN {
            return Err(bad(BatchError::Truncated { needed: HEADER_LEN, have }));
        }
        self.fill(HEADER_LEN).map_err(WalkError::Io)?;
        let header = BatchHeader::parse(self.at(HEADER_LEN)).map_err(bad)?;
        let total_len = header.total_len();
        if total_len > have {
            return Err(bad(BatchError::Truncated { needed: total_len, have }));
        }
        self.position += total_len as u64;
        if self.look == Look::Headers {
            let start = (position - self.buffer_at) as usize;
            let header = BatchHeader::parse(&self.buffer[start..]).map_err(bad)?;
            return Ok(Some(Found { position, header, crc_fits: true }));
        }
        self.fill_from(position, total_len).map_err(WalkError::Io)?;
        let start = (position - self.buffer_at) as usize;
        let (batch, _) = BatchView::parse(&self.buffer[start..start + total_len]).map_err(bad)?;
        let crc = batch.verify_crc();
        if self.look == Look::Everything {
            crc.clone().map_err(bad)?;
        }
        Ok(Some(Found { position, header: batch.header(), crc_fits: crc.is_ok() }))
    }

    /// The next batch as a whole, with its position; only when everything is looked at.
    pub fn next_view(&mut self) -> Result<Option<(u64, BatchView<'_>)>, WalkError> {
        let Some(found) = self.next()? else { return Ok(None) };
        let (position, total_len) = (found.position, found.header.total_len());
        let start = (position - self.buffer_at) as usize;
        match BatchView::parse(&self.buffer[start..start + total_len]) {
            Ok((batch, _)) => Ok(Some((position, batch))),
            Err(reason) => Err(WalkError::Bad { position, reason }),
        }
    }

    fn at(&self, len: usize) -> &[u8] {
        let start = (self.position - self.buffer_at) as usize;
        &self.buffer[start..start + len]
    }

    fn fill(&mut self, len: usize) -> io::Result<()> {
        self.fill_from(self.position, len)
    }

    /// Makes `buffer` hold `len` bytes from `position`, and a chunk if the file has it.
    fn fill_from(&mut self, position: u64, len: usize) -> io::Result<()> {
        let buffered = self.buffer_at + self.buffer.len() as u64;
        if position >= self.buffer_at && position + len as u64 <= buffered {
            return Ok(());
        }
        let want = len.max(self.chunk).min((self.end - position) as usize);
        // What is there already is overwritten, and need not be cleared before.
        self.buffer.resize(want, 0);
        self.buffer_at = position;
        let read = read_exact_at(self.file, &mut self.buffer, position);
        if read.is_err() {
            self.buffer.clear();
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use logspine_protocol::batch::BatchBuilder;
    use logspine_protocol::compression::Codec;
    use logspine_protocol::types::Offset;

    use super::*;
    use crate::RealDisk;
    use crate::disk::{Access, Disk};

    fn batch(base: i64, value_len: usize) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Codec::None).base_offset(Offset(base));
        builder.append(0, None, Some(&vec![7; value_len]), &[]);
        builder.build()
    }

    #[test]
    fn both_looks_find_every_batch_and_the_first_bad_byte() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealDisk.open(&dir.path().join("f"), Access::Write).unwrap();
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for (n, len) in [10, 5_000, 0, 300_000, 20, 4_000, 1].into_iter().enumerate() {
            starts.push(bytes.len() as u64);
            bytes.extend(batch(n as i64, len));
        }
        file.write_at(&[IoSlice::new(&bytes)], 0).unwrap();
        for look in [Look::Headers, Look::Everything] {
            for end in [bytes.len(), bytes.len() - 1] {
                let mut walk = Walk::new(&*file, look, 0, end as u64);
                let mut found = Vec::new();
                let error = loop {
                    match walk.next() {
                        Ok(Some(step)) => found.push(step.position),
                        Ok(None) => break None,
                        Err(error) => break Some(error),
                    }
                };
                if end == bytes.len() {
                    assert_eq!(found, starts);
                    assert!(error.is_none());
                } else {
                    assert_eq!(found, starts[..6]);
                    assert!(matches!(error, Some(WalkError::Bad { position, .. }) if position == starts[6]));
                }
            }
        }
    }
}
