//! Rule: the repository speaks of the product only: no machine's paths, no ticket numbers, no tool's signature.
//!
//! Called by tidy. The list is generic on purpose; the words are put together here so that this file passes.

use crate::tidy::Complaint;
use crate::tidy::source::Tree;

/// What must not appear, as pieces, and why.
const FORBIDDEN: &[(&[&str], &str)] = &[
    (&["/ho", "me/"], "a path of one machine"),
    (&["/Us", "ers/"], "a path of one machine"),
    (&["/ro", "ot/"], "a path of one machine"),
    (&["/wo", "rk/"], "a path of one machine"),
    (&["/tm", "p/bg"], "a path of one machine"),
    (&["/tm", "p/kn"], "a path of one machine"),
    (&["localho", "st:8081/repo"], "a registry of one machine"),
    (&["Co-auth", "ored-by"], "a signature belongs into no file"),
    (&["Gener", "ated with ["], "a signature belongs into no file"),
];

pub fn check(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in tree.files.iter().filter(|file| !file.path.ends_with(".lock") && !file.path.ends_with(".sum"))
    {
        for (index, line) in file.text.lines().enumerate() {
            for reason in forbidden(line) {
                complaints.push(Complaint::at(format!("{}:{}", file.path, index + 1), reason));
            }
        }
    }
    complaints
}

fn forbidden(line: &str) -> Vec<String> {
    let hits = FORBIDDEN
        .iter()
        .map(|(pieces, why)| (pieces.concat(), why))
        .filter(|(word, _)| holds_path(line, word));
    hits.map(|(word, why)| format!("`{word}`: {why}")).collect()
}

/// A path counts only where it begins: `x/work/y` is somebody's own folder.
fn holds_path(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !word.starts_with('/') || before.is_none_or(|c| !(c.is_alphanumeric() || "._-}$~)".contains(c)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_s_path_is_refused_where_it_begins() {
        let planted = ["cat /ro", "ot/x"].concat();
        let own = ["cat data/wo", "rk/x"].concat();
        let complaints = check(&Tree::of(&[("docs/a.md", &planted), ("docs/b.md", &own)]));
        assert_eq!(complaints.len(), 1);
        assert_eq!(complaints[0].place, "docs/a.md:1");
    }

    #[test]
    fn a_signature_is_refused() {
        let planted = ["Co-auth", "ored-by: x"].concat();
        assert_eq!(check(&Tree::of(&[("README.md", &planted)])).len(), 1);
    }
}
