//! `.kafka_cleanshutdown`: left by a broker that closed every log, and taken away by the next start.
//!
//! JSON with a version and the broker epoch, by which a controller knows that nothing was lost (KIP-966). The
//! reader accepts any order and spacing of the two members, and Kafka's older empty file. Kafka:
//! `CleanShutdownFileHandler`.

/// What the marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanShutdown {
    /// The epoch under which the broker was registered; -1 where unknown.
    pub broker_epoch: i64,
}

impl CleanShutdown {
    pub(crate) fn format(self) -> String {
        format!("{{\"version\":0,\"brokerEpoch\":{}}}", self.broker_epoch)
    }

    /// A marker that cannot be read still says that the shutdown was clean, as in Kafka.
    pub(crate) fn parse(content: &[u8]) -> CleanShutdown {
        let text = String::from_utf8_lossy(content);
        let broker_epoch = text
            .split_once("\"brokerEpoch\"")
            .and_then(|(_, rest)| rest.trim_start().strip_prefix(':'))
            .map(|rest| {
                rest.trim_start().split(|c: char| c != '-' && !c.is_ascii_digit()).next().unwrap_or_default()
            })
            .and_then(|digits| digits.parse().ok());
        CleanShutdown { broker_epoch: broker_epoch.unwrap_or(-1) }
    }
}

#[cfg(test)]
mod tests {
    use super::CleanShutdown;

    #[test]
    fn the_marker_is_kafkas_json() {
        let marker = CleanShutdown { broker_epoch: 17 };
        assert_eq!(marker.format(), r#"{"version":0,"brokerEpoch":17}"#);
        assert_eq!(CleanShutdown::parse(marker.format().as_bytes()), marker);
        assert_eq!(CleanShutdown::parse(br#"{ "brokerEpoch" : -1 , "version" : 0 }"#).broker_epoch, -1);
        assert_eq!(CleanShutdown::parse(b"").broker_epoch, -1);
    }
}
