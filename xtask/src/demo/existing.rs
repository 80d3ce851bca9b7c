//! Gives images to a cluster that is not ours: kind, k3d and minikube can take archives, others are told how.
//!
//! Called by the demo with `--kubeconfig`.

use std::path::PathBuf;

use anyhow::bail;

use crate::console::Step;
use crate::process::Program;

/// How a cluster takes image archives, told from the name of its context.
#[derive(Debug, PartialEq, Eq)]
enum Loader {
    Kind(String),
    K3d(String),
    Minikube(String),
}

impl Loader {
    fn of_context(context: &str) -> Option<Loader> {
        if let Some(name) = context.strip_prefix("kind-") {
            Some(Loader::Kind(name.to_owned()))
        } else if let Some(name) = context.strip_prefix("k3d-") {
            Some(Loader::K3d(name.to_owned()))
        } else if context.starts_with("minikube") {
            Some(Loader::Minikube(context.to_owned()))
        } else {
            None
        }
    }

    fn program(&self, archive: &str) -> Program {
        match self {
            Loader::Kind(name) => {
                Program::new("kind").args(["load", "image-archive", archive, "--name", name])
            }
            Loader::K3d(name) => Program::new("k3d").args(["image", "import", archive, "--cluster", name]),
            Loader::Minikube(name) => {
                Program::new("minikube").args(["image", "load", archive, "--profile", name])
            }
        }
    }
}

/// Loads the archives into the cluster of this context, or says what to type.
pub fn load(context: &str, archives: &[PathBuf]) -> anyhow::Result<()> {
    let Some(loader) = Loader::of_context(context) else {
        let lines: String = archives
            .iter()
            .map(|path| format!("\n  ctr -n k8s.io images import {}", path.display()))
            .collect();
        bail!(
            "context {context} is none of kind, k3d or minikube, so the images cannot be loaded from here. Type this on \
             every node, then run the demo again with --images-loaded:{lines}"
        );
    };
    let step = Step::start("Loading the images", "");
    for archive in archives {
        loader.program(&archive.display().to_string()).run(Some(&step))?;
    }
    step.finish("");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_is_told_from_the_context() {
        assert_eq!(Loader::of_context("kind-dev"), Some(Loader::Kind("dev".into())));
        assert_eq!(Loader::of_context("k3d-x"), Some(Loader::K3d("x".into())));
        assert_eq!(Loader::of_context("minikube"), Some(Loader::Minikube("minikube".into())));
        assert_eq!(Loader::of_context("production"), None);
    }

    #[test]
    fn an_unknown_cluster_is_told_what_to_type() {
        let error = load("production", &[PathBuf::from("a.tar")]).expect_err("it is unknown");
        assert!(error.to_string().contains("ctr -n k8s.io images import a.tar"));
    }
}
