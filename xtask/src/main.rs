//! `cargo xtask`: every command of this repository, for people and for CI alike.
//!
//! Invariants: depends on none of the product's crates (it runs their binaries), keeps everything it builds or
//! downloads in one cache folder outside of the checkout, and names a missing tool in one sentence.
//! Called by people as `cargo xtask COMMAND`, by CI as `cargo xtask test`.

mod bench;
mod cache;
mod cargo_tools;
mod chart;
mod console;
mod crash;
mod debian;
mod demo;
mod e2e;
mod footprint;
mod fuzz;
mod generate;
mod image;
mod interrupt;
mod kafka;
mod kube;
mod process;
mod python;
mod test;
mod tidy;
mod tools;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about = "Logspine's own commands", long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what the product does, on a real Kubernetes or on this machine alone
    Demo(demo::Args),
    /// Run every test of the project, as a table of stages
    Test(test::Args),
    /// Run the tests on a real Kubernetes, which is started and ended
    E2e(e2e::Args),
    /// Run the fuzz targets of the protocol
    Fuzz(fuzz::Args),
    /// Kill the broker under load, again and again, and judge what is left
    Crash(crash::Args),
    /// Measure the broker beside Apache Kafka
    Bench(bench::Args),
    /// Measure start to first record, memory at rest and sizes of the broker
    Footprint(footprint::Args),
    /// Write OCI archives of the broker and the operator
    Image(image::Args),
    /// Check the Helm chart: lint, renders, alert rules and their tests, runbooks
    Chart,
    /// Build, start and end the Kubernetes of the tests
    #[command(subcommand)]
    Kube(kube::Command),
    /// Write the codecs of the protocol crate from Kafka's message schemas
    Generate(generate::Args),
    /// Check the laws that the compiler does not: imports, sizes, headers, names, words
    Tidy,
    /// The same as `test`, with CI's rules: a skipped test is a failure
    Ci(test::Args),
}

fn main() {
    if let Err(error) = run(Cli::parse().command) {
        console::error(&error);
        std::process::exit(1);
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(args) => demo::run(&args),
        Command::Test(args) => test::run(&args, test::Rules::from_environment()),
        Command::E2e(args) => e2e::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Crash(args) => crash::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Footprint(args) => footprint::run(&args),
        Command::Image(args) => image::run(&args),
        Command::Chart => chart::run(),
        Command::Kube(command) => kube::run(&command),
        Command::Generate(args) => generate::run(&args),
        Command::Tidy => tidy::run(),
        Command::Ci(args) => test::run(&args, test::Rules::Ci),
    }
}
