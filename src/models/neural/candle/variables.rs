//! The variables of a candle module, and their copies into and out of [`Params`], which own them.
//!
//! candle hands out variables by name while a module is built, and draws them from a generator of the thread. Here they are kept in the
//! order in which the module asks for them, drawn from a seed; and a module is built twice: of variables, by which it is derived, and of
//! tensors in the same memory, which cost nothing on the way back.

use crate::params::Role;
use crate::rng::{ChainRng, derive};
use crate::{Params, Result};
use candle_core::{CpuStorage, DType, Device, InplaceOp1, Layout, Shape, Storage, Tensor, Var, bail};
use candle_nn::init::NormalOrUniform;
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::sync::{Mutex, PoisonError};

/// One variable, in the memory that both modules read.
#[derive(Debug)]
pub(super) struct Named {
    name: String,
    pub(super) var: Var,
    init: Init,
}

/// Builds a module twice: of variables, and of the same without derivatives; with the variables, all zero.
pub(super) fn twice<N>(
    build: impl Fn(VarBuilder<'_>) -> candle_core::Result<N>,
) -> candle_core::Result<([N; 2], Vec<Named>)> {
    let named = Mutex::new(vec![]);
    let one = |learned: bool| {
        let source = Source { named: &named, learned };
        build(VarBuilder::from_backend(Box::new(source), DType::F32, Device::Cpu))
    };
    let modules = [one(true)?, one(false)?];
    Ok((modules, named.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

/// Where a module gets its variables from.
struct Source<'a> {
    named: &'a Mutex<Vec<Named>>,
    learned: bool,
}
impl Source<'_> {
    fn hand_out(&self, var: &Var) -> Tensor {
        if self.learned { var.as_tensor().clone() } else { var.as_detached_tensor() }
    }
    fn with<R>(&self, f: impl FnOnce(&mut Vec<Named>) -> R) -> R {
        f(&mut self.named.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
impl SimpleBackend for Source<'_> {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        if dtype != DType::F32 || !device.is_cpu() {
            bail!("variable {name}: f32 on the processor, not {dtype:?} on {device:?}");
        }
        self.with(|named| {
            if let Some(known) = named.iter().find(|n| n.name == name) {
                if known.var.shape() != &shape {
                    bail!("variable {name} is asked for with shape {shape:?}, and has {:?}", known.var.shape());
                }
                return Ok(self.hand_out(&known.var));
            }
            if !self.learned {
                bail!("variable {name} is asked for the second time that the module is built, and was not the first");
            }
            let var = Var::zeros(shape, DType::F32, device)?;
            let tensor = self.hand_out(&var);
            named.push(Named { name: name.to_string(), var, init });
            Ok(tensor)
        })
    }
    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        let found = self.with(|named| named.iter().find(|n| n.name == name).map(|n| self.hand_out(&n.var)));
        found.map_or_else(|| bail!("there is no variable {name}"), Ok)
    }
    fn contains_tensor(&self, name: &str) -> bool {
        self.with(|named| named.iter().any(|n| n.name == name))
    }
}

/// One slot a variable, its name before those of the base measure: what has one axis is a bias, what has more are weights; columns are the
/// first axis, so that the numbers lie as candle lays them.
pub(super) fn params(named: &[Named], more: &[(&str, Role, usize)]) -> Params {
    let slot = |n: &'_ Named| {
        let dims = n.var.dims();
        match dims {
            [] => (Role::Bias, 1, 1),
            [n] => (Role::Bias, *n, 1),
            [first, rest @ ..] => (Role::Weights, rest.iter().product(), *first),
        }
    };
    let shapes = named.iter().map(|n| {
        let (role, rows, columns) = slot(n);
        (&*n.name, role, rows, columns)
    });
    let more = more.iter().map(|&(name, role, n)| (name, role, n, 1));
    Params::zeros(&shapes.chain(more).collect::<Vec<_>>())
}
/// Draws every variable as the module asked for it.
pub(super) fn draw(named: &[Named], seed: u64, params: &mut Params) {
    let mut rng = ChainRng::new(derive(seed, "variables of a module"));
    for (k, n) in named.iter().enumerate() {
        let mut fill = |mean: f64, scale: f64, normal: bool| {
            for v in params.slice_mut(k) {
                let z: f64 = if normal { StandardNormal.sample(&mut rng) } else { rng.random_range(-1.0..1.0) };
                *v = (mean + scale * z) as f32;
            }
        };
        match n.init {
            Init::Const(c) => params.slice_mut(k).fill(c as f32),
            Init::Randn { mean, stdev } => fill(mean, stdev, true),
            Init::Uniform { lo, up } => fill(0.5 * (lo + up), 0.5 * (up - lo), false),
            Init::Kaiming { dist, fan, non_linearity } => {
                let deviation = non_linearity.gain() / (fan.for_shape(n.var.shape()) as f64).sqrt();
                match dist {
                    NormalOrUniform::Normal => fill(0.0, deviation, true),
                    NormalOrUniform::Uniform => fill(0.0, 3f64.sqrt() * deviation, false),
                }
            }
        }
    }
}

/// Parameters into variables, in one pass.
///
/// # Panics
/// If a variable is not what it was made as.
pub(super) fn write(params: &Params, named: &[Named]) {
    for (k, n) in named.iter().enumerate() {
        n.var.inplace_op1(&Write(params.slice(k))).expect("a variable of the size of its slot, in memory of our own");
    }
}
struct Write<'a>(&'a [f32]);
impl InplaceOp1 for Write<'_> {
    fn name(&self) -> &'static str {
        "parameters"
    }
    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        match (storage, layout.contiguous_offsets()) {
            (CpuStorage::F32(to), Some((from, end))) if end - from == self.0.len() => {
                to[from..end].copy_from_slice(self.0);
                Ok(())
            }
            _ => bail!("{} numbers do not fit a variable of shape {:?}", self.0.len(), layout.shape()),
        }
    }
}

/// What `f` makes of the numbers of a tensor, which lie as its shape says.
pub(crate) fn read<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> candle_core::Result<R> {
    let plain = tensor.contiguous()?;
    let (storage, layout) = plain.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(data)), Some((from, end))) => Ok(f(&data[from..end])),
        _ => bail!("numbers in single precision on the processor, not {:?} on {:?}", tensor.dtype(), tensor.device()),
    }
}

/// Errors of candle as ours.
pub(crate) fn fitting<T>(result: candle_core::Result<T>) -> Result<T> {
    result
        .map_err(|e| crate::Error::value("a candle module", "one that takes samples × rows", one_line(&e.to_string())))
}
/// Without the trace that candle may append.
fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_string()
}
