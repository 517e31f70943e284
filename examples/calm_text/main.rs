//! Language, several characters at once (CALM): an autoencoder makes a vector of every patch of characters, and a transformer with an energy
//! head draws the vector of the next one. Beside it one with a softmax, which writes character by character and was trained by as many
//! multiplications; BrierLM, which needs nothing but draws, judges both.
//!
//! ```text
//! cargo run --release --features candle --example calm_text
//! cargo run --release --features candle --example calm_text -- --patch 2,4
//! cargo run --release --features candle --example calm_text -- --text FILE
//! ```
//!
//! Seed 1, `--patch 4,2`, 1,099 s on two cores (the default alone some 12 minutes): BrierLM 44.15 ± 1.00 by the softmax, 28.25 ± 0.85 and 32.74 ± 0.86 by
//! energy heads of 4 and of 2 characters; 0.896 ± 0.007 nats a character by the softmax; 99.967 and 99.983 % of characters come back from
//! vectors, with noise of 0.3 on them 99.954 and 99.983 %. Settings were chosen by `--held-out` (DESIGN.md).
//!
//! Shao, Li, Meng and Zhou, "Continuous autoregressive language models", 2025.
#[path = "../common/mod.rs"]
mod common;
mod judge;
mod learn;
mod text;

use clap::Parser;
use common::{Keep, Stages, at_least_one, exit_code, print_table, say, write_json};
use harmonium::infer::write_sharpened;
use harmonium::models::calm::{Autoencoder, ContinuousLanguageModel, LanguageModel, Writer};
use harmonium::report::SUMMARY_FORMAT;
use harmonium::rng::{ChainRng, derive};
use harmonium::{Error, Result};
use judge::{Judged, judge};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use text::{Split, Text};

/// Candidates that a lower temperature chooses from, as in the publication.
const CANDIDATES: usize = 200;

/// Writes text, several characters at once; beside it, one at a time.
#[derive(Parser, Clone, Debug)]
struct Settings {
    /// The same seed gives the same numbers, for any number of threads
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Threads; 0 for one a core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    #[command(flatten)]
    keep: Keep,
    /// Folder for what is written [default: target/calm_text]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A text, UTF-8, gzipped or not [default: docs and sources of this crate, a copy of which is in the program]
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Characters of a patch; for several a model each
    #[arg(long, value_name = "K,…", value_delimiter = ',', default_values_t = [4], value_parser = at_least_one())]
    patch: Vec<usize>,
    /// Different characters; the others are taken for one
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = at_least_one())]
    alphabet: usize,
    /// Characters that a model sees at most; a multiple of all patches
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = at_least_one())]
    window: usize,
    /// Numbers at a position of a transformer, and units of a head; a multiple of 8
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    width: Option<usize>,
    /// Layers of a transformer
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = at_least_one())]
    layers: usize,
    /// Blocks of the head
    #[arg(long, value_name = "N", default_value_t = 2)]
    blocks: usize,
    /// Draws of the head that are scored, for every patch
    #[arg(long, value_name = "N", default_value_t = 8)]
    draws: usize,
    /// Numbers of a patch's vector
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = at_least_one())]
    latent: usize,
    /// Passes over the text of the transformer with a softmax; those of the others follow, for they cost as much [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    epochs: Option<u64>,
    /// Passes of the autoencoder [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    autoencoder_epochs: Option<u64>,
    /// Adam's learning rate for transformers; it falls linearly to 0
    #[arg(long, value_name = "F", default_value_t = 0.001)]
    learning_rate: f32,
    /// Windows of an update
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = at_least_one())]
    batch: usize,
    /// Contexts of BrierLM [default: 3000]
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(2..))]
    contexts: Option<usize>,
    /// The last text is written at the temperature 1/N
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_least_one())]
    alike: usize,
    /// Characters of every text that is written [default: 300]
    #[arg(long, value_name = "N")]
    length: Option<usize>,
    /// Keep a tenth of the training text out of training too, and judge by it; the test text is not looked at
    #[arg(long)]
    held_out: bool,
    /// A smoke run: a hundredth of the text, the defaults become narrow and few
    #[arg(long)]
    quick: bool,
}

impl Settings {
    fn or<T>(&self, told: Option<T>, whole: T, quick: T) -> T {
        told.unwrap_or(if self.quick { quick } else { whole })
    }
    fn width(&self) -> usize {
        self.or(self.width, 128, 16)
    }
    fn epochs(&self) -> u64 {
        self.or(self.epochs, 3, 1)
    }
    fn autoencoder_epochs(&self) -> u64 {
        self.or(self.autoencoder_epochs, 3, 1)
    }
    fn contexts(&self) -> usize {
        self.or(self.contexts, 3000, 20)
    }
    /// Everything that numbers depend on but for the patch.
    fn notes(&self, text: &Text) -> BTreeMap<String, String> {
        let notes = [
            ("text", text.name.clone()),
            ("alphabet", text.alphabet.len().to_string()),
            ("window", self.window.to_string()),
            ("width", self.width().to_string()),
            ("layers", self.layers.to_string()),
            ("epochs", self.epochs().to_string()),
            ("learning_rate", self.learning_rate.to_string()),
            ("batch", self.batch.to_string()),
            ("held_out", self.held_out.to_string()),
            ("quick", self.quick.to_string()),
            ("seed", self.seed.to_string()),
        ];
        notes.map(|(k, v)| (k.to_string(), v)).into()
    }
    fn check(&self) -> Result<()> {
        if let Some(k) = self.patch.iter().find(|k| !self.window.is_multiple_of(**k)) {
            return Err(Error::value("--window", format!("a multiple of a patch of {k} characters"), self.window));
        }
        if !self.width().is_multiple_of(8) {
            return Err(Error::value("--width", "a multiple of 8: four heads, each of an even width", self.width()));
        }
        if self.draws < 2 {
            return Err(Error::value(
                "--draws",
                "at least 2: what is scored is how far they are from each other",
                self.draws,
            ));
        }
        match self.patch.iter().enumerate().find(|(i, k)| self.patch[..*i].contains(k)) {
            Some((_, k)) => Err(Error::value("--patch", "each size once", k)),
            None => Ok(()),
        }
    }
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    common::run(settings.threads, || run(&settings))
}

/// A model of patches, and what came of it.
struct Continuous {
    model: ContinuousLanguageModel,
    judged: Judged,
    /// Shares of test characters that come back from vectors, without noise and with.
    accuracies: [f64; 2],
    /// Trillions of multiplications of training, of the autoencoder and in all.
    multiplications: [f64; 2],
}
/// The model of single characters.
struct Softmax {
    model: LanguageModel,
    judged: Judged,
    nats: harmonium::eval::Estimate,
    multiplications: f64,
}

fn run(s: &Settings) -> Result<ExitCode> {
    s.check()?;
    let (began, text) = (Instant::now(), text::read(s)?);
    let split = text.split(s)?;
    let out = s.keep.folder(&s.out, "calm_text")?;
    let stages = Stages::begin(&s.keep, &out, "calm_text", &s.notes(&text))?;
    tell_text(&text, &split);
    let Some(softmax) = learn::softmax(s, (&text, &split), &stages)? else { return Ok(exit_code(stages.ended())) };
    let mut continuous = vec![];
    for &k in &s.patch {
        match learn::continuous(s, k, (&text, &split), &stages, softmax.multiplications)? {
            Some(one) => continuous.push(one),
            None => return Ok(exit_code(stages.ended())),
        }
    }
    tell(s, &softmax, &continuous);
    write_texts(s, (&text, &split), (&softmax, &continuous), &out)?;
    save(s, &text, (&softmax, &continuous), &out, began)?;
    Ok(exit_code(stages.ended()))
}

fn tell_text(text: &Text, split: &Split<'_>) {
    let count = |stretches: &[&[u32]]| stretches.iter().map(|s| s.len()).sum::<usize>();
    say(format_args!(
        "{}: {} characters of {} kinds to learn from, {} to be judged by\n",
        text.name,
        count(&split.training),
        text.alphabet.len(),
        count(&split.told)
    ));
}

fn tell(s: &Settings, softmax: &Softmax, continuous: &[Continuous]) {
    say(format_args!("\nBrierLM of {} contexts; multiplications of training, in trillions\n", softmax.judged.contexts));
    say("model              BrierLM        of 1, 2, 3, 4 characters       multiplications  time of training");
    let row = |name: &str, judged: &Judged, multiplications: f64| {
        let by: Vec<String> = judged.brier.by_length.iter().map(|e| format!("{:.3}", e.value)).collect();
        let score = format!("{:.2} ± {:.2}", judged.brier.score.value, judged.brier.score.standard_error);
        let seconds = judged.seconds;
        say(format_args!("{name:<18} {score:<14} {:<30} {multiplications:>15.2}  {seconds:>14.0} s", by.join(" ")));
    };
    row("softmax", &softmax.judged, softmax.multiplications);
    for one in continuous {
        let k = one.model.step();
        row(&format!("energy head, K = {k}"), &one.judged, one.multiplications[1]);
    }
    say("");
    let mut rows =
        vec![("softmax", format!("{:.4} ± {:.4} nats a character", softmax.nats.value, softmax.nats.standard_error))];
    let names: Vec<String> = continuous.iter().map(|one| format!("autoencoder, K = {}", one.model.step())).collect();
    for (name, one) in names.iter().zip(continuous) {
        let [clean, noisy] = one.accuracies.map(|a| 100.0 * a);
        let [own, all] = one.multiplications;
        let noise = judge::NOISE;
        rows.push((name, format!("{clean:.3} % of characters come back, {noisy:.3} % with noise of {noise} on vectors; {own:.2} of {all:.2} multiplications")));
    }
    print_table(&rows);
    if s.held_out {
        say("\njudged by text that was held out of the training text");
    }
}

/// What every model writes after the same beginnings.
fn write_texts(
    s: &Settings,
    (text, split): (&Text, &Split<'_>),
    (softmax, continuous): (&Softmax, &[Continuous]),
    out: &Path,
) -> Result<()> {
    let length = s.or(s.length, 300, 40);
    let (beginnings, _) = judge::contexts(split, s.window, 3)?;
    let mut all = String::new();
    for (i, beginning) in beginnings.iter().enumerate() {
        let mut rng = ChainRng::new(derive(s.seed, &format!("text {i}")));
        let mut add = |name: &str, tokens: &[u32]| {
            let _ = writeln!(all, "── {name}\n{}\n", text.alphabet.decode(tokens));
        };
        add("a beginning", beginning);
        add("softmax", &softmax.model.write(beginning, length, &mut rng)?);
        for one in continuous {
            let k = one.model.step();
            add(&format!("energy head, K = {k}"), &one.model.write(beginning, length, &mut rng)?);
            let cooler = write_sharpened(&one.model, beginning, length, [s.alike, CANDIDATES], &mut rng)?;
            add(&format!("energy head, K = {k}, at a temperature of 1/{}", s.alike), &cooler);
        }
        if i == 0 {
            say(format_args!("\n{all}"));
        }
    }
    harmonium::io::write_atomically(&out.join("texts.txt"), |f| std::io::Write::write_all(f, all.as_bytes()))
}

fn save(
    s: &Settings,
    text: &Text,
    (softmax, continuous): (&Softmax, &[Continuous]),
    out: &Path,
    began: Instant,
) -> Result<()> {
    let characters: String = text.alphabet.characters().iter().collect();
    let notes = |architecture: String| -> BTreeMap<String, String> {
        let more = [("characters".to_string(), characters.clone()), ("architecture".into(), architecture)];
        s.notes(text).into_iter().chain(more).collect()
    };
    let write =
        |params, architecture, name: String| common::save_parameters(params, notes(architecture), &out.join(name));
    write(softmax.model.params(), softmax.model.architecture(), "softmax.safetensors".into())?;
    for one in continuous {
        let (k, coder): (usize, &Autoencoder) = (one.model.step(), one.model.autoencoder());
        write(coder.params(), coder.architecture(), format!("autoencoder-{k}.safetensors"))?;
        write(one.model.params(), one.model.architecture(), format!("energy-head-{k}.safetensors"))?;
    }
    let of = |judged: &Judged, multiplications: f64| {
        let by: Vec<f64> = judged.brier.by_length.iter().map(|e| e.value).collect();
        serde_json::json!({
            "brier_lm": judged.brier.score.value, "brier_lm_stderr": judged.brier.score.standard_error, "brier_by_length": by,
            "trillion_multiplications": multiplications, "training_seconds": judged.seconds,
        })
    };
    let mut models = vec![serde_json::json!({
        "model": "softmax", "judged": of(&softmax.judged, softmax.multiplications),
        "nats": softmax.nats.value, "nats_stderr": softmax.nats.standard_error,
    })];
    models.extend(continuous.iter().map(|one| {
        serde_json::json!({
            "model": "energy head", "patch": one.model.step(), "judged": of(&one.judged, one.multiplications[1]),
            "accuracy": one.accuracies[0], "accuracy_with_noise": one.accuracies[1],
        })
    }));
    let summary = serde_json::json!({
        "program": "calm_text", "format": SUMMARY_FORMAT, "seed": s.seed, "settings": s.notes(text), "models": models,
        "contexts": softmax.judged.contexts, "seconds": began.elapsed().as_secs_f64(),
    });
    write_json(&out.join("summary.json"), &summary)?;
    say(format_args!("time of it all: {:.1} s", began.elapsed().as_secs_f64()));
    say(format_args!("written to {}: texts.txt, the models' parameters, summary.json", out.display()));
    Ok(())
}
