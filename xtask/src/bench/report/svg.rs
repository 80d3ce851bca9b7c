//! A few shapes and a scale: all that our charts need of SVG.
//!
//! Invariants: coordinates have one decimal, so that the same figures give the same bytes; text is escaped. Called by
//! the charts.

use std::fmt::Write as _;

pub const OURS: &str = "#e8590c";
pub const KAFKA: &str = "#495867";
pub const INK: &str = "#212529";
pub const FAINT: &str = "#868e96";
pub const GRID: &str = "#e9ecef";
pub const AIM: &str = "#2f9e44";

/// A picture in the making.
pub struct Svg {
    width: f64,
    height: f64,
    body: String,
}

#[derive(Clone, Copy)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    pub fn new(width: f64, height: f64) -> Svg {
        Svg { width, height, body: String::new() }
    }

    pub fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str) {
        let _ = writeln!(
            self.body,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{:.1}" height="{height:.1}" rx="2" fill="{fill}"/>"#,
            width.max(1.0)
        );
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: &str, width: f64) {
        let _ = writeln!(
            self.body,
            r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="{stroke}" stroke-width="{width:.1}"/>"#,
            from.0, from.1, to.0, to.1
        );
    }

    pub fn dot(&mut self, x: f64, y: f64, radius: f64, fill: &str) {
        let _ = writeln!(
            self.body,
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius:.1}" fill="{fill}" stroke="white"/>"#
        );
    }

    pub fn text(&mut self, x: f64, y: f64, size: f64, anchor: Anchor, fill: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(
            self.body,
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size:.0}" text-anchor="{anchor}" fill="{fill}" stroke="white" stroke-width="3" paint-order="stroke">{escaped}</text>"#
        );
    }

    pub fn finish(self) -> String {
        let (width, height) = (self.width, self.height);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\">\n\
             <rect width=\"{width:.0}\" height=\"{height:.0}\" fill=\"white\"/>\n{}</svg>\n",
            self.body
        )
    }
}

/// From values to coordinates, linear from zero or logarithmic.
pub struct Scale {
    low: f64,
    high: f64,
    is_logarithmic: bool,
    from: f64,
    to: f64,
}

impl Scale {
    /// Zero to a round value above all of them.
    pub fn linear(values: &[f64], from: f64, to: f64) -> Scale {
        let high = values.iter().copied().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        let step = step_for(high);
        Scale { low: 0.0, high: (high / step).ceil() * step, is_logarithmic: false, from, to }
    }

    /// Powers of ten, or of their halves and fifths, around the values.
    pub fn logarithmic(values: &[f64], from: f64, to: f64) -> Scale {
        let positive = || values.iter().copied().filter(|value| *value > 0.0);
        let low = positive().fold(f64::INFINITY, f64::min).min(1e12);
        let high = positive().fold(0.0, f64::max).max(low);
        let low = rounds().rev().find(|round| *round <= low).unwrap_or(low);
        let high = rounds().find(|round| *round >= high && *round > low).unwrap_or(high * 10.0);
        Scale { low, high, is_logarithmic: true, from, to }
    }

    pub fn at(&self, value: f64) -> f64 {
        let share = if self.is_logarithmic {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    pub fn ticks(&self) -> Vec<f64> {
        if self.is_logarithmic {
            return rounds().filter(|round| (self.low..=self.high).contains(round)).collect();
        }
        let step = step_for(self.high);
        (0_u32..=20)
            .map(|count| f64::from(count) * step)
            .take_while(|tick| *tick <= self.high * 1.001)
            .collect()
    }
}

/// 1, 2 and 5 of every power of ten.
fn rounds() -> impl DoubleEndedIterator<Item = f64> {
    (-4..=9).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)))
}

/// A round distance that gives four to nine ticks.
fn step_for(high: f64) -> f64 {
    rounds().find(|step| high / step <= 9.0).unwrap_or(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_scale_begins_at_zero_and_ends_round() {
        let scale = Scale::linear(&[1.7, 3.9], 0.0, 100.0);
        assert_eq!(scale.at(0.0), 0.0);
        assert_eq!(scale.ticks(), [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]);
        assert_eq!(scale.at(2.0), 50.0);
    }

    #[test]
    fn a_logarithmic_scale_has_equal_distances_for_equal_ratios() {
        let scale = Scale::logarithmic(&[1.0, 100.0], 0.0, 100.0);
        assert_eq!(scale.ticks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        assert!((scale.at(10.0) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn text_is_escaped() {
        let mut svg = Svg::new(10.0, 10.0);
        svg.text(0.0, 0.0, 12.0, Anchor::Start, INK, "p99 < 5 & more");
        assert!(svg.finish().contains("p99 &lt; 5 &amp; more"));
    }
}
