//! One budget for the request buffers of all connections (Kafka: `queued.max.request.bytes`).
//!
//! A connection leases what it is about to allocate, in proportion to bytes that it has *received*, never to
//! what a length prefix claims. When the budget is used up a connection stops reading until others return
//! theirs; one that starves while it holds memory itself is dropped, so that peers which send halves of
//! large requests cannot hold each other, or anybody else, up for good.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The budget is counted in these units.
const UNIT_BYTES: usize = 1024;

/// What every connection may hold without asking: enough for the small requests of every API, so that a
/// client which asks for metadata is served even when the budget is used up.
pub const FREE_BYTES: usize = 16 * 1024;

/// The shared budget.
#[derive(Debug, Clone)]
pub struct RequestMemory {
    units: Arc<Semaphore>,
}

/// What one buffer holds of the budget; given back when dropped.
#[derive(Debug, Default)]
pub struct Lease {
    permit: Option<OwnedSemaphorePermit>,
}

impl RequestMemory {
    pub fn new(total_bytes: u64) -> RequestMemory {
        let units = usize::try_from(total_bytes).unwrap_or(usize::MAX) / UNIT_BYTES;
        RequestMemory { units: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))) }
    }

    #[cfg(test)]
    pub fn available_bytes(&self) -> u64 {
        (self.units.available_permits() * UNIT_BYTES) as u64
    }

    /// Makes `lease` cover a buffer of `capacity` bytes, at once or not at all.
    pub fn try_grow(&self, lease: &mut Lease, capacity: usize) -> bool {
        let missing = lease.missing_units(capacity);
        if missing == 0 {
            return true;
        }
        match Arc::clone(&self.units).try_acquire_many_owned(missing) {
            Ok(more) => {
                lease.add(more);
                true
            }
            Err(_) => false,
        }
    }

    /// Waits until `lease` covers a buffer of `capacity` bytes. First come, first served. Cancel safe.
    pub async fn grow(&self, lease: &mut Lease, capacity: usize) {
        let missing = lease.missing_units(capacity);
        if missing > 0 {
            let more = Arc::clone(&self.units).acquire_many_owned(missing).await;
            lease.add(more.expect("the semaphore is never closed"));
        }
    }
}

impl Lease {
    pub fn held_bytes(&self) -> usize {
        self.permit.as_ref().map_or(0, |permit| permit.num_permits() * UNIT_BYTES)
    }

    fn missing_units(&self, capacity: usize) -> u32 {
        let wanted = capacity.saturating_sub(FREE_BYTES).div_ceil(UNIT_BYTES);
        let held = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        u32::try_from(wanted.saturating_sub(held)).unwrap_or(u32::MAX)
    }

    fn add(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_buffers_are_free_and_large_ones_are_returned_on_drop() {
        let memory = RequestMemory::new(64 * 1024);
        let mut small = Lease::default();
        assert!(memory.try_grow(&mut small, FREE_BYTES));
        assert_eq!(memory.available_bytes(), 64 * 1024);
        let mut large = Lease::default();
        assert!(memory.try_grow(&mut large, 64 * 1024 + FREE_BYTES));
        assert_eq!(memory.available_bytes(), 0);
        assert!(!memory.try_grow(&mut small, FREE_BYTES + 1));
        drop(large);
        assert!(memory.try_grow(&mut small, FREE_BYTES + 1));
    }

    #[tokio::test]
    async fn a_starved_buffer_gets_its_memory_when_another_returns_it() {
        let memory = RequestMemory::new(32 * 1024);
        let mut first = Lease::default();
        memory.grow(&mut first, 32 * 1024 + FREE_BYTES).await;
        let mut second = Lease::default();
        {
            let mut waiting = std::pin::pin!(memory.grow(&mut second, FREE_BYTES + 1024));
            assert!(futures::poll!(waiting.as_mut()).is_pending());
            drop(first);
            waiting.await;
        }
        assert_eq!(second.held_bytes(), 1024);
    }
}
