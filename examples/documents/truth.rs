//! Documents drawn from a replicated softmax that is known: what a learned one can be held against.

use harmonium::data::{Documents, order};
use harmonium::models::ReplicatedSoftmax;
use harmonium::rng::{ChainRng, derive};
use harmonium::units::{Bernoulli, Multinomial};
use harmonium::{Result, Train, Unit};
use rand::RngExt;

const WORDS: usize = 500;
const TOPICS: usize = 12;
/// Words that a topic speaks of, and how much more often.
const SPOKEN: usize = 25;
const STRENGTH: std::ops::Range<f32> = 1.5..2.5;
const LENGTHS: std::ops::RangeInclusive<u32> = 10..=40;
/// How often a topic is on, at the mean length.
const ACTIVE: f64 = 0.25;

/// A model whose topics are on as often as off words allow, and documents that are drawn from it exactly: hidden states by
/// enumeration, then words. The label of a document is the state of its first three topics.
pub(crate) fn draw(n: usize, seed: u64) -> Result<(ReplicatedSoftmax, Documents)> {
    let model = truth(seed);
    let log_f = log_f(&model);
    let mut rng = ChainRng::new(derive(seed, "documents of a known model"));
    let mut all = Documents {
        vocabulary: (0..WORDS).map(|k| format!("word{k:03}")).collect(),
        classes: (0..8).map(|c| format!("topics {c:03b}")).collect(),
        ..Documents::default()
    };
    let states: Vec<Vec<f64>> = LENGTHS.map(|d| probabilities(&log_f, f64::from(d))).collect();
    let (words, mut counts) = (Multinomial { q: WORDS }, vec![0.0; WORDS]);
    for j in 0..n {
        let d = rng.random_range(LENGTHS);
        let (mut u, mut h) = (rng.random::<f64>(), 0);
        for (state, p) in states[(d - LENGTHS.start()) as usize].iter().enumerate() {
            h = state;
            u -= p;
            if u < 0.0 {
                break;
            }
        }
        words.sample(&[d as f32], &field(&model, h), &mut counts, &mut rng);
        let some = (0..).zip(&counts).filter(|(_, c)| **c > 0.0);
        all.counts.push(some.map(|(k, &c)| (k, c as u32)).collect());
        all.names.push(format!("document {}", j + 1));
        all.labels.push((h % 8) as u8);
    }
    Ok((model, all))
}

/// Words of unequal frequency, topics of some words each, and hidden biases with which every topic is on equally often.
fn truth(seed: u64) -> ReplicatedSoftmax {
    let mut rng = ChainRng::new(derive(seed, "a known model"));
    let mut model = ReplicatedSoftmax::new(WORDS, (TOPICS, Bernoulli));
    model.update(&mut |p| {
        for j in 0..TOPICS {
            let spoken = order(WORDS, derive(seed, "words of a topic"), j as u64);
            spoken[..SPOKEN].iter().for_each(|&k| p.mat_mut(0)[(j, k)] = rng.random_range(STRENGTH));
        }
        p.slice_mut(1).iter_mut().for_each(|b| *b = rng.random_range(-1.0..1.0));
    });
    let mean_length = f64::from(LENGTHS.start() + LENGTHS.end()) / 2.0;
    // The likelihood of the biases is concave: steps of its gradient.
    for _ in 0..400 {
        let p = probabilities(&log_f(&model), mean_length);
        let on = |j: usize| p.iter().enumerate().filter(|(h, _)| h >> j & 1 == 1).map(|(_, p)| p).sum::<f64>();
        let steps: Vec<f64> = (0..TOPICS).map(|j| 2.0 * (ACTIVE - on(j)) / mean_length).collect();
        model.update(&mut |p| p.slice_mut(2).iter_mut().zip(&steps).for_each(|(c, step)| *c += *step as f32));
    }
    model
}

/// `b + Wᵀh`
fn field(model: &ReplicatedSoftmax, h: usize) -> Vec<f32> {
    let w = model.weights();
    let on = |k: usize| (0..TOPICS).filter(|j| h >> j & 1 == 1).map(|j| w[(j, k)]).sum::<f32>();
    model.visible_bias().iter().enumerate().map(|(k, b)| b + on(k)).collect()
}
/// `log f(h) = cᵀh + log Σ exp(b + Wᵀh)` of every hidden state: `p(h | D) ∝ f(h)ᴰ`.
fn log_f(model: &ReplicatedSoftmax) -> Vec<f64> {
    let unit = Multinomial { q: WORDS };
    let bias =
        |h: usize| -> f64 { (0..TOPICS).filter(|j| h >> j & 1 == 1).map(|j| f64::from(model.hidden_bias()[j])).sum() };
    (0..1 << TOPICS).map(|h| bias(h) + unit.log_partition(&[1.0], &field(model, h))).collect()
}
fn probabilities(log_f: &[f64], d: f64) -> Vec<f64> {
    let most = log_f.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let p: Vec<f64> = log_f.iter().map(|f| (d * (f - most)).exp()).collect();
    let total: f64 = p.iter().sum();
    p.into_iter().map(|p| p / total).collect()
}
