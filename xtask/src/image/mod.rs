//! `cargo xtask image`: OCI archives of the broker and the operator, made without a container engine.
//!
//! Invariants: the same sources give the same bytes (sorted entries, no times, remapped paths); one static
//! program, a non-root user and Mozilla's certificates are all that is inside. Called by people, by the demo and
//! by the tests on Kubernetes.

mod archive;
mod layer;
mod program;
mod stock;

use std::path::PathBuf;

use crate::cache::{Cache, checkout};
use crate::console::{Step, bytes};
use crate::process::Program;
use archive::Image;
pub use stock::{busybox, client, pause};

/// The user that every image of ours runs as, and the group.
const USER_ID: u64 = 65532;

/// What can be put into an image.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Product {
    /// The broker and command line: `logspine`
    Broker,
    /// The operator: `logspine-operator`
    Operator,
    /// The operator with `LOGSPINE_EXIT_AFTER_WRITES`, for tests only
    FaultyOperator,
}

#[derive(clap::Args)]
pub struct Args {
    /// Which images; both of the product's when left out
    #[arg(value_name = "IMAGE")]
    products: Vec<Product>,
}

/// An archive that was written, and the name its image has.
pub struct Written {
    pub name: String,
    pub path: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let cache = Cache::open()?;
    let all = [Product::Broker, Product::Operator];
    let products = if args.products.is_empty() { &all[..] } else { &args.products };
    for product in products {
        let written = product.write(&cache)?;
        println!("{}  {}", written.name, written.path.display());
    }
    Ok(())
}

impl Product {
    fn package(self) -> &'static str {
        match self {
            Product::Broker => "logspine",
            Product::Operator | Product::FaultyOperator => "logspine-operator",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Product::Broker => "A Kafka-wire-compatible broker",
            Product::Operator | Product::FaultyOperator => "The Kubernetes operator of Logspine",
        }
    }

    fn features(self) -> &'static [&'static str] {
        match self {
            Product::FaultyOperator => &["fault-injection"],
            _ => &[],
        }
    }

    fn tag(self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        if self == Product::FaultyOperator { format!("{version}-faulty") } else { version.to_owned() }
    }

    /// The image's name, as Kubernetes will ask for it.
    pub fn image_name(self) -> String {
        format!("localhost/{}:{}", self.package(), self.tag())
    }

    /// Builds the program and writes the archive.
    pub fn write(self, cache: &Cache) -> anyhow::Result<Written> {
        let binary = std::fs::read(program::build(cache, self.package(), self.features())?)?;
        let size = binary.len() as u64;
        let image = Image {
            name: self.image_name(),
            layers: vec![layer::base(cache)?, layer::program(self.package(), binary)?],
            entrypoint: vec![format!("/usr/bin/{}", self.package())],
            user: format!("{USER_ID}:{USER_ID}"),
            labels: labels(self),
        };
        let path = cache.path(&format!("images/{}-{}.tar", self.package(), self.tag()))?;
        let archive_size = image.write(&path)?;
        println!("FIGURE image {}: program {}, archive {}", image.name, bytes(size), bytes(archive_size));
        Ok(Written { name: image.name, path })
    }
}

/// The broker's program as it is shipped, for measuring and showing it on this machine.
pub fn broker_program(cache: &Cache) -> anyhow::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return program::build(cache, Product::Broker.package(), &[]);
    }
    // Elsewhere there is no static program; an ordinary release build does.
    let step = Step::start("Building the broker", "some minutes the first time");
    Program::cargo()
        .args(["build", "--locked", "--release", "--package", "logspine"])
        .folder(checkout())
        .env("CARGO_TARGET_DIR", cache.target())
        .run(Some(&step))?;
    step.finish("");
    Ok(cache.target().join("release/logspine"))
}

fn labels(product: Product) -> Vec<(&'static str, String)> {
    vec![
        ("org.opencontainers.image.title", product.package().to_owned()),
        ("org.opencontainers.image.description", product.description().to_owned()),
        ("org.opencontainers.image.version", product.tag()),
        ("org.opencontainers.image.licenses", env!("CARGO_PKG_LICENSE").to_owned()),
        ("org.opencontainers.image.vendor", "Logspine".to_owned()),
    ]
}
