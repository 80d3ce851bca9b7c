//! The floor of latency where nothing else happens: one record's bytes there and a short answer back, 100 a second, from
//! the time each is due. Between two of them both processors go to sleep, and waking them is most of the figure.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::{BROKER_CPU, CLIENT_CPU, Floor, Options, connection, pin};
use crate::latency::Latencies;

const EVERY: Duration = Duration::from_millis(10);
const REQUEST_BYTES: usize = 1100;
const ANSWER_BYTES: usize = 60;

pub fn run(options: &Options) -> anyhow::Result<Floor> {
    let (mut broker, mut client) = connection()?;
    let echo = std::thread::spawn(move || {
        pin(BROKER_CPU);
        let mut bytes = [0; REQUEST_BYTES];
        while broker.read_exact(&mut bytes).is_ok() && broker.write_all(&bytes[..ANSWER_BYTES]).is_ok() {}
    });
    pin(CLIENT_CPU);
    let alarm = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
    let mut latencies = Latencies::new();
    let (started, mut due) = (Instant::now(), Instant::now());
    let mut bytes = [7; REQUEST_BYTES];
    while started.elapsed() < options.length() {
        due += EVERY;
        let left = due.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let value =
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: i64::from(left.subsec_nanos()) };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&alarm, TimerfdTimerFlags::empty(), &once)?;
        rustix::io::read(&alarm, &mut [0; 8])?;
        client.write_all(&bytes)?;
        client.read_exact(&mut bytes[..ANSWER_BYTES])?;
        latencies.record(0, due.elapsed().as_nanos() as u64);
    }
    let seconds = started.elapsed().as_secs_f64();
    drop(client);
    echo.join().map_err(|_| anyhow::anyhow!("the echo panicked"))?;
    let percentiles = latencies.percentiles();
    Ok(Floor {
        p50_us: percentiles.as_ref().map(|found| found.p50 as f64),
        p99_us: percentiles.as_ref().map(|found| found.p99 as f64),
        ..Floor::new("1100 bytes there, 60 back, 100 a second".to_owned(), seconds)
    })
}
