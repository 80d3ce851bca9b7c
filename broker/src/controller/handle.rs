//! What the rest of the broker holds of the controller: the image, and a way to ask for changes.
//!
//! The image is the committed one, and everything in it that concerns this broker is carried out: a topic that is
//! seen here has its local partitions open, or, after a start, opening. Reading it takes no lock. The queue to the driver is bounded; whoever
//! proposes waits for room in it.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use logspine_cluster::metadata::{MetadataImage, Outcome, Request, RequestError};
use logspine_protocol::types::BrokerId;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

use super::driver::Command;
use super::producer_ids::ProducerIds;

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProposeError {
    /// The whole request was refused.
    #[error(transparent)]
    Refused(#[from] RequestError),
    /// Too late: it was not begun, or it was and nobody waits for its end any more.
    #[error("the request timed out")]
    TimedOut,
    /// The metadata log takes no writes; whether the change was made is not known.
    #[error("no change of topics, configurations or brokers is possible: {reason}")]
    NotWritable { reason: Arc<str> },
    /// The broker stops; whether the change was made is not known.
    #[error("the controller has stopped")]
    Stopped,
}

/// Cheap to clone; all clones see the same image.
#[derive(Clone)]
pub struct MetadataHandle {
    pub(super) image: Arc<ArcSwap<MetadataImage>>,
    pub(super) published: watch::Receiver<u64>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) broker: BrokerId,
    pub(super) broker_epoch: i64,
    pub(super) producer_ids: Arc<ProducerIds>,
}

impl MetadataHandle {
    /// The committed and published image.
    pub fn image(&self) -> Arc<MetadataImage> {
        self.image.load_full()
    }

    /// Asks for a change; resolves once it is committed and carried out on this broker.
    pub async fn propose(&self, request: Request) -> Result<Outcome, ProposeError> {
        self.send(request, None).await
    }

    /// As `propose`, up to a deadline. A change that is still in the queue by then is not made, as in Kafka; one
    /// that was begun goes on, and only its end is not waited for.
    pub async fn propose_until(&self, deadline: Instant, request: Request) -> Result<Outcome, ProposeError> {
        let answered = self.send(request, Some(deadline));
        tokio::time::timeout_at(deadline.into(), answered).await.unwrap_or(Err(ProposeError::TimedOut))
    }

    async fn send(&self, request: Request, deadline: Option<Instant>) -> Result<Outcome, ProposeError> {
        let (answer, answered) = oneshot::channel();
        let command = Command::Propose { request, deadline, answer };
        self.commands.send(command).await.map_err(|_| ProposeError::Stopped)?;
        answered.await.map_err(|_| ProposeError::Stopped)?
    }

    /// A receiver that changes with every publication.
    pub fn publications(&self) -> watch::Receiver<u64> {
        self.published.clone()
    }

    /// This broker's id.
    pub fn broker(&self) -> BrokerId {
        self.broker
    }

    /// The epoch of this process's registration.
    pub fn broker_epoch(&self) -> i64 {
        self.broker_epoch
    }

    /// Producer ids that no other producer has.
    pub fn producer_ids(&self) -> &ProducerIds {
        &self.producer_ids
    }
}
