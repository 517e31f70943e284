//! Curves over time: panels side by side, each with axes, a light grid and the names of its curves.
//!
//! For looking at how a run went. Axes are linear, a curve is what it is given: nothing is smoothed, and where a value
//! is not finite there is a gap.

use std::error::Error as StdError;
use std::sync::Once;

use image::{RgbImage, imageops};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;

use super::axis::{Axis, drawable};
use crate::{Error, Result};

/// The width and height of a panel in pixels.
const PANEL: (u32, u32) = (800, 440);
/// Drawn this many times larger and then shrunk, which smooths lines and letters.
pub(super) const FINE: u32 = 3;
/// More panels are no picture.
const MOST_PANELS: usize = 64;
/// A legend of more lines would leave no room for the curves.
const LEGEND_LINES: u32 = 4;
/// A curve with this many points or fewer has a dot at each.
const FEW_POINTS: usize = 24;

/// Seven colours that are told apart with any common kind of colour blindness (those of Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];
pub(super) const INK: RGBColor = RGBColor(45, 45, 45);
const FRAME: RGBColor = RGBColor(150, 150, 150);
const MESH: RGBColor = RGBColor(230, 230, 230);
/// The width of a digit in a label.
const LETTER: u32 = 9;
const FONT: &str = "DejaVu Sans";

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
type Drawn<T> = std::result::Result<T, Box<dyn StdError>>;

/// One pair of axes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Panel {
    /// What is shown, above the axes; cut off where the panel ends.
    pub title: String,
    /// What runs from left to right.
    pub x_label: String,
    /// The curves, the last on top. If there are several, their names stand below the title, up to four lines of them.
    pub series: Vec<Series>,
}

/// One curve. The colours are told apart for seven of them and then start again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// What the curve is called.
    pub name: String,
    /// The points (x, y) in the order they are joined; one that is not finite, or not below 1e300, leaves a gap.
    pub points: Vec<(f64, f64)>,
}

/// Draws `panels`, each 800 × 440 pixels, below one another or, if there are more than two, in two columns.
///
/// # Errors
///
/// [`Error::Value`] if there is no panel, or more than 64.
pub fn curves(panels: &[Panel]) -> Result<RgbImage> {
    if !(1..=MOST_PANELS).contains(&panels.len()) {
        return Err(Error::value("the number of panels", format!("between 1 and {MOST_PANELS}"), panels.len()));
    }
    let columns = if panels.len() <= 2 { 1 } else { 2 };
    let rows = panels.len().div_ceil(columns);
    let mut picture = RgbImage::from_pixel(PANEL.0 * columns as u32, PANEL.1 * rows as u32, image::Rgb([255; 3]));
    for (index, panel) in panels.iter().enumerate() {
        let mut drawing = RgbImage::from_pixel(PANEL.0 * FINE, PANEL.1 * FINE, image::Rgb([255; 3]));
        draw(panel, &mut drawing).expect("memory takes what is drawn, and the font is built in");
        let drawing = imageops::thumbnail(&drawing, PANEL.0, PANEL.1);
        let (left, top) = ((index % columns) as u32 * PANEL.0, (index / columns) as u32 * PANEL.1);
        imageops::replace(&mut picture, &drawing, left.into(), top.into());
    }
    Ok(picture)
}

fn draw(panel: &Panel, drawing: &mut RgbImage) -> Drawn<()> {
    let size = drawing.dimensions();
    let area = BitMapBackend::with_buffer(drawing, size).into_drawing_area();
    area.draw_text(&panel.title, &text(19, FontStyle::Bold).color(&INK), at(24, 18))?;
    let top = if panel.series.len() > 1 { legend(&area, &panel.series)? } else { 48 };

    let points = || panel.series.iter().flat_map(|series| &series.points).filter(|point| drawable(point));
    let y = Axis::around(points().map(|point| point.1), 0.06, 8.0);
    let labels = px(16 + LETTER * y.longest_label());
    // Long numbers leave room for fewer of them.
    let [many, few] = [8.0, 3.0].map(|ticks| Axis::around(points().map(|point| point.0), 0.02, ticks));
    let x = if many.longest_label() <= 8 { many } else { few };
    let mut chart = ChartBuilder::on(&area)
        .margin_top(px(top))
        .margin_right(px(28))
        .margin_bottom(px(14))
        .margin_left(px(20))
        .x_label_area_size(px(50))
        .y_label_area_size(labels)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(MESH.stroke_width(FINE))
        .axis_style(FRAME.stroke_width(FINE))
        .set_all_tick_mark_size(px(5))
        .y_label_offset(px(2))
        .label_style(text(15, FontStyle::Normal).color(&INK))
        .axis_desc_style(text(16, FontStyle::Normal).color(&INK))
        .x_desc(&panel.x_label)
        .draw()?;
    for (series, colour) in panel.series.iter().zip(COLOURS.into_iter().cycle()) {
        // Segment by segment with round joints: the library's own wide lines have spikes where a curve turns.
        for run in series.points.split(|point| !drawable(point)) {
            let line = colour.stroke_width(2 * FINE);
            chart.draw_series(run.windows(2).map(|ends| PathElement::new([ends[0], ends[1]], line)))?;
            let dot = if series.points.len() <= FEW_POINTS || run.len() == 1 { px(4) } else { FINE };
            chart.draw_series(run.iter().map(|&point| Circle::new(point, dot, colour.filled())))?;
        }
    }
    area.present()?;
    Ok(())
}

/// Draws the names of the curves, as many to a line as fit, and returns where the axes may start.
fn legend(area: &Area, series: &[Series]) -> Drawn<u32> {
    let style = text(15, FontStyle::Normal).color(&INK);
    let (mut left, mut line) = (24, 0);
    for (series, colour) in series.iter().zip(COLOURS.into_iter().cycle()) {
        let width = 34 + area.estimate_text_size(&series.name, &style)?.0 / FINE;
        if left > 24 && left + width > PANEL.0 - 24 {
            (left, line) = (24, line + 1);
        }
        if line == LEGEND_LINES {
            line -= 1;
            break;
        }
        let middle = 56 + 22 * line;
        let swatch = [at(left, middle), at(left + 22, middle)];
        area.draw(&PathElement::new(swatch, colour.stroke_width(3 * FINE)))?;
        area.draw_text(&series.name, &style, at(left + 30, middle - 4))?;
        left += width + 20;
    }
    Ok(80 + 22 * line)
}

/// The built-in font, `size` pixels high in the picture. (`FontDesc::style` would keep the letters it has.)
pub(super) fn text(size: u32, style: FontStyle) -> FontDesc<'static> {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        let fonts = [(FontStyle::Normal, dejavu::sans::regular()), (FontStyle::Bold, dejavu::sans::bold())];
        for (style, font) in fonts {
            assert!(register_font(FONT, style, font).is_ok(), "the built-in font is a font");
        }
    });
    FontDesc::new(FontFamily::Name(FONT), f64::from(px(size)), style)
}

/// A length in the picture as one in the drawing.
fn px(length: u32) -> u32 {
    length * FINE
}

/// A place in the picture as one in the drawing.
fn at(x: u32, y: u32) -> (i32, i32) {
    (px(x) as i32, px(y) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(series: &[&[(f64, f64)]]) -> Panel {
        let series = series.iter().map(|points| Series { name: "s".to_owned(), points: points.to_vec() });
        Panel { title: "title".to_owned(), x_label: "epoch".to_owned(), series: series.collect() }
    }

    /// How many pixels have exactly the colour of curve `index`.
    fn painted(picture: &RgbImage, index: usize) -> usize {
        let RGBColor(r, g, b) = COLOURS[index];
        picture.pixels().filter(|pixel| pixel.0 == [r, g, b]).count()
    }

    #[test]
    fn panels_make_a_grid() {
        let one = panel(&[&[(0.0, 0.0), (1.0, 1.0)]]);
        for (count, size) in [(1, (1, 1)), (2, (1, 2)), (3, (2, 2)), (4, (2, 2)), (5, (2, 3))] {
            let picture = curves(&vec![one.clone(); count]).unwrap();
            assert_eq!(picture.dimensions(), (PANEL.0 * size.0, PANEL.1 * size.1));
        }
        assert!(matches!(curves(&[]), Err(Error::Value { .. })));
        assert!(matches!(curves(&vec![Panel::default(); 65]), Err(Error::Value { .. })));
    }

    #[test]
    fn a_rising_line_rises() {
        let picture = curves(&[panel(&[&[(0.0, 0.0), (1.0, 1.0)]])]).unwrap();
        let RGBColor(r, g, b) = COLOURS[0];
        let mut on_line = picture.enumerate_pixels().filter(|(_, _, pixel)| pixel.0 == [r, g, b]);
        let (_, top, _) = on_line.next().unwrap();
        let (_, bottom, _) = on_line.last().unwrap();
        let mean_x = |row: u32| {
            let xs: Vec<_> = (0..PANEL.0).filter(|&x| picture.get_pixel(x, row).0 == [r, g, b]).collect();
            xs.iter().sum::<u32>() / xs.len() as u32
        };
        assert!(bottom - top > 250 && mean_x(top) > 700 && mean_x(bottom) < 120);
    }

    #[test]
    fn curves_that_hardly_are_any() {
        let nan = f64::NAN;
        let flat: Vec<_> = (0..50).map(|i| (f64::from(i), 0.3)).collect();
        let visible: [&[(f64, f64)]; 6] = [
            &[(1.0, 2.0)],
            &flat,
            &[(0.0, 1.0), (1.0, nan), (2.0, 1.5)],
            &[(0.0, -1e299), (1.0, 1e299), (2.0, f64::MAX)],
            &[(0.0, 0.0), (1e-310, 1e-310)],
            &[(5.0, f64::INFINITY), (5.0, 1e9), (5.0, 1e9 + 1e-6)],
        ];
        for points in visible {
            assert!(painted(&curves(&[panel(&[points])]).unwrap(), 0) > 20, "{points:?}");
        }
        for points in [&[][..], &[(nan, nan), (f64::INFINITY, 0.0)]] {
            assert_eq!(painted(&curves(&[panel(&[points])]).unwrap(), 0), 0);
        }
        curves(&[Panel::default()]).unwrap();
    }

    #[test]
    fn legends_have_bounds() {
        let mut crowded = panel(&[&[(0.0, 0.0), (1.0, 1.0)][..]; 300]);
        crowded.series[3].name = "a name that goes on ".repeat(50);
        crowded.title = "a title with a line break\nand 漢字 ".repeat(20);
        let picture = curves(&[crowded]).unwrap();
        assert!(painted(&picture, 1) > 20);
        let pair = curves(&[panel(&[&[], &[]])]).unwrap();
        assert!(painted(&pair, 0) > 20 && painted(&pair, 1) > 20, "both names have a swatch");
    }
}
