//! librdkafka's own load tool, `rdkafka_performance`, built from the sources inside the crate `rdkafka-sys`.
//!
//! Invariants: the version is written here; nothing of it is linked into ours; the program appears in the cache only when
//! it is complete. Called by the benchmark before it enters its network.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::cache::Cache;
use crate::console::Step;
use crate::debian;
use crate::process::Program;

/// Of the crate; it carries librdkafka 2.12.1 with its examples.
const VERSION: &str = "4.10.0";

/// What the tool can do without: the measured connections are plain.
const WITHOUT: &[&str] =
    &["--disable-ssl", "--disable-gssapi", "--disable-sasl", "--disable-zstd", "--disable-curl"];

/// The path of `rdkafka_performance`, built the first time.
pub fn performance_tool(cache: &Cache) -> anyhow::Result<PathBuf> {
    let built = cache.path(&format!("bench/rdkafka_performance-{VERSION}"))?;
    if built.is_file() {
        return Ok(built);
    }
    debian::ensure(&["gcc", "make"], "librdkafka's load tool")?;
    let step = Step::start("Building librdkafka's load tool", "about two minutes the first time");
    let home = cache.folder("bench/librdkafka")?;
    std::fs::create_dir_all(home.join("src"))?;
    std::fs::write(home.join("src/lib.rs"), "")?;
    std::fs::write(home.join("Cargo.toml"), manifest())?;
    Program::cargo().args(["vendor", "--quiet", "vendor"]).folder(&home).run(Some(&step))?;
    let sources = home.join("vendor/rdkafka-sys/librdkafka");
    Program::new("bash").arg("configure").args(WITHOUT).folder(&sources).run(Some(&step))?;
    for (folder, goal) in [("src", "librdkafka.a"), ("examples", "rdkafka_performance")] {
        Program::new("make").args(["-C", folder, goal]).folder(&sources).run(Some(&step))?;
    }
    let complete = built.with_extension("new");
    std::fs::copy(sources.join("examples/rdkafka_performance"), &complete)
        .context("librdkafka's build left no rdkafka_performance")?;
    std::fs::rename(&complete, &built)?;
    std::fs::remove_dir_all(&home)?;
    step.finish("");
    Ok(built)
}

/// A package of its own that needs nothing but the sources.
fn manifest() -> String {
    format!(
        "[package]\nname = \"librdkafka-sources\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n\
         [dependencies]\nrdkafka-sys = \"={VERSION}\"\n\n[workspace]\n"
    )
}
