//! How the demo speaks: chapters, commands as a person would type them, their output, and what was checked.
//!
//! Invariants: plain text on standard output, so that the transcript can stand in the README as it is.
//! Called by the demo.

use std::time::Instant;

use crate::console::duration;

/// The transcript of one demo.
pub struct Transcript {
    chapters: u32,
    started: Instant,
}

impl Transcript {
    pub fn begin() -> Transcript {
        Transcript { chapters: 0, started: Instant::now() }
    }

    pub fn chapter(&mut self, title: &str) {
        self.chapters += 1;
        println!("\n{}. {title}  [{}]", self.chapters, duration(self.started.elapsed()));
    }

    pub fn command(&self, line: &str) {
        println!("   $ {line}");
    }

    pub fn output(&self, text: &str) {
        text.lines().filter(|line| !line.trim().is_empty()).for_each(|line| println!("     {line}"));
    }

    /// A fact that was checked.
    pub fn fact(&self, text: &str) {
        println!("   = {text}");
    }

    pub fn end(&self, text: &str) {
        println!("\n{text}  [{}]", duration(self.started.elapsed()));
    }
}
