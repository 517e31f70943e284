//! The Ising model: energy and magnetisation against temperature beside the exact curves, and log Z by annealing beside the exact one.
//!
//! ```text
//! cargo run --release --example ising
//! cargo run --release --example ising -- --sides 16,16,16 --temperatures 3.5,4.0,4.5,5.0,5.5
//! ```
//!
//! On two cores the first takes 66 s; every energy is within 2.5 standard errors of Kaufman's exact one, by cluster updates and by the
//! checkerboard heat bath, and every log Z within 2.6. (Seed 1.)
mod common;

use clap::{Parser, ValueEnum};
use common::{at_least_one, out_folder, say, write_json};
use harmonium::eval::{Ais, Diagnostics, LogPartition, ais, exact_log_partition, ising};
use harmonium::models::{Boundary, SparseBoltzmann};
use harmonium::nalgebra::DMatrix;
use harmonium::report::SUMMARY_FORMAT;
use harmonium::rng::derive;
use harmonium::samplers::{BlockGibbs, Kernel, SwendsenWang};
use harmonium::viz::{Grid, Panel, Series, Shade, curves, save_png};
use harmonium::{Chains, Energy, Error, Mat, Result};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Temperatures of the table, in units of J.
const TABLE: [f64; 5] = [1.8, 2.1, 2.3, 2.5, 3.0];
/// The most sites of a lattice that is drawn.
const DRAWN: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Edge {
    Periodic,
    Open,
}

/// Samples an Ising model at many temperatures, and compares it with what is known exactly.
#[derive(Parser, Clone, Debug)]
struct Settings {
    /// Sides of the lattice
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "64,64")]
    sides: Vec<usize>,
    /// What lies beyond the last site of a side
    #[arg(long, value_enum, default_value = "periodic")]
    boundary: Edge,
    /// External field, in units of J
    #[arg(long, value_name = "F", default_value_t = 0.0, allow_negative_numbers = true)]
    field: f64,
    /// Temperatures of the table, in units of J [default: 1.8,2.1,2.3,2.5,3.0]
    #[arg(long, value_name = "F,F", value_delimiter = ',')]
    temperatures: Vec<f64>,
    /// Chains
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = at_least_one())]
    chains: usize,
    /// Cluster updates that are looked at, at each temperature; a quarter more come before [default: 1000]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    passes: Option<usize>,
    /// Sweeps of the heat bath for each cluster update
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one())]
    sweeps: usize,
    /// Temperatures of annealing for log Z [default: 2000]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    annealing: Option<usize>,
    /// Folder for what is written [default: target/ising]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The same seed gives the same numbers, for any number of threads
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Threads; 0 for one a core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// A smoke run: the defaults become 100 cluster updates, 500 temperatures of annealing
    #[arg(long)]
    quick: bool,
}

impl Settings {
    fn passes(&self) -> usize {
        self.passes.unwrap_or(if self.quick { 100 } else { 1000 })
    }
    fn annealing(&self) -> usize {
        self.annealing.unwrap_or(if self.quick { 500 } else { 2000 })
    }
    fn temperatures(&self) -> Vec<f64> {
        if self.temperatures.is_empty() { TABLE.to_vec() } else { self.temperatures.clone() }
    }
    /// The model at a temperature.
    fn model(&self, temperature: f64) -> Result<SparseBoltzmann> {
        let boundary = if self.boundary == Edge::Open { Boundary::Open } else { Boundary::Periodic };
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(Error::value("a temperature", "above 0", temperature));
        }
        let mut model = SparseBoltzmann::ising(&self.sides, boundary, 0.0)?;
        model.set_uniform(self.coupling(temperature), (self.field / temperature) as f32)?;
        Ok(model)
    }
    fn coupling(&self, temperature: f64) -> f32 {
        (1.0 / temperature) as f32
    }
    /// The sides, if exact results hold of this lattice.
    fn exact(&self) -> Option<[usize; 2]> {
        match self.sides[..] {
            [m, n] if self.boundary == Edge::Periodic && self.field == 0.0 => Some([m, n]),
            _ => None,
        }
    }
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    common::run(settings.threads, || all(&settings))
}

fn all(s: &Settings) -> Result<()> {
    let began = Instant::now();
    let out = out_folder(&s.out, "ising")?;
    let measured = table(s)?;
    let annealed = if s.exact().is_some() { log_partitions(s)? } else { vec![] };
    draw_curves(s, &out)?;
    draw_states(s, &out)?;
    let summary = serde_json::json!({
        "format": SUMMARY_FORMAT, "temperatures": measured, "log_partitions": annealed,
        "seconds": began.elapsed().as_secs_f64(),
        "settings": { "sides": s.sides, "field": s.field, "chains": s.chains, "passes": s.passes(), "sweeps": s.sweeps,
                      "annealing": s.annealing(), "seed": s.seed },
    });
    write_json(&out.join("summary.json"), &summary)?;
    say(format_args!("\n{:.1} s; written to {}", began.elapsed().as_secs_f64(), out.display()));
    Ok(())
}

/// What chains at one temperature say.
struct Seen {
    energy: Diagnostics,
    magnetisation: Diagnostics,
}

/// Moves chains from all spins up, a quarter of the passes unseen, and looks after each of the others.
fn look<K: Kernel<SparseBoltzmann>>(s: &Settings, temperature: f64, kernel: &K, passes: usize) -> Result<Seen> {
    let model = s.model(temperature)?;
    let n = model.n_rows();
    let mut chains = Chains::new(
        Mat::from_element(n, s.chains, 1.0),
        derive(s.seed, &format!("{temperature} {}", std::any::type_name::<K>())),
    );
    (0..passes.div_ceil(4)).for_each(|_| _ = chains.advance(kernel, &model));
    let (mut energies, mut magnetisations) = (DMatrix::zeros(passes, s.chains), DMatrix::zeros(passes, s.chains));
    let mut of_states = vec![0.0; s.chains];
    for pass in 0..passes {
        chains.advance(kernel, &model);
        model.energy(chains.states.x(), &mut of_states);
        for (j, (e, x)) in of_states.iter().zip(chains.states.x().column_iter()).enumerate() {
            energies[(pass, j)] = e * temperature / n as f64;
            magnetisations[(pass, j)] = (x.iter().map(|s| f64::from(*s)).sum::<f64>() / n as f64).abs();
        }
    }
    Ok(Seen { energy: Diagnostics::of(&energies)?, magnetisation: Diagnostics::of(&magnetisations)? })
}
fn clusters(s: &Settings, temperature: f64) -> Result<SwendsenWang> {
    SwendsenWang::new(&s.model(temperature)?, 1)
}

/// Energies and magnetisations by both kernels at a few temperatures, beside the exact ones.
fn table(s: &Settings) -> Result<Vec<serde_json::Value>> {
    say("energy of a spin, in units of J (off: distance from the exact one, in standard errors)");
    say("    T  cluster updates       off  heat bath             off  exact");
    let (mut mixing, mut measured) = (vec![], vec![]);
    for t in s.temperatures() {
        let (a, b) = (look(s, t, &clusters(s, t)?, s.passes())?, look(s, t, &BlockGibbs::new(s.sweeps), s.passes())?);
        let coupling = f64::from(s.coupling(t));
        let exact = s.exact().map(|sides| ising::energy(sides, coupling)).transpose()?;
        let endless = s.exact().map(|_| ising::magnetisation(coupling)).transpose()?;
        let number = |d: &Diagnostics| format!("{:8.5} ± {:.5}", d.mean, d.standard_error);
        let off =
            |d: &Diagnostics| exact.map_or("   -".into(), |e| format!("{:+4.1}", (d.mean - e) / d.standard_error));
        let known = |x: Option<f64>| x.map_or("-".into(), |x| format!("{x:.5}"));
        say(format_args!(
            "{t:5.2}  {:<20}  {}  {:<20}  {}  {}",
            number(&a.energy),
            off(&a.energy),
            number(&b.energy),
            off(&b.energy),
            known(exact)
        ));
        let tau = [a.energy.autocorrelation_time, b.energy.autocorrelation_time * s.sweeps as f64];
        mixing.push(format!(
            "{t:5.2}  {:<20}  {:<9}  {:7.1} updates, {:7.0} sweeps",
            number(&a.magnetisation),
            known(endless),
            tau[0],
            tau[1]
        ));
        let json = |d: &Diagnostics| serde_json::json!({ "mean": d.mean, "standard_error": d.standard_error, "split_r_hat": d.split_r_hat });
        measured.push(serde_json::json!({
            "temperature": t, "energy_by_clusters": json(&a.energy), "energy_by_heat_bath": json(&b.energy), "exact_energy": exact,
            "magnetisation_by_clusters": json(&a.magnetisation), "magnetisation_by_heat_bath": json(&b.magnetisation),
            "endless_magnetisation": endless, "autocorrelation_of_clusters": tau[0], "autocorrelation_of_sweeps": tau[1],
        }));
    }
    say(
        "\nmagnetisation of a spin, |m|, by cluster updates; of an endless lattice; autocorrelation time of the energy",
    );
    mixing.iter().for_each(say);
    Ok(measured)
}

/// log Z by annealing from independent spins, just above the critical temperature, beside the exact one.
fn log_partitions(s: &Settings) -> Result<Vec<serde_json::Value>> {
    say("\nlog Z at coupling 0.4, by annealing:");
    let mut all = vec![];
    for side in [4usize, 8, 16, 32] {
        let model = SparseBoltzmann::ising(&[side, side], Boundary::Periodic, 0.4)?;
        let seed = derive(s.seed, &format!("log Z of side {side}"));
        let settings = Ais { betas: Ais::linear(s.annealing()), runs: 100, seed };
        let found = ais(&model, &vec![0.0; model.n_rows()], &settings)?;
        let (exact, how) = match side {
            4 => (LogPartition::exact(exact_log_partition(&model)?).value, "all states"),
            _ => (ising::log_partition([side, side], f64::from(0.4f32))?, "Kaufman"),
        };
        let off = (found.value - exact) / found.standard_error;
        say(format_args!(
            "  {side} × {side}: {:.4} ± {:.4}, exact {exact:.4} ({how}; {off:+.1} standard errors)",
            found.value, found.standard_error
        ));
        found.warning().into_iter().for_each(|w| say(format_args!("    {w}")));
        all.push(serde_json::json!({ "side": side, "annealed": found.value, "standard_error": found.standard_error, "exact": exact }));
    }
    Ok(all)
}

/// Energy and magnetisation against temperature.
fn draw_curves(s: &Settings, out: &Path) -> Result<()> {
    // Closer to each other where the curves turn.
    let between =
        |from: f64, to: f64, step: f64| (0..).map(move |k| from + step * f64::from(k)).take_while(move |t| *t < to);
    let temperatures: Vec<f64> = match s.quick {
        true => between(1.5, 3.55, 0.25).collect(),
        false => between(1.5, 2.05, 0.1).chain(between(2.1, 2.48, 0.04)).chain(between(2.5, 3.55, 0.1)).collect(),
    };
    let passes = s.passes().div_ceil(5).max(8);
    let seen: Vec<Seen> = temperatures.iter().map(|&t| look(s, t, &clusters(s, t)?, passes)).collect::<Result<_>>()?;
    let of = |what: &dyn Fn(&Seen) -> f64| temperatures.iter().copied().zip(seen.iter().map(what)).collect::<Vec<_>>();
    let fine: Vec<f64> = (0..=400).map(|k| 1.5 + 0.005 * f64::from(k)).collect();
    let exact = |f: &dyn Fn(f64) -> Result<f64>| -> Result<Vec<(f64, f64)>> {
        fine.iter().map(|&t| Ok((t, f(1.0 / t)?))).collect()
    };
    let (mut energies, mut magnetisations) = (vec![], vec![]);
    let name = s.sides.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
    if s.exact().is_some() {
        energies.push(Series { name: "Onsager, endless lattice".into(), points: exact(&ising::onsager_energy)? });
        magnetisations.push(Series { name: "Yang, endless lattice".into(), points: exact(&ising::magnetisation)? });
    }
    energies.push(Series { name: format!("{name}, sampled"), points: of(&|seen| seen.energy.mean) });
    magnetisations.push(Series { name: format!("{name}, sampled"), points: of(&|seen| seen.magnetisation.mean) });
    let panel = |title: &str, series| Panel { title: title.into(), x_label: "temperature".into(), series };
    let picture = curves(&[panel("energy of a spin", energies), panel("|magnetisation| of a spin", magnetisations)])?;
    save_png(&picture, &out.join("curves.png"))
}

/// A state below, at and above the critical temperature.
fn draw_states(s: &Settings, out: &Path) -> Result<()> {
    let (height, width) = match s.sides[..] {
        [width] => (1, width),
        [height, width, ..] => (height, width),
        [] => return Ok(()),
    };
    if height * width > DRAWN {
        return Ok(());
    }
    let critical = 1.0 / ising::CRITICAL_COUPLING;
    let mut states = vec![];
    for t in [0.8 * critical, critical, 1.4 * critical] {
        let model = s.model(t)?;
        let mut chains = Chains::new(Mat::from_element(model.n_rows(), 1, 1.0), derive(s.seed, "pictures"));
        chains.advance(&SwendsenWang::new(&model, 100)?, &model);
        states.extend(chains.states.x().rows(0, height * width).iter().map(|x| 0.5 + 0.5 * x));
    }
    let states = Mat::from_vec(height * width, 3, states);
    let scale = (256 / width.max(1)).clamp(1, 8) as u32;
    let grid = Grid { columns: 3, scale, ..Grid::default() };
    save_png(&grid.tile(states.as_view(), height, width, Shade::Unit)?, &out.join("states.png"))
}
