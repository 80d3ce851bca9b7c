//! Prints the files that hold the others together: module lists, record enums, the table of API keys.

use super::emit_struct::HEADER;
use super::model::Model;
use super::names;
use super::schema::Schema;
use super::selection::{Framing, Records};
use super::versions::Versions;
use anyhow::Context;
use std::fmt::Write;

/// `api_key/table.rs`: one row per API of Kafka, selected or not.
pub fn api_table(schemas: &[Schema]) -> anyhow::Result<String> {
    let mut rows = Vec::new();
    for schema in schemas.iter().filter(|schema| schema.kind == "request") {
        let key = schema.api_key.with_context(|| format!("{} has no key", schema.name))?;
        let name = schema.name.strip_suffix("Request").unwrap_or(&schema.name);
        let versions = Versions::parse(&schema.valid_versions)?;
        let flexible = match Versions::parse(&schema.flexible_versions)? {
            flexible if flexible.is_empty() => "None".to_owned(),
            flexible => format!("Some({})", flexible.low),
        };
        let stability = if schema.latest_version_unstable { "unstable" } else { "stable" };
        let (low, high) = (versions.low, versions.high);
        rows.push((key, format!("    {key} {name} {low}..={high} {stability} flexible {flexible};\n")));
    }
    rows.sort();
    let rows: String = rows.into_iter().map(|(_, row)| row).collect();
    let about =
        "//! One row per API: key, name, versions, whether the latest is stable, first flexible version.\n\n";
    Ok(format!("{HEADER}{about}api_keys! {{\n{rows}}}\n"))
}

/// `messages/mod.rs`.
pub fn messages(apis: &[(String, Model, Model)]) -> String {
    let mut code = format!("{HEADER}//! One module per API, with its request and its response.\n\n");
    let mut modules: Vec<&str> = apis.iter().map(|(module, ..)| module.as_str()).collect();
    modules.sort_unstable();
    for module in modules {
        let _ = writeln!(code, "pub mod {module};");
    }
    code.push_str(
        "\n/// Calls the macro `$each` once with all requests (`module::Type`), then all responses, of this crate.\n\
         /// For tests that must leave no message out.\n#[macro_export]\nmacro_rules! for_each_message {\n    ($each:ident) => {\n        $each! {\n            requests {\n",
    );
    for (module, request, _) in apis {
        let _ = writeln!(code, "                {module}::{}", request.name);
    }
    code.push_str("            }\n            responses {\n");
    for (module, _, response) in apis {
        let _ = writeln!(code, "                {module}::{}", response.name);
    }
    code.push_str("            }\n        }\n    };\n}\n");
    code
}

/// `records/<family>/mod.rs`.
pub fn records(family: &Records, models: &[Model]) -> String {
    let mut code = format!("{HEADER}//! {}\n\n", family.about);
    for model in models {
        let _ = writeln!(code, "pub mod {};", names::snake(&model.name));
    }
    code.push('\n');
    for model in models {
        let _ = writeln!(code, "pub use {}::{};", names::snake(&model.name), model.name);
    }
    let title = names::upper_first(family.module);
    code.push_str(&match family.framing {
        Framing::Coordinator => {
            record_enum("coordinator_keys", &format!("{title}Key"), models, "coordinator-key", "Key")
                + &record_enum(
                    "coordinator_values",
                    &format!("{title}Value"),
                    models,
                    "coordinator-value",
                    "Value",
                )
        }
        Framing::Metadata => {
            record_enum("metadata_records", &format!("{title}Record"), models, "metadata", "Record")
        }
        Framing::None => String::new(),
    });
    code.push_str(&for_each(family, models));
    code
}

/// A call of a macro of `records.rs` that makes an enum of all schemas of one kind.
fn record_enum(macro_name: &str, name: &str, models: &[Model], kind: &str, suffix: &str) -> String {
    let mut rows: Vec<_> = models.iter().filter(|model| model.kind == kind).collect();
    rows.sort_by_key(|model| model.api_key);
    let mut code = format!("\ncrate::records::{macro_name}! {{\n    {name}<'a> {{\n");
    for model in rows {
        let variant = model.name.strip_suffix(suffix).unwrap_or(&model.name);
        let lifetime = if model.borrows(&model.name) { "<'a>" } else { "" };
        let _ = writeln!(code, "        {} => {variant}({}{lifetime}),", model.api_key, model.name);
    }
    code.push_str("    }\n}\n");
    code
}

fn for_each(family: &Records, models: &[Model]) -> String {
    let module = family.module;
    let mut code = format!(
        "\n/// Calls the macro `$each` with the name of this family and all of its schemas.\n\
         /// For tests that must leave no schema out.\n#[macro_export]\nmacro_rules! for_each_{module}_record {{\n    ($each:ident) => {{\n        $each! {{\n            {module}\n"
    );
    for model in models {
        let _ = writeln!(code, "            {}", model.name);
    }
    code.push_str("        }\n    };\n}\n");
    code
}
