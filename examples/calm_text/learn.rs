//! The three trainings of a run.

use super::common::{Stages, falling};
use super::text::{Quarters, Split, Text};
use super::{Continuous, Settings, Softmax, judge};
use harmonium::Result;
use harmonium::data::{Samples, Windows};
use harmonium::models::calm::{
    Autoencoder, AutoencoderSettings, ContinuousLanguageModel, HeadSettings, LanguageModel, Transformer,
};
use harmonium::objectives::{NextToken, PatchReconstruction, ScoredDraws};
use harmonium::optim::Adam;
use harmonium::rng::derive;
use harmonium::train::{Fit, Metric, Named, Progress};
use std::collections::BTreeMap;
use std::time::Instant;

/// Units of the autoencoder's layers and of their gated parts; its learning rate, and patches of an update.
const CODER: [usize; 2] = [64, 128];
const CODER_STEPS: (f32, usize) = (0.002, 512);
/// Windows, characters and contexts that are looked at after every epoch, which is a quarter of the text for transformers.
const LOOKS: [usize; 3] = [100, 20_000, 100];
/// Passes back cost two passes forwards.
const PASSES: f64 = 3.0;

/// Trillions of multiplications of a training.
fn trillions(epochs: u64, samples: usize, each: f64) -> f64 {
    PASSES * epochs as f64 * samples as f64 * each * 1e-12
}
fn transformer(s: &Settings, length: usize) -> Transformer {
    let width = s.width();
    Transformer { layers: s.layers, width, heads: 4, inner: (8 * width / 3).next_multiple_of(8), length }
}
fn fit(s: &Settings, epochs: u64, (rate, batch): (f32, usize), n: usize) -> Fit {
    Fit { clip_norm: Some(1.0), ..falling(epochs, rate, batch, n, s.seed) }
}
fn with(mut notes: BTreeMap<String, String>, more: &[(&str, String)]) -> BTreeMap<String, String> {
    notes.extend(more.iter().map(|(k, v)| (k.to_string(), v.clone())));
    notes
}

/// A transformer with a softmax, if its training came to its end.
pub(crate) fn softmax(
    s: &Settings,
    (text, split): (&Text, &Split<'_>),
    stages: &Stages<'_>,
) -> Result<Option<Softmax>> {
    let began = Instant::now();
    let mut model = LanguageModel::new(text.alphabet.len(), transformer(s, s.window))?;
    model.initialise(derive(s.seed, "softmax"));
    let data = Quarters(Windows::new(&split.training, s.window + 1)?.shifted(derive(s.seed, "windows")));
    let epochs = s.epochs() * Quarters::PARTS;
    let (contexts, next) = judge::contexts(split, s.window, LOOKS[2])?;
    let nats = |p: &Progress<'_, LanguageModel>| Ok(judge::nats(p.model, split, LOOKS[0])?.value);
    let brier = |p: &Progress<'_, LanguageModel>| Ok(judge::brier(p.model, (&contexts, &next), s.seed)?.score.value);
    let metrics: Vec<Box<dyn Metric<LanguageModel>>> = vec![
        Box::new(Named { name: "nats".into(), measure: nats }),
        Box::new(Named { name: "brier_lm".into(), measure: brier }),
    ];
    let (fit, mut adam) = (fit(s, epochs, (s.learning_rate, s.batch), data.n_samples()), Adam::default());
    let mut objective = NextToken::default();
    let stage = ("softmax", s.notes(text));
    if !stages.train(stage, &fit, &mut model, (&mut objective, &mut adam), (&data, metrics))? {
        return Ok(None);
    }
    let multiplications = trillions(epochs, data.n_samples(), s.window as f64 * model.multiplications());
    let seconds = began.elapsed().as_secs_f64();
    let judged = judge::judge(&model, split, [s.window, s.contexts()], (s.seed, seconds))?;
    let nats = judge::nats(&model, split, usize::MAX)?;
    Ok(Some(Softmax { model, judged, nats, multiplications }))
}

/// An autoencoder of `k` characters and a transformer with a head, together as many multiplications as `budget` says; if their training came
/// to its end.
pub(crate) fn continuous(
    s: &Settings,
    k: usize,
    (text, split): (&Text, &Split<'_>),
    stages: &Stages<'_>,
    budget: f64,
) -> Result<Option<Continuous>> {
    let began = Instant::now();
    let Some((coder, own)) = autoencoder(s, k, (text, split), stages)? else { return Ok(None) };
    let accuracies = judge::accuracies(&coder, split, usize::MAX, s.seed)?;
    let positions = s.window / k;
    let head = HeadSettings { noise: 2 * s.latent, width: s.width(), blocks: s.blocks };
    let mut model = ContinuousLanguageModel::new(coder, transformer(s, positions), head)?;
    model.initialise(derive(s.seed, "energy head"));
    let data = Quarters(Windows::new(&split.training, s.window + k)?.shifted(derive(s.seed, "windows")));
    // What is to be drawn is encoded anew in every pass; nothing passes back through that.
    let [encoding, _] = model.autoencoder().multiplications();
    let patch = model.multiplications(s.draws) + encoding / PASSES;
    let epoch = trillions(1, data.n_samples(), positions as f64 * patch);
    let epochs = (((budget - own) / epoch).round() as u64).max(1);
    let (contexts, next) = judge::contexts(split, s.window, LOOKS[2])?;
    let brier =
        |p: &Progress<'_, ContinuousLanguageModel>| Ok(judge::brier(p.model, (&contexts, &next), s.seed)?.score.value);
    let metrics: Vec<Box<dyn Metric<ContinuousLanguageModel>>> =
        vec![Box::new(Named { name: "brier_lm".into(), measure: brier })];
    let (fit, mut adam) = (fit(s, epochs, (s.learning_rate, s.batch), data.n_samples()), Adam::default());
    let mut objective = ScoredDraws::new(s.draws, s.seed);
    let about = [("patch", k.to_string()), ("draws", s.draws.to_string()), ("head", format!("{head:?}"))];
    let (name, notes) = (format!("energy head of {k}"), with(s.notes(text), &about));
    if !stages.train((&name, notes), &fit, &mut model, (&mut objective, &mut adam), (&data, metrics))? {
        return Ok(None);
    }
    let seconds = began.elapsed().as_secs_f64();
    let judged = judge::judge(&model, split, [s.window, s.contexts()], (s.seed, seconds))?;
    Ok(Some(Continuous { model, judged, accuracies, multiplications: [own, own + epochs as f64 * epoch] }))
}
/// An autoencoder, and what it cost.
fn autoencoder(
    s: &Settings,
    k: usize,
    (text, split): (&Text, &Split<'_>),
    stages: &Stages<'_>,
) -> Result<Option<(Autoencoder, f64)>> {
    let ([width, inner], tokens) = (CODER, text.alphabet.len());
    let mut model = Autoencoder::new(AutoencoderSettings { tokens, patch: k, width, inner, latent: s.latent })?;
    model.initialise(derive(s.seed, "autoencoder"));
    let data = Windows::new(&split.training, k)?.shifted(derive(s.seed, "patches"));
    let look = |noisy: usize| {
        move |p: &Progress<'_, Autoencoder>| Ok(100.0 * judge::accuracies(p.model, split, LOOKS[1], s.seed)?[noisy])
    };
    let metrics: Vec<Box<dyn Metric<Autoencoder>>> = vec![
        Box::new(Named { name: "percent_back".into(), measure: look(0) }),
        Box::new(Named { name: "percent_back_with_noise".into(), measure: look(1) }),
    ];
    let epochs = s.autoencoder_epochs();
    let (fit, mut adam) = (fit(s, epochs, CODER_STEPS, data.n_samples()), Adam::default());
    let mut objective = PatchReconstruction::new(s.seed);
    let about = [
        ("patch", k.to_string()),
        ("latent", s.latent.to_string()),
        ("autoencoder", format!("{CODER:?}, {epochs} epochs of {CODER_STEPS:?}")),
    ];
    let (name, notes) = (format!("autoencoder of {k}"), with(s.notes(text), &about));
    let done = stages.train((&name, notes), &fit, &mut model, (&mut objective, &mut adam), (&data, metrics))?;
    let own = trillions(epochs, data.n_samples(), model.multiplications().iter().sum());
    Ok(done.then_some((model, own)))
}
