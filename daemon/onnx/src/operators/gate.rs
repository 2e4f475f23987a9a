//! A gate and what it lets through.

use super::tensors::{input, optional, output};
use super::{Activations, Own, each_row};
use hob_kernels::{Instructions, gated_gelu};
use ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput};
use std::marker::PhantomData;

/// Inputs: the gate, and what it lets through; or both side by side in the first. Output: what comes through.
pub(super) struct GatedGelu<N> {
    threads: usize,
    numbers: PhantomData<fn() -> N>,
}

impl<N> GatedGelu<N> {
    pub(super) fn new(threads: usize) -> Self {
        Self { threads, numbers: PhantomData }
    }
}

impl<N: Activations> Operator for GatedGelu<N> {
    type Kernel<'a> = Gate<N>;

    fn name(&self) -> &str {
        Own::GatedGelu.name(N::SCALES)
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [OperatorInput::required(N::ELEMENT), OperatorInput::optional(N::ELEMENT)]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(N::ELEMENT)]
    }

    fn create_kernel<'a>(&self, _: &KernelContext<'a>) -> ort::Result<Self::Kernel<'a>> {
        Ok(Gate { threads: self.threads, instructions: Instructions::best(), numbers: PhantomData })
    }
}

pub(super) struct Gate<N> {
    threads: usize,
    instructions: Instructions,
    numbers: PhantomData<fn() -> N>,
}

impl<N: Activations> Kernel for Gate<N> {
    fn compute(&mut self, run: &ComputeContext) -> ort::Result<()> {
        let (first, second) = (input::<N>(run, 0)?, optional::<N>(run, 1)?);
        let width = if second.is_some() { first.width()? } else { first.width()? / 2 };
        if second.as_ref().is_some_and(|second| second.shape != first.shape) || width == 0 {
            return Err(ort::Error::new("a gate of another shape than what it is for"));
        }
        let out = output::<N>(run, 0, &first.shape_with(width))?;
        let (gates, ups) = (first.numbers, second.map(|second| second.numbers));
        let rows: Vec<&mut [N]> = out.chunks_exact_mut(width).collect();
        each_row(run, self.threads, width, rows, |row, out| {
            let (gate, up) = match ups {
                Some(ups) => (&gates[row * width..][..width], &ups[row * width..][..width]),
                None => gates[row * width * 2..][..width * 2].split_at(width),
            };
            gated_gelu(gate, up, out, self.instructions);
        })
    }
}
