//! The smallest client that can have a record acknowledged: two requests made by hand, two answers.
//!
//! xtask knows none of our crates, and a stock client's own start would be most of what is measured. CreateTopics
//! v2 and Produce v3, the oldest that Apache Kafka 4 still serves. Called by `footprint`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

const TOPIC: &str = "first";
const PRODUCE: (i16, i16) = (0, 3);
const CREATE_TOPICS: (i16, i16) = (19, 2);
const TOPIC_ALREADY_EXISTS: i16 = 36;

/// A connection to a broker.
pub struct Client(TcpStream);

impl Client {
    pub fn connect(port: u16) -> std::io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(Client(stream))
    }

    /// Creates the topic with one partition, unless it is there.
    pub fn create_topic(&mut self) -> anyhow::Result<()> {
        let mut body = Vec::new();
        body.extend(1_i32.to_be_bytes());
        put_string(&mut body, TOPIC);
        body.extend(1_i32.to_be_bytes()); // partitions
        body.extend(1_i16.to_be_bytes()); // replication factor
        body.extend(0_i32.to_be_bytes()); // assignments
        body.extend(0_i32.to_be_bytes()); // configs
        body.extend(10_000_i32.to_be_bytes()); // timeout
        body.push(0); // not only to validate
        let answer = self.ask(CREATE_TOPICS, &body)?;
        // Throttle time, one topic, its name; then the code.
        let code = code_at(&answer, 4 + 4 + 2 + TOPIC.len())?;
        ensure!(matches!(code, 0 | TOPIC_ALREADY_EXISTS), "CreateTopics answers code {code}");
        Ok(())
    }

    /// Produces one record with acks=all and waits until it is acknowledged.
    pub fn produce(&mut self) -> anyhow::Result<()> {
        let batch = batch(b"first");
        let mut body = Vec::new();
        body.extend((-1_i16).to_be_bytes()); // no transaction
        body.extend((-1_i16).to_be_bytes()); // acks=all
        body.extend(10_000_i32.to_be_bytes()); // timeout
        body.extend(1_i32.to_be_bytes());
        put_string(&mut body, TOPIC);
        body.extend(1_i32.to_be_bytes());
        body.extend(0_i32.to_be_bytes()); // partition
        body.extend(i32::try_from(batch.len())?.to_be_bytes());
        body.extend(batch);
        let answer = self.ask(PRODUCE, &body)?;
        // One topic, its name, one partition, its index; then the code.
        let code = code_at(&answer, 4 + 2 + TOPIC.len() + 4 + 4)?;
        ensure!(code == 0, "Produce answers code {code}");
        Ok(())
    }

    /// Sends a request with header v1 and returns the body of the answer.
    fn ask(&mut self, (key, version): (i16, i16), body: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut payload = Vec::new();
        payload.extend(key.to_be_bytes());
        payload.extend(version.to_be_bytes());
        payload.extend(7_i32.to_be_bytes()); // correlation id
        put_string(&mut payload, "footprint");
        payload.extend(body);
        let frame = [&i32::try_from(payload.len())?.to_be_bytes()[..], &payload].concat();
        self.0.write_all(&frame)?;
        let mut prefix = [0; 4];
        self.0.read_exact(&mut prefix).context("the broker does not answer")?;
        let length = usize::try_from(i32::from_be_bytes(prefix))?;
        if !(4..=65_536).contains(&length) {
            bail!("an answer of {length} bytes");
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer)?;
        Ok(answer.split_off(4))
    }
}

fn put_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u16).to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn code_at(answer: &[u8], position: usize) -> anyhow::Result<i16> {
    let bytes = answer.get(position..position + 2).context("the answer is too short")?;
    Ok(i16::from_be_bytes([bytes[0], bytes[1]]))
}

/// A record batch of format v2 with one record, without key and headers.
fn batch(value: &[u8]) -> Vec<u8> {
    let zigzag = |number: usize| (number * 2) as u8; // one byte: all lengths here are below 64
    let mut record = vec![0, 0, 0, 1, zigzag(value.len())]; // attributes, two deltas, no key (-1), the value
    record.extend(value);
    record.push(0); // headers
    let mut checked = Vec::new();
    checked.extend(0_i16.to_be_bytes()); // attributes
    checked.extend(0_i32.to_be_bytes()); // last offset delta
    checked.extend(1_700_000_000_000_i64.to_be_bytes());
    checked.extend(1_700_000_000_000_i64.to_be_bytes());
    checked.extend((-1_i64).to_be_bytes()); // producer id
    checked.extend((-1_i16).to_be_bytes()); // producer epoch
    checked.extend((-1_i32).to_be_bytes()); // base sequence
    checked.extend(1_i32.to_be_bytes());
    checked.push(zigzag(record.len()));
    checked.extend(record);
    let mut batch = Vec::new();
    batch.extend(0_i64.to_be_bytes()); // base offset
    batch.extend((checked.len() as i32 + 9).to_be_bytes());
    batch.extend((-1_i32).to_be_bytes()); // leader epoch
    batch.push(2); // magic
    batch.extend(crc32c(&checked).to_be_bytes());
    batch.extend(checked);
    batch
}

/// CRC-32C, bit by bit: it is for seventy bytes.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnoli_s() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_batch_says_its_own_length() {
        let batch = batch(b"first");
        assert_eq!(batch.len(), 61 + 1 + 11);
        assert_eq!(batch[8..12], 61_i32.to_be_bytes());
    }
}
