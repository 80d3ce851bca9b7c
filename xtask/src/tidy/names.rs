//! Rule: a file is named for a thing of the domain, never for a drawer.
//!
//! Called by tidy.

use crate::tidy::Complaint;
use crate::tidy::source::Tree;

const DRAWERS: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "misc", "manager", "impl", "types_common"];

pub fn check(tree: &Tree) -> Vec<Complaint> {
    let is_drawer = |path: &str| {
        let parts = path.split('/').map(|part| part.split('.').next().unwrap_or(part));
        parts.into_iter().any(|part| DRAWERS.contains(&part))
    };
    let sources = [".rs", ".go", ".py", ".sh", ".java"];
    let files = tree.files.iter().filter(|file| sources.iter().any(|ending| file.path.ends_with(ending)));
    files
        .filter(|file| is_drawer(&file.path))
        .map(|file| {
            Complaint::at(&file.path, "a drawer's name: name the file for the one thing that it holds")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawers_are_refused_as_files_and_as_folders() {
        let tree = Tree::of(&[("a/src/util.rs", ""), ("a/common/x.rs", ""), ("a/src/high_watermark.rs", "")]);
        let places: Vec<String> = check(&tree).into_iter().map(|complaint| complaint.place).collect();
        assert_eq!(places, ["a/src/util.rs", "a/common/x.rs"]);
    }
}
