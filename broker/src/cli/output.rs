//! Tables for people, JSON for scripts.
//!
//! Each command builds both from the same values; which one is printed is decided here. Tables have no borders:
//! they stay readable when piped into `grep` or `awk`. JSON is one document, pretty on a terminal.

use std::io::{IsTerminal, Write};

use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

use super::failure::Failure;

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    Table,
    Json,
}

/// The option that chooses it.
#[derive(Debug, Clone, Args)]
pub struct OutputArgs {
    /// Tables for people, JSON for scripts
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub output: OutputFormat,
}

impl OutputArgs {
    /// Prints one of the two forms of the same answer.
    pub fn print(&self, table: impl FnOnce() -> String, json: impl FnOnce() -> Value) -> Result<(), Failure> {
        match self.output {
            OutputFormat::Table => print_line(table().trim_end()),
            OutputFormat::Json => print_json(&json()),
        }
    }
}

/// Prints a JSON document: indented on a terminal, on one line otherwise.
pub fn print_json(value: &Value) -> Result<(), Failure> {
    print_line(&if std::io::stdout().is_terminal() { format!("{value:#}") } else { value.to_string() })
}

/// Prints a line. A reader that has gone away (`| head`) is no failure.
pub fn print_line(line: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::of_system("cannot write to standard output", &error))
        }
        _ => Ok(()),
    }
}

/// Columns under headings. Columns whose cells are all numbers are aligned to the right.
pub fn table(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let numeric = |column: usize| {
        !rows.is_empty() && rows.iter().all(|row| row[column] == "-" || row[column].parse::<i64>().is_ok())
    };
    let right: Vec<usize> = (0..headings.len()).filter(|column| numeric(*column)).collect();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().copied());
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
        if right.contains(&column.index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// Broker ids as Kafka's tools print them: `1,2,3`.
pub fn ids<T: std::fmt::Display>(ids: &[T]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// A value that may be missing.
pub fn or_dash<T: std::fmt::Display>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_to_the_right_and_lines_have_no_trailing_blanks() {
        let rows = vec![vec!["orders".to_owned(), "12".to_owned()], vec!["a".to_owned(), "3".to_owned()]];
        assert_eq!(
            table(&["TOPIC", "PARTITIONS"], rows),
            "TOPIC   PARTITIONS\norders          12\na                3"
        );
    }
}
