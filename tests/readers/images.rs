//! Folders of pictures: PNG, JPEG, BMP and PNM, sound and damaged.

use harmonium::Error;
use harmonium::data::{Images, Sizing, parse_image, patches, read_image_classes, read_image_folder, read_patches};
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use std::fs;
use std::io::Cursor;
use std::path::Path;
use tempfile::{TempDir, tempdir};

/// A ramp, so that places can be told.
fn ramp(height: u32, width: u32, from: u8) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| Luma([from + (8 * y + x) as u8]))
}
fn bytes(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(vec![]);
    picture.into().write_to(&mut out, format).unwrap();
    out.into_inner()
}
fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    bytes(picture, ImageFormat::Png)
}
fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let dir = tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}
fn refused(bytes: &[u8]) -> String {
    let error = parse_image(bytes, Path::new("f")).unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error}");
    error.to_string()
}
/// What is said of a folder, less its name.
fn said(dir: &TempDir, error: Error) -> String {
    let (message, name) = (error.to_string(), dir.path().display().to_string());
    assert!(message.starts_with(&name), "{message}");
    message[name.len()..].to_owned()
}

#[test]
fn pictures_are_read_in_the_order_of_names_whatever_their_kind() {
    let dir = folder(&[
        ("c.PGM", bytes(ramp(2, 3, 50), ImageFormat::Pnm)),
        ("a.png", png(ramp(2, 3, 0))),
        // Told by its content, not by its name.
        ("b.jpg", bytes(DynamicImage::from(ramp(2, 3, 100)).into_rgb8(), ImageFormat::Bmp)),
        ("README", b"no picture".to_vec()),
        (".d.png", b"no picture".to_vec()),
        ("more/e.png", png(ramp(9, 9, 0))),
    ]);
    let images = read_image_folder(&dir, Sizing::Same).unwrap();
    assert_eq!((images.n(), images.height, images.width), (3, 2, 3));
    for (i, from) in [0, 100, 50].into_iter().enumerate() {
        assert_eq!(images.image(i), ramp(2, 3, from).as_raw().as_slice());
    }
    // JPEG is nearly what went in.
    let grey = GrayImage::from_pixel(8, 16, Luma([90]));
    let jpeg = parse_image(&bytes(grey, ImageFormat::Jpeg), Path::new("f")).unwrap();
    assert!((jpeg.height, jpeg.width) == (16, 8) && jpeg.pixels.iter().all(|&pixel| pixel.abs_diff(90) <= 1));
}

#[test]
fn colours_become_their_luma() {
    let colours =
        [([255, 255, 255], 255.0), ([0, 0, 0], 0.0), ([255, 0, 0], 54.2), ([0, 255, 0], 182.4), ([0, 0, 255], 18.4)];
    for (colour, luma) in colours {
        let grey = parse_image(&png(RgbImage::from_pixel(1, 1, Rgb(colour))), Path::new("f")).unwrap().pixels[0];
        assert!((f32::from(grey) - luma).abs() <= 1.0, "{colour:?}: {grey}");
    }
    let deep = image::ImageBuffer::from_pixel(1, 1, Luma([0x12f0u16]));
    assert_eq!(parse_image(&png(DynamicImage::ImageLuma16(deep)), Path::new("f")).unwrap().pixels, [0x13]);
}

#[test]
fn folders_are_classes() {
    let dir = folder(&[
        ("dog/1.png", png(ramp(2, 2, 1))),
        ("cat/2.png", png(ramp(2, 2, 2))),
        ("cat/10.png", png(ramp(2, 2, 3))),
        ("0.png", png(ramp(9, 9, 4))),
    ]);
    let (data, names) = read_image_classes(&dir, Sizing::Same).unwrap();
    assert_eq!((data.labels, names), (vec![0, 0, 1], vec!["cat".into(), "dog".into()]));
    let firsts: Vec<u8> = (0..3).map(|i| data.images.image(i)[0]).collect();
    assert_eq!(firsts, [3, 2, 1]);
    fs::create_dir(dir.path().join("empty")).unwrap();
    let message = said(&dir, read_image_classes(&dir, Sizing::Same).unwrap_err());
    assert_eq!(message, "/empty: no file in it ends like a picture: png, jpg, jpeg, bmp, pnm, pbm, pgm, ppm");
    let flat = folder(&[("0.png", png(ramp(2, 2, 4)))]);
    let message = said(&flat, read_image_classes(&flat, Sizing::Same).unwrap_err());
    assert_eq!(message, ": expected 1 to 256 folders of pictures in it, got 0");
}

#[test]
fn pictures_of_other_sizes_are_refused_resized_or_cropped() {
    let dir = folder(&[("a.png", png(ramp(4, 6, 0))), ("b.png", png(ramp(5, 3, 100)))]);
    let message = |sizing| said(&dir, read_image_folder(&dir, sizing).unwrap_err());
    assert_eq!(message(Sizing::Same), "/b.png: the size of the picture: expected 4 × 6, got 5 × 3");
    assert_eq!(
        message(Sizing::Crop { height: 3, width: 4 }),
        "/b.png: the size of the picture: expected at least 3 × 4, got 5 × 3"
    );
    let cropped = read_image_folder(&dir, Sizing::Crop { height: 2, width: 2 }).unwrap();
    assert_eq!((cropped.image(0), cropped.image(1)), (&[10, 11, 18, 19][..], &[108, 109, 116, 117][..]));
    let resized = read_image_folder(&dir, Sizing::Resize { height: 7, width: 5 }).unwrap();
    assert_eq!((resized.n(), resized.height, resized.width), (2, 7, 5));
    // To its own size a picture stays what it is.
    let own = read_image_folder(&dir, Sizing::Resize { height: 4, width: 6 }).unwrap();
    assert_eq!(own.image(0), ramp(4, 6, 0).as_raw().as_slice());
    // Halved, pixels are averages, weighted to both sides: a ramp stays one in the middle.
    let long = folder(&[("a.png", png(GrayImage::from_fn(16, 1, |x, _| Luma([10 * x as u8]))))]);
    let half = read_image_folder(&long, Sizing::Resize { height: 1, width: 8 }).unwrap();
    assert_eq!(half.pixels[1..7], [25, 45, 65, 85, 105, 125]);
    let size = |height, width| read_image_folder(&dir, Sizing::Resize { height, width }).unwrap_err().to_string();
    let expected = "the size of pictures must be at least 1 × 1, and at most 67108864 pixels, got";
    assert_eq!(size(0, 3), format!("{expected} 0 × 3"));
    assert_eq!(size(1 << 20, 65), format!("{expected} 1048576 × 65"));
}

#[test]
fn patches_of_a_folder_are_those_of_its_images() {
    let dir = folder(&[("a.png", png(ramp(4, 6, 0))), ("b.png", png(ramp(4, 6, 50))), ("c.png", png(ramp(4, 6, 200)))]);
    let images: Images = read_image_folder(&dir, Sizing::Same).unwrap();
    assert_eq!(read_patches(&dir, 40, 3, 5).unwrap(), patches(&images, 40, 3, 5).unwrap());
    // Of other sizes they are from all pictures; all values are there, at the place where they belong.
    fs::write(dir.path().join("b.png"), png(ramp(3, 3, 100))).unwrap();
    let cut = read_patches(&dir, 300, 3, 5).unwrap().map(|x| (x * 255.0).round() as u8);
    assert!(cut.column_iter().all(|patch| (0..9).all(|i| patch[i] == patch[0] + (i / 3 * 8 + i % 3) as u8)));
    assert!([0..20, 100..101, 200..220].iter().all(|range| cut.row(0).iter().any(|value| range.contains(value))));
    let message = said(&dir, read_patches(&dir, 1, 4, 5).unwrap_err());
    assert_eq!(message, "/b.png: the side of a patch of 3 × 3 pixels must be in 1..=3, got 4");
    assert!(read_patches(&dir, 0, 3, 5).is_err() && read_patches(&dir, usize::MAX, 3, 5).is_err());
}

#[test]
fn what_is_no_picture_is_said() {
    let kinds = "f: this is no picture: expected png, jpg, jpeg, bmp, pnm, pbm, pgm, ppm";
    assert_eq!((refused(&[]), refused(b"<html>")), (kinds.into(), kinds.into()));
    let whole = png(ramp(20, 20, 0));
    for end in 1..whole.len() - 12 {
        refused(&whole[..end]);
    }
    for format in [ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Pnm] {
        let whole = bytes(ramp(20, 20, 0), format);
        (1..whole.len()).for_each(|end| drop(refused(&whole[..end])));
        assert!(parse_image(&[&whole[..], b"more"].concat(), Path::new("f")).is_ok());
    }
    let cut = &bytes(ramp(20, 20, 0), ImageFormat::Jpeg)[..370];
    assert_eq!(refused(cut), "f: truncated: the end of the JPEG is not there");
    let dir = folder(&[("a.png", whole[..60].to_vec())]);
    let message = said(&dir, read_image_folder(&dir, Sizing::Same).unwrap_err());
    assert!(message.starts_with("/a.png: "), "{message}");
    assert!(matches!(read_image_folder(dir.path().join("no"), Sizing::Same), Err(Error::Io { .. })));
    let none = folder(&[("a.txt", vec![])]);
    assert!(
        said(&none, read_image_folder(&none, Sizing::Same).unwrap_err())
            .starts_with(": no file in it ends like a picture")
    );
    assert!(matches!(read_patches(&none, 1, 1, 1), Err(Error::Io { .. })));
}

#[test]
fn absurd_sizes_are_refused_before_they_are_decoded() {
    let pnm = |width: u64, height: u64| refused(format!("P5 {width} {height} 255\n01234567890123456789").as_bytes());
    assert_eq!(pnm(100_000, 100_000), "f: it claims 100000 × 100000 pixels; at most 67108864 are read");
    assert_eq!(pnm(8000, 1000), "f: it claims 1000 × 8000 pixels, more than 37 bytes can hold");
    // The size in a PNG, with its checksum.
    let mut lie = png(ramp(2, 2, 0));
    lie[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    let crc = crc32fast::hash(&lie[12..29]);
    lie[29..33].copy_from_slice(&crc.to_be_bytes());
    lie[20..24].copy_from_slice(&60_000u32.to_be_bytes());
    let crc = crc32fast::hash(&lie[12..29]);
    lie[29..33].copy_from_slice(&crc.to_be_bytes());
    assert!(refused(&lie).contains("60000 × 60000 pixels"), "{}", refused(&lie));
}
