//! Rule: every Rust file opens with `//!` and says its duty; no work is left as a marker in the code.
//!
//! Called by tidy.

use crate::tidy::Complaint;
use crate::tidy::source::{File, Tree};

/// Lines of the opening comment: more belongs into a document.
const HEADER_LINES_MAX: usize = 16;

pub fn check(tree: &Tree) -> Vec<Complaint> {
    tree.rust().flat_map(|file| header(file).into_iter().chain(markers(file))).collect()
}

fn header(file: &File) -> Option<Complaint> {
    // The page of a crate may end with an example, which is no prose.
    let is_prose = |line: &&str| line.starts_with("//!") && !line.starts_with("//! ```");
    let lines = file.text.lines().take_while(is_prose).count();
    if lines == 0 {
        return Some(Complaint::at(
            &file.path,
            "opens without `//!`: say its one duty, its invariants and who calls it",
        ));
    }
    let words = format!("{lines} opening lines, at most {HEADER_LINES_MAX}: the rest belongs into docs/");
    (lines > HEADER_LINES_MAX).then(|| Complaint::at(&file.path, words))
}

fn markers(file: &File) -> Vec<Complaint> {
    let words = ["TODO", "FIXME", "XXX", "HACK"];
    let is_marker =
        |line: &str| line.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| words.contains(&word));
    let lines =
        file.text.lines().enumerate().filter(|(_, line)| line.contains("//") && is_marker(comment_of(line)));
    lines
        .map(|(index, _)| {
            Complaint::at(
                format!("{}:{}", file.path, index + 1),
                "a marker of unfinished work: finish it or write it down",
            )
        })
        .collect()
}

fn comment_of(line: &str) -> &str {
    line.find("//").map_or("", |at| &line[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_header_is_refused() {
        let complaints = check(&Tree::of(&[("a/src/x.rs", "fn a() {}\n"), ("a/src/y.rs", "//! Fine.\n")]));
        assert_eq!(complaints.len(), 1);
        assert_eq!(complaints[0].place, "a/src/x.rs");
    }

    #[test]
    fn a_marker_of_unfinished_work_is_refused() {
        let marker = ["TO", "DO"].concat();
        let text = format!("//! x\nfn a() {{}} // {marker}: later\n");
        let complaints = check(&Tree::of(&[("a/src/x.rs", &text)]));
        assert_eq!(complaints[0].place, "a/src/x.rs:2");
    }

    #[test]
    fn a_header_that_is_a_document_is_refused() {
        let complaints = check(&Tree::of(&[("a/src/x.rs", &"//! x\n".repeat(17))]));
        assert_eq!(complaints.len(), 1);
    }
}
