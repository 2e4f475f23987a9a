//! The operator that multiplies with a matrix in a mapped file.

use hob_kernels::{Bits, Columns, Form, Instructions, Matrix, Number, RoundedRow, Scales};
use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::{Advice, Mmap};
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
    ShapeInferenceContext,
};
use ort::value::{PrimitiveTensorElementType, Shape, TensorElementType, ValueType};
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Where the operator is known from.
pub(crate) const DOMAIN: &str = "hob";

/// What it is called, by the kind of its numbers: ONNX Runtime takes the first kind where one name has several. Scales are
/// of the same kind as activations.
pub(crate) fn operator_for(scales: Scales) -> &'static str {
    match scales {
        Scales::Single => "PanelProduct",
        Scales::Half => "HalfPanelProduct",
    }
}

/// Products of fewer weights and rows are made by one thread: waking another takes longer.
const ALONE: usize = 1 << 19;

/// Parts of a product for each thread: one that is held up by another program leaves the rest to the others.
const PARTS: usize = 8;

/// A mapped file of matrices.
#[derive(Debug)]
pub(crate) struct Panels(Mmap);

impl Panels {
    /// Maps a file that must have so many bytes.
    pub(crate) fn open(path: &Path, bytes: u64) -> io::Result<Arc<Self>> {
        let file = File::open(path)?;
        if file.metadata()?.len() != bytes {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it has another size than its graph says"));
        }
        #[expect(unsafe_code, reason = "mapping a file is, since another program could change it")]
        // SAFETY: the file lies in hob's own folder, which others cannot write to; hob itself writes it under another name,
        // and never again once it is whole.
        let map = unsafe { Mmap::map(&file)? };
        // Large pages: a processor knows where few pages lie, and looks each of the others up. Not every system has them.
        if let Err(error) = map.advise(Advice::HugePage) {
            tracing::debug!(%error, "weights are mapped in small pages");
        }
        Ok(Arc::new(Self(map)))
    }
}

/// The operators for one session, whose runs have so many threads.
pub(crate) fn operators(panels: &Arc<Panels>, threads: usize) -> ort::Result<Arc<OperatorDomain>> {
    let domain = OperatorDomain::new(DOMAIN)?;
    let domain = domain.add(PanelProduct::<f32>::new(panels, threads))?;
    Ok(Arc::new(domain.add(PanelProduct::<f16>::new(panels, threads))?))
}

/// `Y = A × B` for a matrix B in the mapped file, its place and form told by attributes.
struct PanelProduct<N> {
    panels: Arc<Panels>,
    threads: usize,
    numbers: PhantomData<fn() -> N>,
}

impl<N> PanelProduct<N> {
    fn new(panels: &Arc<Panels>, threads: usize) -> Self {
        Self { panels: Arc::clone(panels), threads, numbers: PhantomData }
    }
}

/// Activations of a graph.
trait Activations: Number + PrimitiveTensorElementType + 'static {
    const ELEMENT: TensorElementType;
    const SCALES: Scales;

    fn rounded(row: &[Self], block: usize, instructions: Instructions) -> RoundedRow;
}

impl Activations for f32 {
    const ELEMENT: TensorElementType = TensorElementType::Float32;
    const SCALES: Scales = Scales::Single;

    fn rounded(row: &[Self], block: usize, instructions: Instructions) -> RoundedRow {
        RoundedRow::new(row, block, instructions)
    }
}

impl Activations for f16 {
    const ELEMENT: TensorElementType = TensorElementType::Float16;
    const SCALES: Scales = Scales::Half;

    fn rounded(row: &[Self], block: usize, instructions: Instructions) -> RoundedRow {
        let mut single = vec![0.0; row.len()];
        row.convert_to_f32_slice(&mut single);
        RoundedRow::new(&single, block, instructions)
    }
}

impl<N: Activations> Operator for PanelProduct<N> {
    type Kernel<'a> = Multiplier<N>;

    fn name(&self) -> &str {
        operator_for(N::SCALES)
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
        let end = offset.checked_add(form.bytes()).filter(|end| *end <= self.panels.0.len());
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
struct Multiplier<N> {
    panels: Arc<Panels>,
    form: Form,
    offset: usize,
    threads: usize,
    instructions: Instructions,
    numbers: PhantomData<fn() -> N>,
}

impl<N: Activations> Kernel for Multiplier<N> {
    fn compute(&mut self, run: &ComputeContext) -> ort::Result<()> {
        let none = || ort::Error::new("a product without activations or without room");
        let input = run.input(0)?.ok_or_else(none)?;
        let (shape, activations) = input.try_extract_tensor::<N>()?;
        let Some((depth, outer)) = shape.split_last() else { return Err(none()) };
        if usize::try_from(*depth).ok() != Some(self.form.depth()) {
            return Err(ort::Error::new(format!("activations of {depth} for a matrix of {}", self.form.depth())));
        }
        let columns = i64::try_from(self.form.rows()).unwrap_or(i64::MAX);
        let mut output = run.output(0, Shape::new(outer.iter().copied().chain([columns])))?.ok_or_else(none)?;
        let (_, out) = output.try_extract_tensor_mut::<N>()?;
        let bytes = &self.panels.0[self.offset..][..self.form.bytes()];
        let matrix = Matrix::new(self.form, bytes).map_err(|error| ort::Error::new(error.to_string()))?;
        self.multiply(run, &matrix, activations, out)
    }
}

impl<N: Activations> Multiplier<N> {
    fn multiply(&self, run: &ComputeContext, matrix: &Matrix<'_>, activations: &[N], out: &mut [N]) -> ort::Result<()> {
        let (form, instructions) = (matrix.form(), self.instructions);
        let rows: Vec<&[N]> = activations.chunks_exact(form.depth()).collect();
        let round = |row: &[N]| N::rounded(row, form.block(), instructions);
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
