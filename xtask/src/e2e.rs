//! `cargo xtask e2e`: the tests on a real Kubernetes, from an empty machine to an empty machine.
//!
//! Invariants: the cluster is ended when the tests are done, passed or not (unless `--keep`); the tests learn
//! everything from `LOGSPINE_E2E_*`; they run one after the other, because they share one cluster.
//! Called by people and by the test table.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use crate::cache::{Cache, checkout};
use crate::cargo_tools::CargoTool;
use crate::console::{Step, say};
use crate::image::Product;
use crate::kube::Kube;
use crate::process::Program;
use crate::{debian, python};

#[derive(clap::Args)]
pub struct Args {
    /// Run only the tests whose name or file contains this
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
    /// Leave the cluster running afterwards
    #[arg(long)]
    keep: bool,
    /// Run against the cluster that a former call with --keep left, without building anything
    #[arg(long)]
    again: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let cache = Cache::open()?;
    let kube = Kube::build(&cache)?;
    let archives = if args.again { Vec::new() } else { images(&cache)? };
    let result =
        start(&kube, args.again, &archives).and_then(|()| tests(&kube, &cache, args.filter.as_deref()));
    if args.keep || args.again {
        say("The cluster is left running; to look around: eval \"$(cargo xtask kube env)\"");
        return result;
    }
    // Ended even when it did not come up whole; the first error is the one to tell.
    let ended = kube.down();
    result.and(ended)
}

fn images(cache: &Cache) -> anyhow::Result<Vec<PathBuf>> {
    let products = [Product::Broker, Product::Operator, Product::FaultyOperator];
    products.into_iter().map(|product| Ok(product.write(cache)?.path)).collect()
}

fn start(kube: &Kube, again: bool, archives: &[PathBuf]) -> anyhow::Result<()> {
    if again {
        return Ok(());
    }
    kube.up(1)?;
    kube.import(archives)
}

fn tests(kube: &Kube, cache: &Cache, filter: Option<&str>) -> anyhow::Result<()> {
    let nextest = CargoTool::Nextest.fetch(cache)?;
    let filter = filter.map_or_else(String::new, |text| format!(" & (test({text}) | binary({text}))"));
    let log = cache.path("logs/e2e-tests.log")?;
    let step = Step::start("Tests on Kubernetes", "");
    let mut program = Program::new(nextest)
        .args(["nextest", "run", "--locked", "-p", "logspine-e2e", "--profile", "kube", "-E"])
        .arg(format!("binary(/^kube_/){filter}"))
        .folder(checkout())
        .env("CARGO_TARGET_DIR", cache.target())
        // A story's error says what happened; a backtrace would bury it.
        .env("RUST_BACKTRACE", "0")
        .log(&log)
        .deadline(Duration::from_secs(3600));
    for (name, value) in environment(kube, cache)? {
        program = program.env(name, value);
    }
    let output =
        program.run(Some(&step)).with_context(|| format!("the whole output is in {}", log.display()))?;
    step.finish("");
    // The stories and counts, for the person and for the test table.
    println!("{output}");
    Ok(())
}

fn environment(kube: &Kube, cache: &Cache) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let path = format!("{}:{}", kube.bin().display(), std::env::var("PATH").unwrap_or_default());
    let prometheus = debian::unpack(cache, "prometheus")?.join("usr/bin");
    Ok(BTreeMap::from([
        ("PATH", path),
        ("LOGSPINE_E2E_KUBECONFIG", kube.kubeconfig().display().to_string()),
        ("LOGSPINE_E2E_NODE_ADDRESS", kube.node_address().to_owned()),
        ("LOGSPINE_E2E_AUDIT_LOG", kube.audit_log().display().to_string()),
        ("LOGSPINE_E2E_PROMETHEUS", prometheus.display().to_string()),
        ("LOGSPINE_E2E_BROKER_IMAGE", Product::Broker.image_name()),
        ("LOGSPINE_E2E_OPERATOR_IMAGE", Product::Operator.image_name()),
        ("LOGSPINE_E2E_FAULTY_OPERATOR_IMAGE", Product::FaultyOperator.image_name()),
        (python::VARIABLE, python::with_clients(cache)?.display().to_string()),
    ]))
}
