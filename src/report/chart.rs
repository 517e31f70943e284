//! Charts as SVG that takes its colours and letters from the page around it, so that it is legible in any width, light or dark.

use crate::train::Histogram;
use crate::viz::{Axis, drawable};
use std::fmt::Write;

/// The units that a chart is drawn in; a card is about as many pixels wide.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 190.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 34.0;
const RIGHT: f64 = 10.0;
/// The width of a character of a label.
const LETTER: f64 = 6.6;
/// The height of one histogram, and how far the next lies below it.
const RIDGE: (f64, f64) = (34.0, 30.0);

/// Text as HTML shows it.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// A curve with its axes; values that are not finite leave a gap. `name` is told to who cannot see it.
pub(super) fn curve(name: &str, x_label: &str, points: &[(f64, f64)]) -> String {
    let shown = || points.iter().filter(|p| drawable(p));
    let (x, y) = (Axis::around(shown().map(|p| p.0), 0.02, 6.0), Axis::around(shown().map(|p| p.1), 0.08, 5.0));
    let left = 10.0 + LETTER * f64::from(y.longest_label());
    let at_x = |v: f64| left + x.share(v) * (WIDTH - RIGHT - left);
    let at_y = |v: f64| HEIGHT - BOTTOM - y.share(v) * (HEIGHT - BOTTOM - TOP);
    let mut svg = open(name, HEIGHT);
    for tick in y.ticks() {
        let at = at_y(tick);
        line(&mut svg, (left, at), (WIDTH - RIGHT, at));
        label(&mut svg, (left - 5.0, at + 3.5), "end", &y.label(tick));
    }
    for tick in x.ticks() {
        label(&mut svg, (at_x(tick), HEIGHT - BOTTOM + 14.0), "middle", &x.label(tick));
    }
    label(&mut svg, ((left + WIDTH - RIGHT) / 2.0, HEIGHT - 3.0), "middle", x_label);
    for run in points.split(|p| !drawable(p)).filter(|run| !run.is_empty()) {
        let path: Vec<String> = run.iter().map(|p| format!("{:.1},{:.1}", at_x(p.0), at_y(p.1))).collect();
        let _ = write!(svg, r#"<polyline class="curve" points="{}"/>"#, path.join(" "));
        for p in run.iter().filter(|_| points.len() <= 40) {
            let told = format!("{x_label} {:.4}: {:.6}", p.0, p.1);
            let _ = write!(
                svg,
                r#"<circle class="dot" cx="{:.1}" cy="{:.1}" r="2.4"><title>{told}</title></circle>"#,
                at_x(p.0),
                at_y(p.1)
            );
        }
    }
    svg + "</svg>"
}

/// Histograms below one another, each with its name, over one axis: heights are logarithms of counts, so that the few values far
/// out are seen, and each is as high as its fullest part.
pub(super) fn ridges(name: &str, histograms: &[(String, &Histogram)]) -> String {
    let ends = histograms.iter().flat_map(|(_, h)| [h.low as f64, h.high as f64]);
    let x = Axis::around(ends, 0.02, 5.0);
    let letters = histograms.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let left = 10.0 + LETTER * letters as f64;
    let at_x = |v: f64| left + x.share(v) * (WIDTH - RIGHT - left);
    let foot = TOP + RIDGE.0 + RIDGE.1 * histograms.len().saturating_sub(1) as f64;
    let mut svg = open(name, foot + 26.0);
    for tick in x.ticks() {
        line(&mut svg, (at_x(tick), TOP), (at_x(tick), foot));
        label(&mut svg, (at_x(tick), foot + 19.0), "middle", &x.label(tick));
    }
    for (k, (name, h)) in histograms.iter().enumerate() {
        let base = TOP + RIDGE.0 + RIDGE.1 * k as f64;
        let height = |count: u64| (count as f64).ln_1p();
        let most = height(h.counts.iter().copied().max().unwrap_or(0).max(1));
        let part = (h.high as f64 - h.low as f64) / h.counts.len().max(1) as f64;
        let mut path = format!("M{:.1},{base:.1}", at_x(h.low as f64));
        for (i, &count) in h.counts.iter().enumerate() {
            let middle = h.low as f64 + (i as f64 + 0.5) * part;
            let _ = write!(path, "L{:.1},{:.1}", at_x(middle), base - RIDGE.0 * height(count) / most);
        }
        let _ = write!(path, "L{:.1},{base:.1}Z", at_x(h.high as f64));
        let told = format!("{name}: {} values from {:.4} to {:.4}", h.counts.iter().sum::<u64>(), h.low, h.high);
        let _ = write!(svg, r#"<path class="ridge" d="{path}"><title>{}</title></path>"#, escape(&told));
        label(&mut svg, (left - 6.0, base), "end", name);
    }
    svg + "</svg>"
}

fn open(name: &str, height: f64) -> String {
    let name = escape(name);
    format!(r#"<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{name}">"#)
}
fn line(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ =
        write!(svg, r#"<line class="mesh" x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}"/>"#, from.0, from.1, to.0, to.1);
}
fn label(svg: &mut String, at: (f64, f64), anchor: &str, text: &str) {
    let _ = write!(svg, r#"<text x="{:.1}" y="{:.1}" text-anchor="{anchor}">{}</text>"#, at.0, at.1, escape(text));
}

/// Values as blocks of eight heights; what is not finite is a space.
pub(super) fn sparkline(values: &[f64], most: usize) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let picked: Vec<f64> =
        (0..values.len().min(most)).map(|k| values[k * values.len() / values.len().min(most)]).collect();
    let finite = || picked.iter().copied().filter(|v| v.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let block = |v: f64| match v.is_finite() {
        true => BLOCKS[if high > low { ((v - low) / (high - low) * 7.0).round() as usize } else { 3 }],
        false => ' ',
    };
    picked.into_iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape(r#"<a href="x">'&'</a>"#), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
        assert!(curve("<script>", "<b>", &[(0.0, 1.0)]).matches('<').count() > 4);
        assert!(!curve("<script>", "<b>", &[(0.0, 1.0)]).contains("<script>"));
    }
    #[test]
    fn curves_that_hardly_are_any_have_no_nan_in_them() {
        let nan = f64::NAN;
        let few: [&[(f64, f64)]; 5] = [
            &[],
            &[(nan, nan)],
            &[(0.0, 5.0)],
            &[(0.0, 1.0), (1.0, nan), (2.0, 3.0)],
            &[(1.0, f64::INFINITY), (2.0, 1e308)],
        ];
        for points in few {
            let svg = curve("c", "epoch", points);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
        assert_eq!(curve("c", "epoch", &[(0.0, 1.0), (1.0, nan), (2.0, 3.0)]).matches("<polyline").count(), 2);
        let empty = Histogram::default();
        let one = Histogram { low: 1.0, high: 1.0, counts: vec![9] };
        let svg = ridges("r", &[("a".into(), &empty), ("b".into(), &one)]);
        assert!(!svg.contains("NaN") && svg.contains("9 values"), "{svg}");
    }
    #[test]
    fn a_curve_rises_where_its_values_do() {
        let svg = curve("c", "epoch", &[(0.0, 0.0), (1.0, 10.0)]);
        let points = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        let at: Vec<f64> = points.split([' ', ',']).map(|v| v.parse().unwrap()).collect();
        assert!(at[2] > at[0] + 200.0 && at[3] < at[1] - 100.0, "{at:?}");
    }
    #[test]
    fn sparklines_show_the_shape() {
        assert_eq!(sparkline(&[0.0, 1.0, 2.0, 7.0, f64::NAN], 9), "▁▂▃█ ");
        assert_eq!((sparkline(&[], 5), sparkline(&[3.0; 3], 5)), (String::new(), "▄▄▄".into()));
        assert_eq!(sparkline(&(0..1000).map(f64::from).collect::<Vec<_>>(), 20).chars().count(), 20);
    }
}
