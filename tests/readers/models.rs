//! Model files, sound and damaged.

use harmonium::io::{Tensor, TensorFile, Values, load_rbm, save_rbm};
use harmonium::models::Rbm;
use harmonium::units::{Gaussian, Spin};
use harmonium::{Energy, Error, Learn};
use proptest::{collection::vec, prelude::*, sample::Index};
use std::collections::BTreeMap;
use std::fs;

/// The bytes of a machine of 3 × 2 units.
fn sound() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut rbm = Rbm::new((3, Spin), (2, Gaussian));
    rbm.initialise(&[0.1, 0.2, 0.3], 0.0, 1).unwrap();
    save_rbm(&rbm, &BTreeMap::from([("seed".into(), "1".into())]), &path).unwrap();
    fs::read(path).unwrap()
}

/// Loads `bytes`: an error must be about the format, a model must be whole and finite.
fn survive(bytes: &[u8]) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    fs::write(&path, bytes).unwrap();
    match load_rbm(&path) {
        Ok((rbm, _)) => {
            prop_assert_eq!(rbm.n_rows(), rbm.n_visible() + rbm.n_hidden());
            prop_assert!(rbm.params().as_slice().iter().all(|p| p.is_finite()));
        }
        Err(error) => prop_assert!(matches!(error, Error::Format { .. }), "{error}"),
    }
    Ok(())
}

proptest! {
    #[test]
    fn flipped_bits(flips in vec((any::<Index>(), 0..8u8), 1..6)) {
        let mut bytes = sound();
        for (place, bit) in flips {
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
        }
        survive(&bytes)?;
    }
    #[test]
    fn cut_short_or_too_long(end in any::<Index>(), more in vec(any::<u8>(), 0..20)) {
        let bytes = sound();
        survive(&bytes[..end.index(bytes.len())])?;
        survive(&[bytes, more].concat())?;
    }
    /// Shapes that do not belong together, among them weights without elements that claim any number of units.
    #[test]
    fn any_shapes(
        weights in vec(prop_oneof![0..4usize, Just(usize::MAX), Just(1 << 40)], 0..4),
        visible in 0..4usize,
        hidden in 0..4usize,
    ) {
        let tensor = |shape: Vec<usize>| {
            let n = shape.iter().try_fold(1usize, |n, &s| n.checked_mul(s)).filter(|&n| n < 100);
            n.map(|n| Tensor { shape, values: Values::F32(vec![0.5; n]) })
        };
        let tensors = [("weights", weights), ("visible_bias", vec![visible]), ("hidden_bias", vec![hidden])];
        let tensors = tensors.into_iter().filter_map(|(name, shape)| Some((name.to_string(), tensor(shape)?)));
        let file = TensorFile { metadata: BTreeMap::new(), tensors: tensors.collect() };
        survive(&file.to_bytes().unwrap())?;
    }
}
