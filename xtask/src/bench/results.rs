//! One file of JSON per cell: everything that was measured, and what it was measured with.
//!
//! Invariants: a result is current when broker program, Kafka and length of the windows are the same; figures are
//! computed from the runs when they are read, never stored beside them. Written by the benchmark, read by the report.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::contender::Contender;
use super::machine::Machine;
use super::statistics::{median, median_ratio};
use crate::cache::{Cache, checkout};
use crate::kafka;

/// A loop on a processor loses so much to others, or others use so much of one: the pair is called disturbed.
pub const DISTURBED_PERCENT: f64 = 5.0;
pub const FOREIGN_PERCENT: f64 = 10.0;

/// What a result belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The first digits of the program's SHA-256: the same sources give the same program.
    pub logspine_program: String,
    pub kafka: String,
    pub quick: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CellResult {
    pub cell: String,
    pub key: Key,
    pub commit: String,
    pub measured_on: String,
    pub machine: Machine,
    pub variants: Vec<VariantResult>,
    pub tools: Vec<ToolRun>,
    /// What a reader must know about these very runs; written by hand.
    #[serde(default)]
    pub remarks: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VariantResult {
    pub name: String,
    pub pairs: Vec<Pair>,
    /// System calls of the broker per 1000 requests, in a short run of its own.
    pub system_calls_per_1000_requests: BTreeMap<Contender, f64>,
}

/// One run of each, minutes apart at most, with the probes between them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pair {
    pub logspine: Value,
    pub kafka: Option<Value>,
    pub floors: BTreeMap<String, Value>,
    /// What a loop on the worse processor lost around the runs.
    pub lost_percent: f64,
}

/// One of Kafka's or librdkafka's own tools.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ToolRun {
    pub tool: String,
    pub contender: Contender,
    pub cpu_s_per_gb: f64,
    pub mb_per_s: f64,
}

impl Key {
    pub fn of(program: &Path, quick: bool) -> anyhow::Result<Key> {
        let bytes = std::fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
        let digest = Sha256::digest(&bytes);
        let hex: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Ok(Key { logspine_program: hex, kafka: kafka::VERSION.to_owned(), quick })
    }
}

/// Where results are.
pub struct Folder(PathBuf);

impl Folder {
    /// The committed results, or the cache's for quick ones.
    pub fn open(cache: &Cache, quick: bool) -> anyhow::Result<Folder> {
        if quick {
            return Ok(Folder(cache.folder("bench/quick")?));
        }
        let folder = checkout().join("docs/benchmarks/results");
        std::fs::create_dir_all(&folder)?;
        Ok(Folder(folder))
    }

    pub fn committed() -> Folder {
        Folder(checkout().join("docs/benchmarks/results"))
    }

    #[cfg(test)]
    pub fn at(path: &Path) -> Folder {
        Folder(path.to_owned())
    }

    pub fn read(&self, cell: &str) -> anyhow::Result<Option<CellResult>> {
        let path = self.0.join(format!("{cell}.json"));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let result = serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
        Ok(Some(result))
    }

    /// Complete or not at all: a benchmark that is interrupted leaves no half result.
    pub fn write(&self, result: &CellResult) -> anyhow::Result<()> {
        let path = self.0.join(format!("{}.json", result.cell));
        let partial = path.with_extension("partial");
        std::fs::write(&partial, serde_json::to_string_pretty(result)? + "\n")?;
        Ok(std::fs::rename(&partial, &path)?)
    }

    pub fn has_current(&self, cell: &str, key: &Key) -> anyhow::Result<bool> {
        Ok(self.read(cell)?.is_some_and(|result| result.key == *key))
    }
}

impl CellResult {
    pub fn variant(&self, name: &str) -> Option<&VariantResult> {
        self.variants.iter().find(|variant| variant.name == name)
    }

    pub fn disturbed(&self) -> usize {
        self.variants.iter().flat_map(|variant| &variant.pairs).filter(|pair| pair.is_disturbed()).count()
    }

    pub fn pair_count(&self) -> usize {
        self.variants.iter().map(|variant| variant.pairs.len()).sum()
    }
}

impl VariantResult {
    /// Undisturbed pairs, or all if there is none.
    fn counted(&self) -> impl Iterator<Item = &Pair> {
        let all_disturbed = self.pairs.iter().all(Pair::is_disturbed);
        self.pairs.iter().filter(move |pair| all_disturbed || !pair.is_disturbed())
    }

    /// The median of a figure over the runs of a contender.
    pub fn figure(&self, contender: Contender, pointer: &str) -> Option<f64> {
        median(self.counted().filter_map(|pair| pair.figure(contender, pointer)))
    }

    pub fn floor(&self, probe: &str, pointer: &str) -> Option<f64> {
        median(self.counted().filter_map(|pair| number(pair.floors.get(probe)?, pointer)))
    }

    /// The median over pairs of Kafka's figure by ours.
    pub fn kafka_by_ours(&self, pointer: &str) -> Option<f64> {
        let pairs = self.counted().filter_map(|pair| {
            Some((pair.figure(Contender::Kafka, pointer)?, pair.figure(Contender::Logspine, pointer)?))
        });
        median_ratio(pairs)
    }

    /// The median over pairs of our figure by the probe's.
    pub fn ours_by_floor(&self, pointer: &str, probe: &str, floor_pointer: &str) -> Option<f64> {
        let pairs = self.counted().filter_map(|pair| {
            Some((
                pair.figure(Contender::Logspine, pointer)?,
                number(pair.floors.get(probe)?, floor_pointer)?,
            ))
        });
        median_ratio(pairs)
    }
}

impl Pair {
    pub fn figure(&self, contender: Contender, pointer: &str) -> Option<f64> {
        match contender {
            Contender::Logspine => number(&self.logspine, pointer),
            Contender::Kafka => number(self.kafka.as_ref()?, pointer),
        }
    }

    /// Somebody else used the processors.
    pub fn is_disturbed(&self) -> bool {
        let foreign = |run: &Value| {
            let seconds = number(run, "/observed/seconds").unwrap_or(f64::INFINITY);
            100.0 * number(run, "/observed/foreign_cpu_s").unwrap_or(0.0) / seconds
        };
        let runs = [Some(&self.logspine), self.kafka.as_ref()];
        self.lost_percent > DISTURBED_PERCENT
            || runs.into_iter().flatten().any(|run| foreign(run) > FOREIGN_PERCENT)
    }
}

/// The number at a JSON pointer.
pub fn number(value: &Value, pointer: &str) -> Option<f64> {
    value.pointer(pointer)?.as_f64()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::json;

    fn run(cpu: f64, foreign_cpu_s: f64) -> Value {
        json!({"broker": {"cpu_s_per_gb": cpu}, "observed": {"seconds": 10.0, "foreign_cpu_s": foreign_cpu_s}})
    }

    fn pair(ours: f64, kafka: f64, foreign_cpu_s: f64) -> Pair {
        Pair {
            logspine: run(ours, 0.0),
            kafka: Some(run(kafka, foreign_cpu_s)),
            floors: BTreeMap::from([("ingest".to_owned(), json!({"cpu_s_per_gb": 0.25}))]),
            lost_percent: 0.0,
        }
    }

    fn variant(pairs: Vec<Pair>) -> VariantResult {
        VariantResult { name: String::new(), pairs, system_calls_per_1000_requests: BTreeMap::new() }
    }

    const CPU: &str = "/broker/cpu_s_per_gb";

    fn key(program: &str) -> Key {
        Key { logspine_program: program.to_owned(), kafka: "4.3.1".to_owned(), quick: false }
    }

    pub fn result(cell: &str, pairs: Vec<Pair>) -> CellResult {
        CellResult {
            cell: cell.to_owned(),
            key: key("abc"),
            commit: "abc".to_owned(),
            measured_on: "2026-11-25".to_owned(),
            machine: Machine::default(),
            variants: vec![variant(pairs)],
            tools: Vec::new(),
            remarks: Vec::new(),
        }
    }

    #[test]
    fn a_disturbed_pair_does_not_count_beside_a_quiet_one() {
        let variant = variant(vec![pair(0.5, 2.0, 0.1), pair(0.5, 9.0, 3.0)]);
        assert_eq!(variant.kafka_by_ours(CPU), Some(4.0));
        assert_eq!(variant.figure(Contender::Kafka, CPU), Some(2.0));
        assert_eq!(variant.ours_by_floor(CPU, "ingest", "/cpu_s_per_gb"), Some(2.0));
    }

    #[test]
    fn with_nothing_but_disturbed_pairs_they_count_and_are_named() {
        let result = result("W1", vec![pair(0.5, 2.0, 3.0), pair(0.5, 3.0, 3.0)]);
        assert_eq!(result.variants[0].kafka_by_ours(CPU), Some(5.0));
        assert_eq!((result.disturbed(), result.pair_count()), (2, 2));
    }

    #[test]
    fn a_processor_that_was_taken_away_disturbs_a_pair() {
        assert!(!pair(1.0, 1.0, 0.0).is_disturbed());
        assert!(Pair { lost_percent: DISTURBED_PERCENT + 0.1, ..pair(1.0, 1.0, 0.0) }.is_disturbed());
    }

    #[test]
    fn a_cell_is_current_for_the_same_programs_only_and_survives_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = Folder::at(folder.path());
        assert!(!folder.has_current("W1", &key("abc")).expect("no file is no error"));
        let written = result("W1", vec![pair(0.5, 2.0, 0.1)]);
        folder.write(&written).expect("written");
        assert!(folder.has_current("W1", &key("abc")).expect("readable"));
        assert!(!folder.has_current("W1", &key("another program")).expect("readable"));
        assert!(!folder.has_current("W2", &key("abc")).expect("readable"));
        let read = folder.read("W1").expect("readable").expect("there");
        assert_eq!(read.variants[0].kafka_by_ours(CPU), Some(4.0));
    }
}
