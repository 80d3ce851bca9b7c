//! One pass over the partitions of a fetch: a slice or an error of each, within the limits of the request.
//!
//! A pass takes no lock of a partition, reads no record and never waits for the disk: it finds where whole batches
//! lie, and which partitions need `cold.rs`. The partitions are looked up once per request; a pass may be repeated
//! after a wait. Everything about a partition (what is
//! wanted, where it is, what was read) stands in one `Target`, so that a request makes one list and not four.

use std::sync::Arc;

use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::fetch::FetchRequest;
use logspine_protocol::types::{LeaderEpoch, Offset};
use logspine_replica::{Isolation, PartitionView, ReadBudget};
use logspine_storage::{AbortedTxn, LogSlice, ReadError};

use super::plan::{Plan, TopicKey, Wanted};
use crate::api::{RequestContext, partition_errors};
use crate::partition::{FetchWaiter, Lookup, PartitionHandle, Watch};

/// What one partition answers.
pub struct PartitionRead {
    pub error: ErrorCode,
    /// -1 where it is not known.
    pub high_watermark: i64,
    pub log_start_offset: i64,
    pub last_stable_offset: i64,
    pub slice: Option<LogSlice>,
    /// Transactions whose records a read_committed reader leaves out of the slice.
    pub aborted: Vec<AbortedTxn>,
    /// The client's log differs from ours from here on: epoch and end offset (KIP-595).
    pub diverging: Option<(i32, i64)>,
}

impl PartitionRead {
    fn error(error: ErrorCode) -> PartitionRead {
        PartitionRead {
            error,
            high_watermark: -1,
            log_start_offset: -1,
            last_stable_offset: -1,
            slice: None,
            aborted: Vec::new(),
            diverging: None,
        }
    }
}

/// One partition of a request.
pub struct Target {
    pub wanted: Wanted,
    /// Where it is, once `Reads::find` has looked.
    pub found: Result<Arc<PartitionHandle>, ErrorCode>,
    /// What the last pass found.
    pub read: PartitionRead,
    /// The last pass found bytes that have to come from the disk, or to be verified: what it may read of them.
    pub cold: Option<ReadBudget>,
    /// The last pass found nothing because there is nothing more, yet: the partition will tell when it moves.
    pub is_at_end: bool,
    /// Whether the answer names it: a session leaves out what its client knows.
    pub has_news: bool,
}

impl Target {
    pub fn new(wanted: Wanted) -> Target {
        let unknown = ErrorCode::UnknownTopicOrPartition;
        let read = PartitionRead::error(unknown);
        Target { wanted, found: Err(unknown), read, cold: None, is_at_end: false, has_news: true }
    }
}

/// What a pass came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pass {
    pub bytes: i64,
    /// There is more, which has to come from the disk.
    pub is_cold: bool,
    /// An error, a divergence, or data of an older segment: answered at once, whatever min_bytes says.
    pub has_news: bool,
}

impl Pass {
    pub fn is_enough(&self, wanted: i64) -> bool {
        self.has_news || self.bytes >= wanted
    }
}

/// What one partition has.
enum Looked {
    Read(PartitionRead),
    /// The answer without the records, which have to come from the disk.
    Cold(PartitionRead),
}

/// The limits of a request.
pub struct Reads {
    bytes_max: i32,
    isolation: Isolation,
}

/// Has a waiter told of what comes in until dropped: by its session, or by each of its partitions.
pub struct Registered {
    partitions: Vec<Arc<PartitionHandle>>,
    session: Option<Arc<Watch>>,
    waiter: Arc<FetchWaiter>,
}

impl Registered {
    pub fn new(plan: &Plan, waiter: &Arc<FetchWaiter>) -> Registered {
        let session = plan.watch().cloned();
        let partitions: Vec<_> = match &session {
            Some(_) => Vec::new(),
            None => plan.targets.iter().filter_map(|target| target.found.clone().ok()).collect(),
        };
        partitions.iter().for_each(|partition| partition.register_fetch(waiter));
        session.iter().for_each(|watch| watch.wait(waiter));
        Registered { partitions, session, waiter: Arc::clone(waiter) }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.partitions.iter().for_each(|partition| partition.unregister_fetch(&self.waiter));
        self.session.iter().for_each(|watch| watch.leave(&self.waiter));
    }
}

/// Counts what an answer takes along, and the partitions that failed.
pub fn count(context: &RequestContext, targets: &[Target]) {
    for target in targets {
        if target.read.error != ErrorCode::None {
            context.broker.metrics.failed_fetch_requests.inc();
        }
        if let (Ok(partition), Some(slice)) = (&target.found, &target.read.slice) {
            partition.traffic.fetched(u64::from(slice.len));
        }
    }
}

/// Looks every partition up.
pub fn find_all(context: &RequestContext, targets: &mut [Target]) {
    for target in targets {
        target.found = find(context, &target.wanted);
    }
}

impl Reads {
    pub fn of(context: &RequestContext, request: &FetchRequest<'_>) -> Reads {
        Reads {
            bytes_max: request.max_bytes.min(context.broker.config.fetch_max_bytes),
            isolation: match request.isolation_level {
                1 => Isolation::LastStable,
                _ => Isolation::HighWatermark,
            },
        }
    }

    pub fn is_read_committed(&self) -> bool {
        self.isolation == Isolation::LastStable
    }

    /// Reads every partition; the answers stand in the targets.
    pub fn pass(&self, targets: &mut [Target]) -> Pass {
        let mut pass = Pass::default();
        for target in targets {
            let budget = self.budget(&target.wanted, pass.bytes);
            target.is_at_end = false;
            target.read = match &target.found {
                Ok(partition) => match self.read(partition, &target.wanted, budget) {
                    Looked::Read(read) => {
                        target.cold = None;
                        // The watermark that was read before: what passes it afterwards is told.
                        let is_sound = read.error == ErrorCode::None && partition.is_healthy();
                        target.is_at_end = is_sound && target.wanted.fetch_offset >= read.high_watermark;
                        read
                    }
                    Looked::Cold(read) => {
                        target.cold = Some(budget);
                        pass.is_cold = true;
                        read
                    }
                },
                Err(code) => PartitionRead::error(*code),
            };
            pass.has_news |= target.read.error != ErrorCode::None || target.read.diverging.is_some();
            if let (Some(slice), Ok(partition)) = (&target.read.slice, &target.found) {
                pass.bytes += i64::from(slice.len);
                // A slice ends with its segment: from an older one more is there than it holds.
                pass.has_news |= slice.first_offset < partition.view().log().active_base_offset();
            }
        }
        pass
    }

    /// What a partition may still give, after so many bytes of others.
    pub fn budget(&self, wanted: &Wanted, bytes_before: i64) -> ReadBudget {
        let left = (i64::from(self.bytes_max) - bytes_before).max(0);
        ReadBudget {
            bytes_max: left.min(i64::from(wanted.bytes_max.max(0))) as u32,
            at_least_one_batch: bytes_before == 0,
        }
    }

    fn read(&self, partition: &PartitionHandle, wanted: &Wanted, budget: ReadBudget) -> Looked {
        let view = partition.view();
        let fenced = partition_errors::of_epoch(wanted.current_leader_epoch, view.leader_epoch().0);
        if fenced != ErrorCode::None {
            return Looked::Read(PartitionRead::error(fenced));
        }
        let mut read = PartitionRead {
            high_watermark: view.high_watermark().0,
            log_start_offset: view.log_start_offset().0,
            last_stable_offset: view.last_stable_offset().0,
            ..PartitionRead::error(ErrorCode::None)
        };
        if let Some(diverging) = diverging(partition, wanted) {
            read.diverging = Some(diverging);
            return Looked::Read(read);
        }
        let (from, limit) = (Offset(wanted.fetch_offset), view.limit(self.isolation));
        match view.log().try_read(from, limit, budget.bytes_max, budget.at_least_one_batch) {
            Ok(None) => return Looked::Cold(read),
            Ok(Some(slice)) => self.take(&mut read, partition, Ok(slice)),
            Err(error) => self.take(&mut read, partition, Err(error)),
        }
        Looked::Read(read)
    }

    /// Puts what was read, or why it was not, into a partition's answer.
    pub fn take(
        &self,
        read: &mut PartitionRead,
        partition: &PartitionHandle,
        slice: Result<LogSlice, ReadError>,
    ) {
        match slice.and_then(|slice| self.with_aborted(partition.view(), slice)) {
            Ok((slice, aborted)) => {
                read.slice = (slice.len > 0).then_some(slice);
                read.aborted = aborted;
            }
            Err(error) => {
                // A damage is named once, when it is found.
                if matches!(error, ReadError::Storage(_)) {
                    tracing::error!(topic = %partition.topic, partition = partition.index, "fetch: {error}");
                }
                *read = PartitionRead::error(partition_errors::of_read(&error));
            }
        }
    }

    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// Whole batches, and for read_committed the transactions in them that were aborted.
    fn with_aborted(
        &self,
        view: &PartitionView,
        slice: LogSlice,
    ) -> Result<(LogSlice, Vec<AbortedTxn>), ReadError> {
        let aborted = match self.isolation {
            Isolation::LastStable => view.log().aborted_transactions(&slice, view.limit(self.isolation))?,
            _ => Vec::new(),
        };
        Ok((slice, aborted))
    }
}

fn find(context: &RequestContext, wanted: &Wanted) -> Result<Arc<PartitionHandle>, ErrorCode> {
    let registry = &context.broker.partitions;
    let topic_id = match &wanted.topic {
        TopicKey::Id(topic_id) => Some(*topic_id),
        TopicKey::Name(name) => registry.topic_id(name),
    };
    match topic_id.map_or(Lookup::Unknown, |topic_id| registry.lookup(topic_id, wanted.partition)) {
        Lookup::Here(partition) => Ok(partition),
        Lookup::Opening => Err(partition_errors::OPENING),
        Lookup::Offline => Err(ErrorCode::KafkaStorageError),
        Lookup::Unknown => match &wanted.topic {
            TopicKey::Id(topic_id) if context.broker.metadata.image().topic_by_id(*topic_id).is_none() => {
                Err(ErrorCode::UnknownTopicId)
            }
            _ => Err(ErrorCode::UnknownTopicOrPartition),
        },
    }
}

/// Where the log of a client that last fetched `last_fetched_epoch` parts from ours, if it does.
fn diverging(partition: &PartitionHandle, wanted: &Wanted) -> Option<(i32, i64)> {
    if wanted.last_fetched_epoch < 0 {
        return None;
    }
    let end = partition.view().log().end_offset_for_epoch(LeaderEpoch(wanted.last_fetched_epoch))?;
    let parts = end.epoch.0 < wanted.last_fetched_epoch || end.end_offset.0 < wanted.fetch_offset;
    parts.then_some((end.epoch.0, end.end_offset.0))
}
