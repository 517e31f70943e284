//! Operations that candle derives and this crate computes: convolutions by one product over patches, and activations.
//!
//! Images are samples × height × width × channels, the channels of a pixel side by side: a patch is then a few runs of memory, the
//! channels of one pixel of the result are one column of a product, and a column's bits do not depend on how many there are. candle's own
//! convolution wants channels first; by the state it is derived without a product, 5 to 8 times slower here (see DESIGN.md). One thread
//! works at each operation, for slabs are what is parallel.
//!
//! ## References
//! - Chellapilla, Puri and Simard, "High performance convolutional neural networks for document processing", 2006.

use crate::linalg::{add_columns, axpy, fill_columns, gemm, gemm_nt};
use crate::models::neural::Activation;
use crate::{MatMut, MatRef};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

/// Each channel of the result at a pixel is a weighted sum over the patch there, and a bias: `x` samples × height × width × channels,
/// `kernels` height × width × channels × channels of the result, all in single precision. Patches begin `padding` outside the image,
/// where all is zero, and lie `stride` apart.
///
/// # Errors
/// Those of candle, if shapes do not fit.
pub fn convolve(x: &Tensor, kernels: &Tensor, bias: &Tensor, stride: usize, padding: usize) -> Result<Tensor> {
    x.contiguous()?.apply_op3(&kernels.contiguous()?, &bias.contiguous()?, Convolution { stride, padding })
}
/// `Wx + b`: `x` samples × inputs, `weights` inputs × outputs; the product is this crate's own.
///
/// # Errors
/// Those of candle, if shapes do not fit.
pub fn dense(x: &Tensor, weights: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let ((n, inputs), outputs) = (x.dims2()?, weights.dim(1)?);
    let kernels = weights.reshape((1, 1, weights.dim(0)?, outputs))?;
    convolve(&x.reshape((n, 1, 1, inputs))?, &kernels, bias, 1, 0)?.reshape((n, outputs))
}
/// The activation of every number.
///
/// # Errors
/// Those of candle.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Activate(activation))
}

#[derive(Clone, Copy)]
struct Convolution {
    stride: usize,
    padding: usize,
}
/// Shapes of one convolution.
#[derive(Clone, Copy)]
struct Geometry {
    n: usize,
    image: [usize; 3],  // height, width, channels
    kernel: [usize; 3], // height, width, channels of the result
    result: [usize; 2], // height, width
    stride: usize,
    padding: usize,
}

impl Convolution {
    fn geometry(self, x: &[usize], kernels: &[usize]) -> Result<Geometry> {
        let (&[n, height, width, channels], &[rows, columns, inputs, outputs]) = (x, kernels) else {
            bail!("images of shape {x:?} and kernels of shape {kernels:?}: both have four axes");
        };
        let spread = |size: usize, kernel: usize| {
            let free = (size + 2 * self.padding).checked_sub(kernel)?;
            (self.stride > 0 && kernel > 0).then(|| free / self.stride + 1)
        };
        let (Some(down), Some(across)) = (spread(height, rows), spread(width, columns)) else {
            bail!("kernels of {rows} × {columns} do not fit images of {height} × {width} with {} around", self.padding);
        };
        if inputs != channels {
            bail!("kernels of {inputs} channels for images of {channels}");
        }
        let (image, kernel, result) = ([height, width, channels], [rows, columns, outputs], [down, across]);
        Ok(Geometry { n, image, kernel, result, stride: self.stride, padding: self.padding })
    }
}
impl Geometry {
    /// Numbers in a patch.
    fn patch(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.image[2]
    }
    /// Pixels of all results.
    fn pixels(&self) -> usize {
        self.n * self.result[0] * self.result[1]
    }
    /// The images are their own patches.
    fn is_plain(&self) -> bool {
        self.kernel[..2] == [1, 1] && self.stride == 1 && self.padding == 0
    }
    /// `f(where a run of a patch is, where that run is in the images, its length)` for every run that lies inside.
    fn runs(&self, mut f: impl FnMut(usize, usize, usize)) {
        let ([height, width, channels], [rows, columns, _]) = (self.image, self.kernel);
        for pixel in 0..self.pixels() {
            let (sample, at) = (pixel / (self.result[0] * self.result[1]), pixel % (self.result[0] * self.result[1]));
            // Both counted from the edge of the padding.
            let (top, left) = (at / self.result[1] * self.stride, at % self.result[1] * self.stride);
            let (from, to) = (left.max(self.padding), (left + columns).min(width + self.padding));
            for row in (0..rows).filter(|r| (self.padding..height + self.padding).contains(&(top + r))) {
                if from < to {
                    let y = sample * height + top + row - self.padding;
                    let patch = pixel * self.patch() + (row * columns + from - left) * channels;
                    f(patch, (y * width + from - self.padding) * channels, (to - from) * channels);
                }
            }
        }
    }
    /// The patches of images, one a column.
    fn patches(&self, x: &[f32]) -> Vec<f32> {
        if self.is_plain() {
            return x.to_vec();
        }
        let mut out = vec![0.0; self.pixels() * self.patch()];
        self.runs(|patch, image, len| out[patch..patch + len].copy_from_slice(&x[image..image + len]));
        out
    }
    /// Adds patches up where they come from.
    fn fold(&self, patches: Vec<f32>) -> Vec<f32> {
        if self.is_plain() {
            return patches;
        }
        let mut out = vec![0.0; self.n * self.image.iter().product::<usize>()];
        self.runs(|patch, image, len| axpy(1.0, &patches[patch..patch + len], &mut out[image..image + len]));
        out
    }
    fn images(&self) -> Shape {
        (self.n, self.image[0], self.image[1], self.image[2]).into()
    }
}

/// The numbers of an argument.
pub(crate) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((from, end)) => Ok(&storage.as_slice::<f32>()?[from..end]),
        None => bail!("numbers that do not lie as the shape {:?} says", layout.shape()),
    }
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        "convolve"
    }
    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        kernels: &CpuStorage,
        kernels_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let g = self.geometry(x_layout.dims(), kernels_layout.dims())?;
        let (bias, outputs) = (values(bias, bias_layout)?, g.kernel[2]);
        if bias.len() != outputs {
            bail!("{} biases for {outputs} channels", bias.len());
        }
        let patches = g.patches(values(x, x_layout)?);
        let mut out = vec![0.0; g.pixels() * outputs];
        let mut y = MatMut::from_slice(&mut out, outputs, g.pixels());
        fill_columns(bias, &mut y);
        let kernels = MatRef::from_slice(values(kernels, kernels_layout)?, outputs, g.patch());
        gemm(1.0, kernels, MatRef::from_slice(&patches, g.patch(), g.pixels()), 1.0, y);
        Ok((CpuStorage::F32(out), (g.n, g.result[0], g.result[1], outputs).into()))
    }
    fn bwd(
        &self,
        x: &Tensor,
        kernels: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        slope: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let slope = slope.contiguous()?;
        let g = self.geometry(x.dims(), kernels.dims())?;
        let by_x = x.track_op().then(|| slope.apply_op2_no_bwd(kernels, &ByImages(g)));
        let by_kernels = kernels.track_op().then(|| x.apply_op2_no_bwd(&slope, &ByKernels(g)));
        let by_bias = bias.track_op().then(|| slope.apply_op1_no_bwd(&ByBias(g.kernel[2])));
        Ok((by_x.transpose()?, by_kernels.transpose()?, by_bias.transpose()?))
    }
}
struct ByImages(Geometry);
impl CustomOp2 for ByImages {
    fn name(&self) -> &'static str {
        "convolve-by-images"
    }
    fn cpu_fwd(
        &self,
        slope: &CpuStorage,
        slope_layout: &Layout,
        kernels: &CpuStorage,
        kernels_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (g, outputs) = (self.0, self.0.kernel[2]);
        let slope = MatRef::from_slice(values(slope, slope_layout)?, outputs, g.pixels());
        // Transposed by hand: the bits of a column of a plain product do not depend on how many there are.
        let kernels = MatRef::from_slice(values(kernels, kernels_layout)?, outputs, g.patch()).transpose();
        let mut patches = vec![0.0; g.pixels() * g.patch()];
        gemm(1.0, kernels.as_view(), slope, 0.0, MatMut::from_slice(&mut patches, g.patch(), g.pixels()));
        Ok((CpuStorage::F32(g.fold(patches)), g.images()))
    }
}
struct ByKernels(Geometry);
impl CustomOp2 for ByKernels {
    fn name(&self) -> &'static str {
        "convolve-by-kernels"
    }
    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        slope: &CpuStorage,
        slope_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (g, outputs) = (self.0, self.0.kernel[2]);
        let patches = g.patches(values(x, x_layout)?);
        let slope = MatRef::from_slice(values(slope, slope_layout)?, outputs, g.pixels());
        let mut out = vec![0.0; outputs * g.patch()];
        let patches = MatRef::from_slice(&patches, g.patch(), g.pixels());
        gemm_nt(1.0, slope, patches, 0.0, MatMut::from_slice(&mut out, outputs, g.patch()));
        Ok((CpuStorage::F32(out), (g.kernel[0], g.kernel[1], g.image[2], outputs).into()))
    }
}
struct ByBias(usize);
impl CustomOp1 for ByBias {
    fn name(&self) -> &'static str {
        "convolve-by-bias"
    }
    fn cpu_fwd(&self, slope: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let slope = values(slope, layout)?;
        let columns = slope.len().checked_div(self.0).unwrap_or(0);
        let mut out = vec![0.0; self.0];
        add_columns(&mut out, 1.0, MatRef::from_slice(slope, self.0, columns), &vec![1.0; columns]);
        Ok((CpuStorage::F32(out), self.0.into()))
    }
}

struct Activate(Activation);
impl CustomOp1 for Activate {
    fn name(&self) -> &'static str {
        "activate"
    }
    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(x, layout)?;
        let mut out = vec![0.0; x.len()];
        self.0.apply(x, &mut out);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
    fn bwd(&self, x: &Tensor, active: &Tensor, slope: &Tensor) -> Result<Option<Tensor>> {
        slope.contiguous()?.apply_op3_no_bwd(x, active, &Chain(self.0)).map(Some)
    }
}
struct Chain(Activation);
impl CustomOp3 for Chain {
    fn name(&self) -> &'static str {
        "chain"
    }
    fn cpu_fwd(
        &self,
        slope: &CpuStorage,
        slope_layout: &Layout,
        x: &CpuStorage,
        x_layout: &Layout,
        active: &CpuStorage,
        active_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let mut back = values(slope, slope_layout)?.to_vec();
        self.0.chain(values(x, x_layout)?, values(active, active_layout)?, &mut back);
        Ok((CpuStorage::F32(back), slope_layout.shape().clone()))
    }
}

/// What operations of this crate are compared with candle's by.
#[cfg(test)]
pub(super) mod tests {
    use crate::rng::ChainRng;
    use candle_core::{Device, Shape, Tensor};
    use rand_distr::{Distribution, StandardNormal};

    /// Normal numbers.
    pub(crate) fn random(shape: impl Into<Shape>, seed: u64) -> Tensor {
        let (shape, mut rng) = (shape.into(), ChainRng::new(seed));
        let values = (0..shape.elem_count()).map(|_| -> f32 { StandardNormal.sample(&mut rng) }).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }
    /// Derivatives of the sum of `y`.
    pub(crate) fn slopes(y: &Tensor, by: &Tensor) -> Tensor {
        y.sum_all().unwrap().backward().unwrap().get(by).unwrap().clone()
    }
    /// Whether numbers are the same but for a rounding of the largest.
    pub(crate) fn agree(a: &Tensor, b: &Tensor, rounding: f32) {
        assert_eq!(a.shape(), b.shape());
        let all = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (a, b) = (all(a), all(b));
        let most = b.iter().fold(1f32, |m, x| m.max(x.abs()));
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() <= rounding * most, "{a} and {b}");
        }
    }
}
