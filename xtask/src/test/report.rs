//! The two tables of `cargo xtask test`: the list of stages, and the times at the end.
//!
//! Invariants: plain text, one row per stage, budgets beside the times; the closing line is the only one that
//! has the form `N passed, N failed, N skipped`. Called by the test table.

use std::time::Duration;

use crate::console::duration;
use crate::test::Rules;
use crate::test::stages::{Budget, Stage};
use crate::test::tally::Tally;

/// How a stage ended.
pub enum Ending {
    Passed(Tally),
    /// The words are shown in full after the last stage.
    Failed(String),
    /// This machine cannot run the stage.
    Skipped(String),
}

/// One row of the table of times.
pub struct Row {
    pub name: &'static str,
    pub budget: Budget,
    pub is_cold: bool,
    pub took: Duration,
    pub ending: Ending,
}

impl Row {
    /// What this row adds to the total; under CI's rules a skip counts as a failure.
    pub fn tally(&self, rules: Rules) -> Tally {
        let tally = match &self.ending {
            Ending::Passed(tally) => tally.clone(),
            Ending::Failed(_) => Tally { failed: 1, ..Tally::default() },
            Ending::Skipped(reason) => {
                Tally { skipped: vec![format!("{}: {reason}", self.name)], ..Tally::default() }
            }
        };
        if rules == Rules::Ci {
            let failed = tally.failed + tally.skipped.len() as u64;
            return Tally { failed, skipped: Vec::new(), ..tally };
        }
        tally
    }

    fn budget_s(&self) -> u64 {
        if self.is_cold { self.budget.cold_s } else { self.budget.warm_s }
    }
}

pub fn closing_line(total: &Tally) -> String {
    format!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped.len())
}

/// One line about a stage that did not fail.
pub fn summary(ending: &Ending, skips_are_failures: bool) -> String {
    match ending {
        Ending::Passed(tally) if tally.skipped.is_empty() => format!("{} passed", tally.passed),
        Ending::Passed(tally) => {
            let verdict = if skips_are_failures { ", which fails under CI" } else { "" };
            format!("{} passed, {} skipped{verdict}", tally.passed, tally.skipped.len())
        }
        Ending::Failed(_) => "failed".to_owned(),
        Ending::Skipped(reason) => format!("skipped: {reason}"),
    }
}

/// What a stage wants repeated: its skips and its figures.
pub fn remarks(ending: &Ending) -> Vec<String> {
    let Ending::Passed(tally) = ending else { return Vec::new() };
    let skips = tally.skipped.iter().map(|skip| format!("skipped {skip}"));
    skips.chain(tally.figures.iter().cloned()).collect()
}

pub fn times(rows: &[Row], total: Duration) -> String {
    let mut lines = vec![format!("\n{:<16} {:>10} {:>10}  {:<5} result", "stage", "time", "budget", "cache")];
    for row in rows {
        let over = if row.took.as_secs() > row.budget_s() { "  OVER BUDGET" } else { "" };
        let cache = if row.is_cold { "cold" } else { "warm" };
        let budget = duration(Duration::from_secs(row.budget_s()));
        let result = summary(&row.ending, false);
        lines.push(format!(
            "{:<16} {:>10} {budget:>10}  {cache:<5} {result}{over}",
            row.name,
            duration(row.took)
        ));
    }
    lines.push(format!("{:<16} {:>10}\n", "all", duration(total)));
    lines.join("\n")
}

pub fn listing(stages: &[&Stage], full: bool) -> String {
    let mut lines = Vec::new();
    for stage in stages {
        let Budget { warm_s, cold_s } = stage.budget;
        lines.push(format!("{:<16} {} (budget {warm_s} s warm, {cold_s} s cold)", stage.name, stage.promise));
        lines.extend(stage.commands.iter().map(|command| format!("{:<16}   {command}", "")));
        for share in stage.shares {
            let value = if full { share.full } else { share.ci };
            lines.push(format!(
                "{:<16}   {}={value} (CI {}, full {})",
                "", share.variable, share.ci, share.full
            ));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped_row() -> Row {
        let budget = Budget { warm_s: 1, cold_s: 1 };
        Row {
            name: "kube",
            budget,
            is_cold: true,
            took: Duration::ZERO,
            ending: Ending::Skipped("no root".into()),
        }
    }

    #[test]
    fn a_skip_is_told_to_a_person_and_is_a_failure_in_ci() {
        let person = skipped_row().tally(Rules::Person);
        assert_eq!((person.failed, person.skipped), (0, vec!["kube: no root".to_owned()]));
        let ci = skipped_row().tally(Rules::Ci);
        assert_eq!((ci.failed, ci.skipped.len()), (1, 0));
    }

    #[test]
    fn the_closing_line_has_the_form_that_runners_are_read_by() {
        let total = Tally { passed: 3, failed: 1, skipped: vec!["x: y".into()], figures: Vec::new() };
        assert_eq!(closing_line(&total), "3 passed, 1 failed, 1 skipped");
    }
}
