//! A batch of images becomes one picture: tiles in rows, each pixel a square.
//!
//! Pixels are enlarged without smoothing, so that what is seen is what the numbers say. Nothing is sorted, chosen or
//! labelled.

use image::{Rgb, RgbImage};

use crate::{Error, MatRef, Result};

/// The largest picture, in pixels: three bytes each make 300 MB.
const LARGEST: u64 = 100_000_000;

/// From the most negative to the most positive number by way of zero: blue, near-white, red; about as bright at
/// `-x` as at `x`, and told apart by eyes that confuse red and green.
const DIVERGING: [[f32; 3]; 7] = [
    [5.0, 48.0, 97.0],
    [33.0, 102.0, 172.0],
    [110.0, 174.0, 209.0],
    [247.0, 247.0, 247.0],
    [239.0, 138.0, 98.0],
    [178.0, 24.0, 43.0],
    [103.0, 0.0, 31.0],
];

/// How tiles are laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Tiles per row (fewer if there are fewer images); at least 1.
    pub columns: usize,
    /// The side of the square that shows one pixel; at least 1.
    pub scale: u32,
    /// The space between tiles and around them, in pixels of the picture.
    pub gap: u32,
    /// The grey of that space, and of the places without a tile.
    pub background: u8,
}

impl Default for Grid {
    /// Ten tiles per row, three times enlarged, on dark grey: 28 × 28 images make a picture 884 pixels wide.
    fn default() -> Self {
        Self { columns: 10, scale: 3, gap: 4, background: 48 }
    }
}

/// Which colour shows which number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shade {
    /// From black at 0 to white at 1, for probabilities and samples; numbers beyond are clamped.
    Unit,
    /// From blue by way of near-white at 0 to red, for filters; each image is scaled by its own largest `|x|`.
    Symmetric,
    /// From black at the first number to white at the second, which is larger; numbers beyond are clamped.
    Range(f32, f32),
}

impl Grid {
    /// The picture of `images` (pixels × images), the first at the top left.
    ///
    /// An image has `height` × `width` pixels, row-major: row `r` of the matrix is the pixel in row `r / width` and
    /// column `r % width`, as in IDX files.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if `images` has not `height · width` rows. [`Error::Value`] if there is no image or no pixel, a
    /// number is not finite, `columns` or `scale` is 0, a [`Shade::Range`] is empty or not finite, or the picture would
    /// have more than a hundred million pixels.
    pub fn tile(&self, images: MatRef, height: usize, width: usize, shade: Shade) -> Result<RgbImage> {
        check(images, height, width, shade)?;
        let columns = self.columns.min(images.ncols());
        let (wide, high) = self.size(images.ncols(), height, width)?;
        let mut picture = RgbImage::from_pixel(wide, high, Rgb([self.background; 3]));
        for (index, image) in images.column_iter().enumerate() {
            let paint = Paint::new(shade, image.iter().copied());
            let left = self.gap + (index % columns) as u32 * (width as u32 * self.scale + self.gap);
            let top = self.gap + (index / columns) as u32 * (height as u32 * self.scale + self.gap);
            for y in 0..height as u32 * self.scale {
                for x in 0..width as u32 * self.scale {
                    let pixel = (y / self.scale) as usize * width + (x / self.scale) as usize;
                    picture.put_pixel(left + x, top + y, paint.colour(image[pixel]));
                }
            }
        }
        Ok(picture)
    }

    /// The width and height of the picture.
    fn size(&self, count: usize, height: usize, width: usize) -> Result<(u32, u32)> {
        for (what, got) in [("the columns of a grid", self.columns as u64), ("the scale of a grid", self.scale.into())]
        {
            if got == 0 {
                return Err(Error::value(what, "at least 1", got));
            }
        }
        let columns = self.columns.min(count);
        let side = |tiles: usize, pixels: usize| {
            let tile = (pixels as u64).saturating_mul(self.scale.into()).saturating_add(self.gap.into());
            tile.saturating_mul(tiles as u64).saturating_add(self.gap.into())
        };
        let (wide, high) = (side(columns, width), side(count.div_ceil(columns), height));
        let pixels = wide.saturating_mul(high);
        if pixels > LARGEST {
            return Err(Error::value("the size of the picture", format!("at most {LARGEST} pixels"), pixels));
        }
        Ok((wide as u32, high as u32))
    }
}

fn check(images: MatRef, height: usize, width: usize, shade: Shade) -> Result<()> {
    if height.checked_mul(width) != Some(images.nrows()) {
        return Err(Error::shape("the rows of the images", format!("{height} × {width}"), images.nrows()));
    }
    if images.is_empty() {
        let got = format!("{} of {height} × {width}", images.ncols());
        return Err(Error::value("the images to tile", "at least one, of at least one pixel", got));
    }
    if let Shade::Range(lo, hi) = shade
        && !(lo < hi && (hi - lo).is_finite())
    {
        return Err(Error::value(
            "the range of shades",
            "finite, its second number the larger",
            format!("{lo} to {hi}"),
        ));
    }
    for (index, image) in images.column_iter().enumerate() {
        if let Some(pixel) = image.iter().position(|x| !x.is_finite()) {
            let what = format!("row {}, column {} of image {index}", pixel / width, pixel % width);
            return Err(Error::value(what, "finite", image[pixel]));
        }
    }
    Ok(())
}

/// The colours of one image.
enum Paint {
    Grey { lo: f32, hi: f32 },
    Diverging { largest: f32 },
}

impl Paint {
    fn new(shade: Shade, image: impl Iterator<Item = f32>) -> Self {
        match shade {
            Shade::Unit => Self::Grey { lo: 0.0, hi: 1.0 },
            Shade::Range(lo, hi) => Self::Grey { lo, hi },
            // An image of zeros is divided by something too, and stays at the middle.
            Shade::Symmetric => Self::Diverging { largest: image.fold(f32::MIN_POSITIVE, |most, x| most.max(x.abs())) },
        }
    }

    fn colour(&self, x: f32) -> Rgb<u8> {
        match *self {
            Self::Grey { lo, hi } => Rgb([((x.clamp(lo, hi) - lo) / (hi - lo) * 255.0).round() as u8; 3]),
            Self::Diverging { largest } => diverging(x / largest),
        }
    }
}

/// The colour of `x` in -1..=1.
fn diverging(x: f32) -> Rgb<u8> {
    let place = (x + 1.0) / 2.0 * (DIVERGING.len() - 1) as f32;
    let below = (place as usize).min(DIVERGING.len() - 2);
    let (from, to) = (DIVERGING[below], DIVERGING[below + 1]);
    Rgb(std::array::from_fn(|i| (from[i] + (to[i] - from[i]) * (place - below as f32)).round() as u8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mat;

    fn tile(grid: &Grid, images: &Mat, height: usize, width: usize, shade: Shade) -> Result<RgbImage> {
        grid.tile(images.columns(0, images.ncols()), height, width, shade)
    }

    #[test]
    fn pixels_lie_where_they_should() {
        // Three images of 2 × 3 pixels on a grid of two columns; pixel r of image c shows the grey 10 r + 100 c.
        let images = Mat::from_fn(6, 3, |r, c| (10 * r + 100 * c) as f32 / 255.0);
        let grid = Grid { columns: 2, scale: 2, gap: 1, background: 7 };
        let picture = tile(&grid, &images, 2, 3, Shade::Unit).unwrap();
        assert_eq!(picture.dimensions(), (1 + 2 * 7, 1 + 2 * 5));
        let grey = |x, y| picture.get_pixel(x, y).0;
        assert_eq!(grey(0, 0), [7; 3]);
        assert_eq!([grey(1, 1), grey(2, 2)], [[0; 3]; 2]);
        assert_eq!(grey(3, 1), [10; 3]);
        assert_eq!(grey(1, 3), [30; 3]);
        assert_eq!(grey(8, 1), [100; 3]);
        assert_eq!(grey(6, 9), [250; 3]);
        assert_eq!(grey(13, 9), [7; 3]);
    }

    #[test]
    fn shades() {
        let images = Mat::from_column_slice(4, 2, &[-2.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        let grid = Grid { columns: 9, scale: 1, gap: 0, background: 0 };
        let row = |shade| tile(&grid, &images, 1, 4, shade).unwrap().pixels().map(|pixel| pixel.0).collect::<Vec<_>>();
        assert_eq!(row(Shade::Unit)[..4], [[0; 3], [0; 3], [255; 3], [255; 3]]);
        assert_eq!(row(Shade::Range(-2.0, 3.0))[..4], [[0; 3], [102; 3], [204; 3], [153; 3]]);
        let filters = row(Shade::Symmetric);
        assert_eq!(filters[..3], [[5, 48, 97], [247; 3], [103, 0, 31]]);
        assert_eq!(filters[4..], [[247; 3]; 4]);
    }

    #[test]
    fn refusals() {
        let message = |images: &Mat, shade| tile(&Grid::default(), images, 2, 3, shade).unwrap_err().to_string();
        let mut images = Mat::zeros(6, 2);
        images[(4, 1)] = f32::NAN;
        assert_eq!(message(&images, Shade::Symmetric), "row 1, column 1 of image 1 must be finite, got NaN");
        assert_eq!(message(&Mat::zeros(5, 2), Shade::Unit), "the rows of the images: expected 2 × 3, got 5");
        let empty = message(&Mat::zeros(6, 0), Shade::Unit);
        assert_eq!(empty, "the images to tile must be at least one, of at least one pixel, got 0 of 2 × 3");
        for (lo, hi) in [(1.0, 1.0), (0.0, f32::NAN), (f32::MIN, f32::MAX)] {
            assert!(message(&Mat::zeros(6, 1), Shade::Range(lo, hi)).starts_with("the range of shades"));
        }
        let one = Mat::zeros(1, 1);
        let grids = [(0, 1, 0), (1, 0, 0), (1, 100_000, 0), (1, 1, u32::MAX), (1, u32::MAX, u32::MAX)];
        for (columns, scale, gap) in grids {
            let grid = Grid { columns, scale, gap, background: 0 };
            assert!(matches!(tile(&grid, &one, 1, 1, Shade::Unit), Err(Error::Value { .. })));
        }
        assert!(matches!(tile(&Grid::default(), &one, usize::MAX, 2, Shade::Unit), Err(Error::Shape { .. })));
        assert!(matches!(tile(&Grid::default(), &Mat::zeros(0, 3), 0, 2, Shade::Unit), Err(Error::Value { .. })));
    }
}
