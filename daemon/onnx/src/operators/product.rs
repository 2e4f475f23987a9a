//! The product with a matrix in a mapped file.

use super::tensors::{input, output};
use super::{Activations, Own, Panels};
use hob_kernels::{Bits, Columns, Form, Instructions, Matrix, RoundedRow};
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput, ShapeInferenceContext,
};
use ort::value::{Shape, ValueType};
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

/// Products of fewer weights and rows are made by one thread: waking another takes longer.
const ALONE: usize = 1 << 19;

/// Parts of a product for each thread: one that is held up by another program leaves the rest to the others.
const PARTS: usize = 8;

pub(super) struct PanelProduct<N> {
    panels: Arc<Panels>,
    threads: usize,
    numbers: PhantomData<fn() -> N>,
}

impl<N> PanelProduct<N> {
    pub(super) fn new(panels: &Arc<Panels>, threads: usize) -> Self {
        Self { panels: Arc::clone(panels), threads, numbers: PhantomData }
    }
}

impl<N: Activations> Operator for PanelProduct<N> {
    type Kernel<'a> = Multiplier<N>;

    fn name(&self) -> &str {
        Own::PanelProduct.name(N::SCALES)
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [OperatorInput::required(N::ELEMENT)]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(N::ELEMENT)]
    }

    fn create_kernel<'a>(&self, about: &KernelContext<'a>) -> ort::Result<Self::Kernel<'a>> {
        let number = |name: &str| about.get::<i64>(name).and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
        let bits = Bits::of(number("bits")).ok_or_else(|| ort::Error::new("a matrix of unknown bits"))?;
        let form = Form::new(number("N"), number("K"), number("block_size"), bits, N::SCALES, number("points") == 1);
        let form = form.map_err(|error| ort::Error::new(error.to_string()))?;
        let offset = number("offset");
        let end = offset.checked_add(form.bytes()).filter(|end| *end <= self.panels.bytes().len());
        end.ok_or_else(|| ort::Error::new("a matrix beyond the end of its file"))?;
        let instructions = Instructions::best();
        let (panels, threads) = (Arc::clone(&self.panels), self.threads);
        Ok(Multiplier { panels, form, offset, threads, instructions, numbers: PhantomData })
    }

    fn infer_shape(&self, about: &mut ShapeInferenceContext) -> ort::Result<()> {
        let columns = about.attr::<i64>("N")?;
        let Some(ValueType::Tensor { shape, dimension_symbols, .. }) = about.inputs().into_iter().next() else {
            return Ok(());
        };
        let mut shape: Vec<i64> = shape.iter().copied().collect();
        let Some(last) = shape.last_mut() else { return Ok(()) };
        *last = columns;
        let shape = Shape::new(shape);
        about.set_output(0, &ValueType::Tensor { ty: N::ELEMENT, shape, dimension_symbols })
    }
}

/// One matrix, ready to multiply with.
pub(super) struct Multiplier<N> {
    panels: Arc<Panels>,
    form: Form,
    offset: usize,
    threads: usize,
    instructions: Instructions,
    numbers: PhantomData<fn() -> N>,
}

impl<N: Activations> Kernel for Multiplier<N> {
    fn compute(&mut self, run: &ComputeContext) -> ort::Result<()> {
        let input = input::<N>(run, 0)?;
        if input.width()? != self.form.depth() {
            return Err(ort::Error::new(format!("activations of {:?} by {}", input.shape, self.form.depth())));
        }
        let out = output::<N>(run, 0, &input.shape_with(self.form.rows()))?;
        let bytes = &self.panels.bytes()[self.offset..][..self.form.bytes()];
        let matrix = Matrix::new(self.form, bytes).map_err(|error| ort::Error::new(error.to_string()))?;
        self.multiply(run, &matrix, input.numbers, out)
    }
}

impl<N: Activations> Multiplier<N> {
    fn multiply(&self, run: &ComputeContext, matrix: &Matrix<'_>, activations: &[N], out: &mut [N]) -> ort::Result<()> {
        let (form, instructions) = (matrix.form(), self.instructions);
        let rows: Vec<&[N]> = activations.chunks_exact(form.depth()).collect();
        let round = |row: &[N]| RoundedRow::new(row, form.block(), instructions);
        let alone = rows.len().saturating_mul(form.rows()).saturating_mul(form.depth()) < ALONE;
        let threads = if alone { 1 } else { self.threads };
        let rounded: Vec<RoundedRow> = if rows.len() < threads * 2 || threads == 1 {
            rows.into_iter().map(round).collect()
        } else {
            let places: Vec<OnceLock<RoundedRow>> = rows.iter().map(|_| OnceLock::new()).collect();
            run.par_for(rows.len(), threads, |place| {
                places[place].get_or_init(|| round(rows[place]));
            })?;
            places.into_iter().filter_map(OnceLock::into_inner).collect()
        };
        let columns = Columns::new(form, out, form.panels().div_ceil(threads * PARTS));
        let work = || {
            while let Some(mut part) = columns.take() {
                matrix.multiply(&rounded, &mut part, instructions);
            }
        };
        if threads == 1 {
            work();
            return Ok(());
        }
        run.par_for(threads, threads, |_| work())
    }
}
