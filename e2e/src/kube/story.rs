//! A test as a story: numbered steps in plain words, each with a bound on its time, both printed.
//!
//! Invariants: a step that overruns its bound fails the test with the last reason for waiting; nothing waits
//! without a bound. Used by `tests/kube_*.rs`.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How often a condition is looked at while waiting.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The steps of one test.
pub struct Story {
    steps: u32,
    started: Instant,
}

impl Story {
    pub fn begin(promise: &str) -> Story {
        println!("promise: {promise}");
        Story { steps: 0, started: Instant::now() }
    }

    /// Does something that must succeed at once, within the bound.
    pub fn step<T>(
        &mut self,
        words: &str,
        bound_s: u64,
        act: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let started = Instant::now();
        let result = act().with_context(|| format!("step {}: {words}", self.steps + 1))?;
        self.tell(words, bound_s, started.elapsed())?;
        Ok(result)
    }

    /// Waits until `look` gives a value; while it gives nothing, or fails, it is asked again.
    pub fn wait<T>(
        &mut self,
        words: &str,
        bound_s: u64,
        mut look: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let started = Instant::now();
        loop {
            let seen = look();
            if let Ok(Some(value)) = seen {
                self.tell(words, bound_s, started.elapsed())?;
                return Ok(value);
            }
            if started.elapsed() > Duration::from_secs(bound_s) {
                let step = self.steps + 1;
                return match seen {
                    Err(error) => Err(error.context(format!("step {step}: {words}: not within {bound_s} s"))),
                    Ok(_) => bail!("step {step}: {words}: not within {bound_s} s"),
                };
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until something is true.
    pub fn until(
        &mut self,
        words: &str,
        bound_s: u64,
        mut look: impl FnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        self.wait(words, bound_s, || Ok(look()?.then_some(())))
    }

    /// The last line of the story.
    pub fn end(self) {
        println!("kept, in {} steps and {:.0} s", self.steps, self.started.elapsed().as_secs_f64());
    }

    fn tell(&mut self, words: &str, bound_s: u64, took: Duration) -> anyhow::Result<()> {
        self.steps += 1;
        println!("{:>3}. {words} [{:.1} s of {bound_s} s]", self.steps, took.as_secs_f64());
        if took > Duration::from_secs(bound_s) {
            bail!("step {}: {words}: took {:.1} s, the bound is {bound_s} s", self.steps, took.as_secs_f64());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_the_last_reason() {
        let mut story = Story::begin("nothing");
        let error = story.until("the sea parts", 0, || bail!("still wet")).expect_err("it never does");
        assert_eq!(format!("{error:#}"), "step 1: the sea parts: not within 0 s: still wet");
    }

    #[test]
    fn a_step_over_its_bound_fails() {
        let mut story = Story::begin("nothing");
        let slow = story.step("sleep", 0, || {
            std::thread::sleep(Duration::from_millis(1));
            Ok(())
        });
        assert!(slow.is_err());
    }
}
