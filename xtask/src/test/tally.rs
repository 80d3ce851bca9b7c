//! Counts tests by reading what test runners print.
//!
//! Understands cargo test, cargo nextest and our own lines: `SKIPPED name: reason` (a test that this machine
//! cannot run), `FIGURE name: value` (a number worth repeating in the summary), `PASSED name` (one check of a
//! command that is no test runner). Called by the test table.

/// What one command's output said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    pub skipped: Vec<String>,
    pub figures: Vec<String>,
}

impl Tally {
    pub fn read(output: &str) -> Tally {
        let mut tally = Tally::default();
        // nextest shows what each test printed, the single test's own result included: only its summary counts.
        let is_nextest = output.lines().any(|line| line.trim_start().starts_with("Summary ["));
        let counts = if is_nextest { "Summary [" } else { "test result:" };
        for line in output.lines() {
            let line = line.trim();
            if let Some(skip) = line.strip_prefix("SKIPPED ") {
                tally.skipped.push(skip.to_owned());
            } else if let Some(figure) = line.strip_prefix("FIGURE ") {
                tally.figures.push(figure.to_owned());
            } else if line.starts_with("PASSED ") {
                tally.passed += 1;
            } else if line.starts_with(counts) {
                tally.passed += number_before(line, "passed");
                tally.failed += number_before(line, "failed");
            }
        }
        tally.skipped.sort();
        tally.skipped.dedup();
        tally
    }

    pub fn plus(&self, other: &Tally) -> Tally {
        Tally {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: [self.skipped.as_slice(), &other.skipped].concat(),
            figures: [self.figures.as_slice(), &other.figures].concat(),
        }
    }
}

/// The number in front of a word: `12 passed`, `12 passed;`, `12 passed,`.
fn number_before(line: &str, word: &str) -> u64 {
    let words: Vec<&str> = line.split_whitespace().collect();
    let pairs = words.windows(2);
    let found = pairs
        .filter(|pair| pair[1].trim_end_matches([';', ',', '.']) == word)
        .find_map(|pair| pair[0].parse().ok());
    found.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_test_is_counted_over_all_its_binaries() {
        let output = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.1s\n\
                      test result: FAILED. 4 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out";
        let tally = Tally::read(output);
        assert_eq!((tally.passed, tally.failed), (7, 1));
    }

    #[test]
    fn nextest_is_counted() {
        let tally =
            Tally::read("     Summary [   1.234s] 12 tests run: 11 passed (1 slow), 1 failed, 2 skipped\n");
        assert_eq!((tally.passed, tally.failed), (11, 1));
    }

    #[test]
    fn skips_and_figures_are_kept_with_their_words() {
        let tally = Tally::read(
            "  SKIPPED kcat_round_trip: kcat is missing\nFIGURE pairs compared: 1200\nPASSED chart renders\n",
        );
        assert_eq!(tally.skipped, ["kcat_round_trip: kcat is missing"]);
        assert_eq!(tally.figures, ["pairs compared: 1200"]);
        assert_eq!(tally.passed, 1);
    }
}
