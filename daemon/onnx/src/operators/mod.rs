//! Operators of hob's own, for what ONNX Runtime's processor does slower than the memory allows, or in more steps than it
//! takes. Each is there twice, for activations in single and in half precision; what they do is `hob-kernels`'.

mod attention;
mod gate;
mod heads;
mod panels;
mod product;
mod residual;
mod tensors;
#[cfg(test)]
mod tests;

pub(crate) use panels::Panels;

use half::f16;
use hob_kernels::{Number, Scales};
use ort::operator::{ComputeContext, OperatorDomain};
use ort::value::{PrimitiveTensorElementType, TensorElementType};
use std::sync::{Arc, Mutex, PoisonError};

/// Where the operators are known from.
pub(crate) const DOMAIN: &str = "hob";

/// What an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// `Y = A × B` for a matrix B in panels, its form and its place in the file told by attributes.
    PanelProduct,
    /// `Y = gelu(gate) × up`; both in one input side by side, or each in one.
    GatedGelu,
    /// `Y = (stream + norm(branch)) × factor`, and the norm of that where it is asked for.
    ResidualNorm,
    /// The norm of each head, and its turn by the place of its token where it is turned.
    HeadNorm,
    /// Attention over keys and values that are grown where they lie.
    CachedAttention,
}

impl Own {
    /// What it is called, by the kind of its numbers: of several kinds under one name ONNX Runtime would take the first.
    /// Scales are of the same kind as activations.
    pub(crate) fn name(self, numbers: Scales) -> &'static str {
        match (self, numbers) {
            (Self::PanelProduct, Scales::Single) => "PanelProduct",
            (Self::PanelProduct, Scales::Half) => "HalfPanelProduct",
            (Self::GatedGelu, Scales::Single) => "GatedGelu",
            (Self::GatedGelu, Scales::Half) => "HalfGatedGelu",
            (Self::ResidualNorm, Scales::Single) => "ResidualNorm",
            (Self::ResidualNorm, Scales::Half) => "HalfResidualNorm",
            (Self::HeadNorm, Scales::Single) => "HeadNorm",
            (Self::HeadNorm, Scales::Half) => "HalfHeadNorm",
            (Self::CachedAttention, Scales::Single) => "CachedAttention",
            (Self::CachedAttention, Scales::Half) => "HalfCachedAttention",
        }
    }
}

/// The operators for one session, whose runs have so many threads.
#[expect(clippy::arc_with_non_send_sync, reason = "ort keeps them in an Arc for each session")]
pub(crate) fn operators(panels: &Arc<Panels>, threads: usize) -> ort::Result<Arc<OperatorDomain>> {
    let domain = OperatorDomain::new(DOMAIN)?;
    let domain = with::<f32>(domain, panels, threads)?;
    Ok(Arc::new(with::<f16>(domain, panels, threads)?))
}

fn with<N: Activations>(domain: OperatorDomain, panels: &Arc<Panels>, threads: usize) -> ort::Result<OperatorDomain> {
    let domain = domain.add(product::PanelProduct::<N>::new(panels, threads))?;
    let domain = domain.add(gate::GatedGelu::<N>::new(threads))?;
    let domain = domain.add(residual::ResidualNorm::<N>::new(threads))?;
    let domain = domain.add(heads::HeadNorm::<N>::new(threads))?;
    domain.add(attention::CachedAttention::<N>::new(threads))
}

/// Activations of a graph.
trait Activations: Number + PrimitiveTensorElementType + 'static {
    const ELEMENT: TensorElementType;
    const SCALES: Scales;
}

impl Activations for f32 {
    const ELEMENT: TensorElementType = TensorElementType::Float32;
    const SCALES: Scales = Scales::Single;
}

impl Activations for f16 {
    const ELEMENT: TensorElementType = TensorElementType::Float16;
    const SCALES: Scales = Scales::Half;
}

/// Numbers of rows that one thread is done with sooner than it wakes another.
const ALONE: usize = 1 << 16;

/// Does something to each of the rows of an output, shared out among threads where they are many.
fn each_row<T: Send>(
    run: &ComputeContext,
    threads: usize,
    width: usize,
    rows: Vec<T>,
    work: impl Fn(usize, &mut T) + Sync + Send,
) -> ort::Result<()> {
    let few = rows.len().saturating_mul(width) < ALONE;
    each(run, if few { 1 } else { threads }, rows, work)
}

/// Does something to each, shared out among threads.
fn each<T: Send>(
    run: &ComputeContext,
    threads: usize,
    all: Vec<T>,
    work: impl Fn(usize, &mut T) + Sync + Send,
) -> ort::Result<()> {
    if threads < 2 || all.len() < 2 {
        all.into_iter().enumerate().for_each(|(place, mut one)| work(place, &mut one));
        return Ok(());
    }
    // One thread alone comes to each, so that nobody ever waits.
    let all: Vec<Mutex<T>> = all.into_iter().map(Mutex::new).collect();
    run.par_for(all.len(), threads, |place| {
        work(place, &mut all[place].lock().unwrap_or_else(PoisonError::into_inner));
    })
}
