//! Reads the records of Kafka's `__cluster_metadata-0`, the newest snapshot and the log behind it; and appends to it.
//!
//! The files are another program's and may hold anything. A batch is read whole, so its claimed length is held
//! against the file and a bound first; every checksum is verified; offsets must go on without a hole. What does
//! not fit refuses the import: metadata that is half read would lose topics silently. Kafka: `KafkaMetadataLog`,
//! `Snapshots`, `FileRawSnapshotReader`.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use logspine_protocol::batch::{BatchBuilder, BatchView, HEADER_LEN};
use logspine_protocol::compression::Codec;
use logspine_protocol::types::{LeaderEpoch, Offset};
use logspine_storage::names;

use super::error::{KafkaError, io_at};

/// Kafka's own bound is 8 MiB (`KafkaRaftClient.MAX_BATCH_SIZE_BYTES`).
const BATCH_BYTES_MAX: usize = 64 << 20;
/// Base offset and batch length, which the length does not count.
const LENGTH_END: usize = 12;
const CHECKPOINT: &str = ".checkpoint";

/// What happened to the log beyond its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogEnd {
    /// Offset of the next record.
    pub end_offset: Offset,
    /// Leader epoch of the last batch.
    pub leader_epoch: i32,
    /// Bytes behind the last whole batch, where a log that was not closed may have them.
    pub torn_bytes: u64,
}

/// What may stand behind the last whole batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Nothing: the broker closed its log.
    Whole,
    /// What a crash left of a write that nobody was told of. Kafka cuts it off when it starts.
    MayBeTorn,
}

/// Appends one batch behind everything, as the controller that led last; for a Kafka that is stopped. Kafka checks
/// this log whole at every start and rebuilds its indexes.
pub fn append(dir: &Path, end: LogEnd, now_ms: i64, records: &[Vec<u8>]) -> Result<(), KafkaError> {
    let (_, segments) = list(dir)?;
    let Some((_, path)) = segments.last() else { return Err(KafkaError::NoMetadata) };
    let mut batch = BatchBuilder::new(Codec::None)
        .base_offset(end.end_offset)
        .leader_epoch(LeaderEpoch(end.leader_epoch));
    for record in records {
        batch.append(now_ms, None, Some(record), &[]);
    }
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().append(true).open(path)?;
        file.write_all(&batch.build())?;
        file.sync_all()
    };
    write().map_err(|reason| KafkaError::MetadataAppend { path: path.clone(), reason })
}

/// Calls `each` with the offset and the bytes of every record, oldest first.
pub fn read(
    dir: &Path,
    tail: Tail,
    mut each: impl FnMut(Offset, &[u8]) -> Result<(), KafkaError>,
) -> Result<LogEnd, KafkaError> {
    let (snapshot, segments) = list(dir)?;
    let mut expected = Offset(0);
    if let Some((end_offset, path)) = snapshot {
        // Records of a snapshot are numbered by themselves.
        let mut batches = Batches::open(&path)?;
        while let Some(batch) = batches.next()? {
            batches.records(&batch, |_, record| each(end_offset, record))?;
        }
        expected = end_offset;
    }
    let snapshot_end = expected;
    let mut end = LogEnd { end_offset: expected, ..LogEnd::default() };
    let first = segments.partition_point(|(base, _)| *base <= expected).saturating_sub(1);
    let segments = &segments[first.min(segments.len())..];
    for (number, (base_offset, path)) in segments.iter().enumerate() {
        if *base_offset > end.end_offset {
            let (from, to) = (end.end_offset.0, base_offset.0 - 1);
            return Err(KafkaError::MetadataGap { dir: dir.to_path_buf(), from, to });
        }
        let mut next = *base_offset;
        let mut batches = Batches::open(path)?;
        let may_be_torn = tail == Tail::MayBeTorn && number + 1 == segments.len();
        while let Some(batch) = batches.next_sound(may_be_torn)? {
            let view = batches.parse(&batch)?;
            if view.base_offset() != next || view.last_offset_delta() < 0 {
                let found = view.base_offset();
                return Err(batches.damaged(format!("offset {found} follows where {next} is expected")));
            }
            (next, end.leader_epoch) = (view.next_offset(), view.partition_leader_epoch().0);
            batches.records(
                &batch,
                |offset, record| {
                    if offset < snapshot_end { Ok(()) } else { each(offset, record) }
                },
            )?;
        }
        end.end_offset = end.end_offset.max(next);
        end.torn_bytes = batches.torn_bytes;
    }
    Ok(end)
}

type Numbered = (Offset, PathBuf);

/// The newest snapshot, and the segments by base offset.
fn list(dir: &Path) -> Result<(Option<Numbered>, Vec<Numbered>), KafkaError> {
    let (mut snapshot, mut segments) = (None, Vec::new());
    for entry in std::fs::read_dir(dir).map_err(io_at("list", dir))? {
        let path = entry.map_err(io_at("list", dir))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if let Some(end_offset) = snapshot_offset(name) {
            snapshot = snapshot.max(Some((end_offset, path)));
        } else if let Some((base_offset, names::LOG)) = names::parse_segment_file(name) {
            segments.push((base_offset, path));
        }
    }
    segments.sort();
    Ok((snapshot, segments))
}

/// `<end offset>-<epoch>.checkpoint`
fn snapshot_offset(name: &str) -> Option<Offset> {
    let (offset, epoch) = name.strip_suffix(CHECKPOINT)?.split_once('-')?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let fits = offset.len() == 20 && epoch.len() == 10 && is_number(offset) && is_number(epoch);
    fits.then(|| offset.parse().ok().map(Offset))?
}

/// One file, batch by batch.
struct Batches {
    file: BufReader<File>,
    path: PathBuf,
    left_bytes: u64,
    /// Where the batch that was read last starts, and where the next one does.
    position: u64,
    next_position: u64,
    torn_bytes: u64,
}

impl Batches {
    fn open(path: &Path) -> Result<Batches, KafkaError> {
        let file = File::open(path).map_err(io_at("open", path))?;
        let left_bytes = file.metadata().map_err(io_at("measure", path))?.len();
        let path = path.to_path_buf();
        Ok(Batches {
            file: BufReader::new(file),
            path,
            left_bytes,
            position: 0,
            next_position: 0,
            torn_bytes: 0,
        })
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, KafkaError> {
        self.position = self.next_position;
        if self.left_bytes == 0 {
            return Ok(None);
        }
        if self.left_bytes < HEADER_LEN as u64 {
            return Err(self.damaged(format!("{} bytes are no whole batch", self.left_bytes)));
        }
        let mut batch = vec![0; LENGTH_END];
        self.file.read_exact(&mut batch).map_err(io_at("read", &self.path))?;
        let length = batch.last_chunk::<4>().map_or(0, |length| i32::from_be_bytes(*length));
        let total = usize::try_from(length).unwrap_or(0).saturating_add(LENGTH_END);
        if !(HEADER_LEN..=BATCH_BYTES_MAX).contains(&total) || total as u64 > self.left_bytes {
            return Err(self.damaged(format!("a batch claims {length} bytes")));
        }
        batch.resize(total, 0);
        self.file.read_exact(&mut batch[LENGTH_END..]).map_err(io_at("read", &self.path))?;
        self.left_bytes -= total as u64;
        self.next_position += total as u64;
        Ok(Some(batch))
    }

    /// The same, checked. Where the file may be torn, it ends before the first batch that does not check out, unless a
    /// whole one follows: then it is damaged.
    fn next_sound(&mut self, may_be_torn: bool) -> Result<Option<Vec<u8>>, KafkaError> {
        let found = self.next().and_then(|batch| {
            batch.as_ref().map_or(Ok(()), |batch| self.parse(batch).map(|_| ()))?;
            Ok(batch)
        });
        match found {
            Err(KafkaError::MetadataDamaged { .. }) if may_be_torn && !self.goes_on()? => {
                self.torn_bytes = self.len_bytes()? - self.position;
                Ok(None)
            }
            found => found,
        }
    }

    fn len_bytes(&self) -> Result<u64, KafkaError> {
        Ok(self.file.get_ref().metadata().map_err(io_at("measure", &self.path))?.len())
    }

    /// Whether a whole batch stands anywhere behind the one that was read last.
    fn goes_on(&self) -> Result<bool, KafkaError> {
        let len_bytes = (self.len_bytes()? - self.position).min(BATCH_BYTES_MAX as u64);
        let mut rest = vec![0; usize::try_from(len_bytes).unwrap_or(0)];
        self.file.get_ref().read_exact_at(&mut rest, self.position).map_err(io_at("read", &self.path))?;
        let is_whole =
            |at: usize| BatchView::parse(&rest[at..]).is_ok_and(|(view, _)| view.verify_crc().is_ok());
        Ok((1..rest.len()).any(is_whole))
    }

    fn parse<'b>(&self, batch: &'b [u8]) -> Result<BatchView<'b>, KafkaError> {
        let parsed = BatchView::parse(batch).and_then(|(view, _)| view.verify_crc().map(|()| view));
        parsed.map_err(|reason| self.damaged(reason.to_string()))
    }

    /// Every record of a batch, unless it speaks of the log itself.
    fn records(
        &self,
        batch: &[u8],
        mut each: impl FnMut(Offset, &[u8]) -> Result<(), KafkaError>,
    ) -> Result<(), KafkaError> {
        let view = self.parse(batch)?;
        if view.is_control() {
            return Ok(());
        }
        let records = view.records().map_err(|reason| self.damaged(reason.to_string()))?;
        for record in records.iter() {
            let record = record.map_err(|reason| self.damaged(reason.to_string()))?;
            each(record.offset, record.value.unwrap_or_default())?;
        }
        Ok(())
    }

    fn damaged(&self, reason: String) -> KafkaError {
        KafkaError::MetadataDamaged { path: self.path.clone(), position: self.position, reason }
    }
}
