//! The queries of the chart's Grafana dashboards, as Grafana would send them.
//!
//! Used by `tests/kube_metrics.rs`. Variables are replaced by what "All" stands for.

use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

/// One query of one panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub dashboard: String,
    pub panel: String,
    pub expression: String,
}

/// Every query of every panel of every dashboard in the folder.
pub fn queries(folder: &Path) -> anyhow::Result<Vec<Query>> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .with_context(|| format!("no dashboards in {}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)
            .with_context(|| format!("{} is not JSON", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        collect(&name, &dashboard, &mut found);
    }
    Ok(found)
}

/// Panels may lie in rows, which are panels themselves.
fn collect(dashboard: &str, parent: &Value, found: &mut Vec<Query>) {
    for panel in parent["panels"].as_array().into_iter().flatten() {
        let title = panel["title"].as_str().unwrap_or("(no title)").to_owned();
        for target in panel["targets"].as_array().into_iter().flatten() {
            if let Some(expression) = target["expr"].as_str() {
                let query = Query {
                    dashboard: dashboard.to_owned(),
                    panel: title.clone(),
                    expression: with_all_selected(expression),
                };
                found.push(query);
            }
        }
        collect(dashboard, panel, found);
    }
}

/// Replaces `$name`, `${name}` and `${name:format}` by `.*`, and Grafana's intervals by a minute.
fn with_all_selected(expression: &str) -> String {
    let mut out = String::new();
    let mut rest = expression;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (name, after) = match rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, after)) => (name, after),
            None => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        let is_interval = name.starts_with("__rate_interval")
            || name.starts_with("__interval")
            || name.starts_with("__range");
        out.push_str(if name.is_empty() {
            "$" // The end of a regular expression, not a variable.
        } else if is_interval {
            "1m"
        } else {
            ".*"
        });
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_what_all_stands_for() {
        let expression =
            r#"sum(rate(x{cluster=~"$cluster",topic=~"${topic:regex}",a=~"b$"}[$__rate_interval]))"#;
        assert_eq!(with_all_selected(expression), r#"sum(rate(x{cluster=~".*",topic=~".*",a=~"b$"}[1m]))"#);
    }

    #[test]
    fn panels_inside_rows_are_found() {
        let dashboard = serde_json::json!({
            "panels": [{ "title": "row", "panels": [{ "title": "rate", "targets": [{ "expr": "up" }, { "expr": "x" }] }] }]
        });
        let mut found = Vec::new();
        collect("d", &dashboard, &mut found);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].panel, "rate");
    }
}
