//! A record as a consumer hands it out.
//!
//! Owned, so that it may outlive the answer it came in; the topic's name is shared between the records of one
//! fetch.

use std::sync::Arc;

use logspine_protocol::batch::RecordView;
use logspine_protocol::types::{Offset, PartitionIndex};

pub use logspine_protocol::batch::TimestampType;

/// One record and where it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// Shared between the records of one fetch.
    pub topic: Arc<str>,
    /// Where it was read.
    pub partition: PartitionIndex,
    /// Its place in the partition.
    pub offset: Offset,
    /// Milliseconds since the epoch, -1 for none.
    pub timestamp_ms: i64,
    /// Who set the time: the producer or the broker.
    pub timestamp_type: TimestampType,
    /// `None` is Kafka's null.
    pub key: Option<Vec<u8>>,
    /// `None` is Kafka's null.
    pub value: Option<Vec<u8>>,
    /// Names as the producer wrote them; Kafka wants UTF-8, others may not be.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl ConsumerRecord {
    pub(super) fn from_view(
        topic: &Arc<str>,
        partition: PartitionIndex,
        timestamp_type: TimestampType,
        view: &RecordView<'_>,
    ) -> Self {
        let header = |header: logspine_protocol::batch::Header<'_>| {
            (String::from_utf8_lossy(header.key).into_owned(), header.value.map(<[u8]>::to_vec))
        };
        Self {
            topic: topic.clone(),
            partition,
            offset: view.offset,
            timestamp_ms: view.timestamp,
            timestamp_type,
            key: view.key.map(<[u8]>::to_vec),
            value: view.value.map(<[u8]>::to_vec),
            headers: view.headers.into_iter().map(header).collect(),
        }
    }
}
