//! Aims against figures: what was asked, what was measured, whether that is enough.
//!
//! Invariant: what was not measured is neither met nor missed. Called by the pages and the charts.

use crate::bench::cells::{Aim, Better, Cell, Metric};
use crate::bench::contender::Contender;
use crate::bench::results::{CellResult, VariantResult};

/// One aim in one variant.
pub struct Judged {
    /// Empty for a cell with one variant.
    pub variant: String,
    pub words: String,
    pub figure: Option<f64>,
    pub unit: &'static str,
    pub is_met: Option<bool>,
}

/// How many times better than Kafka ours is, whatever the direction of the metric.
pub fn times_better(metric: &Metric, variant: &VariantResult) -> Option<f64> {
    let kafka_by_ours = variant.kafka_by_ours(metric.pointer)?;
    Some(if metric.is_better_when == Better::Lower { kafka_by_ours } else { 1.0 / kafka_by_ours })
}

/// Every aim of the cell, in the table's order.
pub fn judge(cell: &Cell, result: &CellResult) -> Vec<Judged> {
    cell.aims.iter().flat_map(|aim| one(cell, result, aim)).collect()
}

fn one(cell: &Cell, result: &CellResult, aim: &Aim) -> Vec<Judged> {
    let each = |named: &Option<&str>, figure: &dyn Fn(&VariantResult) -> Judged| {
        let wanted = result.variants.iter().filter(|variant| named.is_none_or(|name| name == variant.name));
        wanted.map(|variant| Judged { variant: variant.name.clone(), ..figure(variant) }).collect()
    };
    let pointer = cell.metric.pointer;
    match aim {
        Aim::Times { least, variant } => each(variant, &|found| {
            at_least(
                format!("{}x better than Kafka", short(*least)),
                times_better(&cell.metric, found),
                *least,
                "x",
            )
        }),
        Aim::FloorAtMost { most, probe, floor_pointer, variant } => each(variant, &|found| {
            let figure = found.ours_by_floor(pointer, probe, floor_pointer);
            at_most(
                format!("at most {}x the floor ({})", short(*most), probe_name(probe)),
                figure,
                *most,
                "x",
            )
        }),
        Aim::FloorShare { least, probe, pointer, floor_pointer, scale, variant } => each(variant, &|found| {
            let figure =
                found.ours_by_floor(pointer, probe, floor_pointer).map(|ratio| 100.0 * ratio / scale);
            at_least(
                format!("{:.0} % of the floor ({})", 100.0 * least, probe_name(probe)),
                figure,
                100.0 * least,
                " %",
            )
        }),
        Aim::Growth { most, from, to, pointer } => {
            let figure = |name: &str| result.variant(name)?.figure(Contender::Logspine, pointer);
            let ratio = figure(to).zip(figure(from)).map(|(to, from)| to / from);
            let words = format!("{to} at most {}x {from}", short(*most));
            vec![Judged { variant: (*to).to_owned(), ..at_most(words, ratio, *most, "x") }]
        }
        Aim::AtMost { most, pointer, unit, variant } => each(variant, &|found| {
            let figure = found.figure(Contender::Logspine, pointer);
            Judged { unit: "", ..at_most(format!("at most {} {unit}", short(*most)), figure, *most, "") }
        }),
    }
}

fn at_least(words: String, figure: Option<f64>, least: f64, unit: &'static str) -> Judged {
    Judged { variant: String::new(), words, figure, unit, is_met: figure.map(|figure| figure >= least) }
}

fn at_most(words: String, figure: Option<f64>, most: f64, unit: &'static str) -> Judged {
    Judged { variant: String::new(), words, figure, unit, is_met: figure.map(|figure| figure <= most) }
}

/// `ingest 64 KiB` for `ingest --request-bytes 65536`.
pub fn probe_name(probe: &str) -> String {
    let mut words = probe.split_whitespace();
    let name = words.next().unwrap_or_default();
    let size = words.clone().find_map(|word| word.parse::<u64>().ok());
    match (name, size) {
        ("commit", Some(batches)) => format!("group commit, {batches} batches per fdatasync"),
        ("rtt", _) => "TCP round trip".to_owned(),
        ("idle", _) => "round trip between sleeping processors".to_owned(),
        ("sendfile", _) => "sendfile of 1 MiB".to_owned(),
        (_, Some(bytes)) if probe.ends_with("--append") => {
            format!("{name} of {} KiB, new pages", bytes / 1024)
        }
        (_, Some(bytes)) => format!("{name} of {} KiB", bytes / 1024),
        (_, None) => name.to_owned(),
    }
}

/// Three significant digits, without zeros that say nothing.
pub fn short(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 100.0 || value == value.trunc() {
        format!("{value:.0}")
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::cells::CELLS;
    use crate::bench::results::{Pair, tests::result};
    use serde_json::json;
    use std::collections::BTreeMap;

    fn w1(ours: f64, kafka: f64) -> Vec<Judged> {
        let cell = &CELLS[0];
        let pair = Pair {
            logspine: json!({"broker": {"cpu_s_per_gb": ours}}),
            kafka: Some(json!({"broker": {"cpu_s_per_gb": kafka}})),
            floors: BTreeMap::from([(cell.floors[0].to_owned(), json!({"cpu_s_per_gb": 0.3}))]),
            lost_percent: 0.0,
        };
        judge(cell, &result("W1", vec![pair]))
    }

    #[test]
    fn a_fast_broker_meets_its_aims() {
        let met: Vec<_> = w1(0.4, 2.0).iter().map(|judged| judged.is_met).collect();
        assert_eq!(met, [Some(true), Some(true)]);
    }

    #[test]
    fn a_slow_broker_is_seen_as_such() {
        let judged = w1(4.0, 2.0);
        assert_eq!(judged.iter().map(|judged| judged.is_met).collect::<Vec<_>>(), [Some(false), Some(false)]);
        assert_eq!(judged[0].figure, Some(0.5), "twice as dear as Kafka");
        assert_eq!(judged[0].words, "3x better than Kafka");
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let judged = judge(&CELLS[0], &result("W1", Vec::new()));
        assert!(judged.iter().all(|judged| judged.is_met.is_none() && judged.figure.is_none()));
    }

    #[test]
    fn figures_have_three_digits() {
        let shown = [0.1234, 1.0, 3.5, 12.34, 1234.5].map(short);
        assert_eq!(shown, ["0.12", "1", "3.50", "12.3", "1234"]);
    }

    #[test]
    fn probes_have_names_for_people() {
        assert_eq!(probe_name("ingest --request-bytes 65536"), "ingest of 64 KiB");
        assert_eq!(probe_name("commit --batches 64"), "group commit, 64 batches per fdatasync");
    }
}
