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
        match self.next_pause(&error, Instant::now()) {
            Some(pause) => {
                tokio::time::sleep(pause).await;
                Ok(())
            }
            None => Err(error),
        }
    }

    /// How long to wait, `None` when the error is final or its deadline would pass meanwhile.
    fn next_pause(&mut self, error: &ClientError, now: Instant) -> Option<Duration> {
        let deadline = if error.is_unknown_topic() { self.unknown_deadline } else { self.deadline };
        let pause = spread(self.next);
        self.next = (self.next * 2).min(self.longest);
        (error.is_retriable() && now + pause < deadline).then_some(pause)
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

    /// Every pause until the backoff gives up, with a clock that only the pauses move.
    fn pauses(error: &ClientError) -> Vec<Duration> {
        let mut backoff =
            Backoff::new(&ClientConfig { api_timeout: Duration::from_secs(10), ..ClientConfig::default() });
        let mut now = Instant::now();
        let next = || {
            let pause = backoff.next_pause(error, now)?;
            now += pause;
            Some(pause)
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn pauses_double_up_to_the_longest_a_fifth_more_or_less() {
        let pauses = pauses(&refused());
        for (pause, about_ms) in pauses.iter().zip([50, 100, 200, 400, 800, 1000, 1000, 1000]) {
            let about = Duration::from_millis(about_ms);
            assert!((about.mul_f64(0.8)..=about.mul_f64(1.2)).contains(pause), "{pause:?} for {about:?}");
        }
    }

    #[test]
    fn no_pause_goes_beyond_the_deadline() {
        let total: Duration = pauses(&refused()).iter().sum();
        assert!((Duration::from_millis(8500)..Duration::from_secs(10)).contains(&total), "{total:?}");
    }

    #[test]
    fn what_does_not_exist_is_looked_for_more_briefly() {
        let code = logspine_protocol::error::ErrorCode::UnknownTopicOrPartition;
        let unknown = ClientError::Api {
            broker: "b".into(),
            api: "Metadata",
            code,
            subject: "topic t".into(),
            message: None,
        };
        assert!(pauses(&unknown).iter().sum::<Duration>() < ClientConfig::default().unknown_topic_timeout);
    }

    #[test]
    fn a_final_error_is_not_tried_again() {
        assert_eq!(pauses(&ClientError::Invalid("no".into())), []);
    }
}
