//! What a stage needs before it can run, and how each need is met.
//!
//! Invariants: a need is met by fetching into the cache or, for Debian packages as root, by installing; what
//! cannot be met at all on this machine is a skip with its reason, what failed to be met is a failure.
//! Called before each stage.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cache::Cache;
use crate::cargo_tools::CargoTool;
use crate::test::report::Ending;
use crate::tools;
use crate::{debian, kafka, kube, python};

/// One thing that a stage needs.
pub enum Need {
    /// A cargo subcommand that we fetch.
    Cargo(CargoTool),
    /// Debian packages: what for, and their names.
    Debian(&'static str, &'static [&'static str]),
    /// Kafka's jars, named by `LOGSPINE_KAFKA_LIBS`.
    KafkaLibs,
    /// An interpreter with the Python clients, named by `LOGSPINE_PYTHON`.
    PythonClients,
    /// helm and promtool on the path.
    ChartTools,
    /// The path of the broker's program, named by `LOGSPINE_BIN`; one of the stage's commands builds it.
    BrokerPath,
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
            tools::require(&[&tools::JDK]).map_err(Refusal::Failed)?;
            let libs = kafka::libs(cache).map_err(Refusal::Failed)?;
            environment.insert(kafka::LIBS_VARIABLE.into(), libs.display().to_string());
            Ok(())
        }
        Need::PythonClients => {
            let interpreter = python::with_clients(cache).map_err(Refusal::Failed)?;
            environment.insert(python::VARIABLE.into(), interpreter.display().to_string());
            Ok(())
        }
        Need::ChartTools => {
            put_on_path(environment, &kube::kubectl_and_helm(cache).map_err(Refusal::Failed)?);
            let prometheus = debian::unpack(cache, "prometheus").map_err(Refusal::Failed)?;
            put_on_path(environment, &prometheus.join("usr/bin"));
            Ok(())
        }
        Need::BrokerPath => {
            let program = cache.target().join("debug/logspine");
            environment.insert("LOGSPINE_BIN".into(), program.display().to_string());
            Ok(())
        }
        Need::LinuxRoot => match kube::impossible() {
            Some(reason) => Err(Refusal::Impossible(reason.to_owned())),
            None => Ok(()),
        },
    }
}

fn put_on_path(environment: &mut BTreeMap<String, String>, folder: &Path) {
    let path = environment.get("PATH").cloned().or_else(|| std::env::var("PATH").ok()).unwrap_or_default();
    environment.insert("PATH".into(), format!("{}:{path}", folder.display()));
}
