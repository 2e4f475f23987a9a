//! What a layer adds to the stream, and the norm that the next one begins with.

use super::tensors::{input, optional, output};
use super::{Activations, Own, each_row};
use hob_kernels::{Instructions, Norm, Residual};
use ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput};
use std::marker::PhantomData;

/// Inputs: the stream, what is added, the weights of its norm, and those of the next norm. Outputs: the sum, and its norm.
/// Attributes: `epsilon` and `next_epsilon` of the norms, and the `factor` of the sum.
pub(super) struct ResidualNorm<N> {
    threads: usize,
    numbers: PhantomData<fn() -> N>,
}

impl<N> ResidualNorm<N> {
    pub(super) fn new(threads: usize) -> Self {
        Self { threads, numbers: PhantomData }
    }
}

impl<N: Activations> Operator for ResidualNorm<N> {
    type Kernel<'a> = Adder<N>;

    fn name(&self) -> &str {
        Own::ResidualNorm.name(N::SCALES)
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let required = || OperatorInput::required(N::ELEMENT);
        [required(), required(), required(), OperatorInput::optional(N::ELEMENT)]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(N::ELEMENT), OperatorOutput::optional(N::ELEMENT)]
    }

    fn create_kernel<'a>(&self, about: &KernelContext<'a>) -> ort::Result<Self::Kernel<'a>> {
        let number = |name: &str| about.get::<f32>(name).ok_or_else(|| ort::Error::new(format!("no {name}")));
        Ok(Adder {
            epsilon: number("epsilon")?,
            next_epsilon: number("next_epsilon")?,
            factor: number("factor")?,
            threads: self.threads,
            instructions: Instructions::best(),
            numbers: PhantomData,
        })
    }
}

pub(super) struct Adder<N> {
    epsilon: f32,
    next_epsilon: f32,
    factor: f32,
    threads: usize,
    instructions: Instructions,
    numbers: PhantomData<fn() -> N>,
}

impl<N: Activations> Kernel for Adder<N> {
    fn compute(&mut self, run: &ComputeContext) -> ort::Result<()> {
        let [stream, branch, weights] = [input::<N>(run, 0)?, input::<N>(run, 1)?, input::<N>(run, 2)?];
        let next = optional::<N>(run, 3)?.map(|next| next.numbers);
        let width = stream.width()?;
        let weights = weights.numbers;
        if stream.shape != branch.shape || weights.len() != width || next.is_some_and(|next| next.len() != width) {
            let (stream, branch, norm) = (stream.shape, branch.shape, weights.len());
            return Err(ort::Error::new(format!("{branch:?} added to {stream:?} with a norm of {norm}")));
        }
        let (streams, branches) = (stream.numbers, branch.numbers);
        let sums = output::<N>(run, 0, &stream.shape)?;
        let normed = if next.is_some() { output::<N>(run, 1, &stream.shape)? } else { &mut [] };
        let residual = Residual {
            norm: Norm { weights, epsilon: self.epsilon },
            factor: self.factor,
            next: next.map(|weights| Norm { weights, epsilon: self.next_epsilon }),
        };
        let mut normed = normed.chunks_exact_mut(width);
        let rows: Vec<(&mut [N], &mut [N])> =
            sums.chunks_exact_mut(width).map(|sum| (sum, normed.next().unwrap_or_default())).collect();
        each_row(run, self.threads, width, rows, |row, (sum, normed)| {
            let row = row * width..(row + 1) * width;
            residual.row(&streams[row.clone()], &branches[row], sum, normed, self.instructions);
        })
    }
}
