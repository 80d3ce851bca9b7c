//! The API server's audit log: who wrote what, and when.
//!
//! Used to prove that nothing is written at rest. The log holds one JSON object per line; reads are left out by
//! `e2e/kube/audit-policy.yaml`.

use std::fmt;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};

use anyhow::Context as _;
use serde_json::Value;

use crate::kube::Kubernetes;

/// One write to the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub user: String,
    /// The pod that used a service account, or empty.
    pub pod: String,
    pub verb: String,
    pub resource: String,
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}/{} by {}", self.verb, self.resource, self.namespace, self.name, self.user)
    }
}

impl Write {
    fn parse(line: &str) -> Option<Write> {
        let event: Value = serde_json::from_str(line).ok()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &event["objectRef"];
        let resource = match text(&object["subresource"]) {
            sub if sub.is_empty() => text(&object["resource"]),
            sub => format!("{}/{sub}", text(&object["resource"])),
        };
        Some(Write {
            user: text(&event["user"]["username"]),
            pod: text(&event["user"]["extra"]["authentication.kubernetes.io/pod-name"][0]),
            verb: text(&event["verb"]),
            resource,
            namespace: text(&object["namespace"]),
            name: text(&object["name"]),
        })
    }

    /// Reviews that the kubelet and others ask for are questions, not writes.
    fn changes_something(&self) -> bool {
        !self.resource.ends_with("reviews") && self.resource != "serviceaccounts/token"
    }
}

/// A position in the audit log.
pub struct Mark(u64);

impl Kubernetes {
    /// The present end of the audit log.
    pub fn audit_mark(&self) -> anyhow::Result<Mark> {
        let log = self.audit_log.display();
        Ok(Mark(std::fs::metadata(&self.audit_log).with_context(|| format!("no audit log at {log}"))?.len()))
    }

    /// Every write since the mark.
    pub fn writes_since(&self, mark: &Mark) -> anyhow::Result<Vec<Write>> {
        let mut file = std::fs::File::open(&self.audit_log)?;
        file.seek(SeekFrom::Start(mark.0))?;
        let lines = BufReader::new(file).lines().map_while(Result::ok);
        Ok(lines.filter_map(|line| Write::parse(&line)).filter(Write::changes_something).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_read_with_its_subresource() {
        let line = r#"{"verb":"patch","user":{"username":"op"},"objectRef":{"resource":"topics","namespace":"a","name":"b","subresource":"status"}}"#;
        let write = Write::parse(line).expect("it is an audit event");
        assert_eq!(write.to_string(), "patch topics/status a/b by op");
        assert!(write.changes_something());
    }

    #[test]
    fn a_review_changes_nothing() {
        let line =
            r#"{"verb":"create","user":{"username":"n1"},"objectRef":{"resource":"subjectaccessreviews"}}"#;
        assert!(!Write::parse(line).expect("it is an audit event").changes_something());
    }
}
