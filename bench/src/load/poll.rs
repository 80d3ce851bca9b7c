//! Which connections are ready, and an alarm that is exact to microseconds (epoll's own timeout is not).
//!
//! Invariants: level-triggered; room to write is asked for only while something waits for it. Called by the loop.

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::link::Link;

const EVENTS_MAX: usize = 256;
const ALARM: u64 = u64::MAX;
/// The loop looks at the clock at least this often.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
const NEVER: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// What woke the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    Lane(usize),
    Alarm,
}

pub struct Poll {
    epoll: OwnedFd,
    timer: OwnedFd,
    events: Vec<Event>,
}

impl Poll {
    pub fn new() -> anyhow::Result<Poll> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        epoll::add(&epoll, &timer, EventData::new_u64(ALARM), EventFlags::IN | EventFlags::ET)?;
        Ok(Poll { epoll, timer, events: Vec::with_capacity(EVENTS_MAX) })
    }

    pub fn add(&self, link: &Link, number: usize) -> anyhow::Result<()> {
        Ok(epoll::add(&self.epoll, link, EventData::new_u64(number as u64), EventFlags::IN)?)
    }

    /// Tells the kernel, if that changed, whether this connection waits for room.
    pub fn interest(&self, link: &mut Link, number: usize, waits_for_room: bool) -> anyhow::Result<()> {
        if link.waits_for_room == waits_for_room {
            return Ok(());
        }
        link.waits_for_room = waits_for_room;
        let flags = if waits_for_room { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        Ok(epoll::modify(&self.epoll, &*link, EventData::new_u64(number as u64), flags)?)
    }

    /// Waits for a connection, the alarm or a short while; does not sleep when the alarm is due now.
    pub fn wait(&mut self, alarm_in_ns: Option<u64>, tokens: &mut Vec<Token>) -> anyhow::Result<()> {
        let timeout = match alarm_in_ns {
            Some(0) => NEVER,
            Some(alarm_in_ns) => {
                self.set_alarm(alarm_in_ns)?;
                LOOK
            }
            None => LOOK,
        };
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        tokens.extend(self.events.iter().map(|event| match event.data.u64() {
            ALARM => Token::Alarm,
            number => Token::Lane(number as usize),
        }));
        Ok(())
    }

    fn set_alarm(&self, in_ns: u64) -> anyhow::Result<()> {
        let value = Timespec {
            tv_sec: (in_ns / 1_000_000_000).cast_signed(),
            tv_nsec: (in_ns % 1_000_000_000) as i64,
        };
        let alarm = Itimerspec { it_interval: NEVER, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &alarm)?;
        Ok(())
    }
}
