//! Rule: who may know whom, between crates and inside the broker and the operator.
//!
//! Two tables are the whole truth: `CRATES` (checked against every Cargo.toml and every path in the code) and
//! `MODULES` (checked against `crate::` paths). The tables are ARCHITECTURE.md's; the idea is Apache Kafka's
//! import-control. Called by tidy.

use crate::tidy::Complaint;
use crate::tidy::source::{File, Tree};

/// Package, its folder, and the packages of ours that it may use (development dependencies included).
struct Crate {
    package: &'static str,
    folder: &'static str,
    may_use: &'static [&'static str],
}

const CRATES: &[Crate] = &[
    Crate { package: "logspine-protocol", folder: "broker/protocol", may_use: &[] },
    Crate { package: "logspine-client", folder: "broker/client", may_use: &["logspine-protocol"] },
    Crate { package: "logspine-storage", folder: "broker/storage", may_use: &["logspine-protocol"] },
    Crate { package: "logspine-cluster", folder: "broker/cluster", may_use: &["logspine-protocol"] },
    Crate {
        package: "logspine-replica",
        folder: "broker/replica",
        may_use: &["logspine-protocol", "logspine-storage", "logspine-cluster"],
    },
    Crate {
        package: "logspine",
        folder: "broker",
        may_use: &[
            "logspine-protocol",
            "logspine-client",
            "logspine-storage",
            "logspine-cluster",
            "logspine-replica",
        ],
    },
    Crate {
        package: "logspine-operator",
        folder: "operator",
        may_use: &["logspine-protocol", "logspine-client"],
    },
    Crate {
        package: "logspine-e2e",
        folder: "e2e",
        may_use: &["logspine-protocol", "logspine-client", "logspine-operator"],
    },
    Crate { package: "logspine-bench", folder: "bench", may_use: &["logspine-protocol"] },
    Crate { package: "xtask", folder: "xtask", may_use: &[] },
];

/// Files under `folder` must not name these modules of their own crate.
struct Module {
    folder: &'static str,
    must_not_name: &'static [&'static str],
    because: &'static str,
}

const UPWARD: &str = "net -> api -> {partition, controller, coordinator} -> replica, never upward";
const MODULES: &[Module] = &[
    Module { folder: "broker/src/api/", must_not_name: &["crate::net"], because: UPWARD },
    Module { folder: "broker/src/partition/", must_not_name: &["crate::net", "crate::api"], because: UPWARD },
    Module {
        folder: "broker/src/controller/",
        must_not_name: &["crate::net", "crate::api"],
        because: UPWARD,
    },
    Module {
        folder: "broker/src/coordinator/",
        must_not_name: &["crate::net", "crate::api"],
        because: UPWARD,
    },
    Module {
        folder: "broker/src/cli/",
        must_not_name: &[
            "crate::net",
            "crate::api",
            "crate::partition",
            "crate::controller",
            "crate::coordinator",
        ],
        because: "the command line knows only the client",
    },
];

pub fn check(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in &tree.files {
        let Some(owner) = owner(&file.path) else { continue };
        if file.path == format!("{}/Cargo.toml", owner.folder) {
            complaints.extend(manifest(file, owner));
        } else if file.path.ends_with(".rs") && !file.is_generated() {
            complaints.extend(paths(file, owner));
        }
    }
    complaints
}

/// The crate whose folder is the deepest one around this file.
fn owner(path: &str) -> Option<&'static Crate> {
    let around = CRATES.iter().filter(|candidate| path.starts_with(&format!("{}/", candidate.folder)));
    around.max_by_key(|candidate| candidate.folder.len())
}

fn manifest(file: &File, owner: &Crate) -> Vec<Complaint> {
    let names = file.text.lines().enumerate().filter_map(|(index, line)| {
        let name = line.split(['=', '.', ' ']).next()?;
        Some((index, CRATES.iter().find(|candidate| candidate.package == name)?))
    });
    let forbidden =
        names.filter(|(_, used)| !owner.may_use.contains(&used.package) && used.package != owner.package);
    forbidden
        .map(|(index, used)| {
            let words = format!("{} must not depend on {}", owner.package, used.package);
            Complaint::at(format!("{}:{}", file.path, index + 1), words)
        })
        .collect()
}

fn paths(file: &File, owner: &Crate) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let code = file.code();
    for (index, line) in code.lines().enumerate() {
        let place = || format!("{}:{}", file.path, index + 1);
        for used in CRATES
            .iter()
            .filter(|used| used.package != owner.package && !owner.may_use.contains(&used.package))
        {
            if names_path(line, &format!("{}::", used.package.replace('-', "_"))) {
                complaints.push(Complaint::at(
                    place(),
                    format!("{} must not know {}", owner.package, used.package),
                ));
            }
        }
        for module in MODULES.iter().filter(|module| file.path.starts_with(module.folder)) {
            for name in module.must_not_name.iter().filter(|name| names_path(line, &format!("{name}::"))) {
                complaints.push(Complaint::at(place(), format!("must not name {name}: {}", module.because)));
            }
        }
        complaints.extend(sibling(file, line).map(|words| Complaint::at(place(), words)));
    }
    complaints
}

/// The files of broker/src/api/ never import each other; only the table and the shared context are for all.
fn sibling(file: &File, line: &str) -> Option<String> {
    const FOR_ALL: &[&str] = &["context", "answer", "duplicates", "RequestContext"];
    let own = file.path.strip_prefix("broker/src/api/")?.split(['/', '.']).next()?;
    if own == "mod" || file.is_test() {
        return None;
    }
    let used = line.split("crate::api::").nth(1)?;
    let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let is_file = used.chars().next().is_some_and(char::is_lowercase);
    (is_file && used != own && !FOR_ALL.contains(&used.as_str()))
        .then(|| format!("api/{own} must not know api/{used}: files in api/ never import each other"))
}

/// Whether the path stands in the line as a path of its own, not as the end of a longer one.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == ':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files))
            .into_iter()
            .map(|complaint| format!("{} {}", complaint.place, complaint.words))
            .collect()
    }

    #[test]
    fn storage_must_not_depend_on_cluster() {
        let manifest =
            "[dependencies]\nlogspine-protocol.workspace = true\nlogspine-cluster.workspace = true\n";
        assert_eq!(
            words(&[("broker/storage/Cargo.toml", manifest)]),
            ["broker/storage/Cargo.toml:3 logspine-storage must not depend on logspine-cluster"]
        );
    }

    #[test]
    fn xtask_knows_no_crate_of_ours() {
        let text = "//! x\nuse logspine_client::Client;\nuse other_logspine_client::X;\n";
        assert_eq!(
            words(&[("xtask/src/x.rs", text)]),
            ["xtask/src/x.rs:2 xtask must not know logspine-client"]
        );
    }

    #[test]
    fn the_partition_never_looks_up_to_the_api() {
        let found = words(&[("broker/src/partition/registry.rs", "use crate::api::RequestContext;\n")]);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("never upward"), "{}", found[0]);
    }

    #[test]
    fn api_files_never_import_each_other_but_share_the_context() {
        let text = "use crate::api::context::RequestContext;\nuse crate::api::fetch::handle;\nuse crate::api::produce::x;\n";
        assert_eq!(
            words(&[("broker/src/api/produce.rs", text)]),
            [
                "broker/src/api/produce.rs:2 api/produce must not know api/fetch: files in api/ never import each other"
            ]
        );
    }

    #[test]
    fn a_mention_in_a_comment_is_no_import() {
        assert_eq!(
            words(&[("broker/storage/src/log.rs", "//! unlike logspine_cluster::x\n")]),
            [] as [String; 0]
        );
    }
}
