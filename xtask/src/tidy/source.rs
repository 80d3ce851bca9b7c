//! The files that tidy looks at: everything git tracks or would track, with Rust files taken apart a little.
//!
//! Invariants: no parsing beyond strings, comments and braces; a file that is generated says so in its first
//! lines (`@generated`). Tests make trees from texts. Called by every rule of tidy.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

/// One text file of the checkout.
pub struct File {
    /// Path from the root of the checkout, with forward slashes.
    pub path: String,
    pub text: String,
}

/// All text files of the checkout.
pub struct Tree {
    pub files: Vec<File>,
}

impl Tree {
    pub fn of_checkout(root: &Path) -> anyhow::Result<Tree> {
        let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let output =
            Command::new("git").args(arguments).current_dir(root).output().context("cannot run git")?;
        anyhow::ensure!(output.status.success(), "git ls-files failed in {}", root.display());
        let listed = String::from_utf8(output.stdout).context("a path in the checkout is not UTF-8")?;
        let paths = listed.split('\0').filter(|path| !path.is_empty());
        // A file that is deleted but still tracked, or that is not text, is none of tidy's business.
        let read = |path: &str| {
            Some(File { path: path.to_owned(), text: std::fs::read_to_string(root.join(path)).ok()? })
        };
        Ok(Tree { files: paths.filter_map(read).collect() })
    }

    /// A tree made of texts, for the tests of the rules.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Tree {
        let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
        Tree { files: files.iter().map(file).collect() }
    }

    /// The Rust files that people write.
    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs") && !file.is_generated())
    }
}

impl File {
    pub fn is_generated(&self) -> bool {
        self.text.lines().take(5).any(|line| line.contains("@generated"))
    }

    /// Whether the whole file is test code, so that its size is nobody's burden.
    pub fn is_test(&self) -> bool {
        let in_folder = |name: &str| {
            self.path.starts_with(&format!("{name}/")) || self.path.contains(&format!("/{name}/"))
        };
        in_folder("tests") || self.path.ends_with("/tests.rs") || self.path.ends_with("_tests.rs")
    }

    /// The lines before the first `#[cfg(test)] mod`: what ships.
    pub fn shipped_lines(&self) -> usize {
        if self.is_test() { 0 } else { shipped(&self.text).lines().count() }
    }

    /// The code without comments and without what stands in strings, line breaks kept.
    pub fn code(&self) -> String {
        without_comments_and_strings(&self.text)
    }
}

/// The text before the inline test module.
pub fn shipped(text: &str) -> &str {
    let mut position = 0;
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let opens_module = |next: &&str| next.trim_start().starts_with("mod ") && next.contains('{');
        if line.trim() == "#[cfg(test)]" && lines.peek().is_some_and(opens_module) {
            return &text[..position];
        }
        position += line.len();
    }
    text
}

/// A function found in a file: its name, first line and length in lines.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub line: usize,
    pub length: usize,
}

/// Every function with a body in this code (comments and strings already removed).
pub fn functions(code: &str) -> Vec<Function> {
    let lines: Vec<&str> = code.lines().collect();
    let starts = lines.iter().enumerate().filter_map(|(index, line)| Some((index, function_name(line)?)));
    starts
        .filter_map(|(index, name)| {
            let length = body_length(&lines[index..])?;
            Some(Function { name, line: index + 1, length })
        })
        .collect()
}

fn function_name(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "fn")?;
    let qualifiers = ["pub", "const", "async", "unsafe", "extern", "default"];
    let is_qualifier = |word: &&str| qualifiers.iter().any(|qualifier| word.starts_with(qualifier));
    if !words[..at].iter().all(|word| is_qualifier(word) || word.starts_with("in") || word.ends_with(')')) {
        return None;
    }
    let name: String = words.get(at + 1)?.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// Lines from the signature to the closing brace; nothing for a signature without a body.
fn body_length(lines: &[&str]) -> Option<usize> {
    let mut depth = 0_i32;
    let mut brackets = 0_i32;
    for (index, line) in lines.iter().enumerate() {
        for c in line.chars() {
            match c {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets -= 1,
                '{' => depth += 1,
                '}' => {
                    depth -= 1;
                    if depth == 0 && brackets == 0 {
                        return Some(index + 1);
                    }
                }
                ';' if depth == 0 && brackets == 0 => return None,
                _ => {}
            }
        }
    }
    None
}

/// Blanks comments and the insides of string and character literals; every line break stays.
fn without_comments_and_strings(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => line_end(&chars, at),
            ('/', Some('*')) => block_end(&chars, at),
            ('"', _) => string_end(&chars, at + 1),
            ('r', Some('"' | '#')) if starts_word(&chars, at) => raw_string_end(&chars, at).unwrap_or(at),
            ('\'', _) => character_end(&chars, at).unwrap_or(at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

fn starts_word(chars: &[char], at: usize) -> bool {
    at == 0 || !(chars[at - 1].is_alphanumeric() || chars[at - 1] == '_') || chars[at - 1] == 'b'
}

fn line_end(chars: &[char], from: usize) -> usize {
    (from..chars.len()).find(|at| chars[*at] == '\n').unwrap_or(chars.len())
}

fn block_end(chars: &[char], from: usize) -> usize {
    let mut depth = 0;
    let mut at = from;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut at = from;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let is_end = |end: &usize| {
        chars[*end] == '"' && chars[end + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    Some((open + 1..chars.len()).find(is_end).map_or(chars.len(), |end| end + 1 + hashes))
}

/// The end of a character literal, or nothing when the quote begins a lifetime.
fn character_end(chars: &[char], at: usize) -> Option<usize> {
    match (chars.get(at + 1)?, chars.get(at + 2)?) {
        ('\\', _) => (at + 3..chars.len()).find(|end| chars[*end] == '\'').map(|end| end + 1),
        (_, '\'') => Some(at + 3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_comments_and_characters_do_not_count_as_code() {
        let code = without_comments_and_strings(
            "a // {\nb /* { /* } */ */ \"{\\\"\" r#\"{\"# '{' '\\'' 'x: &'a str",
        );
        assert!(!code.contains('{') && !code.contains('"'), "{code}");
        assert!(code.contains("'a str"), "a lifetime is code: {code}");
        assert_eq!(code.lines().count(), 2);
    }

    #[test]
    fn functions_are_measured_from_signature_to_closing_brace() {
        let code = "trait T {\n  fn declared(&self) -> [u8; 3];\n}\npub async fn long(\n  a: u8,\n) {\n  if a {\n  }\n}\nfn one() {}\n";
        let found: Vec<(String, usize)> = functions(code).into_iter().map(|f| (f.name, f.length)).collect();
        assert_eq!(found, [("long".to_owned(), 6), ("one".to_owned(), 1)]);
    }

    #[test]
    fn inline_tests_do_not_ship() {
        assert_eq!(
            shipped("a\n#[cfg(test)]\nmod tests;\nb\n#[cfg(test)]\nmod tests {\n}\n"),
            "a\n#[cfg(test)]\nmod tests;\nb\n"
        );
    }
}
