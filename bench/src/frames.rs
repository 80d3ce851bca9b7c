//! Requests that are encoded once: afterwards only correlation id, partition and offset are patched in place.
//!
//! Invariants: what is patched was found by a sentinel that the encoder wrote, so a frame is right in every
//! version of the API. The head of a fetch's answer is read by hand, far enough to know how many bytes of records
//! follow. Called by the lanes.

use anyhow::{Context as _, bail, ensure};
use logspine_protocol::api_key::ApiKey;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::frame::{decode_response_header, encode_request};
use logspine_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use logspine_protocol::messages::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use logspine_protocol::wire::{DecodeError, Message as _, Reader, Records};

use crate::broker::{CLIENT_ID, Topic, refusal};

/// Size, key, version: the correlation id follows.
const CORRELATION_AT: usize = 8;
const PARTITION_SENTINEL: i32 = 0x5eed_1dea;
const OFFSET_SENTINEL: i64 = 0x5eed_0ff5_e75e_ed01;

/// A ProduceRequest of one partition.
#[derive(Clone)]
pub struct ProduceFrame {
    bytes: Vec<u8>,
    partition_at: usize,
    version: i16,
}

impl ProduceFrame {
    pub fn new(topic: &Topic, version: i16, acks: i16, batch: &[u8]) -> anyhow::Result<ProduceFrame> {
        let partition =
            PartitionProduceData { index: PARTITION_SENTINEL, records: Some(Records::Bytes(batch.into())) };
        let by_name = version < 13;
        let data = TopicProduceData {
            name: if by_name { topic.name.as_str().into() } else { "".into() },
            topic_id: if by_name { Default::default() } else { topic.id },
            partition_data: vec![partition],
        };
        let request =
            ProduceRequest { acks, timeout_ms: 30_000, topic_data: vec![data], ..ProduceRequest::default() };
        let bytes = encode_request(Vec::new(), &request, version, 0, Some(CLIENT_ID))?;
        let partition_at = position(&bytes, &PARTITION_SENTINEL.to_be_bytes())?;
        Ok(ProduceFrame { bytes, partition_at, version })
    }

    pub fn patch(&mut self, correlation_id: i32, partition: u32) {
        put(&mut self.bytes, CORRELATION_AT, &correlation_id.to_be_bytes());
        put(&mut self.bytes, self.partition_at, &partition.to_be_bytes());
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Checks an answer (without its size); returns its correlation id.
    pub fn check(&self, payload: &[u8]) -> anyhow::Result<i32> {
        let mut reader = Reader::new(payload);
        let correlation_id = decode_response_header(&mut reader, ApiKey::Produce, self.version)?;
        let answer = ProduceResponse::decode(&mut reader, self.version)?;
        let partitions = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
        for partition in partitions {
            if partition.error_code != 0 {
                let why = partition.error_message.as_deref().unwrap_or_default();
                bail!("produce: {} {why}", refusal(partition.error_code).name());
            }
        }
        Ok(correlation_id)
    }
}

/// A FetchRequest of one partition, without a session.
#[derive(Clone)]
pub struct FetchFrame {
    bytes: Vec<u8>,
    partition_at: usize,
    offset_at: usize,
    version: i16,
}

impl FetchFrame {
    pub fn new(topic: &Topic, version: i16, bytes_max: u32, wait_ms: i32) -> anyhow::Result<FetchFrame> {
        let partition = FetchPartition {
            partition: PARTITION_SENTINEL,
            current_leader_epoch: -1,
            fetch_offset: OFFSET_SENTINEL,
            last_fetched_epoch: -1,
            log_start_offset: -1,
            partition_max_bytes: i32::try_from(bytes_max)?,
            ..FetchPartition::default()
        };
        let by_name = version < 13;
        let topics = vec![FetchTopic {
            topic: if by_name { topic.name.as_str().into() } else { "".into() },
            topic_id: if by_name { Default::default() } else { topic.id },
            partitions: vec![partition],
        }];
        let request = FetchRequest {
            max_wait_ms: wait_ms,
            min_bytes: 1,
            max_bytes: i32::try_from(bytes_max)?,
            session_id: 0,
            session_epoch: -1,
            topics,
            ..FetchRequest::default()
        };
        let bytes = encode_request(Vec::new(), &request, version, 0, Some(CLIENT_ID))?;
        let partition_at = position(&bytes, &PARTITION_SENTINEL.to_be_bytes())?;
        let offset_at = position(&bytes, &OFFSET_SENTINEL.to_be_bytes())?;
        Ok(FetchFrame { bytes, partition_at, offset_at, version })
    }

    pub fn patch(&mut self, correlation_id: i32, partition: u32, offset: i64) {
        put(&mut self.bytes, CORRELATION_AT, &correlation_id.to_be_bytes());
        put(&mut self.bytes, self.partition_at, &partition.to_be_bytes());
        put(&mut self.bytes, self.offset_at, &offset.to_be_bytes());
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of records in an answer of which `head` is the beginning (without its size); `None` when more of it is needed.
    pub fn records_len(&self, head: &[u8]) -> anyhow::Result<Option<usize>> {
        match self.read_head(&mut Reader::new(head)) {
            Ok(Ok(length)) => Ok(Some(length)),
            Ok(Err(code)) => bail!("fetch: {}", code.name()),
            Err(DecodeError::Truncated { .. }) => Ok(None),
            Err(error) => Err(error).context("the head of a fetch's answer"),
        }
    }

    /// The fields of FetchResponse.json in their order, up to the length of the records.
    fn read_head(&self, r: &mut Reader<'_>) -> Result<Result<usize, ErrorCode>, DecodeError> {
        let flexible = self.version >= 12;
        let count = |r: &mut Reader<'_>| match flexible {
            true => r.uvarint().map(|length| i64::from(length) - 1),
            false => r.i32().map(i64::from),
        };
        decode_response_header(r, ApiKey::Fetch, self.version)?;
        r.i32()?; // throttle_time_ms
        if self.version >= 7 {
            let code = r.i16()?;
            r.i32()?; // session_id
            if code != 0 {
                return Ok(Err(refusal(code)));
            }
        }
        if count(r)? < 1 {
            return Ok(Ok(0));
        }
        if self.version >= 13 {
            r.uuid().map(drop)?
        } else {
            r.str(flexible).map(drop)?
        }
        if count(r)? < 1 {
            return Ok(Ok(0));
        }
        r.i32()?; // partition_index
        let code = r.i16()?;
        if code != 0 {
            return Ok(Err(refusal(code)));
        }
        r.i64()?; // high_watermark
        r.i64()?; // last_stable_offset
        if self.version >= 5 {
            r.i64()?; // log_start_offset
        }
        if count(r)? > 0 {
            // Nobody writes transactions here.
            return Ok(Err(ErrorCode::InvalidTxnState));
        }
        if self.version >= 11 {
            r.i32()?; // preferred_read_replica
        }
        Ok(Ok(usize::try_from(count(r)?).unwrap_or(0)))
    }
}

fn position(bytes: &[u8], sentinel: &[u8]) -> anyhow::Result<usize> {
    let found = bytes.windows(sentinel.len()).position(|window| window == sentinel);
    found.context("the encoder did not write the sentinel")
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// The size that the first four bytes of a frame announce.
pub fn announced_len(prefix: [u8; 4]) -> anyhow::Result<usize> {
    let length = i32::from_be_bytes(prefix);
    ensure!(length > 4, "an answer of {length} bytes");
    Ok(usize::try_from(length)?)
}
