//! Perplexity of documents, held against sums over all sequences of words and all hidden states, which are written out here in
//! double precision from the definition of the energy.

use crate::cases::close;
use harmonium::base_rate::base_rate;
use harmonium::eval::{
    Ais, ByLength, LogPartition, Perplexing, ais, exact_log_partition, log_partitions_by_length, perplexity,
};
use harmonium::models::ReplicatedSoftmax;
use harmonium::units::{Bernoulli, Spin};
use harmonium::{Conditioned, Error, Learn, Mat, Train};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

fn random(mut model: ReplicatedSoftmax, scale: f32, seed: u64) -> ReplicatedSoftmax {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    model.update(&mut |p| p.as_mut_slice().iter_mut().for_each(|x| *x = rng.random_range(-scale..scale)));
    model
}
/// `log Σ_h exp(-E)` of one sequence of words: `Σ_h exp(Σ_words (b + Wᵀh)_word + D cᵀh)` over bits.
fn log_f(model: &ReplicatedSoftmax, words: &[usize]) -> f64 {
    let (h, w) = (model.n_hidden(), model.weights());
    let of_hidden = |state: usize| {
        let on = (0..h).filter(|j| state >> j & 1 == 1);
        let word = |k: &usize| -> f64 {
            let field = on.clone().map(|j| f64::from(w[(j, *k)]) + f64::from(model.hidden_bias()[j])).sum::<f64>();
            f64::from(model.visible_bias()[*k]) + field
        };
        words.iter().map(word).sum::<f64>().exp()
    };
    (0..1 << h).map(of_hidden).sum::<f64>().ln()
}
/// All sequences of so many words.
fn sequences(kinds: usize, length: usize) -> Vec<Vec<usize>> {
    let digits = |mut n: usize| {
        let mut words = vec![0; length];
        words.iter_mut().for_each(|w| (*w, n) = (n % kinds, n / kinds));
        words
    };
    (0..kinds.pow(length as u32)).map(digits).collect()
}
fn document(kinds: usize, words: &[usize]) -> Vec<f32> {
    let mut column = vec![0.0; 1 + kinds];
    column[0] = words.len() as f32;
    words.iter().for_each(|w| column[1 + w] += 1.0);
    column
}
fn matrix(documents: &[Vec<f32>]) -> Mat {
    Mat::from_fn(documents[0].len(), documents.len(), |i, j| documents[j][i])
}
/// Some sequences of each length from 1 to 6.
fn some_sequences(kinds: usize) -> Vec<Vec<usize>> {
    (1..=6).flat_map(|d| sequences(kinds, d).into_iter().step_by(1 + kinds.pow(d as u32) / 5)).collect()
}
const FEW: ByLength = ByLength { steps: 100, runs: 1000, seed: 3 };

#[test]
fn it_is_what_the_sum_over_all_sequences_says() {
    for seed in 0..3 {
        let model = random(ReplicatedSoftmax::new(3, (4, Bernoulli)), 1.5, seed);
        let texts = some_sequences(3);
        let log_z: Vec<f64> =
            (1..=6).map(|d| sequences(3, d).iter().map(|s| log_f(&model, s).exp()).sum::<f64>().ln()).collect();
        let expected: Vec<f64> = texts.iter().map(|s| log_f(&model, s) - log_z[s.len() - 1]).collect();
        // Of each length, probabilities of sequences sum to one; so they are those of words in order.
        let all: f64 = sequences(3, 4).iter().map(|s| (log_f(&model, s) - log_z[3]).exp()).sum();
        close(all, 1.0, 1.0, "Σp");
        let documents = matrix(&texts.iter().map(|s| document(3, s)).collect::<Vec<_>>());
        let found = perplexity(&model, &documents, &[0.0; 8], &Perplexing::default()).unwrap();
        found.log_p.iter().zip(&expected).for_each(|(a, b)| close(*a, *b, 20.0, "log p"));
        let (n, words) = (texts.len() as f64, texts.iter().map(Vec::len).sum::<usize>() as f64);
        let mean = texts.iter().zip(&expected).map(|(s, p)| p / s.len() as f64).sum::<f64>() / n;
        close(found.by_document.value, (-mean).exp(), 20.0, "by document");
        close(found.by_word.value, (-expected.iter().sum::<f64>() / words).exp(), 20.0, "by word");
        assert_eq!((found.by_word.standard_error, found.warning()), (0.0, None));
        assert_eq!((found.lengths, found.documents.len()), ((1..=6).collect(), texts.len()));
    }
}
/// Every length, from one annealing; the true error must be what the runs say.
#[test]
fn annealing_through_lengths_finds_log_z_at_each() {
    let kinds = [
        random(ReplicatedSoftmax::new(3, (4, Bernoulli)), 1.5, 5),
        random(ReplicatedSoftmax::new(3, (4, Spin)), 1.0, 6),
    ];
    for model in kinds {
        let lengths = [1, 2, 5, 6, 20, 50];
        let base = base_rate(&model, &[10.0, 2.0, 3.0, 5.0], 0.1).unwrap();
        let found = log_partitions_by_length(&model, &base, &lengths, &FEW).unwrap();
        for (z, d) in found.iter().zip(lengths) {
            let given = [d as f32];
            let exact = exact_log_partition(&Conditioned::new(&model, &given).unwrap()).unwrap();
            assert!(
                (z.value - exact).abs() < 4.5 * z.standard_error,
                "{d}: {} ± {}, {exact}",
                z.value,
                z.standard_error
            );
            assert!(z.standard_error < 0.1 && z.log_weights.len() == FEW.runs, "{d}: {}", z.standard_error);
        }
    }
}
/// The weights themselves average to Z, however few the temperatures: the property that makes the estimate one.
#[test]
fn its_weights_are_unbiased_with_two_temperatures() {
    let model = random(ReplicatedSoftmax::new(3, (3, Bernoulli)), 0.7, 9);
    let settings = ByLength { steps: 2, runs: 40_000, seed: 1 };
    let found = log_partitions_by_length(&model, &[0.0, 0.3, -0.2, 0.1, 0.0, 0.0, 0.0], &[2, 3, 9], &settings).unwrap();
    for (z, d) in found.iter().zip([2.0].iter().chain(&[3.0, 9.0])) {
        let exact = exact_log_partition(&Conditioned::new(&model, &[*d]).unwrap()).unwrap();
        assert!(z.standard_error < 0.02, "{d}: {}", z.standard_error);
        assert!((z.value - exact).abs() < 4.5 * z.standard_error, "{d}: {} ± {}, {exact}", z.value, z.standard_error);
    }
}
/// A model too large to be summed: both ways of annealing agree, and by more than the errors of each separately.
#[test]
fn both_ways_of_annealing_agree() {
    let model = random(ReplicatedSoftmax::new(30, (40, Bernoulli)), 0.4, 2);
    let mean: Vec<f32> = std::iter::once(30.0).chain(vec![1.0; 30]).collect();
    let base = base_rate(&model, &mean, 0.0).unwrap();
    let lengths = [3, 12];
    let found =
        log_partitions_by_length(&model, &base, &lengths, &ByLength { steps: 300, runs: 200, seed: 1 }).unwrap();
    for (z, d) in found.iter().zip(lengths) {
        let given = [d as f32];
        let at_length = Conditioned::new(&model, &given).unwrap();
        let other: LogPartition =
            ais(&at_length, &base[1..], &Ais { betas: Ais::linear(1000), runs: 200, seed: 7 }).unwrap();
        let error = z.standard_error.hypot(other.standard_error);
        assert!(
            (z.value - other.value).abs() < 4.5 * error && error < 0.3,
            "{d}: {} {} ± {error}",
            z.value,
            other.value
        );
    }
}
/// Errors are told as they are: over many seeds, the annealed perplexity scatters as its error bar says.
#[test]
fn the_error_bar_is_the_scatter_over_seeds() {
    let model = random(ReplicatedSoftmax::new(6, (30, Bernoulli)), 1.0, 4);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let texts = (0..40).map(|j| (0..3 + j % 7).map(|_| rng.random_range(0..6)).collect::<Vec<usize>>());
    let documents = matrix(&texts.map(|s| document(6, &s)).collect::<Vec<_>>());
    let of_seed = |seed| {
        let settings = Perplexing { annealing: ByLength { steps: 30, runs: 100, seed }, subset: None };
        perplexity(&model, &documents, &[0.0; 37], &settings).unwrap().by_document
    };
    let n = 60;
    let found: Vec<_> = (0..n).map(of_seed).collect();
    let mean = found.iter().map(|p| p.value).sum::<f64>() / n as f64;
    let scatter = (found.iter().map(|p| (p.value - mean).powi(2)).sum::<f64>() / (n - 1) as f64).sqrt();
    let told = (found.iter().map(|p| p.standard_error.powi(2)).sum::<f64>() / n as f64).sqrt();
    // A deviation of 60 draws is known to 1/√118 = 9 %.
    assert!((scatter / told).ln().abs() < 4.5 * 0.092, "{scatter} {told}");
    assert!(found[0].standard_error > 0.0 && found[0].value != found[1].value);
}
/// Over subsets, the perplexity scatters as its sampling error says; a subset is drawn by its seed.
#[test]
fn a_subset_stands_for_all() {
    let model = random(ReplicatedSoftmax::new(5, (3, Bernoulli)), 1.0, 4);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let texts = (0..4000).map(|j| (0..3 + j % 7).map(|_| rng.random_range(0..5)).collect::<Vec<usize>>());
    let documents = matrix(&texts.map(|s| document(5, &s)).collect::<Vec<_>>());
    let base = [0.0; 9];
    let of = |seed, subset| {
        let annealing = ByLength { seed, ..ByLength::default() };
        perplexity(&model, &documents, &base, &Perplexing { annealing, subset }).unwrap()
    };
    let (all, n) = (of(0, None), 200);
    assert_eq!((of(0, Some(4000)).documents.len(), of(1, Some(4000)) == all), (4000, true));
    let some: Vec<_> = (0..n).map(|seed| of(seed, Some(100))).collect();
    assert!(some[0].documents.len() == 100 && some[0].documents != some[1].documents && some[0] == of(0, Some(100)));
    some[0].documents.iter().zip(&some[0].log_p).for_each(|(&j, p)| close(*p, all.log_p[j], 5.0, "log p of a subset"));
    for of in [|p: &harmonium::eval::Perplexities| p.by_document, |p: &harmonium::eval::Perplexities| p.by_word] {
        let z = |p| (of(p).value - of(&all).value) / of(p).sampling_error;
        let square = some.iter().map(|p| z(p).powi(2)).sum::<f64>() / n as f64;
        // Drawn without replacement: smaller by 1 - 100 / 4000.
        assert!((square - 0.975).abs() < 4.5 * (2.0 / n as f64).sqrt(), "{square}");
    }
}
#[test]
fn what_is_no_document_is_refused() {
    let model = random(ReplicatedSoftmax::new(3, (2, Bernoulli)), 0.5, 1);
    let complaint = |documents: &[Vec<f32>], base: &[f32], settings: &Perplexing| {
        perplexity(&model, &matrix(documents), base, settings).unwrap_err().to_string()
    };
    let (base, usual) = ([0.0; 6], Perplexing::default());
    let good = vec![3.0, 1.0, 0.0, 2.0];
    let of = |bad: [f32; 4]| complaint(&[good.clone(), bad.to_vec()], &base, &usual);
    assert!(of([0.0; 4]).contains("length of document 1"));
    assert!(of([f32::NAN, 1.0, 0.0, 0.0]).contains("length of document 1"));
    assert!(of([1e9, 1e9, 0.0, 0.0]).contains("length of document 1"));
    assert!(of([2.5, 1.0, 1.5, 0.0]).contains("length of document 1"));
    assert!(of([2.0, 1.5, 0.5, 0.0]).contains("count 0 of document 1"));
    assert!(of([2.0, 3.0, -1.0, 0.0]).contains("count 1 of document 1"));
    assert!(of([3.0, 1.0, 1.0, 0.0]).contains("sum of the counts of document 1"));
    assert!(complaint(&[vec![1.0, 1.0]], &base, &usual).contains("rows of documents"));
    let none = perplexity(&model, &Mat::zeros(4, 0), &base, &usual).unwrap_err().to_string();
    assert!(none.contains("samples"), "{none}");
    let nobody = Perplexing { subset: Some(0), ..Perplexing::default() };
    assert!(complaint(&[good], &base, &nobody).contains("subset"));
    let anneal = |base: &[f32], lengths: &[u64], settings| log_partitions_by_length(&model, base, lengths, &settings);
    for (base, lengths, settings) in [
        (&base[1..], &[1, 2][..], FEW),
        (&[f32::NAN; 6], &[1], FEW),
        (&base, &[0, 1], FEW),
        (&base, &[2, 2], FEW),
        (&base, &[3, 2], FEW),
        (&base, &[1 << 25], FEW),
        (&base, &[1], ByLength { steps: 0, ..FEW }),
        (&base, &[1], ByLength { runs: 0, ..FEW }),
    ] {
        let e = anneal(base, lengths, settings).unwrap_err();
        assert!(matches!(e, Error::Shape { .. } | Error::Value { .. }), "{e}");
    }
    assert_eq!(model.n_visible(), 4);
}
/// The same bits for any number of threads.
#[test]
fn threads_change_nothing() {
    let model = random(ReplicatedSoftmax::new(6, (5, Bernoulli)), 1.0, 4);
    let run = || {
        log_partitions_by_length(&model, &[0.0; 12], &[1, 4, 9], &ByLength { steps: 5, runs: 300, seed: 2 }).unwrap()
    };
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
    assert_eq!(pool(1).install(run), pool(3).install(run));
}
