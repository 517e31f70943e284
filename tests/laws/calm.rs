//! Energy heads and models of language: against a second implementation in double precision, gradients against differences, the same bits
//! for any number of threads and after a pause.

use harmonium::infer::write_sharpened;
use harmonium::laws::{self, HandOver};
use harmonium::models::calm::{
    Autoencoder, AutoencoderSettings, ContinuousLanguageModel, HeadSettings, ImplicitDensity, LanguageModel,
    Transformer, Writer,
};
use harmonium::models::neural::Activation;
use harmonium::objectives::{EnergyScore, NextToken, Objective, PatchReconstruction, ScoredDraws};
use harmonium::optim::{Adam, Penalty, Schedule};
use harmonium::train::{Fit, Learner, Run, Silent};
use harmonium::{Batch, ChainRng, Mat, Params};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

const TRANSFORMER: Transformer = Transformer { layers: 2, width: 8, heads: 2, inner: 6, length: 5 };
const CODER: AutoencoderSettings = AutoencoderSettings { tokens: 7, patch: 3, width: 8, inner: 6, latent: 4 };
const HEAD: HeadSettings = HeadSettings { noise: 3, width: 6, blocks: 2 };

fn scored(draws: usize, targets: usize, score: EnergyScore) -> ScoredDraws {
    let mut objective = ScoredDraws::new(draws, 1);
    (objective.score, objective.targets) = (score, targets);
    objective
}
/// Moves every parameter a little, so that none is at its special first value.
fn stirred<M: Learner>(mut model: M, scale: f32) -> M {
    let mut rng = ChainRng::new(9);
    model.change(&mut |p| {
        p.as_mut_slice().iter_mut().for_each(|v| {
            let z: f32 = StandardNormal.sample(&mut rng);
            *v += scale * z;
        });
    });
    model
}
fn density() -> ImplicitDensity {
    let mut model = ImplicitDensity::new(2, &[(5, Activation::Silu), (4, Activation::Tanh)], 3, HEAD).unwrap();
    model.initialise(1);
    model
}
fn language() -> LanguageModel {
    let mut model = LanguageModel::new(7, TRANSFORMER).unwrap();
    model.initialise(2);
    model
}
fn coder() -> Autoencoder {
    let mut model = Autoencoder::new(CODER).unwrap();
    model.initialise(3);
    stirred(model, 0.1)
}
fn continuous() -> ContinuousLanguageModel {
    let mut model = ContinuousLanguageModel::new(coder(), TRANSFORMER, HEAD).unwrap();
    model.initialise(4);
    model
}
fn tokens(rows: usize, columns: usize) -> Mat {
    let mut rng = ChainRng::new(5);
    Mat::from_fn(rows, columns, |_, _| rng.random_range(0..7u32) as f32)
}
fn reals(rows: usize, columns: usize) -> Mat {
    let mut rng = ChainRng::new(6);
    Mat::from_fn(rows, columns, |_, _| StandardNormal.sample(&mut rng))
}
fn gradient<M: Learner, O: Objective<M>>(model: &M, objective: &mut O, x: &Mat, weights: &[f32]) -> (f64, Params) {
    let mut grad = model.parameters().zeros_like();
    grad.as_mut_slice().fill(f32::NAN);
    let batch = Batch { x: x.as_view(), weights, missing: None, step: 7 };
    let report = objective.gradient(model, &batch, &mut grad).unwrap();
    (report.loss.unwrap(), grad)
}

/// Along a direction in every slot, near the slope itself, the loss changes as the gradient says; its noise is the same in each call.
#[track_caller]
fn slopes<M: Learner, O: Objective<M>>(what: &str, model: M, mut objective: O, x: &Mat) {
    let mut model = stirred(model, 0.2);
    let weights: Vec<f32> = (0..x.ncols()).map(|j| (j % 3) as f32).collect();
    let (_, grad) = gradient(&model, &mut objective, x, &weights);
    let (at, mut rng, mut checked) = (model.parameters().clone(), ChainRng::new(8), 0);
    for slot in 0..grad.slots().len() {
        let direction: Vec<f64> = grad.slice(slot).iter().map(|g| f64::from(*g) * rng.random_range(0.2..1.8)).collect();
        let length = direction.iter().map(|d| d * d).sum::<f64>().sqrt();
        if length < 1e-4 {
            continue;
        }
        let mut on = |h: f64| {
            model.change(&mut |p| {
                p.as_mut_slice().copy_from_slice(at.as_slice());
                let own = p.slice_mut(slot).iter_mut().zip(&direction);
                own.for_each(|(p, d)| *p = (f64::from(*p) + h * d / length) as f32);
            });
            gradient(&model, &mut objective, x, &weights).0
        };
        let h = 0.004;
        let measured = (8.0 * (on(h) - on(-h)) - (on(2.0 * h) - on(-2.0 * h))) / (12.0 * h);
        let told: f64 = grad.slice(slot).iter().zip(&direction).map(|(g, d)| f64::from(*g) * d / length).sum();
        // Losses of some nats are known to some 1e-6.
        let tolerance = 2e-3 * (1.0 + told.abs());
        let name = &grad.slots()[slot].name;
        assert!((measured - told).abs() < tolerance, "{what}, {name}: {told}, and by differences {measured}");
        checked += 1;
    }
    assert!(2 * checked > grad.slots().len(), "{what}: {checked} slots of {} have a slope", grad.slots().len());
}
#[test]
fn gradients_are_those_of_the_losses() {
    let score = |alpha: f64, targets: usize| scored(3, targets, EnergyScore { alpha, diversity: 1.0 });
    slopes("density", density(), score(1.0, 1), &reals(5, 6));
    slopes("density, power 1.4", density(), score(1.4, 1), &reals(5, 6));
    slopes("language", language(), NextToken::default(), &tokens(6, 5));
    let mut kept = PatchReconstruction::new(1);
    (kept.divergence, kept.floor) = (0.3, 0.05);
    slopes("autoencoder", coder(), kept, &tokens(3, 150));
    slopes("continuous", continuous(), score(1.0, 4), &tokens(18, 5));
}
/// The last layer is zero: all draws are, whatever comes before; so the loss is twice the mean length of what is seen.
#[test]
fn the_first_loss_is_twice_the_length_of_the_targets() {
    let (model, x) = (density(), reals(5, 40));
    let (loss, grad) = gradient(&model, &mut ScoredDraws::new(8, 1), &x, &[1.0; 40]);
    let length: f64 = x.column_iter().map(|c| c.rows(2, 3).map(f64::from).norm()).sum::<f64>() / 40.0;
    assert!((loss - 2.0 * length).abs() < 1e-6 * length, "{loss}, and twice {length}");
    // Only that layer can learn at first, and it does.
    for (slot, s) in grad.slots().iter().enumerate() {
        let moves = grad.slice(slot).iter().any(|g| *g != 0.0);
        assert!(grad.slice(slot).iter().all(|g| g.is_finite()));
        assert_eq!(moves, s.name.starts_with("head.last.out"), "{}", s.name);
    }
}

/// A layer, a norm and a gated part in double precision, by the names of their slots.
struct Plain<'a>(&'a Params);
impl Plain<'_> {
    fn slot(&self, name: &str) -> Vec<f64> {
        let k = self.0.slots().iter().position(|s| s.name == name).unwrap_or_else(|| panic!("no slot {name}"));
        self.0.slice(k).iter().map(|v| f64::from(*v)).collect()
    }
    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let (w, mut out) = (self.slot(&format!("{name}.weights")), self.slot(&format!("{name}.bias")));
        let n = out.len();
        assert_eq!(w.len(), n * x.len(), "{name}");
        x.iter().zip(w.chunks(n)).for_each(|(x, w)| out.iter_mut().zip(w).for_each(|(o, w)| *o += x * w));
        out
    }
    fn rms(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let size = (x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64 + 1e-6).sqrt();
        x.iter().zip(self.slot(&format!("{name}.weight"))).map(|(x, w)| x / size * w).collect()
    }
    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let centred: Vec<f64> = x.iter().map(|v| v - mean).collect();
        self.rms(name, &centred)
    }
    fn gated(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let both = self.linear(&format!("{name}.up"), &self.rms(&format!("{name}.norm"), x));
        plus(x, &self.linear(&format!("{name}.down"), &glu(&both)))
    }
    /// Logits of the tokens of a patch, by its vector.
    fn decode(&self, z: &[f64], width: usize) -> Vec<Vec<f64>> {
        let joint = self.gated("decoder.all", &self.linear("decoder.first", z));
        let logits =
            |each: &[f64]| self.linear("decoder.last", &self.rms("decoder.norm", &self.gated("decoder.each", each)));
        self.linear("decoder.joint", &joint).chunks(width).map(logits).collect()
    }
    fn embed(&self, token: u32, width: usize) -> Vec<f64> {
        self.slot("embedding")[token as usize * width..][..width].to_vec()
    }
    fn attention(&self, name: &str, x: &[Vec<f64>], heads: usize) -> Vec<Vec<f64>> {
        let width = x[0].len();
        let d = width / heads;
        let all: Vec<Vec<f64>> =
            x.iter().map(|x| self.linear(&format!("{name}.all"), &self.rms(&format!("{name}.norm"), x))).collect();
        let part = |p: usize, k: usize, h: usize| &all[p][k * width + h * d..][..d];
        let turned = |p: usize, k: usize, h: usize| {
            let (v, half) = (part(p, k, h), d / 2);
            let angle = |i: usize| p as f64 * 10_000f64.powf(-(i as f64) / half as f64);
            let low = (0..half).map(|i| v[i] * angle(i).cos() - v[half + i] * angle(i).sin());
            let high = (0..half).map(|i| v[half + i] * angle(i).cos() + v[i] * angle(i).sin());
            low.chain(high).collect::<Vec<f64>>()
        };
        let one = |p: usize| {
            let mut taken = vec![];
            for h in 0..heads {
                let query = turned(p, 0, h);
                let alike = |q: usize| query.iter().zip(turned(q, 1, h)).map(|(a, b)| a * b).sum::<f64>();
                let weights: Vec<f64> = (0..=p).map(|q| (alike(q) / (d as f64).sqrt()).exp()).collect();
                let sum: f64 = weights.iter().sum();
                taken.extend(
                    (0..d).map(|i| weights.iter().enumerate().map(|(q, w)| w / sum * part(q, 2, h)[i]).sum::<f64>()),
                );
            }
            plus(&x[p], &self.linear(&format!("{name}.out"), &taken))
        };
        (0..x.len()).map(one).collect()
    }
    fn head(&self, before: &str, context: &[f64], noise: &[f64]) -> Vec<f64> {
        let linear = |name: &str, x: &[f64]| self.linear(&format!("{before}{name}"), x);
        let norm = |name: &str, x: &[f64]| self.norm(&format!("{before}{name}"), x);
        let context = norm("context.norm", &linear("context.embed", context));
        let mut x = norm("noise.norm", &linear("noise.embed", noise));
        for b in ["block1", "block2"] {
            let first = linear(&format!("{b}.of_noise"), &norm(&format!("{b}.norm"), &x));
            let first = plus(&first, &linear(&format!("{b}.of_context"), &context));
            let inner = silus(&linear(&format!("{b}.inner"), &silus(&first)));
            x = plus(&x, &linear(&format!("{b}.out"), &glu(&linear(&format!("{b}.gates"), &inner))));
        }
        linear("last.out", &silus(&linear("last.inner", &norm("last.norm", &x))))
    }
    fn backbone(&self, mut x: Vec<Vec<f64>>, t: Transformer) -> Vec<Vec<f64>> {
        for l in 1..=t.layers {
            x = self.attention(&format!("backbone.layer{l}.attention"), &x, t.heads);
            x = x.iter().map(|x| self.gated(&format!("backbone.layer{l}.gated"), x)).collect();
        }
        x.iter().map(|x| self.rms("backbone.norm", x)).collect()
    }
}
fn plus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}
fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}
fn silus(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| silu(*x)).collect()
}
fn glu(both: &[f64]) -> Vec<f64> {
    let (gate, up) = both.split_at(both.len() / 2);
    gate.iter().zip(up).map(|(g, u)| silu(*g) * u).collect()
}
fn log_softmax(x: &[f64], k: usize) -> f64 {
    x[k] - x.iter().map(|v| v.exp()).sum::<f64>().ln()
}

#[test]
fn the_transformer_is_that_of_another_implementation() {
    let (model, x) = (stirred(language(), 0.3), tokens(6, 9));
    let plain = Plain(model.params());
    let got = model.log_probabilities(x.as_view()).unwrap();
    for (j, window) in x.column_iter().enumerate() {
        let window: Vec<u32> = window.iter().map(|t| *t as u32).collect();
        let embedded = window[..5].iter().map(|t| plain.embed(*t, 8)).collect();
        for (p, seen) in plain.backbone(embedded, TRANSFORMER).iter().enumerate() {
            let expected = log_softmax(&plain.linear("last", seen), window[p + 1] as usize);
            let got = f64::from(got[(p, j)]);
            assert!((got - expected).abs() < 2e-5 * (1.0 + expected.abs()), "{got}, {expected}");
        }
    }
    // So the probabilities of all next tokens sum to one, and what comes later changes nothing.
    let mut other = x.clone();
    other.row_mut(5).iter_mut().for_each(|t| *t = (*t + 1.0) % 7.0);
    let again = model.log_probabilities(other.as_view()).unwrap();
    assert_eq!(again.rows(0, 4), got.rows(0, 4));
    assert_ne!(again.row(4), got.row(4));
    // A window cut short has the same probabilities.
    let short = model.log_probabilities(x.rows(0, 3).clone_owned().as_view()).unwrap();
    assert!((short - got.rows(0, 2)).amax() < 1e-5);
}
#[test]
fn the_autoencoder_is_that_of_another_implementation() {
    let model = coder();
    let plain = Plain(model.params());
    let patches: Vec<u32> = tokens(3, 140).iter().map(|t| *t as u32).collect();
    let [means, deviations] = model.encode(&patches).unwrap();
    let back = model.decode(means.as_view()).unwrap();
    for (j, patch) in patches.chunks(3).enumerate() {
        let each = patch.iter().flat_map(|t| plain.gated("encoder.each", &plain.embed(*t, 8))).collect::<Vec<_>>();
        let joint = plain.gated("encoder.all", &plain.linear("encoder.joint", &each));
        let both = plain.linear("posterior", &plain.rms("encoder.norm", &joint));
        for i in 0..4 {
            assert!((f64::from(means[(i, j)]) - both[i]).abs() < 1e-5 * (1.0 + both[i].abs()));
            assert!((f64::from(deviations[(i, j)]) / both[4 + i].exp() - 1.0).abs() < 1e-5);
        }
        for (logits, token) in plain.decode(&both[..4], 8).iter().zip(&back[3 * j..]) {
            let most = logits.iter().copied().fold(f64::MIN, f64::max);
            assert!(logits[*token as usize] > most - 1e-5);
        }
    }
}
/// Given the noise.
#[test]
fn the_head_is_that_of_another_implementation() {
    use candle_core::{Device, Tensor};
    use candle_nn::{VarBuilder, VarMap};
    use harmonium::models::calm::EnergyHead;
    let (variables, mut rng) = (VarMap::new(), ChainRng::new(1));
    let builder = VarBuilder::from_varmap(&variables, candle_core::DType::F32, &Device::Cpu);
    let head = EnergyHead::new(builder, 5, 4, HEAD).unwrap();
    let mut shapes = vec![];
    for (name, var) in variables.data().lock().unwrap().iter() {
        let values: Vec<f32> = (0..var.elem_count()).map(|_| rng.random_range(-1.0..1.0)).collect();
        var.set(&Tensor::from_slice(&values, var.shape(), &Device::Cpu).unwrap()).unwrap();
        shapes.push((name.clone(), values));
    }
    let slots: Vec<_> = shapes.iter().map(|(n, v)| (&**n, harmonium::params::Role::Weights, v.len(), 1)).collect();
    let mut params = Params::zeros(&slots);
    shapes.iter().enumerate().for_each(|(k, (_, v))| params.slice_mut(k).copy_from_slice(v));
    let plain = Plain(&params);
    let (context, noise) = (reals(5, 3), reals(3, 6)); // two draws for each of three contexts
    let as_tensor = |m: &Mat, shape: &[usize]| Tensor::from_slice(m.as_slice(), shape, &Device::Cpu).unwrap();
    let draws = head.draw(&as_tensor(&context, &[3, 5]), &as_tensor(&noise, &[3, 2, 3])).unwrap();
    let draws = draws.to_vec3::<f32>().unwrap();
    for j in 0..6 {
        let wide = |m: &Mat, j: usize| m.column(j).iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        let expected = plain.head("", &wide(&context, j / 2), &wide(&noise, j));
        for (got, expected) in draws[j / 2][j % 2].iter().zip(expected) {
            assert!((f64::from(*got) - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{got}, {expected}");
        }
    }
}
/// From tokens to the draws of the patch that follows, which the autoencoder turns into tokens.
#[test]
fn patches_that_follow_are_those_of_another_implementation() {
    let model = stirred(continuous(), 0.5);
    let (plain, draws, mut kinds) = (Plain(model.params()), 40, std::collections::HashSet::new());
    for (seed, patches) in [(1, 5), (2, 5), (3, 2), (4, 1), (5, 3), (6, 5)] {
        let context: Vec<u32> = tokens(3 * patches, 1).iter().map(|t| (*t as u32 + seed) % 7).collect();
        let input = |patch: &[u32]| {
            let joint = plain.linear("joint", &patch.iter().flat_map(|t| plain.embed(*t, 8)).collect::<Vec<_>>());
            plain.norm("norm", &plain.linear("input", &silus(&joint)))
        };
        let seen = plain.backbone(context.chunks(3).map(input).collect(), TRANSFORMER).pop().unwrap();
        let rng = || ChainRng::new(seed.into());
        let noise = harmonium::models::calm::head_noise(&mut rng(), (1, draws, HEAD.noise)).unwrap();
        let noise = noise.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let wide = |noise: &[f32]| noise.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        let z: Vec<f32> =
            noise.chunks(HEAD.noise).flat_map(|e| plain.head("head.", &seen, &wide(e))).map(|v| v as f32).collect();
        let expected = model.autoencoder().decode(Mat::from_vec(CODER.latent, draws, z).as_view()).unwrap();
        let got = model.candidates(&context, draws, &mut rng()).unwrap();
        // Decoding takes the most probable token: vectors that differ by rounding may differ in one where two are all but equal.
        let other = got.iter().zip(&expected).filter(|(a, b)| a != b).count();
        assert!(other <= 1, "{other} of {} tokens", got.len());
        kinds.extend(expected.chunks(3).map(<[u32]>::to_vec));
    }
    assert!(kinds.len() > 10, "{} different patches: too few to tell anything", kinds.len());
}
/// The divergence is that of Gaussians, each number's at least the floor; the rest of the loss is the surprise at the tokens themselves.
#[test]
fn the_loss_of_the_autoencoder_is_that_of_another_implementation() {
    let (mut model, patches) = (coder(), tokens(3, 60));
    let list: Vec<u32> = patches.iter().map(|t| *t as u32).collect();
    let of = |model: &Autoencoder, divergence: f64, floor: f64| {
        let mut objective = PatchReconstruction::new(1);
        (objective.divergence, objective.floor) = (divergence, floor);
        (objective.drop_tokens, objective.drop_numbers) = (0.0, 0.0);
        gradient(model, &mut objective, &patches, &[1.0; 60]).0
    };
    let [means, deviations] = model.encode(&list).unwrap();
    for floor in [0.0, 0.3, 5.0] {
        let of_one = |(m, s): (&f32, &f32)| {
            let (m, s) = (f64::from(*m), f64::from(*s));
            (0.5 * (m * m + s * s - 1.0) - s.ln()).max(floor)
        };
        let expected = means.iter().zip(&deviations).map(of_one).sum::<f64>() / 60.0;
        let got = (of(&model, 1e3, floor) - of(&model, 0.0, floor)) / 1e3; // of the same noise
        assert!((got - expected).abs() < 1e-5 * (1.0 + expected), "floor {floor}: {got}, {expected}");
    }
    // Without spread there is no noise either: the largest that is left is e⁻⁸.
    let slot = model.params().slots().iter().position(|s| s.name == "posterior.bias").unwrap();
    model.change(&mut |p| p.slice_mut(slot)[4..].fill(-100.0));
    let (plain, [means, _]) = (Plain(model.params()), model.encode(&list).unwrap());
    let surprise = |(z, patch): (Vec<f64>, &[u32])| {
        plain.decode(&z, 8).iter().zip(patch).map(|(logits, t)| -log_softmax(logits, *t as usize)).sum::<f64>()
    };
    let vectors = means.column_iter().map(|z| z.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>());
    let expected = vectors.zip(list.chunks(3)).map(surprise).sum::<f64>() / 60.0;
    // That noise moves 60 surprises by some 3e-4 each, and their mean by an eighth of that.
    let got = of(&model, 0.0, 0.0);
    assert!((got - expected).abs() < 3e-4 * (1.0 + expected), "{got}, {expected}");
}

#[test]
fn bits_do_not_depend_on_threads() {
    fn same<T: PartialEq + Send>(what: &str, f: impl Fn() -> T + Sync) {
        laws::threads(what, f).unwrap_or_else(|broken| panic!("{broken}"));
    }
    let (density, language, coder, continuous) = (stirred(density(), 0.2), language(), coder(), continuous());
    let continuous = stirred(continuous, 0.2);
    let (x, patches, windows) = (reals(5, 300), tokens(3, 700), tokens(18, 9));
    same("density", || gradient(&density, &mut ScoredDraws::new(8, 1), &x, &[1.0; 300]));
    same("draws", || density.sample(x.rows(0, 2).clone_owned().as_view(), 5, 1).unwrap());
    same("autoencoder", || gradient(&coder, &mut PatchReconstruction::new(1), &patches, &[1.0; 700]));
    same("continuous", || gradient(&continuous, &mut ScoredDraws::new(2, 1), &windows, &[1.0; 9]));
    let windows = windows.rows(0, 6).clone_owned();
    same("language", || gradient(&language, &mut NextToken::default(), &windows, &[1.0; 9]));
    let texts: Vec<Vec<u32>> = windows.column_iter().map(|c| c.iter().map(|t| *t as u32).collect()).collect();
    let contexts: Vec<&[u32]> = texts.iter().map(|t| &t[..]).collect();
    let streams = || (0..9).map(ChainRng::new).collect::<Vec<_>>();
    same("writing", || language.follow(&contexts, 7, &mut streams()).unwrap());
    same("writing patches", || continuous.follow(&contexts, 7, &mut streams()).unwrap());
    // Nor on other contexts.
    let alone = continuous.follow(&contexts[4..5], 7, &mut streams()[4..5]).unwrap();
    assert_eq!(continuous.follow(&contexts, 7, &mut streams()).unwrap()[28..35], alone);
}
#[test]
fn runs_that_were_cut_have_the_same_bits() {
    let settings = Fit {
        epochs: 3,
        batch: 8,
        learning_rate: Schedule::Constant(0.003),
        penalty: Penalty { l1: 0.0, l2: 1e-3 },
        clip_norm: Some(1.0),
        seed: 3,
        ..Fit::default()
    };
    fn cut<M: Learner, O: Objective<M>>(what: &str, settings: &Fit, x: &Mat, make: impl Fn() -> (M, O) + Sync) {
        let begin = |hand_over: HandOver<'_, M>| {
            let ((mut model, mut objective), mut adam) = (make(), Adam::default());
            hand_over(&mut Run::new(&mut model, &mut objective, &mut adam, &mut Silent))
        };
        let verdict = laws::resume(settings, x, 4, begin).unwrap_or_else(|broken| panic!("{what}: {broken}"));
        assert!(verdict.checks > 5, "{what}: {}", verdict.checks);
    }
    cut("density", &settings, &reals(5, 30), || (density(), ScoredDraws::new(3, 1)));
    cut("language", &settings, &tokens(6, 30), || (language(), NextToken::default()));
    cut("autoencoder", &settings, &tokens(3, 30), || (coder(), PatchReconstruction::new(1)));
    cut("continuous", &settings, &tokens(18, 30), || (continuous(), ScoredDraws::new(2, 1)));
}

/// With the distance of draws from one another, draws spread as the data do; without it, they are all alike.
#[test]
fn without_diversity_draws_collapse() {
    let data = Mat::from_fn(2, 2000, |i, j| if i == 0 { 1.0 } else { reals(1, 2000)[(0, j)] });
    let spread = |diversity: f64| {
        let head = HeadSettings { noise: 4, width: 16, blocks: 1 };
        let mut model = ImplicitDensity::new(1, &[(4, Activation::Silu)], 1, head).unwrap();
        model.initialise(1);
        let mut objective = scored(8, 1, EnergyScore { alpha: 1.0, diversity });
        let learning_rate = Schedule::Linear { from: 0.01, to: 0.0, steps: 400 };
        let fit = Fit { epochs: 20, batch: 100, learning_rate, ..Fit::default() };
        fit.run(&mut Run::new(&mut model, &mut objective, &mut Adam::default(), &mut Silent), &data).unwrap();
        let draws = model.sample(Mat::from_element(1, 1, 1.0).as_view(), 4000, 1).unwrap();
        draws.variance().sqrt()
    };
    let (kept, gone) = (spread(1.0), spread(0.0));
    assert!((kept - 1.0).abs() < 0.1, "{kept}");
    assert!(gone < 0.1 * kept, "{gone}");
}

#[test]
fn what_is_written_has_the_probabilities_of_the_model() {
    let mut model = stirred(language(), 0.4);
    let context = [3, 1, 4];
    let windows = Mat::from_fn(4, 7, |i, j| if i < 3 { context[i] as f32 } else { j as f32 });
    let log_p = model.log_probabilities(windows.as_view()).unwrap();
    for sharpness in [1.0f32, 3.0] {
        model.sharpness = sharpness;
        let power: Vec<f64> = (0..7).map(|k| f64::from(sharpness * log_p[(2, k)]).exp()).collect();
        let (sum, n) = (power.iter().sum::<f64>(), 8000);
        let mut streams: Vec<_> = (0..n as u64).map(ChainRng::new).collect();
        let next = model.next(&vec![&context[..]; n], &mut streams).unwrap();
        for (k, p) in power.iter().enumerate() {
            let (p, got) = (p / sum, next.iter().filter(|t| **t == k as u32).count() as f64 / n as f64);
            assert!((got - p).abs() < 4.5 * (p * (1.0 - p) / n as f64).sqrt(), "token {k}: {got}, {p}");
        }
    }
}
#[test]
fn what_makes_no_sense_is_refused() {
    let said = |e: harmonium::Error| e.to_string();
    let odd = Transformer { heads: 3, ..TRANSFORMER };
    assert!(said(LanguageModel::new(7, odd).unwrap_err()).contains("even multiple of its heads"));
    assert!(LanguageModel::new(0, TRANSFORMER).is_err());
    assert!(said(Autoencoder::new(AutoencoderSettings { latent: 0, ..CODER }).unwrap_err()).contains("autoencoder"));
    assert!(ImplicitDensity::new(1, &[], 1, HEAD).is_err());
    assert!(ImplicitDensity::new(0, &[(3, Activation::Silu)], 1, HEAD).is_err());
    assert!(ImplicitDensity::new(1, &[(0, Activation::Silu), (3, Activation::Silu)], 1, HEAD).is_err());
    for empty in [Transformer { inner: 0, ..TRANSFORMER }, Transformer { length: 0, ..TRANSFORMER }] {
        assert!(said(LanguageModel::new(7, empty).unwrap_err()).contains("positions and gated units"));
        assert!(ContinuousLanguageModel::new(coder(), empty, HEAD).is_err());
    }
    let mut language = language();
    for sharpness in [-1.0, f32::NAN, f32::INFINITY] {
        language.sharpness = sharpness;
        assert!(said(language.write(&[1], 3, &mut ChainRng::new(1)).unwrap_err()).contains("sharpness"));
    }
    language.sharpness = 1.0;
    language.change(&mut |p| p.as_mut_slice().fill(f32::NAN));
    assert!(said(language.write(&[1], 3, &mut ChainRng::new(1)).unwrap_err()).contains("logit"));
    assert!(ImplicitDensity::new(1, &[(3, Activation::Silu)], 0, HEAD).is_err());
    assert!(ImplicitDensity::new(1, &[(3, Activation::Silu)], 1, HeadSettings { noise: 0, ..HEAD }).is_err());
}
#[test]
fn tokens_that_are_none_are_refused() {
    let said = |e: harmonium::Error| e.to_string();
    let (language, coder, continuous) = (language(), coder(), continuous());
    assert!(said(coder.encode(&[1, 2]).unwrap_err()).contains("tokens of patches"));
    assert!(said(coder.encode(&[1, 2, 7]).unwrap_err()).contains("below 7"));
    assert!(coder.decode(Mat::zeros(3, 1).as_view()).is_err() && coder.accuracy(&[], 0.0, 1).is_err());
    let mut rng = ChainRng::new(1);
    assert!(said(language.write(&[], 3, &mut rng).unwrap_err()).contains("tokens of a context"));
    assert!(said(continuous.write(&[1, 2], 3, &mut rng).unwrap_err()).contains("at least 3"));
    assert!(language.write(&[9], 3, &mut rng).is_err() && continuous.write(&[1, 2, 9], 3, &mut rng).is_err());
    assert!(language.next(&[&[1]], &mut []).is_err());
    assert!(language.log_probabilities(tokens(1, 1).as_view()).is_err());
    assert!(language.log_probabilities(tokens(7, 1).as_view()).is_err());
}
#[test]
fn batches_that_do_not_fit_are_refused() {
    let language = language();
    for wrong in [-1.0, 0.5, 7.0, f32::NAN] {
        let x = Mat::from_element(6, 2, wrong);
        let batch = Batch { x: x.as_view(), weights: &[1.0; 2], missing: None, step: 0 };
        let mut grad = language.parameters().zeros_like();
        let error = NextToken::default().gradient(&language, &batch, &mut grad).unwrap_err().to_string();
        assert!(error.contains("token 0 of sample 0"), "{error}");
    }
    let x = reals(5, 2);
    let batch = Batch { x: x.as_view(), weights: &[1.0; 2], missing: None, step: 0 };
    let (model, mut grad) = (density(), density().parameters().zeros_like());
    let few = ScoredDraws::new(1, 1).gradient(&model, &batch, &mut grad).unwrap_err().to_string();
    assert!(few.contains("at least 2 and 1"), "{few}");
}
/// Patches of a lower temperature: as many tokens as asked for, after contexts of any length; all the same where all draws are; and more
/// alike than draws where those differ.
#[test]
fn writes_at_a_lower_temperature() {
    let sharp = |model: &ContinuousLanguageModel, n: usize, seed: u64, by: [usize; 2]| {
        write_sharpened(model, &[1, 2, 3, 4, 5], n, by, &mut ChainRng::new(seed))
    };
    let zero = continuous();
    assert_eq!(sharp(&zero, 20, 1, [3, 10]).unwrap(), zero.write(&[1, 2, 3, 4, 5], 20, &mut ChainRng::new(2)).unwrap());
    let wild = stirred(continuous(), 0.5);
    let alike = |texts: &[Vec<u32>]| {
        let pairs = texts.iter().enumerate().flat_map(|(i, a)| texts[..i].iter().map(move |b| a == b));
        pairs.filter(|same| *same).count()
    };
    let plain: Vec<_> = (0..200).map(|s| wild.write(&[1, 2, 3, 4, 5], 3, &mut ChainRng::new(s)).unwrap()).collect();
    let cooler: Vec<_> = (0..200).map(|s| sharp(&wild, 3, s, [3, 100]).unwrap()).collect();
    assert!(
        alike(&plain) < 199 * 100 && 2 * alike(&plain) < 3 * alike(&cooler),
        "{} {}",
        alike(&plain),
        alike(&cooler)
    );
    assert!(sharp(&wild, 3, 1, [0, 10]).is_err() && sharp(&wild, 3, 1, [1, 0]).is_err());
    assert!(write_sharpened(&wild, &[1], 3, [1, 5], &mut ChainRng::new(1)).is_err());
}
