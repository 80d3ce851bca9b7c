//! The words and tables: the README's, the summary, and a section for every cell.
//!
//! Invariants: a table shows figures and verdicts side by side; a figure from disturbed pairs carries a mark. Called by
//! the report.

use std::fmt::Write as _;

use super::judge::{Judged, judge, probe_name, short, times_better};
use crate::bench::cells::{CELLS, Cell};
use crate::bench::contender::Contender;
use crate::bench::results::{CellResult, DISTURBED_PERCENT, FOREIGN_PERCENT, VariantResult};
use crate::kafka;

/// Marks a figure whose pairs were all disturbed.
const MARK: &str = "\u{2020}";

/// The README's: one line per cell and variant that was measured beside Kafka.
pub fn readme_table(results: &[CellResult]) -> String {
    if results.is_empty() {
        return "Not measured yet: `cargo xtask bench`.\n".to_owned();
    }
    let mut table = format!("| | workload | unit | Logspine | Kafka {} | better by |\n", kafka::VERSION);
    table += "| --- | --- | --- | ---: | ---: | ---: |\n";
    for (cell, variant) in measured(results) {
        let Some(times) = times_better(&cell.metric, variant) else { continue };
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {} | **{}x**{} |",
            cell.id,
            titled(cell, variant),
            cell.metric.unit,
            figure(variant, Contender::Logspine, cell.metric.pointer),
            figure(variant, Contender::Kafka, cell.metric.pointer),
            short(times),
            mark(variant)
        );
    }
    let (met, judged) = tally(results);
    let _ = writeln!(
        table,
        "\n{met} of {judged} aims are met. Cells that lose, methods, machine and plots: [docs/benchmarks](docs/benchmarks)."
    );
    if table.contains(MARK) {
        let _ = writeln!(
            table,
            "{MARK} others used the processors during every pair: ratios of processor time survive that, latencies do not."
        );
    }
    table
}

/// For a terminal.
pub fn summary(results: &[CellResult]) -> String {
    let mut text = String::new();
    for (cell, variant) in measured(results) {
        let times =
            times_better(&cell.metric, variant).map_or("-".to_owned(), |times| format!("{}x", short(times)));
        let _ = writeln!(
            text,
            "{:<4} {:<44} {:>10} {:>10} {:<12} {:>7}{}",
            cell.id,
            titled(cell, variant),
            figure(variant, Contender::Logspine, cell.metric.pointer),
            figure(variant, Contender::Kafka, cell.metric.pointer),
            cell.metric.unit,
            times,
            mark(variant)
        );
    }
    for (cell, result) in with_cells(results) {
        for judged in judge(cell, result) {
            let _ =
                writeln!(text, "{:<4} {}: {} {}", cell.id, judged.words, shown(&judged), verdict(&judged));
        }
    }
    text
}

/// docs/benchmarks/README.md.
pub fn page(results: &[CellResult]) -> String {
    let mut text = HEAD.to_owned();
    if results.is_empty() {
        text += "Nothing has been measured yet.\n";
        return text;
    }
    let _ = writeln!(text, "## Aims\n\n{}", aims(results));
    text += PLOTS;
    let _ = writeln!(
        text,
        "## Where we lose, or fall short\n\n{}\nWhere the time goes, and what was tried: [profile.md](profile.md).\n",
        losses(results)
    );
    let _ = writeln!(text, "## Not measured\n\n{}", missing(results));
    text += "## Cell by cell\n";
    for (cell, result) in with_cells(results) {
        let _ = write!(text, "\n{}", section(cell, result));
    }
    let _ = write!(text, "\n## Machine\n\n{}\n{}", machine(results), METHODS);
    text
}

fn with_cells(results: &[CellResult]) -> impl Iterator<Item = (&'static Cell, &CellResult)> {
    results.iter().filter_map(|result| Some((CELLS.iter().find(|cell| cell.id == result.cell)?, result)))
}

fn measured(results: &[CellResult]) -> impl Iterator<Item = (&'static Cell, &VariantResult)> {
    with_cells(results).flat_map(|(cell, result)| result.variants.iter().map(move |variant| (cell, variant)))
}

fn tally(results: &[CellResult]) -> (usize, usize) {
    let all = with_cells(results).flat_map(|(cell, result)| judge(cell, result));
    let verdicts: Vec<bool> = all.filter_map(|judged| judged.is_met).collect();
    (verdicts.iter().filter(|met| **met).count(), verdicts.len())
}

fn aims(results: &[CellResult]) -> String {
    let mut table = "| | workload | aim | measured | |\n| --- | --- | --- | ---: | --- |\n".to_owned();
    for (cell, result) in with_cells(results) {
        for judged in judge(cell, result) {
            let workload = if judged.variant.is_empty() {
                cell.title.to_owned()
            } else {
                format!("{}, {}", cell.title, judged.variant)
            };
            let _ = writeln!(
                table,
                "| {} | {} | {} | {} | {} |",
                cell.id,
                workload,
                judged.words,
                shown(&judged),
                verdict(&judged)
            );
        }
    }
    table
}

fn losses(results: &[CellResult]) -> String {
    let mut text = String::new();
    for (cell, result) in with_cells(results) {
        for judged in judge(cell, result).iter().filter(|judged| judged.is_met == Some(false)) {
            let of = if judged.variant.is_empty() { String::new() } else { format!(", {}", judged.variant) };
            let _ = writeln!(
                text,
                "* **{}** {}{of}: {}; measured {}.",
                cell.id,
                cell.title,
                judged.words,
                shown(judged)
            );
        }
    }
    if text.is_empty() { "Every aim that was measured is met.\n".to_owned() } else { text }
}

fn missing(results: &[CellResult]) -> String {
    let absent = CELLS.iter().filter(|cell| results.iter().all(|result| result.cell != cell.id));
    let lines: String =
        absent.map(|cell| format!("* **{}** {}: {}\n", cell.id, cell.title, cell.parameters)).collect();
    let outside = "* **W11** replication and **W16** groups and churn: not part of this benchmark yet.\n";
    lines + outside
}

/// A table of everything about one cell.
fn section(cell: &Cell, result: &CellResult) -> String {
    let mut text = format!("### {} {}\n\n{}\n\n", cell.id, cell.title, sentence(cell.parameters));
    text += "| | | ";
    text += cell.metric.name;
    let _ = write!(text, ", {} | ", cell.metric.unit);
    let columns: Vec<&Column> = COLUMNS
        .iter()
        .filter(|column| result.variants.iter().any(|variant| column.is_there(variant)))
        .collect();
    for column in &columns {
        let _ = write!(text, "{} | ", column.name);
    }
    text += "pairs |\n| --- | --- | ---: | ";
    text += &"---: | ".repeat(columns.len());
    text += "---: |\n";
    for variant in &result.variants {
        for contender in Contender::BOTH {
            text += &row(cell, variant, contender, &columns);
        }
    }
    text += &floors(cell, result);
    text += &tools(result);
    for remark in &result.remarks {
        let _ = writeln!(text, "\n{remark}");
    }
    let _ = writeln!(
        text,
        "\n{} UTC, program {}, commit {}.",
        result.measured_on.trim_end_matches(" UTC"),
        result.key.logspine_program,
        result.commit
    );
    text
}

fn row(cell: &Cell, variant: &VariantResult, contender: Contender, columns: &[&Column]) -> String {
    if variant.figure(contender, cell.metric.pointer).is_none() {
        return String::new();
    }
    let mut text = format!(
        "| {} | {} | {} | ",
        variant.name,
        contender.name(),
        figure(variant, contender, cell.metric.pointer)
    );
    for column in columns {
        let _ = write!(text, "{} | ", column.of(variant, contender));
    }
    let disturbed = variant.pairs.iter().filter(|pair| pair.is_disturbed()).count();
    let _ = writeln!(
        text,
        "{}{} |",
        variant.pairs.len(),
        if disturbed > 0 { format!(" ({disturbed} disturbed)") } else { String::new() }
    );
    text
}

/// A further column of a cell's table, shown where there is anything to show.
struct Column {
    name: &'static str,
    pointer: &'static str,
    scale: f64,
}

const COLUMNS: &[Column] = &[
    Column { name: "produced MB/s", pointer: "/produced/mb_per_s", scale: 1.0 },
    Column { name: "fetched MB/s", pointer: "/fetched/mb_per_s", scale: 1.0 },
    Column { name: "ack p50 us", pointer: "/produce_latency_us/p50", scale: 1.0 },
    Column { name: "ack p99 us", pointer: "/produce_latency_us/p99", scale: 1.0 },
    Column { name: "delivery p50 us", pointer: "/delivery_latency_us/p50", scale: 1.0 },
    Column { name: "p99", pointer: "/delivery_latency_us/p99", scale: 1.0 },
    Column { name: "p99.9", pointer: "/delivery_latency_us/p999", scale: 1.0 },
    Column { name: "CPU us/request", pointer: "/broker/cpu_us_per_request", scale: 1.0 },
    Column { name: "machine CPU-s/GB", pointer: "/broker/machine_cpu_s_per_gb", scale: 1.0 },
    Column { name: "switches/1000 records", pointer: "/broker/switches_per_1000_records", scale: 1.0 },
    Column {
        name: "peak RSS MiB",
        pointer: "/observed/broker/memory/peak_rss_bytes",
        scale: 1.0 / 1_048_576.0,
    },
    Column { name: "topic made in s", pointer: "/topic_ready_s", scale: 1.0 },
    Column { name: "replay MB/s", pointer: "/replay/fetched/mb_per_s", scale: 1.0 },
    Column { name: "system calls/1000 requests", pointer: "", scale: 1.0 },
];

impl Column {
    fn value(&self, variant: &VariantResult, contender: Contender) -> Option<f64> {
        match self.pointer {
            "" => variant.system_calls_per_1000_requests.get(&contender).copied(),
            pointer => variant.figure(contender, pointer).map(|value| value * self.scale),
        }
    }

    fn is_there(&self, variant: &VariantResult) -> bool {
        Contender::BOTH.into_iter().any(|contender| self.value(variant, contender).is_some())
    }

    fn of(&self, variant: &VariantResult, contender: Contender) -> String {
        self.value(variant, contender).map_or("-".to_owned(), short)
    }
}

fn floors(cell: &Cell, result: &CellResult) -> String {
    let mut text = String::new();
    for probe in cell.floors {
        let of = |pointer: &str, unit: &str| {
            let values = result.variants.iter().filter_map(|variant| variant.floor(probe, pointer));
            crate::bench::statistics::median(values).map(|value| format!("{} {unit}", short(value)))
        };
        let parts = [
            of("/cpu_s_per_gb", "CPU-s/GB"),
            of("/gb_per_s", "GB/s"),
            of("/per_s", "a second"),
            of("/p50_us", "us p50"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if !parts.is_empty() {
            let _ = writeln!(text, "\nFloor, {}: {}.", probe_name(probe), parts.join(", "));
        }
    }
    text
}

fn tools(result: &CellResult) -> String {
    if result.tools.is_empty() {
        return String::new();
    }
    let mut text = "\n| tool | | broker CPU-s/GB | MB/s |\n| --- | --- | ---: | ---: |\n".to_owned();
    for run in &result.tools {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            run.tool,
            run.contender.name(),
            short(run.cpu_s_per_gb),
            short(run.mb_per_s)
        );
    }
    text
}

fn machine(results: &[CellResult]) -> String {
    let mut text = String::new();
    let Some(last) = results.last() else { return text };
    let machine = &last.machine;
    let _ = writeln!(
        text,
        "{} x {}, {} GiB, Linux {}, {}; {}; Apache Kafka {} with a heap of 1 GiB.",
        machine.processors,
        machine.processor,
        machine.memory_gib,
        machine.kernel,
        machine.file_system,
        machine.java,
        last.key.kafka
    );
    let algorithms: std::collections::BTreeSet<&str> = results
        .iter()
        .flat_map(|result| &result.variants)
        .flat_map(|variant| &variant.pairs)
        .filter_map(|pair| pair.logspine.pointer("/congestion_control")?.as_str())
        .collect();
    let _ = writeln!(
        text,
        "Congestion control on loopback, as the kernel told kblast: {}.",
        algorithms.into_iter().collect::<Vec<_>>().join(", ")
    );
    let loads: Vec<String> =
        results.iter().map(|result| format!("{} {}", result.cell, result.machine.load_average)).collect();
    let _ = writeln!(text, "Load averages when the cells began: {}.", loads.join("; "));
    let disturbed: usize = results.iter().map(CellResult::disturbed).sum();
    let pairs: usize = results.iter().map(CellResult::pair_count).sum();
    let _ = writeln!(
        text,
        "{disturbed} of {pairs} pairs were disturbed: a loop on one of the processors lost more than {DISTURBED_PERCENT} % just before or after, or others used more than {FOREIGN_PERCENT} % of one during a run."
    );
    text
}

fn titled(cell: &Cell, variant: &VariantResult) -> String {
    if variant.name.is_empty() { cell.title.to_owned() } else { format!("{}, {}", cell.title, variant.name) }
}

fn figure(variant: &VariantResult, contender: Contender, pointer: &str) -> String {
    variant.figure(contender, pointer).map_or("-".to_owned(), short)
}

fn mark(variant: &VariantResult) -> &'static str {
    if variant.pairs.iter().all(|pair| pair.is_disturbed()) { MARK } else { "" }
}

fn shown(judged: &Judged) -> String {
    judged.figure.map_or("not measured".to_owned(), |figure| format!("{}{}", short(figure), judged.unit))
}

fn verdict(judged: &Judged) -> &'static str {
    match judged.is_met {
        Some(true) => "met",
        Some(false) => "**missed**",
        None => "",
    }
}

fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

const HEAD: &str = "# Benchmarks\n\n\
<!-- Written by cargo xtask bench report from results/*.json. Edits here are lost. -->\n\n\
Logspine beside Apache Kafka on one machine, in one run. The figure that counts is the **broker's own processor time** for the same\n\
work: it says how many machines a load needs, and it survives a busy machine far better than a rate does. `cargo xtask bench`\n\
measures everything again; every run behind these figures is in [results](results).\n\n";

const PLOTS: &str = "## Pictures\n\n![How many times better than Kafka](times.svg)\n\n![Broker CPU per gigabyte](cpu.svg)\n\n\
![Latency](latency.svg)\n\n![Fan-out](fanout.svg)\n\n![Partitions](partitions.svg)\n\n";

const METHODS: &str = "\n## Method\n\n\
* Both brokers run all the time in one private network, each pinned to processor 0; the client is pinned to processor 1. The idle one\n\
  costs the measured one next to nothing, and neither has a cold start in its figures.\n\
* The same server properties for both; page-cache durability (`flush.messages` as Kafka's default) except in W10. Kafka with the JVM\n\
  options of its own start script and a heap of 1 GiB.\n\
* Free memory is held, or full of clean pages, before each window: otherwise the first writer pays the virtual machine's host for every\n\
  page that an earlier run gave back. Where the host takes idle pages too, a written gigabyte still costs each broker up to 1 CPU-s\n\
  more, which draws produce's ratios towards one.\n\
* Kafka is warm before anything counts: 12 M records of 100 B, 2 M of 1 KiB, 4 GB fetched, then a rehearsal of every load.\n\
* The load is [kblast](../../bench), the same program and options for both: requests encoded once, fetched records dropped by the kernel.\n\
  Fetches are sessionless, of one partition each. Batches carry no producer id.\n\
* A window has 10 s or 4 GB, whichever ends first, after 1.5 s that do not count; a new topic for each. Order A B B A; a pair counts\n\
  by its ratio, and the median of the ratios is shown. Two pairs, five where a figure is within a fifth of its aim.\n\
* Latency counts from the time a batch was due, not from its sending: a stall is seen by everything that it delayed. A batch is due\n\
  when its last record is.\n\
* Floors are probes of the same machine between the two windows of a pair: what a perfect broker would have to do, by one thread.\n\
* Processor time is the broker process's own (`/proc/PID/stat`); \"machine\" is everything but the client, writeback included. On\n\
  loopback the sender pays for the receiver's network stack, so fetches look dearer and produces cheaper than between machines.\n";
