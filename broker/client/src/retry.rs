//! How long and how often a failed call is tried again.
//!
//! A loop asks `Backoff::pause` after each failure: it either waits and says go on, or hands the error back
//! because it is final or the deadline would pass. Pauses double up to a bound and are spread by a fifth either
//! way, so that clients which failed together do not return together (KIP-580).

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::ClientConfig;
use crate::error::ClientError;

/// The pauses of one call.
#[derive(Debug)]
pub(crate) struct Backoff {
    deadline: Instant,
    /// Something that does not exist is looked for only until then.
    unknown_deadline: Instant,
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Tries until `api_timeout` has passed.
    pub(crate) fn new(config: &ClientConfig) -> Self {
        Self::until(config, Instant::now() + config.api_timeout)
    }

    pub(crate) fn until(config: &ClientConfig, deadline: Instant) -> Self {
        let unknown_deadline = deadline.min(Instant::now() + config.unknown_topic_timeout);
        Self { deadline, unknown_deadline, next: config.retry_backoff, longest: config.retry_backoff_max }
    }

    /// Waits before the next attempt, or returns the error when there must be none.
    pub(crate) async fn pause(&mut self, error: ClientError) -> Result<(), ClientError> {
        if !error.is_retriable() {
            return Err(error);
        }
        let deadline = if error.is_unknown_topic() { self.unknown_deadline } else { self.deadline };
        let pause = spread(self.next);
        if Instant::now() + pause >= deadline {
            return Err(error);
        }
        self.next = (self.next * 2).min(self.longest);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// Between four and six fifths of the pause. The standard library's hasher keys are the only randomness needed.
fn spread(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0u8) % 401;
    pause.mul_f64(0.8 + random as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> ClientError {
        ClientError::NoLeader { topic: "t".into(), partition: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_the_longest_and_end_at_the_deadline() {
        let config = ClientConfig { api_timeout: Duration::from_secs(10), ..ClientConfig::default() };
        let start = Instant::now();
        let mut backoff = Backoff::new(&config);
        let mut attempts = 0;
        while backoff.pause(refused()).await.is_ok() {
            attempts += 1;
        }
        // 50, 100, 200, 400, 800 ms and then one second each, a fifth more or less.
        assert!((12..=17).contains(&attempts), "{attempts} attempts");
        assert!(start.elapsed() <= Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_final_error_is_returned_at_once() {
        let start = Instant::now();
        let error = Backoff::new(&ClientConfig::default()).pause(ClientError::Invalid("no".into())).await;
        assert!(matches!(error, Err(ClientError::Invalid(_))));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
