//! `cargo xtask tidy`: the laws of ARCHITECTURE.md that a compiler does not enforce, upheld by a machine.
//!
//! Invariants: reads the checkout and changes nothing; every rule is a function from texts to complaints and has
//! a test with a planted violation; each complaint says where, what, and what to do. Called by people and by the
//! test table. The idea of a tidy that tests itself is TigerBeetle's.

mod headers;
mod imports;
mod names;
mod purity;
mod sizes;
mod source;
mod words;

use anyhow::bail;

use crate::cache::checkout;
use source::Tree;

/// One violation of one rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Complaint {
    /// Path in the checkout, with a line where there is one.
    pub place: String,
    pub words: String,
}

impl Complaint {
    fn at(place: impl Into<String>, words: impl Into<String>) -> Complaint {
        Complaint { place: place.into(), words: words.into() }
    }
}

/// A rule: its name, and what it finds wrong with a tree.
type Rule = (&'static str, fn(&Tree) -> Vec<Complaint>);

const RULES: &[Rule] = &[
    ("imports", imports::check),
    ("purity", purity::check),
    ("sizes", sizes::check),
    ("headers", headers::check),
    ("names", names::check),
    ("words", words::check),
];

pub fn run() -> anyhow::Result<()> {
    let tree = Tree::of_checkout(checkout())?;
    let mut failures = 0;
    for (name, rule) in RULES {
        let mut complaints = rule(&tree);
        complaints.sort();
        failures += complaints.len();
        match complaints.len() {
            0 => println!("PASSED {name}"),
            _ => complaints.iter().for_each(|complaint| println!("{}: {}", complaint.place, complaint.words)),
        }
    }
    println!("{}", sizes::summary(&tree));
    if failures > 0 {
        bail!("tidy has {failures} complaints");
    }
    Ok(())
}
