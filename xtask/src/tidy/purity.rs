//! Rule: what must stay pure stays pure: no clients in the operator's builders and planners, no clock and no
//! sockets in the layers that are simulated.
//!
//! Called by tidy. `clippy.toml` files of the crates say the same to the compiler where it can see it.

use crate::tidy::Complaint;
use crate::tidy::source::{File, Tree, shipped};

struct Purity {
    applies: fn(&File) -> bool,
    must_not_name: &'static [&'static str],
    because: &'static str,
}

const PURITIES: &[Purity] = &[
    Purity {
        applies: is_builder_or_planner,
        must_not_name: &["kube::Client", "kube::Api", "Api<", "Client,", "Instant::now", "SystemTime::now"],
        because: "builders and planners are functions from values to values",
    },
    Purity {
        applies: |file| is_in(file, &["broker/cluster/src/", "broker/replica/src/"]),
        must_not_name: &[
            "tokio::",
            "std::net::",
            "Instant::now",
            "SystemTime::now",
            "thread::spawn",
            "thread::sleep",
        ],
        because: "it is simulated as shipped: time and effects come from the caller",
    },
    Purity {
        applies: |file| is_in(file, &["broker/storage/src/"]),
        must_not_name: &["tokio::", "std::net::"],
        because: "storage is synchronous and knows no network",
    },
    Purity {
        applies: |file| is_in(file, &["broker/protocol/src/"]),
        must_not_name: &["tokio::", "std::net::", "std::fs::", "Instant::now", "SystemTime::now"],
        because: "the protocol is bytes in, values out",
    },
];

fn is_in(file: &File, folders: &[&str]) -> bool {
    !file.is_test() && folders.iter().any(|folder| file.path.starts_with(folder))
}

fn is_builder_or_planner(file: &File) -> bool {
    let Some(rest) = file.path.strip_prefix("operator/src/controllers/") else { return false };
    let pure = ["plan.rs", "validate.rs", "rollout.rs"];
    !file.is_test()
        && (rest.contains("/build/") || pure.iter().any(|name| rest.ends_with(&format!("/{name}"))))
}

pub fn check(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in tree.rust() {
        let shipped_lines = shipped(&file.text).lines().count();
        let code = file.code();
        for purity in PURITIES.iter().filter(|purity| (purity.applies)(file)) {
            for (index, line) in code.lines().take(shipped_lines).enumerate() {
                for name in purity.must_not_name.iter().filter(|name| names(line, name)) {
                    let place = format!("{}:{}", file.path, index + 1);
                    complaints
                        .push(Complaint::at(place, format!("must not name `{name}`: {}", purity.because)));
                }
            }
        }
    }
    complaints
}

/// Whether the name stands there as a word of its own.
fn names(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || c == '_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planner_with_a_client_is_refused() {
        let tree = Tree::of(&[
            ("operator/src/controllers/topic/plan.rs", "//! x\nuse kube::Client;\n"),
            ("operator/src/controllers/cluster/build/service.rs", "//! x\nfn a(api: Api<Pod>) {}\n"),
            ("operator/src/controllers/topic/apply.rs", "//! x\nuse kube::Client;\n"),
        ]);
        let places: Vec<String> = check(&tree).into_iter().map(|complaint| complaint.place).collect();
        assert_eq!(
            places,
            [
                "operator/src/controllers/topic/plan.rs:2",
                "operator/src/controllers/cluster/build/service.rs:2"
            ]
        );
    }

    #[test]
    fn a_clock_in_the_cluster_is_refused_but_not_in_its_tests() {
        let text = "//! x\nlet now = Instant::now();\n#[cfg(test)]\nmod tests {\n  Instant::now();\n}\n";
        let complaints = check(&Tree::of(&[("broker/cluster/src/x.rs", text)]));
        assert_eq!(complaints.len(), 1);
        assert_eq!(complaints[0].place, "broker/cluster/src/x.rs:2");
    }
}
