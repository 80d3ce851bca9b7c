//! `cargo xtask generate`: Rust codecs from Kafka's own message schemas, and pages from tables, checked for drift.
//!
//! In: the JSON files of `broker/protocol/schema`, as they stand in Kafka's jars. Out: `messages/`,
//! `records/*/` and `api_key/table.rs` of the protocol crate; and the broker's pages under `docs/reference`. The way
//! is parse (`schema`), resolve versions, types and defaults (`model`), print (`emit_*`), format (`output`). Same
//! schemas, same bytes: `--check` compares instead of writing, and CI runs it.

mod defaults;
mod emit_decode;
mod emit_encode;
mod emit_errors;
mod emit_index;
mod emit_struct;
mod model;
mod names;
mod output;
mod reference;
mod schema;
mod selection;
mod versions;

#[cfg(test)]
mod tests;

use anyhow::{Context, bail};
use model::Model;
use output::Output;
use schema::Schema;
use std::path::Path;

/// Options of `cargo xtask generate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write nothing; fail if a generated file differs from what its schemas say
    #[arg(long)]
    check: bool,
}

/// Where the schemas are.
const SCHEMA: &str = "broker/protocol/schema";
/// Where the generated code goes.
const SOURCE: &str = "broker/protocol/src";

/// Generates, or with `--check` compares.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let root = output::repository_root();
    let mut outputs = generate(&root)?;
    outputs.extend(reference::pages()?);
    if args.check {
        output::check(&root, &outputs, &folders())?;
        println!("generate: {} files are current", outputs.len());
    } else {
        let written = output::write(&root, &outputs, &folders())?;
        println!("generate: {} files, {written} changed", outputs.len());
    }
    Ok(())
}

/// The folders that hold nothing but generated files.
fn folders() -> Vec<String> {
    let records = selection::RECORDS.iter().map(|group| format!("{SOURCE}/records/{}", group.module));
    [format!("{SOURCE}/messages"), format!("{SOURCE}/api_key")].into_iter().chain(records).collect()
}

/// Every generated file.
fn generate(root: &Path) -> anyhow::Result<Vec<Output>> {
    let schemas = Schema::read_folder(&root.join(SCHEMA).join("messages"))?;
    let mut outputs = vec![Output::new("api_key/table.rs", emit_index::api_table(&schemas)?)];
    outputs.extend(messages(&schemas)?);
    for group in selection::RECORDS {
        outputs.extend(records(root, group)?);
    }
    for output in &mut outputs {
        output.format()?;
    }
    Ok(outputs)
}

/// `messages/`: one file per selected API, with its request and its response.
fn messages(schemas: &[Schema]) -> anyhow::Result<Vec<Output>> {
    let mut apis = Vec::new();
    for name in selection::APIS {
        let one = |suffix: &str| -> anyhow::Result<Model> {
            let wanted = format!("{name}{suffix}");
            let schema = schemas.iter().find(|schema| schema.name == wanted);
            Model::new(schema.with_context(|| format!("no schema {wanted}"))?)
        };
        let (request, mut response) = (one("Request")?, one("Response")?);
        response.avoid_names_of(&request);
        apis.push((names::snake(name), request, response));
    }
    let mut outputs = vec![Output::new("messages/mod.rs", emit_index::messages(&apis))];
    for (module, request, response) in &apis {
        let file = emit_struct::api_file(module, request, response);
        outputs.push(Output::new(&format!("messages/{module}.rs"), file));
    }
    Ok(outputs)
}

/// `records/<group>/`: one file per record schema.
fn records(root: &Path, group: &selection::Records) -> anyhow::Result<Vec<Output>> {
    let folder = root.join(SCHEMA).join(group.folder);
    let schemas = Schema::read_folder(&folder)?;
    let mut models = Vec::new();
    for schema in &schemas {
        if group.only.is_empty() || group.only.contains(&schema.name.as_str()) {
            models.push(Model::new(schema)?);
        }
    }
    if models.is_empty() {
        bail!("no schema in {}", folder.display());
    }
    let mut outputs =
        vec![Output::new(&format!("records/{}/mod.rs", group.module), emit_index::records(group, &models))];
    for model in &models {
        let path = format!("records/{}/{}.rs", group.module, names::snake(&model.name));
        outputs.push(Output::new(&path, emit_struct::record_file(model)));
    }
    Ok(outputs)
}
