//! The `process_*` figures that every Prometheus client library exports, read from /proc at scrape.
//!
//! A figure that cannot be read is left out rather than guessed. Also the figure of the build.

use super::Exposition;

pub fn write(page: &mut Exposition) {
    page.family("logspine_build_info");
    page.sample(&[("version", &env!("CARGO_PKG_VERSION"))], 1);
    if let Some(stat) = Stat::read() {
        let tick = rustix::param::clock_ticks_per_second() as f64;
        page.family("process_cpu_seconds_total");
        page.sample(&[], stat.cpu_ticks as f64 / tick);
        page.family("process_resident_memory_bytes");
        page.sample(&[], stat.resident_pages * rustix::param::page_size() as u64);
        page.family("process_virtual_memory_bytes");
        page.sample(&[], stat.virtual_bytes);
        page.family("process_threads");
        page.sample(&[], stat.threads);
        if let Some(boot) = boot_seconds() {
            page.family("process_start_time_seconds");
            page.sample(&[], boot + stat.start_ticks as f64 / tick);
        }
    }
    if let Some(open) = open_fds() {
        page.family("process_open_fds");
        page.sample(&[], open);
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    if let Some(max) = limit.current {
        page.family("process_max_fds");
        page.sample(&[], max);
    }
}

/// Linux says the number as the folder's size since 6.2; counting ten thousand entries costs as many allocations.
fn open_fds() -> Option<u64> {
    match std::fs::metadata("/proc/self/fd").ok()?.len() {
        0 => Some(std::fs::read_dir("/proc/self/fd").ok()?.count() as u64),
        open => Some(open),
    }
}

/// The fields of /proc/self/stat that are exported.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn read() -> Option<Stat> {
        Stat::parse(&std::fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// Fields are counted after the command, which stands in parentheses and may hold anything.
    fn parse(text: &str) -> Option<Stat> {
        let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
        // proc(5) counts from 1 and the command is field 2, so field N stands at N - 3 here.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

fn boot_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let text = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 100 20 0 0 20 0 5 0 900 4096 33 0";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(
            stat,
            Stat { cpu_ticks: 120, threads: 5, start_ticks: 900, virtual_bytes: 4096, resident_pages: 33 }
        );
    }

    #[test]
    fn open_descriptors_are_counted_as_they_open() {
        let before = open_fds().expect("Linux has /proc");
        let files: Vec<_> = (0..100).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
        let after = open_fds().expect("Linux has /proc");
        assert!(after >= before + 50, "{before}, then {after} with {} more", files.len());
    }

    #[test]
    fn this_process_has_memory_and_threads() {
        let stat = Stat::read().expect("Linux has /proc");
        assert!(stat.resident_pages > 0 && stat.threads > 0);
    }
}
