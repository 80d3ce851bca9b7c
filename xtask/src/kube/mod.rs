//! `cargo xtask kube`: the real Kubernetes of the tests and the demo, built from sources and started on this
//! machine.
//!
//! Invariants: needs Linux and root, no registry of images and no container engine; everything is below the
//! cache's `kube` folder; `down` leaves nothing behind. How it is put together: `e2e/kube/README.md`.
//! Called by people, by the demo and by the tests on Kubernetes.

mod build;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;

use crate::cache::{Cache, checkout};
use crate::console::{Step, say};
use crate::process::Program;
use crate::{debian, image, tools};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Build Kubernetes, etcd and CoreDNS from Go modules and fetch kubectl and helm
    Build,
    /// Start it; a former one is ended first
    Up {
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
        nodes: u8,
    },
    /// End it and remove everything it left
    Down,
    /// Print the shell lines that point kubectl and helm at it
    Env,
}

pub fn run(command: &Command) -> anyhow::Result<()> {
    let cache = Cache::open()?;
    match command {
        Command::Build => Kube::build(&cache).map(|_| ()),
        Command::Up { nodes } => {
            let kube = Kube::build(&cache)?;
            kube.up(*nodes)?;
            say("To look around, type: eval \"$(cargo xtask kube env)\" && kubectl get pods -A");
            Ok(())
        }
        Command::Down => Kube::at(&cache)?.down(),
        Command::Env => {
            let kube = Kube::at(&cache)?;
            println!("export KUBECONFIG={} PATH={}:$PATH", kube.kubeconfig().display(), kube.bin().display());
            Ok(())
        }
    }
}

/// The folder that holds kubectl and helm, which need neither root nor Linux.
pub fn kubectl_and_helm(cache: &Cache) -> anyhow::Result<PathBuf> {
    let bin = Kube::at(cache)?.bin();
    build::kubectl_and_helm(&bin)?;
    Ok(bin)
}

/// Whether this machine can run it at all, else the reason.
pub fn impossible() -> Option<&'static str> {
    if !cfg!(target_os = "linux") {
        Some("it needs Linux: network namespaces and containers")
    } else if !tools::is_root() {
        Some("it needs root, to make network namespaces and containers")
    } else {
        None
    }
}

/// The Kubernetes in the cache, built; running or not.
pub struct Kube {
    home: PathBuf,
}

impl Kube {
    fn at(cache: &Cache) -> anyhow::Result<Kube> {
        Ok(Kube { home: cache.folder("kube")? })
    }

    /// Builds what is not built yet: the programs, and the images that are not ours.
    pub fn build(cache: &Cache) -> anyhow::Result<Kube> {
        if let Some(reason) = impossible() {
            bail!("Kubernetes cannot run on this machine: {reason}.");
        }
        debian::ensure(build::PACKAGES, "The Kubernetes of the tests")?;
        let kube = Kube::at(cache)?;
        build::programs(&kube)?;
        build::kubectl_and_helm(&kube.bin())?;
        for written in [image::busybox(cache)?, image::pause(cache)?, image::client(cache)?] {
            debug_assert!(written.path.starts_with(&kube.home), "cluster.sh imports what is in kube/images");
        }
        Ok(kube)
    }

    pub fn bin(&self) -> PathBuf {
        self.home.join("bin")
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.home.join("run/pki/admin.kubeconfig")
    }

    /// An address of the first node, where node ports are reached from this machine (see `cluster.sh`).
    pub fn node_address(&self) -> &'static str {
        "10.91.0.11"
    }

    /// Where the API server writes down who wrote what.
    pub fn audit_log(&self) -> PathBuf {
        self.home.join("run/audit.log")
    }

    pub fn up(&self, nodes: u8) -> anyhow::Result<()> {
        let step = Step::start("Starting Kubernetes", "about 15 seconds");
        self.script().args(["up", &nodes.to_string()]).run(Some(&step))?;
        step.finish(&format!("{nodes} node{}", if nodes == 1 { "" } else { "s" }));
        Ok(())
    }

    pub fn down(&self) -> anyhow::Result<()> {
        let step = Step::start("Ending Kubernetes", "");
        self.script().arg("down").run(Some(&step))?;
        step.finish("");
        Ok(())
    }

    /// Gives image archives to every node.
    pub fn import(&self, archives: &[PathBuf]) -> anyhow::Result<()> {
        let step = Step::start("Loading images into the nodes", "");
        self.script().arg("import").args(archives).run(Some(&step))?;
        step.finish("");
        Ok(())
    }

    fn script(&self) -> Program {
        Program::new(checkout().join("e2e/kube/cluster.sh"))
            .env("KUBE_HOME", &self.home)
            .deadline(Duration::from_secs(300))
    }
}
