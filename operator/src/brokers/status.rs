//! `GET /status` of a broker's admin endpoint.
//!
//! A hand-written HTTP/1.1 exchange of one request: one short-lived connection, no redirect, no
//! encoding, a bounded answer and a deadline. The pod's address is used, not a Service, because this must
//! work while the broker is not ready.

use std::net::IpAddr;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{BrokerProbe, BrokerReport};

/// Port of the brokers' admin endpoint.
pub const ADMIN_PORT: i32 = 9644;
const DEADLINE: Duration = Duration::from_secs(3);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Why a broker's report could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The pod's address is no address.
    #[error("{0} is not an IP address")]
    Address(String),
    /// The connection failed or the deadline passed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The answer is not HTTP 200 with a report.
    #[error("unexpected answer: {0}")]
    Answer(String),
    /// The report is not what it should be.
    #[error("unreadable report: {0}")]
    Report(#[from] serde_json::Error),
}

/// Asks over HTTP.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpProbe;

impl BrokerProbe for HttpProbe {
    fn report<'a>(&'a self, pod_ip: &'a str) -> BoxFuture<'a, Option<BrokerReport>> {
        Box::pin(async move {
            match fetch(pod_ip, ADMIN_PORT as u16).await {
                Ok(report) => Some(report),
                Err(error) => {
                    tracing::debug!(pod_ip, %error, "a broker does not report");
                    None
                }
            }
        })
    }
}

/// The report of the broker at this address and port.
pub async fn fetch(pod_ip: &str, port: u16) -> Result<BrokerReport, ProbeError> {
    let address: IpAddr = pod_ip.parse().map_err(|_| ProbeError::Address(pod_ip.into()))?;
    let exchange = async {
        let mut stream = TcpStream::connect((address, port)).await?;
        let request = format!(
            "GET /status HTTP/1.1\r\nHost: {address}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(DEADLINE, exchange)
        .await
        .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
    parse(&answer)
}

/// The report inside an HTTP answer. Both plain and chunked bodies hold exactly one JSON object.
fn parse(answer: &[u8]) -> Result<BrokerReport, ProbeError> {
    let text = String::from_utf8_lossy(answer);
    let first = text.lines().next().unwrap_or_default();
    let status = first.split(' ').nth(1).unwrap_or_default();
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    let (Some(start), Some(end)) = (body.find('{'), body.rfind('}')) else {
        return Err(ProbeError::Answer(first.into()));
    };
    if status != "200" || start > end {
        return Err(ProbeError::Answer(first.into()));
    }
    Ok(serde_json::from_str(&body[start..=end])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_and_unknown_fields_are_ignored() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n\
            {\"brokerId\":0,\"state\":\"running\",\"ready\":true,\"recovery\":{\"partitionsDone\":3},\"diskUsedBytes\":5}";
        let report = parse(answer).unwrap();
        assert!(report.ready);
        assert_eq!((report.state.as_str(), report.disk_used_bytes), ("running", 5));
    }

    #[test]
    fn anything_else_is_an_error_in_words() {
        for answer in
            [&b""[..], b"HTTP/1.1 503 Unavailable\r\n\r\n{}", b"HTTP/1.1 200 OK\r\n\r\nno", b"\x00\xff"]
        {
            parse(answer).unwrap_err();
        }
    }
}
