//! Apache Kafka's own jars, fetched once with Maven: the oracle for every byte on the wire and on disk.
//!
//! Invariants: the version is written here and nowhere else in the build; the folder appears only when it is
//! complete. Tests find it by the variable `LOGSPINE_KAFKA_LIBS`. Called by the test table and the demo.

use std::path::PathBuf;

use crate::cache::Cache;
use crate::console::Step;
use crate::process::Program;
use crate::tools;

/// The version of Apache Kafka that we are compatible with and are tested against.
pub const VERSION: &str = "4.3.1";

/// Names the folder of jars to tests and tools.
pub const LIBS_VARIABLE: &str = "LOGSPINE_KAFKA_LIBS";

/// The folder with the jars of Kafka's broker, clients and tools; a folder named by the variable wins.
pub fn libs(cache: &Cache) -> anyhow::Result<PathBuf> {
    if let Some(folder) = std::env::var_os(LIBS_VARIABLE) {
        return Ok(PathBuf::from(folder));
    }
    let home = cache.folder(&format!("kafka-{VERSION}"))?;
    let libs = home.join("libs");
    if libs.is_dir() {
        return Ok(libs);
    }
    tools::require(&[&tools::JDK, &tools::MAVEN])?;
    let step = Step::start(&format!("Fetching Apache Kafka {VERSION}"), "about a minute the first time");
    std::fs::write(home.join("pom.xml"), pom())?;
    let partial = home.join("partial");
    let _ = std::fs::remove_dir_all(&partial);
    Program::new("mvn")
        .args(["--batch-mode", "--quiet", "dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", partial.display()))
        .folder(&home)
        .run(Some(&step))?;
    std::fs::rename(&partial, &libs)?;
    step.finish(&format!("{} jars", std::fs::read_dir(&libs)?.count()));
    Ok(libs)
}

fn pom() -> String {
    let dependency = |artifact: &str| {
        format!(
            "    <dependency><groupId>org.apache.kafka</groupId><artifactId>{artifact}</artifactId>\
             <version>{VERSION}</version></dependency>\n"
        )
    };
    let dependencies: String = ["kafka_2.13", "kafka-tools"].map(dependency).concat();
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  <modelVersion>4.0.0</modelVersion>\n  \
         <groupId>dev.logspine</groupId><artifactId>kafka-libs</artifactId><version>1</version>\n  \
         <dependencies>\n{dependencies}  </dependencies>\n</project>\n"
    )
}
