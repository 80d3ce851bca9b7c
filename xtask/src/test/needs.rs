//! What a stage needs before it can run, and how each need is met.
//!
//! Invariants: a need is met by fetching into the cache or, for Debian packages as root, by installing; what
//! cannot be met at all on this machine is a skip with its reason, what failed to be met is a failure.
//! Called before each stage.

use std::collections::BTreeMap;

use crate::cache::Cache;
use crate::cargo_tools::CargoTool;
use crate::test::report::Ending;
use crate::tools::{self, Tool};
use crate::{debian, kafka, kube, python};

/// One thing that a stage needs.
#[expect(dead_code, reason = "the stages of the broker's own tests join the table when it serves")]
pub enum Need {
    /// A tool that the person brings.
    Tool(&'static Tool),
    /// A cargo subcommand that we fetch.
    Cargo(CargoTool),
    /// Debian packages: what for, and their names.
    Debian(&'static str, &'static [&'static str]),
    /// Kafka's jars, named by `LOGSPINE_KAFKA_LIBS`.
    KafkaLibs,
    /// An interpreter with the Python clients, named by `LOGSPINE_PYTHON`.
    PythonClients,
    /// Linux, and the right to make network namespaces and mounts.
    LinuxRoot,
}

/// Why a stage does not run.
pub enum Refusal {
    Impossible(String),
    Failed(anyhow::Error),
}

impl Refusal {
    pub fn into_ending(self) -> Ending {
        match self {
            Refusal::Impossible(reason) => Ending::Skipped(reason),
            Refusal::Failed(error) => Ending::Failed(format!("{error:#}")),
        }
    }
}

/// Meets every need and returns the environment variables that the stage's commands get.
pub fn meet(needs: &[Need], cache: &Cache) -> Result<BTreeMap<String, String>, Refusal> {
    let mut environment = BTreeMap::new();
    for need in needs {
        meet_one(need, cache, &mut environment)?;
    }
    Ok(environment)
}

fn meet_one(need: &Need, cache: &Cache, environment: &mut BTreeMap<String, String>) -> Result<(), Refusal> {
    match need {
        Need::Tool(tool) => tools::require(&[tool]).map_err(Refusal::Failed),
        Need::Debian(purpose, packages) => debian::ensure(packages, purpose).map_err(Refusal::Failed),
        Need::Cargo(tool) => {
            let program = tool.fetch(cache).map_err(Refusal::Failed)?;
            let folder = program.parent().expect("a program in the cache has a folder");
            let path =
                environment.get("PATH").cloned().or_else(|| std::env::var("PATH").ok()).unwrap_or_default();
            environment.insert("PATH".into(), format!("{}:{path}", folder.display()));
            Ok(())
        }
        Need::KafkaLibs => {
            tools::require(&[&tools::JAVA]).map_err(Refusal::Failed)?;
            let libs = kafka::libs(cache).map_err(Refusal::Failed)?;
            environment.insert(kafka::LIBS_VARIABLE.into(), libs.display().to_string());
            Ok(())
        }
        Need::PythonClients => {
            let interpreter = python::with_clients(cache).map_err(Refusal::Failed)?;
            environment.insert(python::VARIABLE.into(), interpreter.display().to_string());
            Ok(())
        }
        Need::LinuxRoot => match kube::impossible() {
            Some(reason) => Err(Refusal::Impossible(reason.to_owned())),
            None => Ok(()),
        },
    }
}
