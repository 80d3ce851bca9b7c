//! The one place where the broker reads the wall clock, and what it makes of it when somebody sets it.
//!
//! `wall_ms` is what the machine says: it goes into records and is compared with theirs. `steady_ms` measures how long
//! things last in the same unit: it began as the wall clock did, goes on with the time since the machine booted,
//! and follows a wall clock that was set no faster than 1 s in 64, so that an hour's jump ends no session early.
//! `retention_ms` decides what is old enough to be deleted: the earlier of both, for a clock that jumps forward must
//! not delete, and records written after it jumped back must not look old. A restart begins at the wall clock anew.
//! Durations inside of a process are `Instant`s, which no jump touches. docs/decisions/0027.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use thiserror::Error;
use tracing::warn;

/// Names a file that holds milliseconds, which are added to the wall clock: so a test sets the clock of one broker.
pub const OFFSET_FILE: &str = "LOGSPINE_TEST_CLOCK_OFFSET_FILE";
/// Must be `yes` with it.
pub const ALLOWED: &str = "LOGSPINE_TEST_CLOCK_ALLOWED";

/// A second of steady time follows the wall clock by at most this part of it.
const FOLLOW_PART: i64 = 64;
/// A clock that is so far off was set, and it is told.
const JUMP_NS: i64 = 10_000_000_000;

/// Somebody left a test's setting behind.
#[derive(Debug, Error)]
#[error(
    "{OFFSET_FILE} is set: it moves the broker's clock and is for tests; unset it (tests set {ALLOWED}=yes, too)"
)]
pub struct NotAllowed;

struct Clock {
    offset_file: Option<PathBuf>,
    steady: Mutex<Steady>,
}

static CLOCK: OnceLock<Clock> = OnceLock::new();

/// Takes the test's setting, if one is there and allowed. Called before anything else; without it there is none.
pub fn establish() -> Result<(), NotAllowed> {
    let offset_file = std::env::var_os(OFFSET_FILE).map(PathBuf::from);
    if offset_file.is_some() {
        if std::env::var(ALLOWED).as_deref() != Ok("yes") {
            return Err(NotAllowed);
        }
        warn!("the clock is moved by a file, for a test");
    }
    CLOCK.get_or_init(|| Clock::new(offset_file));
    Ok(())
}

/// Milliseconds since the Unix epoch, as the machine's clock has it now.
pub fn wall_ms() -> i64 {
    clock().wall_ns() / 1_000_000
}

/// The same, and undisturbed by whoever sets it.
pub fn steady_ms() -> i64 {
    clock().steady_ns() / 1_000_000
}

/// The time by which records are deleted.
pub fn retention_ms() -> i64 {
    wall_ms().min(steady_ms())
}

fn clock() -> &'static Clock {
    CLOCK.get_or_init(|| Clock::new(None))
}

impl Clock {
    fn new(offset_file: Option<PathBuf>) -> Clock {
        let clock = Clock { offset_file, steady: Mutex::default() };
        *clock.steady.lock() = Steady::new(clock.wall_ns(), since_boot_ns());
        clock
    }

    fn wall_ns(&self) -> i64 {
        // A clock before 1970 counts as 1970, one behind 2262 as that.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall_ns = i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX);
        let Some(path) = &self.offset_file else { return wall_ns };
        let offset_ms = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
        wall_ns.saturating_add(offset_ms.unwrap_or(0_i64).saturating_mul(1_000_000))
    }

    fn steady_ns(&self) -> i64 {
        let mut steady = self.steady.lock();
        let jumped_ns = steady.advance(self.wall_ns(), since_boot_ns());
        if let Some(jumped_ns) = jumped_ns {
            warn!(
                "the wall clock was set by {} s; what is due is not moved by it, a restart takes it over",
                jumped_ns / 1_000_000_000
            );
        }
        steady.now_ns
    }
}

/// Counts the time in which the machine sleeps, which a wall clock rightly has.
fn since_boot_ns() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// A clock that follows another one slowly.
#[derive(Debug, Default)]
struct Steady {
    now_ns: i64,
    since_boot_ns: i64,
    /// How far the wall clock was ahead when it was last told.
    told_ns: i64,
}

impl Steady {
    fn new(wall_ns: i64, since_boot_ns: i64) -> Steady {
        Steady { now_ns: wall_ns, since_boot_ns, told_ns: 0 }
    }

    /// Goes on; by how much the wall clock was set, if it was.
    fn advance(&mut self, wall_ns: i64, since_boot_ns: i64) -> Option<i64> {
        let elapsed_ns = (since_boot_ns - self.since_boot_ns).max(0);
        self.since_boot_ns = since_boot_ns;
        self.now_ns += elapsed_ns;
        let most_ns = elapsed_ns / FOLLOW_PART;
        self.now_ns += (wall_ns - self.now_ns).clamp(-most_ns, most_ns);
        let ahead_ns = wall_ns - self.now_ns;
        let jumped_ns = ahead_ns - self.told_ns;
        self.told_ns = if jumped_ns.abs() > JUMP_NS || ahead_ns.abs() < self.told_ns.abs() {
            ahead_ns
        } else {
            self.told_ns
        };
        (jumped_ns.abs() > JUMP_NS && ahead_ns.abs() > JUMP_NS).then_some(jumped_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const HOUR: i64 = 3_600 * SECOND;

    #[test]
    fn it_goes_as_the_wall_clock_does_while_nobody_sets_it() {
        let mut steady = Steady::new(1_000 * SECOND, 5 * SECOND);
        for second in 1..100 {
            // A clock that is disciplined runs a little fast or slow.
            let wall = (1_000 + second) * SECOND + second * 100_000;
            assert_eq!(steady.advance(wall, (5 + second) * SECOND), None);
            assert_eq!(steady.now_ns, wall);
        }
    }

    #[test]
    fn an_hour_forward_or_back_is_told_once_and_followed_slowly_and_never_backward() {
        for jump in [HOUR, -HOUR] {
            let mut steady = Steady::new(10 * HOUR, 0);
            let told = steady.advance(10 * HOUR + SECOND + jump, SECOND).expect("it is told");
            assert!((told - jump).abs() < SECOND, "{told}");
            let mut before = steady.now_ns;
            for second in 2..2_000 {
                assert_eq!(steady.advance(10 * HOUR + second * SECOND + jump, second * SECOND), None);
                let step = steady.now_ns - before;
                assert!((step - SECOND).abs() <= SECOND / FOLLOW_PART, "a second lasted {step} ns");
                before = steady.now_ns;
            }
            let off = steady.now_ns - 10 * HOUR - 1_999 * SECOND;
            assert_eq!(off / SECOND, 1_999 * jump.signum() / FOLLOW_PART, "after 2,000 s");
        }
    }

    #[test]
    fn after_days_it_agrees_with_the_wall_clock_again() {
        let mut steady = Steady::new(0, 0);
        for minute in 1..70 * 60 {
            steady.advance(minute * 60 * SECOND + HOUR, minute * 60 * SECOND);
        }
        assert_eq!(steady.now_ns, (70 * 60 - 1) * 60 * SECOND + HOUR);
    }
}
