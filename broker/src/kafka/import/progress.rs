//! How far a long import is: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use super::plan::Plan;

const LINE_INTERVAL: Duration = Duration::from_secs(10);

pub struct Progress {
    bar: ProgressBar,
    partitions: (usize, usize),
    is_terminal: bool,
    last_line: Instant,
}

impl Progress {
    pub fn new(plan: &Plan) -> Progress {
        let bar = ProgressBar::new(plan.partitions.iter().map(|partition| partition.bytes).sum());
        let style = "{msg} {wide_bar} {bytes} of {total_bytes}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        let partitions = (0, plan.partitions.len());
        let is_terminal = std::io::stderr().is_terminal();
        Progress { bar, partitions, is_terminal, last_line: Instant::now() }
    }

    pub fn one_done(&mut self, bytes: u64) {
        self.partitions.0 += 1;
        self.bar.inc(bytes);
        let (done, total) = self.partitions;
        self.bar.set_message(format!("{done} of {total} partitions"));
        if !self.is_terminal && self.last_line.elapsed() >= LINE_INTERVAL {
            self.last_line = Instant::now();
            let (bytes, all) = (self.bar.position(), self.bar.length().unwrap_or_default());
            eprintln!("{done} of {total} partitions, {} of {}", HumanBytes(bytes), HumanBytes(all));
        }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
