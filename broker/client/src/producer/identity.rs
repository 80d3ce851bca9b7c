//! The producer id and the sequence numbers by which a broker recognises a batch it already has (KIP-98).
//!
//! All partitions begin under one producer id. A partition whose numbering cannot be continued, because it is
//! unknown whether its last batch was stored, goes on under an id of its own from sequence 0: numbering is per
//! id and partition, so the other partitions are not touched.

use tokio::sync::OnceCell;

use logspine_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use logspine_protocol::types::{ProducerEpoch, ProducerId};

use crate::client::Client;
use crate::error::ClientError;

/// What a batch carries: its producer, and the sequence of its first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbering {
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
    pub base_sequence: i32,
}

/// Where producer ids come from.
#[derive(Debug)]
pub(super) struct Identities {
    client: Client,
    idempotent: bool,
    first: OnceCell<(ProducerId, ProducerEpoch)>,
}

impl Identities {
    pub(super) fn new(client: Client, idempotent: bool) -> Self {
        Self { client, idempotent, first: OnceCell::new() }
    }

    /// A producer id that nobody else has.
    async fn fresh(&self) -> Result<(ProducerId, ProducerEpoch), ClientError> {
        self.client.retrying(|| self.fresh_once()).await
    }

    async fn fresh_once(&self) -> Result<(ProducerId, ProducerEpoch), ClientError> {
        let request = InitProducerIdRequest {
            transactional_id: None,
            // Without transactions the timeout means nothing; Kafka's client sends the same.
            transaction_timeout_ms: i32::MAX,
            ..InitProducerIdRequest::default()
        };
        let reply = self.client.call_any(&request).await?;
        let response = reply.decode::<InitProducerIdResponse>()?;
        reply.check(response.error_code, "producer id", None)?;
        Ok((ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch)))
    }
}

/// The numbering of one partition.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    identity: Option<(ProducerId, ProducerEpoch)>,
    next: i32,
    abandoned_first: bool,
}

impl Sequence {
    /// The numbers for the next batch; `None` for a producer that is not idempotent.
    pub(super) async fn numbering(
        &mut self,
        identities: &Identities,
    ) -> Result<Option<Numbering>, ClientError> {
        if !identities.idempotent {
            return Ok(None);
        }
        let (id, epoch) = match self.identity {
            Some(identity) => identity,
            None if self.abandoned_first => identities.fresh().await?,
            None => *identities.first.get_or_try_init(|| identities.fresh()).await?,
        };
        self.identity = Some((id, epoch));
        Ok(Some(Numbering { id, epoch, base_sequence: self.next }))
    }

    /// So many records were stored under the numbers last handed out.
    pub(super) fn advance(&mut self, records: usize) {
        // Sequences wrap from i32::MAX to 0 (`DefaultRecordBatch.incrementSequence`).
        self.next = ((i64::from(self.next) + records as i64) % (i64::from(i32::MAX) + 1)) as i32;
    }

    /// Gives the numbering up; the next batch starts at 0 under a new producer id.
    pub(super) fn start_over(&mut self) {
        *self = Self { identity: None, next: 0, abandoned_first: true };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_to_zero_after_the_greatest() {
        let mut sequence = Sequence { next: i32::MAX - 1, ..Sequence::default() };
        sequence.advance(1);
        assert_eq!(sequence.next, i32::MAX);
        sequence.advance(1);
        assert_eq!(sequence.next, 0);
        sequence.next = i32::MAX;
        sequence.advance(3);
        assert_eq!(sequence.next, 2);
    }
}
