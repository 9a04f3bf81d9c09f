//! A plot of lines as SVG: scales, ticks, grid and curves. It knows nothing of brokers.

use super::markup::escape;
use super::numbers::short;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 48.0;
/// Ticks of a linear axis, about.
const TICKS: f64 = 5.0;
/// With more points than these, single ones are not marked.
const MARKS_MAX: usize = 64;
/// Colours there are; a run beyond them begins again, with a dashed line.
pub const COLOURS: usize = 8;

/// How values are spread over an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Evenly, from zero.
    Linear,
    /// By powers of ten; values must be positive.
    Log,
    /// Quantiles by their distance from 1: 0, 0.9, 0.99, … are equally far apart.
    Nines,
}

/// One axis.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    /// What is on it, with its unit.
    pub label: &'static str,
    /// How values are spread over it.
    pub scale: Scale,
}

/// One curve.
#[derive(Debug)]
pub struct Curve {
    /// Which run it is of; decides about its colour.
    pub run: usize,
    /// The name of the run.
    pub label: String,
    /// x and y, in order.
    pub points: Vec<(f64, f64)>,
}

/// Curves over two axes.
#[derive(Debug)]
pub struct Plot {
    /// What the plot shows.
    pub title: &'static str,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What is drawn.
    pub curves: Vec<Curve>,
}

impl Scale {
    /// Where on the axis, still without its ends; `None` where the scale has no place for the value.
    fn place(self, value: f64) -> Option<f64> {
        let place = match self {
            Scale::Linear => value,
            Scale::Log => value.log10(),
            Scale::Nines => -(1.0 - value).log10(),
        };
        place.is_finite().then_some(place)
    }
}

/// An axis with its ends.
#[derive(Debug)]
struct Span {
    scale: Scale,
    from: f64,
    to: f64,
}

impl Span {
    /// Ends that hold all values, rounded outwards to whole ticks.
    fn around(scale: Scale, values: impl Iterator<Item = f64>) -> Span {
        let places = values.filter_map(|value| scale.place(value));
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for place in places {
            (least, most) = (least.min(place), most.max(place));
        }
        if least > most {
            (least, most) = (0.0, 1.0);
        }
        let (from, to) = match scale {
            Scale::Linear => {
                let step = step_of(least.min(0.0), most);
                ((least.min(0.0) / step).floor() * step, (most / step - 1e-9).ceil().max(1.0) * step)
            }
            // Thirds of a decade, so that a narrow curve still fills its plot.
            Scale::Log => ((least * 3.0 + 1e-9).floor() / 3.0, (most * 3.0 - 1e-9).ceil() / 3.0),
            Scale::Nines => (0.0, most.max(1.0)),
        };
        Span { scale, from, to: if to > from { to } else { from + 1.0 } }
    }

    fn share(&self, value: f64) -> Option<f64> {
        Some((self.scale.place(value)? - self.from) / (self.to - self.from))
    }

    /// Values and names of the ticks.
    fn ticks(&self) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Linear => {
                let step = step_of(self.from, self.to);
                let count = ((self.to - self.from) / step).round() as u32;
                (0..=count)
                    .map(|n| self.from + f64::from(n) * step)
                    .map(|value| (value, short(value)))
                    .collect()
            }
            Scale::Log => {
                let decades = self.from.floor() as i32..=self.to.ceil() as i32;
                let all =
                    decades.flat_map(|exponent| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(exponent)));
                let inside = all.filter(|value| {
                    self.share(*value).is_some_and(|share| (-1e-6..=1.000_001).contains(&share))
                });
                let every = if self.to - self.from > 3.0 { 3 } else { 1 };
                inside
                    .filter(|value| every == 1 || value.log10().fract().abs() < 1e-9)
                    .map(|value| (value, short(value)))
                    .collect()
            }
            Scale::Nines => {
                let nines = 1..=(self.to + 1e-9).floor() as i32;
                let mut ticks = vec![(0.0, "0 %".to_owned()), (0.5, "50 %".to_owned())];
                ticks.extend(nines.map(|count| {
                    let quantile = 1.0 - 10f64.powi(-count);
                    (quantile, format!("{:.*} %", (count - 2).max(0) as usize, quantile * 100.0))
                }));
                ticks
            }
        }
    }
}

/// The distance of ticks: 1, 2 or 5 times a power of ten.
fn step_of(from: f64, to: f64) -> f64 {
    let rough = ((to - from) / TICKS).max(1e-12);
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| rough <= factor * power * 1.000_001);
    factor.unwrap_or(10.0) * power
}

impl Plot {
    /// Whether there is anything to draw.
    pub fn is_empty(&self) -> bool {
        self.curves.iter().all(|curve| curve.points.is_empty())
    }

    /// The plot as a figure element.
    pub fn to_html(&self) -> String {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let across = Span::around(self.x.scale, points().map(|point| point.0));
        let up = Span::around(self.y.scale, points().map(|point| point.1));
        let mut svg = format!(
            "<figure><figcaption>{}</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            escape(self.title),
            escape(self.title)
        );
        self.draw_axes(&mut svg, &across, &up);
        for curve in &self.curves {
            draw_curve(&mut svg, curve, &across, &up);
        }
        svg.push_str("</svg></figure>\n");
        svg
    }

    fn draw_axes(&self, svg: &mut String, across: &Span, up: &Span) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, name) in across.ticks() {
            let Some(x) = across.share(value).map(to_x) else { continue };
            svg.push_str(&format!(
                "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>"
            ));
            svg.push_str(&format!(
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{name}</text>\n",
                bottom + 17.0
            ));
        }
        for (value, name) in up.ticks() {
            let Some(y) = up.share(value).map(to_y) else { continue };
            svg.push_str(&format!(
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>"
            ));
            svg.push_str(&format!(
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>\n",
                LEFT - 6.0,
                y + 4.0
            ));
        }
        let (middle_x, middle_y) = (to_x(0.5), to_y(0.5));
        svg.push_str(&format!(
            "<text x=\"{middle_x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
            HEIGHT - 8.0,
            escape(self.x.label)
        ));
        svg.push_str(&format!(
            "<text transform=\"translate(14 {middle_y:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
            escape(self.y.label)
        ));
    }
}

fn draw_curve(svg: &mut String, curve: &Curve, across: &Span, up: &Span) {
    let places = curve.points.iter().filter_map(|&(x, y)| {
        let (right, height) = (across.share(x)?, up.share(y)?);
        Some((to_x(right.clamp(0.0, 1.0)), to_y(height.clamp(0.0, 1.0)), x, y))
    });
    let places: Vec<(f64, f64, f64, f64)> = places.collect();
    let dashed = if curve.run < COLOURS { "" } else { " dashed" };
    svg.push_str(&format!("<g class=\"run{}{dashed}\">", curve.run % COLOURS));
    let path: Vec<String> = places.iter().map(|(x, y, ..)| format!("{x:.1},{y:.1}")).collect();
    svg.push_str(&format!(
        "<polyline points=\"{}\"><title>{}</title></polyline>",
        path.join(" "),
        escape(&curve.label)
    ));
    if places.len() <= MARKS_MAX {
        for (x, y, value_x, value_y) in places {
            svg.push_str(&format!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"><title>{}: {}, {}</title></circle>",
                escape(&curve.label),
                if across.scale == Scale::Nines { value_x.to_string() } else { short(value_x) },
                short(value_y)
            ));
        }
    }
    svg.push_str("</g>\n");
}

fn to_x(share: f64) -> f64 {
    LEFT + share * (WIDTH - LEFT - RIGHT)
}

fn to_y(share: f64) -> f64 {
    HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_all_values() {
        let cases: [(Scale, &[f64], &[&str]); 5] = [
            (Scale::Linear, &[0.3, 4.9], &["0", "1", "2", "3", "4", "5"]),
            (Scale::Linear, &[0.0], &["0"]),
            (Scale::Linear, &[1_900_000.0], &["0", "500 k", "1.00 M", "1.50 M", "2.00 M"]),
            (Scale::Log, &[30.0, 900.0], &["50", "100", "200", "500", "1000"]),
            (Scale::Nines, &[0.0, 0.999], &["0 %", "50 %", "90 %", "99 %", "99.9 %"]),
        ];
        for (scale, values, names) in cases {
            let span = Span::around(scale, values.iter().copied());
            for &value in values {
                assert!(
                    span.share(value).is_some_and(|share| (-1e-9..=1.0 + 1e-9).contains(&share)),
                    "{value}"
                );
            }
            let ticks: Vec<String> = span.ticks().into_iter().map(|(_, name)| name).collect();
            assert!(
                ticks.starts_with(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()),
                "{ticks:?}"
            );
        }
    }

    #[test]
    fn values_without_a_place_are_left_out_and_labels_are_escaped() {
        let axis = |scale| Axis { label: "a < b", scale };
        let curve =
            Curve { run: 9, label: "<x>".to_owned(), points: vec![(0.5, 0.0), (1.0, 5.0), (0.9, 5.0)] };
        let plot = Plot { title: "t", x: axis(Scale::Nines), y: axis(Scale::Log), curves: vec![curve] };
        let html = plot.to_html();
        assert_eq!(html.matches("<circle").count(), 1, "{html}");
        assert!(
            html.contains("run1 dashed") && html.contains("&lt;x&gt;") && !html.contains("a < b"),
            "{html}"
        );
        assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
    }
}
