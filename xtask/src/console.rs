//! What a person sees: one line per step, with a moving bar on a terminal and plain lines elsewhere.
//!
//! Invariants: everything here goes to standard error, so that standard output stays for results; without a
//! terminal (CI, a pipe) no control character is ever written. Called by every command.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// One step of long work: announced at the start, closed with its duration.
pub struct Step {
    name: String,
    bar: Option<ProgressBar>,
    started: Instant,
}

impl Step {
    /// Announces `name`; `expectation` says what to expect ("about 5 minutes the first time"), or is empty.
    pub fn start(name: &str, expectation: &str) -> Step {
        let text = if expectation.is_empty() { name.to_owned() } else { format!("{name} ({expectation})") };
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(
                ProgressStyle::with_template("{spinner} {prefix} {elapsed:.dim} {wide_msg:.dim}")
                    .expect("the template is a constant that indicatif accepts"),
            );
            bar.set_prefix(text.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            eprintln!("==> {text}");
        }
        Step { name: name.to_owned(), bar, started: Instant::now() }
    }

    /// Shows the latest line of a running command behind the bar; nothing without a terminal.
    pub fn progress(&self, line: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(line.trim_end().to_owned());
        }
    }

    /// Closes the step with one line that stays.
    pub fn finish(self, result: &str) -> Duration {
        let took = self.started.elapsed();
        let result = if result.is_empty() { String::new() } else { format!(": {result}") };
        match self.bar {
            Some(bar) => {
                bar.finish_and_clear();
                eprintln!("  ✓ {}{result} [{}]", self.name, duration(took));
            }
            None => eprintln!("    {}{result} [{}]", self.name, duration(took)),
        }
        took
    }
}

/// `1.2 s`, `34 s`, `5 m 07 s`: three significant places are enough for a person.
pub fn duration(took: Duration) -> String {
    let seconds = took.as_secs_f64();
    if seconds < 9.95 {
        format!("{seconds:.1} s")
    } else if seconds < 119.5 {
        format!("{seconds:.0} s")
    } else {
        format!("{} m {:02} s", took.as_secs() / 60, took.as_secs() % 60)
    }
}

/// `612 B`, `3.4 MiB`.
pub fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// A sentence for the person at the keyboard.
pub fn say(text: &str) {
    eprintln!("{text}");
}

/// The end of a failed command: the whole chain of reasons, the outermost first.
pub fn error(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well_at_every_size() {
        assert_eq!(duration(Duration::from_millis(1234)), "1.2 s");
        assert_eq!(duration(Duration::from_secs(34)), "34 s");
        assert_eq!(duration(Duration::from_secs(307)), "5 m 07 s");
    }

    #[test]
    fn sizes_read_well_at_every_size() {
        assert_eq!(bytes(612), "612 B");
        assert_eq!(bytes(3_565_158), "3.4 MiB");
    }
}
