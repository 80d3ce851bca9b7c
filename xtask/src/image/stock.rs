//! Images that are not ours and that the tests' Kubernetes needs: busybox, the pause image of pods, and a stock
//! Kafka client (kcat, on librdkafka).
//!
//! Invariants: made from Debian's packages on this machine; no registry is asked. Called by the tests' Kubernetes.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cache::Cache;
use crate::image::Written;
use crate::image::archive::Image;
use crate::image::layer::Layer;
use crate::process::Program;

const BUSYBOX: &str = "/bin/busybox";
const KCAT: &str = "/usr/bin/kcat";

/// `localhost/busybox:1`: a shell and small tools, one static program.
pub fn busybox(cache: &Cache) -> anyhow::Result<Written> {
    write(cache, "busybox", busybox_layer()?, vec!["/bin/sh".into()])
}

/// `localhost/pause:1`: what holds a pod's namespaces; containerd ends it with SIGKILL.
pub fn pause(cache: &Cache) -> anyhow::Result<Written> {
    write(cache, "pause", busybox_layer()?, vec!["/bin/sleep".into(), "2147483647".into()])
}

/// `localhost/kafka-client:1`: kcat, its libraries and a shell.
pub fn client(cache: &Cache) -> anyhow::Result<Written> {
    let mut layer = busybox_layer()?.file(KCAT, std::fs::read(KCAT)?, 0o755);
    for library in libraries(Path::new(KCAT))? {
        let name = library.to_str().context("a library's path is not UTF-8")?;
        layer = layer.file(name, std::fs::read(&library)?, 0o755);
    }
    write(cache, "kafka-client", layer, vec!["/bin/sh".into()])
}

fn write(cache: &Cache, name: &str, layer: Layer, entrypoint: Vec<String>) -> anyhow::Result<Written> {
    let image = Image {
        name: format!("localhost/{name}:1"),
        layers: vec![layer],
        entrypoint,
        user: "65534:65534".to_owned(),
        labels: Vec::new(),
    };
    let path = cache.path(&format!("kube/images/{name}.tar"))?;
    image.write(&path)?;
    Ok(Written { name: image.name, path })
}

fn busybox_layer() -> anyhow::Result<Layer> {
    let program = std::fs::read(BUSYBOX).context("Debian's busybox-static is missing")?;
    let commands = Program::new(BUSYBOX).arg("--list").run(None)?;
    let layer = Layer::default().file(BUSYBOX, program, 0o755).folder("tmp", 0o1777, 0);
    let links = commands.lines().filter(|name| *name != "busybox");
    Ok(links.fold(layer, |layer, name| layer.link(&format!("bin/{name}"), "busybox")))
}

/// The shared libraries of a program and the loader itself, where the loader will look for them.
fn libraries(program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output = Program::new("ldd").arg(program).run(None)?;
    let words = output.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(words.map(PathBuf::from).collect())
}
