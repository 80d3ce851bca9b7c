//! Producer ids for idempotent producers: handed out one by one from a block that the metadata gave this broker.
//!
//! A block is used by one process only; what is left of it at a restart is never used. Kafka:
//! `RPCProducerIdManager`.

use logspine_cluster::metadata::{Outcome, ProducerIdBlock, Request, RequestError, RequestErrorCode};
use logspine_protocol::types::ProducerId;
use tokio::sync::Mutex;

use super::handle::{MetadataHandle, ProposeError};

/// What is left of the current block.
#[derive(Debug, Default)]
pub struct ProducerIds {
    left: Mutex<Option<ProducerIdBlock>>,
}

impl ProducerIds {
    /// The next id. Asks the metadata for a block when there is none; whoever comes meanwhile waits for that.
    pub async fn next(&self, metadata: &MetadataHandle) -> Result<ProducerId, ProposeError> {
        let mut left = self.left.lock().await;
        if let Some(id) = left.as_mut().and_then(take) {
            return Ok(id);
        }
        let request = Request::AllocateProducerIds {
            broker_id: metadata.broker(),
            broker_epoch: metadata.broker_epoch(),
        };
        let Outcome::ProducerIdsAllocated(mut block) = metadata.propose(request).await? else {
            return Err(unexpected());
        };
        let id = take(&mut block).ok_or_else(unexpected)?;
        *left = Some(block);
        Ok(id)
    }
}

/// Takes the first id off a block.
fn take(block: &mut ProducerIdBlock) -> Option<ProducerId> {
    if block.count <= 0 {
        return None;
    }
    let id = block.first;
    *block = ProducerIdBlock { first: ProducerId(id.0 + 1), count: block.count - 1 };
    Some(id)
}

fn unexpected() -> ProposeError {
    let message = "the controller answered a request for producer ids without any";
    ProposeError::Refused(RequestError::new(RequestErrorCode::NotController, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_gives_each_id_once_and_no_more() {
        let mut block = ProducerIdBlock { first: ProducerId(1000), count: 3 };
        let ids: Vec<_> = std::iter::from_fn(|| take(&mut block)).map(|id| id.0).collect();
        assert_eq!(ids, [1000, 1001, 1002]);
    }
}
