//! Pairs of windows in the order A B B A, on brokers that live as long as the benchmark.
//!
//! Invariants: Kafka is warm before anything counts (12 M records of 100 B, 2 M of 1 KiB, then a rehearsal of every load);
//! a topic is new for each run and gone after it; a disturbed pair is measured again, and kept, marked, when the time
//! for that is used up. Called by the benchmark.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

use super::ballast::Ballast;
use super::cells::{Aim, Better, Cell, Kind, Variant};
use super::contender::{Contender, Home, Running};
use super::kblast::Kblast;
use super::machine::Machine;
use super::results::{CellResult, Folder, Key, Pair, VariantResult, number};
use super::statistics::is_close;
use super::{Programs, replay, restart, tools};
use crate::cache::Cache;
use crate::console::{Step, say};
use crate::process::Program;

/// Kafka's page-cache durability, which is its default, for every topic whose cell does not say otherwise.
const PAGE_CACHE: &str = "--config flush.messages=9223372036854775807";
/// What makes Kafka's produce path warm, and its fetch path.
const WARM_UP: &[&str] = &[
    "produce -s 100 -B 16384 -p 6 --warm-up-seconds 0 --seconds 600 --bytes 1300000000",
    "produce -s 1024 -B 65536 --warm-up-seconds 0 --seconds 600 --bytes 2200000000",
    "fetch -s 1024 -B 65536 -m 1048576 --fill 1000000000 --warm-up-seconds 0 --seconds 600 --bytes 4000000000",
];
/// A window ends here even if its time is not over: more would wait for the disk.
const WINDOW_BYTES: u64 = 4_000_000_000;
const PAIRS: usize = 2;
const PAIRS_NEAR_AN_AIM: usize = 5;
/// Dirty pages of earlier runs are waited for until there are less than this.
const DIRTY_MAX_KIB: u64 = 300 * 1024;
const SETTLE_WITHIN: Duration = Duration::from_secs(20);

/// Everything that measuring needs.
pub struct Bench<'a> {
    pub cache: &'a Cache,
    pub programs: Programs,
    pub kblast: Kblast,
    folder: Folder,
    key: Key,
    effort: Effort,
    brokers: Option<Brokers>,
    ballast: Ballast,
    topics: u32,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Short windows, one pair.
    pub quick: bool,
    /// Exactly so many pairs.
    pub pairs: Option<usize>,
    pub with_tools: bool,
}

impl Effort {
    /// Undisturbed pairs that are tried for, and pairs that are tried at most.
    fn of(self, cell: &Cell, wanted: usize) -> (usize, usize) {
        match self.pairs {
            _ if self.quick || cell.kind == Kind::LoadApart => (1, 1),
            Some(pairs) => (pairs, pairs),
            None => (wanted, wanted + wanted.div_ceil(2)),
        }
    }
}

/// Both contenders, each with its home.
pub struct Brokers([(Home, Running); 2]);

impl Brokers {
    pub fn start(cache: &Cache, programs: &Programs, name: &str) -> anyhow::Result<Brokers> {
        let start = |contender: Contender| {
            let home =
                Home::new(cache, programs, contender, &format!("{name}-{contender:?}").to_lowercase(), "")?;
            let running = home.start()?;
            anyhow::Ok((home, running))
        };
        Ok(Brokers([start(Contender::Logspine)?, start(Contender::Kafka)?]))
    }

    pub fn of(&self, contender: Contender) -> &Running {
        let [(_, logspine), (_, kafka)] = &self.0;
        if contender == Contender::Logspine { logspine } else { kafka }
    }
}

impl<'a> Bench<'a> {
    pub fn new(
        cache: &'a Cache,
        programs: Programs,
        folder: Folder,
        effort: Effort,
    ) -> anyhow::Result<Bench<'a>> {
        let key = Key::of(&programs.logspine, effort.quick)?;
        let kblast = Kblast { program: programs.kblast.clone() };
        Ok(Bench {
            cache,
            programs,
            kblast,
            folder,
            key,
            effort,
            brokers: None,
            ballast: Ballast::new(cache)?,
            topics: 0,
        })
    }

    pub fn has_result(&self, cell: &Cell) -> anyhow::Result<bool> {
        self.folder.has_current(cell.id, &self.key)
    }

    /// Measures a cell and writes its file. After a failure the next cell gets new brokers.
    pub fn measure(&mut self, cell: &Cell) -> anyhow::Result<()> {
        let measured = self.measure_once(cell);
        if measured.is_err() {
            self.brokers = None;
        }
        measured
    }

    fn measure_once(&mut self, cell: &Cell) -> anyhow::Result<()> {
        let step = Step::start(&format!("{} {}", cell.id, cell.title), cell.parameters);
        let machine = Machine::describe(&self.cache.folder("bench")?);
        let variants = match cell.kind {
            Kind::Load => {
                self.warm_brokers()?;
                self.each_variant(cell)?
            }
            Kind::LoadApart => self.each_variant(cell)?,
            Kind::Restart => restart::measure(self)?,
            Kind::Replay => replay::measure(self)?,
        };
        let tools = match (self.effort.with_tools, &self.brokers) {
            (true, Some(brokers)) => tools::run(self, cell.id, brokers)?,
            _ => Vec::new(),
        };
        let result = CellResult {
            cell: cell.id.to_owned(),
            key: self.key.clone(),
            commit: Programs::commit(),
            measured_on: today()?,
            machine,
            variants,
            tools,
            remarks: Vec::new(),
        };
        self.folder.write(&result)?;
        step.finish(&format!("{} pairs, {} of them disturbed", result.pair_count(), result.disturbed()));
        Ok(())
    }

    fn warm_brokers(&mut self) -> anyhow::Result<()> {
        if self.brokers.is_some() {
            return Ok(());
        }
        let brokers = Brokers::start(self.cache, &self.programs, "shared")?;
        let step = Step::start("Warming up", "12 M records of 100 B and 2 M of 1 KiB for each broker");
        for contender in Contender::BOTH {
            for (number, words) in WARM_UP.iter().enumerate() {
                let topic = format!("warm-{number}");
                self.kblast.load(brokers.of(contender), &format!("{words} {PAGE_CACHE}"), &topic)?;
                self.kblast.delete(brokers.of(contender), &topic)?;
            }
        }
        step.finish("");
        self.brokers = Some(brokers);
        Ok(())
    }

    fn each_variant(&mut self, cell: &Cell) -> anyhow::Result<Vec<VariantResult>> {
        let mut results = Vec::new();
        for variant in cell.variants {
            if cell.kind == Kind::LoadApart {
                let brokers = Brokers::start(self.cache, &self.programs, "apart")?;
                results.push(self.variant(cell, variant, &brokers)?);
            } else {
                let brokers = self.brokers.take().context("the brokers run")?;
                let result = self.variant(cell, variant, &brokers);
                self.brokers = Some(brokers);
                results.push(result?);
            }
        }
        Ok(results)
    }

    fn variant(
        &mut self,
        cell: &Cell,
        variant: &Variant,
        brokers: &Brokers,
    ) -> anyhow::Result<VariantResult> {
        let mut result = VariantResult {
            name: variant.name.to_owned(),
            pairs: Vec::new(),
            system_calls_per_1000_requests: BTreeMap::new(),
        };
        let contenders = if variant.without_kafka { &Contender::BOTH[..1] } else { &Contender::BOTH[..] };
        // What leaves its topic behind is not rehearsed: ten thousand partitions are made once.
        if cell.kind == Kind::Load {
            for contender in contenders {
                let calls = self.rehearse(variant, brokers.of(*contender))?;
                result.system_calls_per_1000_requests.extend(calls.map(|calls| (*contender, calls)));
            }
        }
        self.pairs(cell, variant, brokers, PAIRS, &mut result)?;
        if is_near_an_aim(cell, &result) {
            self.pairs(cell, variant, brokers, PAIRS_NEAR_AN_AIM, &mut result)?;
        }
        Ok(result)
    }

    /// Measures until there are so many undisturbed pairs, or half as many more of any kind.
    fn pairs(
        &mut self,
        cell: &Cell,
        variant: &Variant,
        brokers: &Brokers,
        wanted: usize,
        result: &mut VariantResult,
    ) -> anyhow::Result<()> {
        let (wanted, most) = self.effort.of(cell, wanted);
        while result.pairs.iter().filter(|pair| !pair.is_disturbed()).count() < wanted
            && result.pairs.len() < most
        {
            let is_second = result.pairs.len() % 2 == 1;
            let pair = self.pair(cell, variant, brokers, is_second)?;
            let figure = |contender| pair.figure(contender, cell.metric.pointer).unwrap_or(f64::NAN);
            say(&format!(
                "    {} {}: Logspine {:.3}, Kafka {:.3} {}{}",
                cell.id,
                variant.name,
                figure(Contender::Logspine),
                figure(Contender::Kafka),
                cell.metric.unit,
                if pair.is_disturbed() { ", disturbed" } else { "" }
            ));
            result.pairs.push(pair);
        }
        Ok(())
    }

    fn pair(
        &mut self,
        cell: &Cell,
        variant: &Variant,
        brokers: &Brokers,
        kafka_first: bool,
    ) -> anyhow::Result<Pair> {
        let mut lost_percent: f64 = self.lost_percent()?;
        let mut runs: BTreeMap<Contender, Value> = BTreeMap::new();
        let mut floors = BTreeMap::new();
        let order = if kafka_first { [Contender::Kafka, Contender::Logspine] } else { Contender::BOTH };
        for contender in order {
            if contender == Contender::Kafka && variant.without_kafka {
                continue;
            }
            settle();
            self.ballast.fill()?;
            runs.insert(contender, self.window(variant, brokers.of(contender))?);
            lost_percent = lost_percent.max(self.lost_percent()?);
            if floors.is_empty() {
                floors = self.floors(cell)?;
            }
        }
        let logspine = runs.remove(&Contender::Logspine).context("ours was run")?;
        Ok(Pair { logspine, kafka: runs.remove(&Contender::Kafka), floors, lost_percent })
    }

    /// One run on a topic of its own.
    fn window(&mut self, variant: &Variant, broker: &Running) -> anyhow::Result<Value> {
        let seconds = if self.effort.quick { 4 } else { 10 };
        let words = format!("--warm-up-seconds 1.5 --seconds {seconds} --bytes {}", self.bytes_max(variant));
        self.on_new_topic(variant, broker, &words)
    }

    fn bytes_max(&self, variant: &Variant) -> u64 {
        // Reads come from the cache: they do not wait for a disk.
        if variant.fill > 0 { u64::MAX } else { WINDOW_BYTES }
    }

    fn on_new_topic(&mut self, variant: &Variant, broker: &Running, words: &str) -> anyhow::Result<Value> {
        self.topics += 1;
        let topic = format!("bench-{}", self.topics);
        let durability = if variant.load.contains("flush.messages") { "" } else { PAGE_CACHE };
        let fill = if variant.fill > 0 { format!("--fill {}", variant.fill) } else { String::new() };
        let outcome =
            self.kblast.load(broker, &format!("{} {fill} {durability} {words}", variant.load), &topic)?;
        self.kblast.delete(broker, &topic)?;
        Ok(outcome)
    }

    /// The load without counting it, for the JVM's sake, and the system calls of its second half.
    fn rehearse(&mut self, variant: &Variant, broker: &Running) -> anyhow::Result<Option<f64>> {
        const LISTEN_S: f64 = 2.0;
        let seconds = if self.effort.quick { 3.0 } else { 5.0 };
        let process = broker.id().to_string();
        let listener = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs_f64(seconds - LISTEN_S));
            let perf = Program::new("perf").args([
                "stat",
                "-x,",
                "-e",
                "raw_syscalls:sys_enter",
                "-p",
                &process,
                "--",
                "sleep",
                "2",
            ]);
            perf.run(None).ok().and_then(|output| system_calls(&output))
        });
        let words = format!("--warm-up-seconds 0.2 --seconds {seconds} --bytes {}", self.bytes_max(variant));
        let outcome = self.on_new_topic(variant, broker, &words)?;
        let calls = listener.join().unwrap_or(None);
        let rate = |flow: &str| number(&outcome, &format!("/{flow}/requests_per_s")).unwrap_or(0.0);
        let requests = (rate("produced") + rate("fetched")) * LISTEN_S;
        Ok(calls.map(|calls| 1000.0 * calls / requests).filter(|calls| calls.is_finite()))
    }

    fn floors(&self, cell: &Cell) -> anyhow::Result<BTreeMap<String, Value>> {
        let folder = self.cache.folder("bench")?;
        let seconds = if self.effort.quick { 1.0 } else { 1.5 };
        let probe = |words: &&str| Ok(((*words).to_owned(), self.kblast.floor(&folder, words, seconds)?));
        cell.floors.iter().map(probe).collect()
    }

    pub fn lost_percent(&self) -> anyhow::Result<f64> {
        let meter = self.kblast.floor(&self.cache.folder("bench")?, "hiccups", 0.3)?;
        Ok(number(&meter, "/lost_percent").unwrap_or(100.0))
    }
}

/// Whether the first pairs leave it open if an aim against Kafka is met.
fn is_near_an_aim(cell: &Cell, result: &VariantResult) -> bool {
    let times = |least: f64| {
        let ratio = result.kafka_by_ours(cell.metric.pointer)?;
        let times = if cell.metric.is_better_when == Better::Lower { ratio } else { 1.0 / ratio };
        Some(is_close(times, least))
    };
    cell.aims.iter().any(|aim| match aim {
        Aim::Times { least, variant } if variant.is_none_or(|name| name == result.name) => {
            times(*least).unwrap_or(false)
        }
        Aim::FloorAtMost { most, probe, floor_pointer, .. } => {
            let ratio = result.ours_by_floor(cell.metric.pointer, probe, floor_pointer);
            ratio.is_some_and(|ratio| is_close(ratio, *most))
        }
        _ => false,
    })
}

/// The count in a line of `perf stat -x,`: `12345,,raw_syscalls:sys_enter,...`.
fn system_calls(output: &str) -> Option<f64> {
    let line = output.lines().find(|line| line.contains("raw_syscalls:sys_enter"))?;
    line.split(',').next()?.parse().ok()
}

/// Waits until the pages of earlier runs are written, so that they do not burden the next one.
pub fn settle() {
    let asked = Instant::now();
    let dirty_kib = || -> Option<u64> {
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        text.lines().find_map(|line| line.strip_prefix("Dirty:")?.split_whitespace().next()?.parse().ok())
    };
    while dirty_kib().is_some_and(|kib| kib > DIRTY_MAX_KIB) && asked.elapsed() < SETTLE_WITHIN {
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn today() -> anyhow::Result<String> {
    Ok(Program::new("date").args(["-u", "+%F %R UTC"]).run(None)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_system_calls_is_found() {
        assert_eq!(system_calls("2046,,raw_syscalls:sys_enter,607501366,100.00,,\n"), Some(2046.0));
        assert_eq!(system_calls("<not supported>,,raw_syscalls:sys_enter,0,100.00,,\n"), None);
    }
}
