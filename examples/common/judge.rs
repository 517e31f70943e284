//! Whether samples look like digits: by a classifier of real ones, and beside the training images that are nearest to them.

use harmonium::data::{Labelled, Samples, Stacked, one_hot, real};
use harmonium::linalg::dot;
use harmonium::models::neural::{Activation, Noise, Predictor};
use harmonium::objectives::Supervised;
use harmonium::optim::{Adam, Schedule};
use harmonium::rng::derive;
use harmonium::train::{Fit, Run, Silent};
use harmonium::units::Softmax;
use harmonium::{Error, Mat, MatRef, Result};
use rayon::prelude::*;
use std::sync::Arc;

/// What a classifier says of samples.
pub struct Verdict {
    /// The share of samples whose class has a probability above 0.9.
    pub sure: f64,
    /// Samples of every class, the sure ones alone.
    pub classes: [usize; 10],
    /// The class of every sample.
    pub labels: Vec<usize>,
}

/// A classifier of grey images (784-500-500-10 with dropout), trained on real ones.
pub struct Judge(Predictor);
impl Judge {
    pub fn train(train: &Labelled, epochs: u64, seed: u64) -> Result<Self> {
        let seed = derive(seed, "judge");
        let d = train.images.n_pixels();
        let hidden = [(500, Activation::Relu), (500, Activation::Relu)];
        let mut net = Predictor::new(d, &hidden, &[(10, Arc::new(Softmax { q: 10 }))]);
        net.network_mut().initialise(seed);
        let (pixels, labels) = (real(&train.images), one_hot(&train.labels, 10)?);
        let data = Stacked::new(vec![&pixels, &labels])?;
        let noise = Noise { drop_inputs: 0.2, drop_hidden: 0.5, fields: None };
        let mut objective = Supervised::new(seed).with_noise(noise);
        let steps = epochs * train.labels.len().div_ceil(100) as u64;
        let learning_rate = Schedule::Linear { from: 1e-3, to: 0.0, steps };
        let fit = Fit { epochs, batch: 100, learning_rate, seed, ..Fit::default() };
        fit.run(&mut Run::new(&mut net, &mut objective, &mut Adam::default(), &mut Silent), &data)?;
        Ok(Self(net))
    }
    /// The share of test images it gets wrong.
    pub fn error(&self, test: &Labelled) -> Result<f64> {
        let found = self.0.classify(real(&test.images).to_mat().as_view())?;
        let wrong = found.iter().zip(&test.labels).filter(|(f, l)| **f != usize::from(**l)).count();
        Ok(wrong as f64 / test.labels.len() as f64)
    }
    /// What it says of samples, grey images from 0 to 1 (pixels × samples).
    pub fn look(&self, samples: MatRef<'_>) -> Result<Verdict> {
        let p = self.0.predict(samples)?;
        let mut verdict = Verdict { sure: 0.0, classes: [0; 10], labels: vec![] };
        for p in p.column_iter() {
            let class = p.imax();
            verdict.labels.push(class);
            if p[class] > 0.9 {
                verdict.classes[class] += 1;
            }
        }
        verdict.sure = verdict.classes.iter().sum::<usize>() as f64 / p.ncols() as f64;
        Ok(verdict)
    }
}

/// The nearest of these images (pixels × images) to every sample, by squared distance, and how near it is.
pub fn nearest(samples: MatRef<'_>, images: MatRef<'_>) -> Result<Vec<(usize, f64)>> {
    if samples.nrows() != images.nrows() {
        return Err(Error::shape("pixels of samples and images", images.nrows(), samples.nrows()));
    }
    let column = |m: MatRef<'_>, j: usize| m.column(j).iter().copied().collect::<Vec<f32>>();
    let sizes: Vec<f64> = (0..images.ncols()).map(|k| dot(&column(images, k), &column(images, k))).collect();
    let of = |j: usize| {
        let x = column(samples, j);
        let own = dot(&x, &x);
        let distance = |k: usize| sizes[k] + own - 2.0 * dot(&x, images.column(k).as_slice());
        let best = (0..images.ncols()).map(|k| (k, distance(k))).min_by(|a, b| a.1.total_cmp(&b.1));
        best.unwrap_or((0, f64::INFINITY))
    };
    Ok((0..samples.ncols()).into_par_iter().map(of).collect())
}
/// Samples, each beside its nearest image: pairs of columns.
pub fn beside(samples: MatRef<'_>, images: MatRef<'_>) -> Result<Mat> {
    let near = nearest(samples, images)?;
    Ok(Mat::from_fn(samples.nrows(), 2 * samples.ncols(), |i, k| match k % 2 {
        0 => samples[(i, k / 2)],
        _ => images[(i, near[k / 2].0)],
    }))
}
