//! The partitions of a fetch whose records have to come from the disk.
//!
//! If others have enough, the answer goes out with what they have, and the cold ones are read ahead for the next
//! fetch: a consumer of many partitions is not held up by the one it lags behind on. Otherwise the first of them
//! that has records is waited for. A disk that takes longer than `DISK_PATIENCE` gets an empty answer, so that the
//! client's own time-out does not take the connection down; the read goes on and the next fetch finds it done.

use std::time::{Duration, Instant};

use logspine_protocol::error::ErrorCode;
use logspine_protocol::types::Offset;

use super::read::{Pass, Reads, Target};
use crate::api::RequestContext;

/// Waited for the disk, if max_wait is shorter.
const DISK_PATIENCE: Duration = Duration::from_secs(10);

/// What is needed of the cold partitions is read; `pass` is what the others came to.
pub async fn settle(
    context: &RequestContext,
    reads: &Reads,
    targets: &mut [Target],
    mut pass: Pass,
    wanted: i64,
    deadline: Instant,
) -> Pass {
    if !pass.is_cold {
        return pass;
    }
    let pool = &context.broker.cold_reads;
    let until = deadline.max(Instant::now() + DISK_PATIENCE);
    for target in targets.iter_mut() {
        let (Some(_), Ok(partition)) = (target.cold, &target.found) else { continue };
        let budget = reads.budget(&target.wanted, pass.bytes);
        let from = Offset(target.wanted.fetch_offset);
        if pass.is_enough(wanted) {
            pool.read_ahead(partition.view(), from, reads.isolation(), budget);
            continue;
        }
        let read = pool.read(partition.view(), from, reads.isolation(), budget);
        let Ok(slice) = tokio::time::timeout_at(until.into(), read).await else {
            pass.has_news = true;
            return pass;
        };
        reads.take(&mut target.read, partition, slice);
        target.cold = None;
        pass.bytes += target.read.slice.as_ref().map_or(0, |slice| i64::from(slice.len));
        // Old data is answered as soon as there is any, and so is an error.
        pass.has_news |= target.read.slice.is_some() || target.read.error != ErrorCode::None;
    }
    pass
}
