//! What the kernel says about the broker's process and the machine, at the two ends of the measured window.
//!
//! Invariants: read only twice a run, never inside the window; a process that started or ended in between is
//! counted as foreign. Fields: proc(5). Called by the load's loop.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// Linux counts in hundredths of a second on every architecture that we run on.
const TICKS_PER_S: f64 = 100.0;
/// The parent of every kernel thread.
const KTHREADD: u32 = 2;

/// Counters at one moment.
pub struct Sample {
    at: Instant,
    broker: Option<Process>,
    machine: Machine,
    client_cpu_s: f64,
}

/// Counters of one process.
#[derive(Default)]
struct Process {
    user_s: f64,
    system_s: f64,
    voluntary_switches: u64,
    involuntary_switches: u64,
}

/// Seconds since boot, over all processors.
#[derive(Default)]
struct Machine {
    busy_s: f64,
    steal_s: f64,
    kernel_threads_s: f64,
}

/// What happened between two samples.
#[derive(Debug, Clone, Serialize)]
pub struct Observed {
    pub seconds: f64,
    pub broker: Option<BrokerCost>,
    pub client_cpu_s: f64,
    /// All processors of the machine, whoever used them.
    pub machine_cpu_s: f64,
    /// Writeback and other threads of the kernel.
    pub kernel_threads_cpu_s: f64,
    /// Neither the broker's, nor the client's, nor the kernel's: somebody else disturbed the measurement.
    pub foreign_cpu_s: f64,
    /// Taken away by the hypervisor.
    pub steal_s: f64,
}

/// The broker's share.
#[derive(Debug, Clone, Serialize)]
pub struct BrokerCost {
    pub cpu_s: f64,
    pub user_s: f64,
    pub system_s: f64,
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
    pub memory: Memory,
}

/// Resident bytes of the broker, now and at most.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Memory {
    pub rss_bytes: u64,
    pub peak_rss_bytes: u64,
}

impl Sample {
    pub fn take(broker: Option<u32>) -> anyhow::Result<Sample> {
        Ok(Sample {
            at: Instant::now(),
            broker: broker.map(Process::read).transpose()?,
            machine: Machine::read()?,
            client_cpu_s: own_cpu_s(),
        })
    }

    pub fn until(&self, end: &Sample, broker: Option<u32>) -> anyhow::Result<Observed> {
        let cost = match (&self.broker, &end.broker, broker) {
            (Some(from), Some(to), Some(id)) => {
                let (user_s, system_s) = (to.user_s - from.user_s, to.system_s - from.system_s);
                let voluntary_switches = to.voluntary_switches.saturating_sub(from.voluntary_switches);
                let involuntary_switches = to.involuntary_switches.saturating_sub(from.involuntary_switches);
                let memory = Memory::read(id)?;
                let cpu_s = user_s + system_s;
                Some(BrokerCost { cpu_s, user_s, system_s, voluntary_switches, involuntary_switches, memory })
            }
            _ => None,
        };
        let machine_cpu_s = end.machine.busy_s - self.machine.busy_s;
        let kernel_threads_cpu_s = end.machine.kernel_threads_s - self.machine.kernel_threads_s;
        let client_cpu_s = end.client_cpu_s - self.client_cpu_s;
        let ours = cost.as_ref().map_or(0.0, |cost| cost.cpu_s) + client_cpu_s + kernel_threads_cpu_s;
        Ok(Observed {
            seconds: end.at.duration_since(self.at).as_secs_f64(),
            broker: cost,
            client_cpu_s,
            machine_cpu_s,
            kernel_threads_cpu_s,
            foreign_cpu_s: (machine_cpu_s - ours).max(0.0),
            steal_s: end.machine.steal_s - self.machine.steal_s,
        })
    }
}

impl Process {
    fn read(id: u32) -> anyhow::Result<Process> {
        let stat = read(&format!("/proc/{id}/stat"))?;
        let (_, user_s, system_s) = parent_and_times(&stat).context("the kernel's stat line is too short")?;
        let mut process = Process { user_s, system_s, ..Process::default() };
        for task in std::fs::read_dir(format!("/proc/{id}/task"))?.flatten() {
            // A thread may end between the listing and the reading.
            let Ok(status) = std::fs::read_to_string(task.path().join("status")) else { continue };
            process.voluntary_switches += number(&status, "voluntary_ctxt_switches:").unwrap_or(0);
            process.involuntary_switches += number(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0);
        }
        Ok(process)
    }
}

impl Machine {
    fn read() -> anyhow::Result<Machine> {
        let stat = read("/proc/stat")?;
        let line = stat.lines().find(|line| line.starts_with("cpu ")).context("no line of all processors")?;
        let fields: Vec<f64> =
            line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
        // user, nice, system, idle, iowait, irq, softirq, steal; guest times are inside user and nice.
        let at = |index: usize| fields.get(index).copied().unwrap_or(0.0) / TICKS_PER_S;
        let busy_s = at(0) + at(1) + at(2) + at(5) + at(6);
        Ok(Machine { busy_s, steal_s: at(7), kernel_threads_s: kernel_threads_s() })
    }
}

impl Memory {
    pub fn read(process: u32) -> anyhow::Result<Memory> {
        let status = read(&format!("/proc/{process}/status"))?;
        let bytes = |field| number(&status, field).map_or(0, |kib| kib * 1024);
        Ok(Memory { rss_bytes: bytes("VmRSS:"), peak_rss_bytes: bytes("VmHWM:") })
    }
}

fn kernel_threads_s() -> f64 {
    let Ok(entries) = std::fs::read_dir("/proc") else { return 0.0 };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let stats = ids.filter_map(|id| std::fs::read_to_string(format!("/proc/{id}/stat")).ok());
    stats
        .filter_map(|stat| parent_and_times(&stat))
        .filter(|(parent, ..)| *parent == KTHREADD)
        .fold(0.0, |sum, (_, user_s, system_s)| sum + user_s + system_s)
}

/// Parent, seconds in user mode, seconds in kernel mode; the name in brackets may hold spaces.
fn parent_and_times(stat: &str) -> Option<(u32, f64, f64)> {
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let seconds = |at: usize| Some(fields.get(at)?.parse::<f64>().ok()? / TICKS_PER_S);
    Some((fields.get(1)?.parse().ok()?, seconds(11)?, seconds(12)?))
}

fn number(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

fn read(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

/// Processor seconds of this process.
pub fn own_cpu_s() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

/// Processor seconds of the calling thread.
pub fn thread_cpu_s() -> f64 {
    seconds(ClockId::ThreadCPUTime)
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_does_not_shift_the_fields() {
        let stat = "7 (a b) c) S 2 0 0 0 -1 69238880 0 0 0 0 150 50 0 0 20 0 1 0";
        assert_eq!(parent_and_times(stat), Some((2, 1.5, 0.5)));
    }

    #[test]
    fn a_busy_thread_of_this_process_is_seen_as_the_broker_s() {
        let id = std::process::id();
        let from = Sample::take(Some(id)).expect("our own counters");
        let busy_until = own_cpu_s() + 0.3;
        while own_cpu_s() < busy_until {
            std::hint::black_box(0_u64.wrapping_mul(3));
        }
        let observed =
            from.until(&Sample::take(Some(id)).expect("counters"), Some(id)).expect("a difference");
        let broker = observed.broker.expect("a cost");
        assert!((0.25..1.0).contains(&broker.cpu_s), "{broker:?}");
        assert!(broker.memory.rss_bytes > 0);
    }
}
