//! Whether anybody else wants the processors: loops that only read the clock, and the time that they lose.
//!
//! Called before and after every measurement; a processor that is taken away is seen as a gap between two readings.

use std::time::{Duration, Instant};

use super::{BROKER_CPU, CLIENT_CPU, Floor, Options, pin};

/// A timer interrupt is shorter, a process that is scheduled instead is longer.
const GAP: Duration = Duration::from_micros(100);

/// The greater share of the two processors, in percent.
pub fn run(options: &Options) -> anyhow::Result<Floor> {
    let length = options.length();
    let meters = [BROKER_CPU, CLIENT_CPU].map(|cpu| std::thread::spawn(move || lost_percent(cpu, length)));
    let mut worst: f64 = 0.0;
    for meter in meters {
        worst = worst.max(meter.join().map_err(|_| anyhow::anyhow!("a meter panicked"))?);
    }
    Ok(Floor {
        lost_percent: Some(worst),
        ..Floor::new("time lost by a loop on each processor".to_owned(), options.seconds)
    })
}

fn lost_percent(cpu: usize, length: Duration) -> f64 {
    pin(cpu);
    let started = Instant::now();
    let (mut last, mut lost) = (started, Duration::ZERO);
    while last.duration_since(started) < length {
        let now = Instant::now();
        let gap = now.duration_since(last);
        if gap > GAP {
            lost += gap;
        }
        last = now;
    }
    100.0 * lost.as_secs_f64() / last.duration_since(started).as_secs_f64()
}
