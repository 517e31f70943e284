//! Points of several classes in the plane: a map, of codes say. Axes mean nothing in it and are not drawn.

use image::{RgbImage, imageops};
use plotters::prelude::*;

use super::axis::drawable;
use super::plot::{FINE, INK, text};
use crate::{Error, Result};

/// The side of the picture in pixels.
const SIDE: u32 = 800;
/// The share of the side that stays empty around the points.
const MARGIN: f64 = 0.05;
/// The radius of a point in pixels.
const RADIUS: f64 = 2.0;

/// Ten colours of about the same lightness, for ten classes.
const COLOURS: [RGBColor; 10] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(200, 150, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
    RGBColor(148, 60, 190),
    RGBColor(120, 160, 40),
    RGBColor(200, 30, 60),
];

/// Draws points `(x, y)`, y upwards, each in the colour of its class, and the number of a class where the middle of its points is;
/// colours start again after ten. A point that is not finite, or not below 1e300, is left out.
///
/// ```
/// let points = [(0.0, 0.0), (1.0, 2.0), (f64::NAN, 0.0)];
/// let picture = harmonium::viz::map(&points, &[0, 1, 1])?;
/// assert_eq!(picture.dimensions(), (800, 800));
/// # Ok::<(), harmonium::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if there is not one class a point.
pub fn map(points: &[(f64, f64)], classes: &[u8]) -> Result<RgbImage> {
    if points.len() != classes.len() {
        return Err(Error::shape("classes of points", points.len(), classes.len()));
    }
    let kept: Vec<((f64, f64), u8)> =
        points.iter().copied().zip(classes.iter().copied()).filter(|(p, _)| drawable(p)).collect();
    let fold = |pick: fn(&(f64, f64)) -> f64| {
        let values = kept.iter().map(|(p, _)| pick(p));
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let (x, y) = (fold(|p| p.0), fold(|p| p.1));
    let side = f64::from(SIDE);
    // The same scale for both axes, so that distances are distances.
    let span = (x.1 - x.0).max(y.1 - y.0);
    let scale = if span > 0.0 && span.is_finite() { (1.0 - 2.0 * MARGIN) * side / span } else { 0.0 };
    let middle = |(low, high): (f64, f64)| low / 2.0 + high / 2.0;
    let place = |(px, py): (f64, f64)| (side / 2.0 + (px - middle(x)) * scale, side / 2.0 - (py - middle(y)) * scale);
    let mut drawing = RgbImage::from_pixel(SIDE * FINE, SIDE * FINE, image::Rgb([255; 3]));
    draw(&kept.iter().map(|(p, class)| (place(*p), *class)).collect::<Vec<_>>(), &mut drawing)
        .expect("memory takes what is drawn, and the font is built in");
    Ok(imageops::thumbnail(&drawing, SIDE, SIDE))
}

fn draw(points: &[((f64, f64), u8)], drawing: &mut RgbImage) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let size = drawing.dimensions();
    let area = BitMapBackend::with_buffer(drawing, size).into_drawing_area();
    let fine = f64::from(FINE);
    for ((x, y), class) in points {
        let centre = ((x * fine) as i32, (y * fine) as i32);
        let colour = COLOURS[usize::from(*class) % COLOURS.len()];
        area.draw(&Circle::new(centre, (RADIUS * fine) as i32, colour.mix(0.7).filled()))?;
    }
    for class in 0..=u8::MAX {
        let own = |pick: fn(&(f64, f64)) -> f64| {
            let mut values: Vec<f64> = points.iter().filter(|(_, c)| *c == class).map(|(p, _)| pick(p)).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        let (Some(x), Some(y)) = (own(|p| p.0), own(|p| p.1)) else { continue };
        let (name, at) = (class.to_string(), |x: i32, y: i32| (x * FINE as i32, y * FINE as i32));
        let (left, top) = ((x - 5.0 * name.len() as f64) as i32, (y - 12.0) as i32);
        // Legible on points of any colour: ink within a white edge.
        let edge = text(24, FontStyle::Bold).color(&WHITE);
        for (dx, dy) in [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1)] {
            area.draw_text(&name, &edge, at(left + dx, top + dy))?;
        }
        area.draw_text(&name, &text(24, FontStyle::Bold).color(&INK), at(left, top))?;
    }
    area.present()?;
    Ok(())
}
