//! How the demo speaks: chapters, commands as a person would type them, their output, and what was checked.
//!
//! Invariants: plain text on standard output, so that the transcript can stand in the README as it is; `compare`
//! holds such a copy to the truth, but for figures. Called by the demo.

use std::cell::RefCell;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::console::duration;

/// What stands around the copy of a transcript in a document.
const BEGIN: &str = "<!-- transcript: cargo xtask demo -->";
const END: &str = "<!-- end of transcript -->";

/// The transcript of one demo.
pub struct Transcript {
    chapters: u32,
    started: Instant,
    told: RefCell<String>,
}

impl Transcript {
    pub fn begin() -> Transcript {
        Transcript { chapters: 0, started: Instant::now(), told: RefCell::default() }
    }

    fn tell(&self, text: &str) {
        println!("{text}");
        let mut told = self.told.borrow_mut();
        told.push_str(text);
        told.push('\n');
    }

    pub fn chapter(&mut self, title: &str) {
        self.chapters += 1;
        self.tell(&format!("\n{}. {title}  [{}]", self.chapters, duration(self.started.elapsed())));
    }

    pub fn command(&self, line: &str) {
        self.tell(&format!("   $ {line}"));
    }

    pub fn output(&self, text: &str) {
        text.lines()
            .filter(|line| !line.trim().is_empty())
            .for_each(|line| self.tell(&format!("     {line}")));
    }

    /// A fact that was checked.
    pub fn fact(&self, text: &str) {
        self.tell(&format!("   = {text}"));
    }

    pub fn end(&self, text: &str) {
        self.tell(&format!("\n{text}  [{}]", duration(self.started.elapsed())));
    }

    /// Fails unless the copy of the transcript in a document says the same, figures apart.
    pub fn compare(&self, document: &Path) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(document)
            .with_context(|| format!("cannot read {}", document.display()))?;
        let inside = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END));
        let Some((copy, _)) = inside else { bail!("{} holds no transcript: {BEGIN}", document.display()) };
        let (copy, told) = (shape(copy), shape(&self.told.borrow()));
        if let Some((old, new)) = copy.iter().zip(&told).find(|(old, new)| old != new) {
            bail!(
                "{} says `{old}`, and the demo says `{new}`: copy its transcript there",
                document.display()
            );
        }
        if copy.len() != told.len() {
            bail!("{} tells {} lines, the demo {}", document.display(), copy.len(), told.len());
        }
        Ok(())
    }
}

/// What was done and found, without figures, names made by chance, and columns: headings, commands and facts.
fn shape(text: &str) -> Vec<String> {
    let is_told = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("$ ")
            || line.starts_with("= ")
            || line.split('.').next().is_some_and(|n| n.parse::<u32>().is_ok())
    };
    let without_figures = |line: &str| {
        let words = line.split_whitespace().filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
        words.filter(|word| !matches!(*word, "s" | "s]" | "m" | "ms")).collect::<Vec<_>>().join(" ")
    };
    text.lines().filter(is_told).map(without_figures).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_may_differ_and_words_may_not() {
        let one = "1. A broker  [0.1 s]\n   $ seq 1 9 | kcat\n     GROUP x\n   = 9 acknowledged in 1.3 s\n";
        let other = "1. A broker  [2 m 07 s]\n   $ seq 1 9 | kcat\n   = 9 acknowledged in 0.6 s\n";
        assert_eq!(shape(one), shape(other));
        assert_ne!(shape(one), shape("1. A broker\n   $ seq 1 9 | cat\n   = acknowledged in\n"));
    }
}
