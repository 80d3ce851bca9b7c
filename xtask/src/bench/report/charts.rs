//! The pictures of docs/benchmarks: ratios, costs, latencies, growth.
//!
//! Invariants: every axis has a unit, both systems keep their colour everywhere, aims and floors are marks; a chart without
//! data is not drawn empty but says so. Called by the report.

use super::judge::{judge, short, times_better};
use super::svg::{AIM, Anchor, FAINT, GRID, INK, KAFKA, OURS, Scale, Svg};
use crate::bench::cells::{Aim, CELLS, Cell};
use crate::bench::contender::Contender;
use crate::bench::results::{CellResult, VariantResult};
use crate::kafka;

const WIDTH: f64 = 860.0;
/// Where the names of the rows end and the bars begin.
const LEFT: f64 = 270.0;
const RIGHT: f64 = 800.0;
const TOP: f64 = 84.0;

/// Name and picture of each.
pub fn all(results: &[CellResult]) -> Vec<(&'static str, String)> {
    vec![
        ("times", times(results)),
        ("cpu", cpu(results)),
        ("latency", latency(results)),
        (
            "fanout",
            growth(results, "W7", "Fan-out: broker CPU per gigabyte moved", "consumers of one partition"),
        ),
        (
            "partitions",
            growth(results, "W12", "Many partitions: broker CPU per gigabyte at 20 MB/s", "partitions"),
        ),
    ]
}

/// A row of a chart with horizontal marks.
struct Row {
    name: String,
    bars: Vec<(f64, &'static str, String)>,
    dots: Vec<(f64, &'static str, String)>,
    marks: Vec<(f64, &'static str)>,
}

fn variants<'a>(results: &'a [CellResult], cell: &str) -> Option<(&'static Cell, &'a CellResult)> {
    let cell = CELLS.iter().find(|known| known.id == cell)?;
    Some((cell, results.iter().find(|result| result.cell == cell.id)?))
}

fn name(cell: &Cell, variant: &VariantResult) -> String {
    let title = if variant.name.is_empty() { cell.title } else { &variant.name };
    format!("{}  {title}", cell.id)
}

fn times(results: &[CellResult]) -> String {
    let mut rows = Vec::new();
    for cell in CELLS {
        let Some((_, result)) = variants(results, cell.id) else { continue };
        for variant in &result.variants {
            let Some(times) = times_better(&cell.metric, variant) else { continue };
            let aims = cell.aims.iter().filter_map(|aim| match aim {
                Aim::Times { least, variant: named } if named.is_none_or(|name| name == variant.name) => {
                    Some((*least, AIM))
                }
                _ => None,
            });
            rows.push(Row {
                name: name(cell, variant),
                bars: vec![(times, if times >= 1.0 { OURS } else { KAFKA }, format!("{}x", short(times)))],
                dots: Vec::new(),
                marks: aims.collect(),
            });
        }
    }
    let legend = [(OURS, "Logspine is better"), (KAFKA, "Kafka is better"), (AIM, "our aim")];
    let title = format!("How many times better than Kafka {} in the figure of each cell", kafka::VERSION);
    rows_chart(&title, "times better (1 = the same)", &legend, &rows, true)
}

fn cpu(results: &[CellResult]) -> String {
    let mut rows = Vec::new();
    for id in ["W1", "W2", "W3", "W5", "W7"] {
        let Some((cell, result)) = variants(results, id) else { continue };
        for variant in &result.variants {
            let bar = |contender, colour| {
                let value = variant.figure(contender, cell.metric.pointer)?;
                Some((value, colour, short(value)))
            };
            let bars = [bar(Contender::Logspine, OURS), bar(Contender::Kafka, KAFKA)];
            let floor = cell.floors.first().and_then(|probe| variant.floor(probe, "/cpu_s_per_gb"));
            rows.push(Row {
                name: name(cell, variant),
                bars: bars.into_iter().flatten().collect(),
                dots: Vec::new(),
                marks: floor.map(|floor| (floor, AIM)).into_iter().collect(),
            });
        }
    }
    let legend = [(OURS, "Logspine"), (KAFKA, "Apache Kafka"), (AIM, "floor: the machine's best")];
    rows_chart("Broker CPU for one gigabyte", "CPU seconds per GB (less is better)", &legend, &rows, false)
}

fn latency(results: &[CellResult]) -> String {
    let mut rows = Vec::new();
    for id in ["W8", "W9"] {
        let Some((cell, result)) = variants(results, id) else { continue };
        for variant in &result.variants {
            for (contender, colour) in [(Contender::Logspine, OURS), (Contender::Kafka, KAFKA)] {
                let dot = |percentile: &str, label: &str| {
                    let value = variant.figure(contender, &format!("/delivery_latency_us/{percentile}"))?;
                    Some((value, colour, label.to_owned()))
                };
                let dots = [dot("p50", "p50"), dot("p99", "p99"), dot("p999", "p99.9")];
                let of = name(cell, variant);
                let of = if contender == Contender::Logspine { of } else { String::new() };
                rows.push(Row {
                    name: of,
                    bars: Vec::new(),
                    dots: dots.into_iter().flatten().collect(),
                    marks: Vec::new(),
                });
            }
        }
    }
    let legend = [(OURS, "Logspine"), (KAFKA, "Apache Kafka")];
    rows_chart(
        "Latency from due to delivered",
        "microseconds, logarithmic (less is better)",
        &legend,
        &rows,
        true,
    )
}

fn rows_chart(
    title: &str,
    axis: &str,
    legend: &[(&str, &str)],
    rows: &[Row],
    is_logarithmic: bool,
) -> String {
    let heights = rows.iter().map(|row| 14.0 + 18.0 * row.bars.len().max(1) as f64);
    let bottom = TOP + heights.sum::<f64>().max(40.0);
    let mut svg = Svg::new(WIDTH, bottom + 56.0);
    head(&mut svg, title, legend);
    let values: Vec<f64> = rows
        .iter()
        .flat_map(|row| {
            row.bars.iter().chain(&row.dots).map(|bar| bar.0).chain(row.marks.iter().map(|mark| mark.0))
        })
        .collect();
    if values.is_empty() {
        svg.text(WIDTH / 2.0, TOP + 24.0, 14.0, Anchor::Middle, FAINT, "not measured yet");
        return svg.finish();
    }
    let with_one = [values, vec![1.0]].concat();
    let has_bars = rows.iter().any(|row| !row.bars.is_empty());
    let scale = match (is_logarithmic, has_bars) {
        (true, true) => Scale::logarithmic(&with_one, LEFT, RIGHT),
        (true, false) => Scale::logarithmic(&with_one[..with_one.len() - 1], LEFT, RIGHT),
        (false, _) => Scale::linear(&with_one[..with_one.len() - 1], LEFT, RIGHT),
    };
    for tick in scale.ticks() {
        svg.line((scale.at(tick), TOP - 6.0), (scale.at(tick), bottom), GRID, 1.0);
        svg.text(scale.at(tick), bottom + 18.0, 12.0, Anchor::Middle, FAINT, &short(tick));
    }
    svg.text((LEFT + RIGHT) / 2.0, bottom + 42.0, 13.0, Anchor::Middle, INK, axis);
    let base = if is_logarithmic && has_bars { scale.at(1.0) } else { LEFT };
    svg.line((base, TOP - 6.0), (base, bottom), FAINT, 1.0);
    let mut y = TOP;
    for row in rows {
        y = draw_row(&mut svg, row, &scale, base, y);
    }
    svg.finish()
}

/// Draws one row; returns where the next begins.
fn draw_row(svg: &mut Svg, row: &Row, scale: &Scale, base: f64, y: f64) -> f64 {
    let height = 18.0 * row.bars.len().max(1) as f64;
    svg.text(LEFT - 12.0, y + height / 2.0 + 4.0, 13.0, Anchor::End, INK, &row.name);
    let mut labels = Vec::new();
    for (number, (value, colour, label)) in row.bars.iter().enumerate() {
        let top = y + 18.0 * number as f64;
        let (from, to) = (base.min(scale.at(*value)), base.max(scale.at(*value)));
        svg.rect(from, top + 1.0, to - from, 15.0, colour);
        labels.push((to + 6.0, top + 13.0, label));
    }
    if let (Some(first), Some(last)) = (row.dots.first(), row.dots.last()) {
        svg.line((scale.at(first.0), y + 9.0), (scale.at(last.0), y + 9.0), first.1, 2.0);
    }
    for (value, colour, label) in &row.dots {
        svg.dot(scale.at(*value), y + 9.0, 5.0, colour);
        svg.text(scale.at(*value), y + 26.0, 10.0, Anchor::Middle, FAINT, label);
    }
    for (value, colour) in &row.marks {
        svg.line((scale.at(*value), y - 3.0), (scale.at(*value), y + height + 2.0), colour, 3.0);
    }
    for (x, y, label) in labels {
        svg.text(x, y, 12.0, Anchor::Start, INK, label);
    }
    y + 14.0 + height
}

fn head(svg: &mut Svg, title: &str, legend: &[(&str, &str)]) {
    svg.text(24.0, 32.0, 18.0, Anchor::Start, INK, title);
    let mut x = 24.0;
    for (colour, words) in legend {
        svg.rect(x, 48.0, 12.0, 12.0, colour);
        svg.text(x + 18.0, 58.5, 13.0, Anchor::Start, INK, words);
        x += 44.0 + 7.2 * words.len() as f64;
    }
}

/// Cost against the number in the variant's name, both systems as lines.
fn growth(results: &[CellResult], id: &str, title: &str, axis: &str) -> String {
    const BOTTOM: f64 = 340.0;
    const LINE_LEFT: f64 = 80.0;
    let mut svg = Svg::new(WIDTH, BOTTOM + 56.0);
    head(&mut svg, title, &[(OURS, "Logspine"), (KAFKA, "Apache Kafka")]);
    let mut lines: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    let mut verdicts = Vec::new();
    if let Some((cell, result)) = variants(results, id) {
        for (contender, colour) in [(Contender::Logspine, OURS), (Contender::Kafka, KAFKA)] {
            let point = |variant: &VariantResult| {
                let x: f64 = variant.name.split(' ').next()?.parse().ok()?;
                Some((x, variant.figure(contender, cell.metric.pointer)?))
            };
            lines.push((colour, result.variants.iter().filter_map(point).collect()));
        }
        let growths = judge(cell, result)
            .into_iter()
            .filter(|judged| judged.words.contains(" at most ") && judged.unit == "x");
        verdicts = growths
            .filter_map(|judged| Some(format!("aim: {}; measured {}x", judged.words, short(judged.figure?))))
            .collect();
    }
    let points: Vec<(f64, f64)> = lines.iter().flat_map(|(_, points)| points.iter().copied()).collect();
    if points.is_empty() {
        svg.text(WIDTH / 2.0, TOP + 24.0, 14.0, Anchor::Middle, FAINT, "not measured yet");
        return svg.finish();
    }
    let xs: Vec<f64> = points.iter().map(|point| point.0).collect();
    let ys: Vec<f64> = points.iter().map(|point| point.1).collect();
    let (across, up) = (Scale::logarithmic(&xs, LINE_LEFT, RIGHT), Scale::linear(&ys, BOTTOM, TOP));
    for tick in up.ticks() {
        svg.line((LINE_LEFT, up.at(tick)), (RIGHT, up.at(tick)), GRID, 1.0);
        svg.text(LINE_LEFT - 10.0, up.at(tick) + 4.0, 12.0, Anchor::End, FAINT, &short(tick));
    }
    let mut ticks = xs.clone();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    for tick in ticks {
        svg.text(across.at(tick), BOTTOM + 18.0, 12.0, Anchor::Middle, FAINT, &short(tick));
    }
    svg.text((LINE_LEFT + RIGHT) / 2.0, BOTTOM + 42.0, 13.0, Anchor::Middle, INK, axis);
    svg.text(LINE_LEFT - 56.0, TOP - 10.0, 12.0, Anchor::Start, FAINT, "CPU-s/GB");
    for (colour, points) in &lines {
        let at = |point: &(f64, f64)| (across.at(point.0), up.at(point.1));
        points.windows(2).for_each(|pair| svg.line(at(&pair[0]), at(&pair[1]), colour, 2.5));
        for point in points {
            let (x, y) = at(point);
            svg.dot(x, y, 5.0, colour);
            svg.text(x, y - 10.0, 12.0, Anchor::Middle, INK, &short(point.1));
        }
    }
    for (number, words) in verdicts.iter().enumerate() {
        svg.text(RIGHT, 32.0 + 16.0 * number as f64, 12.0, Anchor::End, AIM, words);
    }
    svg.finish()
}
