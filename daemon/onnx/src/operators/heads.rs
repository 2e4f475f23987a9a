//! What each head of queries, keys and values goes through before attention.

use super::tensors::{Input, input, optional, output};
use super::{Activations, Own, each_row};
use hob_kernels::{Instructions, Norm, Turn};
use ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput};
use ort::value::TensorElementType;
use std::marker::PhantomData;

/// Inputs: heads side by side, the weights of the norm of one, and for those that are turned the places of tokens and the
/// cosines and sines of each place. One output, of the first one's shape. Attribute: `epsilon` of the norm.
pub(super) struct HeadNorm<N> {
    threads: usize,
    numbers: PhantomData<fn() -> N>,
}

impl<N> HeadNorm<N> {
    pub(super) fn new(threads: usize) -> Self {
        Self { threads, numbers: PhantomData }
    }
}

impl<N: Activations> Operator for HeadNorm<N> {
    type Kernel<'a> = Turner<N>;

    fn name(&self) -> &str {
        Own::HeadNorm.name(N::SCALES)
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let (required, optional) = (|| OperatorInput::required(N::ELEMENT), OperatorInput::optional);
        [required(), required(), optional(TensorElementType::Int64), optional(N::ELEMENT), optional(N::ELEMENT)]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(N::ELEMENT)]
    }

    fn create_kernel<'a>(&self, about: &KernelContext<'a>) -> ort::Result<Self::Kernel<'a>> {
        let epsilon = about.get::<f32>("epsilon").ok_or_else(|| ort::Error::new("no epsilon"))?;
        Ok(Turner { epsilon, threads: self.threads, instructions: Instructions::best(), numbers: PhantomData })
    }
}

pub(super) struct Turner<N> {
    epsilon: f32,
    threads: usize,
    instructions: Instructions,
    numbers: PhantomData<fn() -> N>,
}

impl<N: Activations> Kernel for Turner<N> {
    fn compute(&mut self, run: &ComputeContext) -> ort::Result<()> {
        let [heads, weights] = [input::<N>(run, 0)?, input::<N>(run, 1)?];
        let norm = Norm { weights: weights.numbers, epsilon: self.epsilon };
        let (row, width) = (heads.width()?, norm.weights.len());
        if width == 0 || row % width != 0 {
            return Err(ort::Error::new(format!("a row of {row} in heads of {width}")));
        }
        let turns = match optional::<i64>(run, 2)? {
            Some(places) => Some(Turns::new(places, [input::<N>(run, 3)?, input::<N>(run, 4)?], width)?),
            None => None,
        };
        let count = heads.numbers.len() / row;
        if let Some(turns) = &turns {
            turns.cover(count)?;
        }
        let out = output::<N>(run, 0, &heads.shape)?;
        let rows: Vec<&mut [N]> = out.chunks_exact_mut(row).collect();
        each_row(run, self.threads, row, rows, |place, out| {
            let turn = turns.as_ref().map(|turns| turns.at(place));
            norm.heads(&heads.numbers[place * row..][..row], turn, out, self.instructions);
        })
    }
}

/// How far the heads of each token are turned.
struct Turns<'a, N> {
    places: &'a [i64],
    cosines: &'a [N],
    sines: &'a [N],
    /// Pairs of a head.
    pairs: usize,
}

impl<'a, N: Activations> Turns<'a, N> {
    fn new(places: Input<'a, i64>, [cosines, sines]: [Input<'a, N>; 2], width: usize) -> ort::Result<Self> {
        let pairs = width / 2;
        let fits = [cosines.width()?, sines.width()?] == [pairs; 2] && width.is_multiple_of(2);
        if !fits || cosines.numbers.len() != sines.numbers.len() {
            let (cosines, sines) = (cosines.shape, sines.shape);
            return Err(ort::Error::new(format!("turns of {cosines:?} and {sines:?} for heads of {width}")));
        }
        Ok(Self { places: places.numbers, cosines: cosines.numbers, sines: sines.numbers, pairs })
    }

    /// Whether there is a turn for each of so many tokens.
    fn cover(&self, tokens: usize) -> ort::Result<()> {
        let known = self.cosines.len() / self.pairs;
        let lies = |place: &&i64| usize::try_from(**place).is_ok_and(|place| place < known);
        let beyond = self.places.iter().find(|place| !lies(place));
        match beyond {
            Some(place) => Err(ort::Error::new(format!("a token at {place}, with turns for {known}"))),
            None if self.places.len() != tokens => {
                Err(ort::Error::new(format!("{} places for {tokens} tokens", self.places.len())))
            }
            None => Ok(()),
        }
    }

    fn at(&self, token: usize) -> Turn<'a, N> {
        let place = usize::try_from(self.places[token]).unwrap_or(0) * self.pairs;
        Turn { cosines: &self.cosines[place..][..self.pairs], sines: &self.sines[place..][..self.pairs] }
    }
}
