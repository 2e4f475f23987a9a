//! Named inputs and outputs: blocks of numbers with a shape.

use half::slice::HalfFloatSliceExt;
use ort::memory::Allocator;
use ort::value::{DynTensor, TensorElementType};
use std::fmt;
use std::io::{self, Read, Write};

/// What a tensor holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// 64-bit integers.
    I64,
    /// 32-bit integers.
    I32,
    /// Truth values.
    Bool,
    /// Something that hob feeds to no graph.
    Other,
}

/// What hob knows, by ONNX Runtime's names.
const KNOWN: [(Element, TensorElementType); 5] = [
    (Element::F32, TensorElementType::Float32),
    (Element::F16, TensorElementType::Float16),
    (Element::I64, TensorElementType::Int64),
    (Element::I32, TensorElementType::Int32),
    (Element::Bool, TensorElementType::Bool),
];

impl Element {
    /// By the numbers of ONNX's `TensorProto.DataType`.
    pub(crate) fn of_code(code: i64) -> Self {
        match code {
            1 => Self::F32,
            6 => Self::I32,
            7 => Self::I64,
            9 => Self::Bool,
            10 => Self::F16,
            _ => Self::Other,
        }
    }
}

impl From<TensorElementType> for Element {
    fn from(kind: TensorElementType) -> Self {
        KNOWN.iter().find(|(_, known)| *known == kind).map_or(Self::Other, |(element, _)| *element)
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::Bool => "bool",
            Self::Other => "other",
        })
    }
}

/// Why a tensor could not be made, cut or read.
#[derive(Debug, thiserror::Error)]
pub enum TensorError {
    /// The shape and the data do not fit, or there is no memory.
    #[error("a tensor of shape {shape:?} cannot be made: {reason}")]
    Make {
        /// The shape.
        shape: Vec<usize>,
        /// What ONNX Runtime says.
        reason: String,
    },
    /// Not this type, or not with so many dimensions.
    #[error("{found} of shape {shape:?} cannot be used as {wanted}")]
    Unfit {
        /// What it holds.
        found: Element,
        /// Its shape.
        shape: Vec<usize>,
        /// What it should have been.
        wanted: &'static str,
    },
}

/// A block of numbers in memory that ONNX Runtime reads without copying. What a run gives back can be what the next run
/// is given.
#[derive(Debug)]
pub struct Tensor {
    pub(crate) value: DynTensor,
}

impl Tensor {
    /// 64-bit integers. An empty shape makes a scalar of the one number.
    ///
    /// # Errors
    /// [`TensorError::Make`] when the shape asks for another count of numbers.
    pub fn i64(shape: &[usize], data: Vec<i64>) -> Result<Self, TensorError> {
        let made = ort::value::Tensor::from_array((shape, data)).map_err(|error| unmade(shape, &error))?;
        Ok(Self { value: made.upcast() })
    }

    /// Single precision numbers, row by row.
    ///
    /// # Errors
    /// [`TensorError::Make`] when the shape asks for another count of numbers.
    pub fn f32(shape: &[usize], data: Vec<f32>) -> Result<Self, TensorError> {
        let made = ort::value::Tensor::from_array((shape, data)).map_err(|error| unmade(shape, &error))?;
        Ok(Self { value: made.upcast() })
    }

    /// Half precision numbers, row by row, rounded from single precision.
    ///
    /// # Errors
    /// [`TensorError::Make`] when the shape asks for another count of numbers.
    pub fn f16(shape: &[usize], data: &[f32]) -> Result<Self, TensorError> {
        let data: Vec<half::f16> = data.iter().map(|number| half::f16::from_f32(*number)).collect();
        let made = ort::value::Tensor::from_array((shape, data)).map_err(|error| unmade(shape, &error))?;
        Ok(Self { value: made.upcast() })
    }

    /// Zeros of the given kind; with a dimension of length zero, an empty tensor.
    ///
    /// # Errors
    /// [`TensorError::Unfit`] for [`Element::Other`], [`TensorError::Make`] when there is no memory.
    pub fn zeros(element: Element, shape: &[usize]) -> Result<Self, TensorError> {
        let Some((_, kind)) = KNOWN.iter().find(|(known, _)| *known == element) else {
            return Err(TensorError::Unfit { found: element, shape: shape.to_vec(), wanted: "an input" });
        };
        let made = DynTensor::new(&Allocator::default(), *kind, shape).map_err(|error| unmade(shape, &error))?;
        Ok(Self { value: made })
    }

    /// What it holds.
    #[must_use]
    pub fn element(&self) -> Element {
        (*self.value.data_type()).into()
    }

    /// Its dimensions.
    #[must_use]
    pub fn shape(&self) -> Vec<usize> {
        self.value.shape().iter().map(|dim| usize::try_from(*dim).unwrap_or(0)).collect()
    }

    /// The last `rows` rows of the last dimension's width, in single precision, one after another: of shape
    /// `[…, S, W]` the last `rows` of `S`, for a leading batch of one.
    ///
    /// # Errors
    /// [`TensorError::Unfit`] when it holds no floating point numbers or fewer rows.
    pub fn last_rows(&self, rows: usize) -> Result<Vec<f32>, TensorError> {
        let width = self.shape().last().copied().unwrap_or(1);
        let wanted = rows * width;
        let tail = |length: usize| length.checked_sub(wanted).ok_or_else(|| self.unfit("so many rows"));
        match self.element() {
            Element::F32 => {
                let (_, data) = self.value.try_extract_tensor::<f32>().map_err(|_| self.unfit("f32"))?;
                Ok(data[tail(data.len())?..].to_vec())
            }
            Element::F16 => {
                let (_, data) = self.value.try_extract_tensor::<half::f16>().map_err(|_| self.unfit("f16"))?;
                // A quarter of a million logits at each step.
                Ok(data[tail(data.len())?..].to_f32_vec())
            }
            Element::I64 | Element::I32 | Element::Bool | Element::Other => Err(self.unfit("floating point numbers")),
        }
    }

    /// Truth values, row by row.
    ///
    /// # Errors
    /// [`TensorError::Make`] when the shape asks for another count of them.
    pub fn bool(shape: &[usize], data: Vec<bool>) -> Result<Self, TensorError> {
        let made = ort::value::Tensor::from_array((shape, data)).map_err(|error| unmade(shape, &error))?;
        Ok(Self { value: made.upcast() })
    }

    /// Writes `row` over the row number `at` of all rows of the last dimension's width, counted over the whole tensor.
    ///
    /// # Errors
    /// [`TensorError::Unfit`] when it holds no floating point numbers, or no row there that is as wide.
    pub fn set_row(&mut self, at: usize, row: &[f32]) -> Result<(), TensorError> {
        let (element, shape) = (self.element(), self.shape());
        let unfit = |wanted| TensorError::Unfit { found: element, shape: shape.clone(), wanted };
        if shape.last() != Some(&row.len()) || row.is_empty() {
            return Err(unfit("rows of that width"));
        }
        match element {
            Element::F32 => {
                let (_, data) = self.value.try_extract_tensor_mut::<f32>().map_err(|_| unfit("f32"))?;
                let place = data.chunks_exact_mut(row.len()).nth(at).ok_or_else(|| unfit("so many rows"))?;
                place.copy_from_slice(row);
            }
            Element::F16 => {
                let (_, data) = self.value.try_extract_tensor_mut::<half::f16>().map_err(|_| unfit("f16"))?;
                let place = data.chunks_exact_mut(row.len()).nth(at).ok_or_else(|| unfit("so many rows"))?;
                place.iter_mut().zip(row).for_each(|(place, number)| *place = half::f16::from_f32(*number));
            }
            Element::I64 | Element::I32 | Element::Bool | Element::Other => {
                return Err(unfit("floating point numbers"));
            }
        }
        Ok(())
    }

    /// A copy of the first `length` entries along `axis`; the other dimensions stay whole.
    ///
    /// # Errors
    /// [`TensorError::Unfit`] when it holds no floating point numbers or is shorter than that.
    pub fn front(&self, axis: usize, length: usize) -> Result<Self, TensorError> {
        let mut shape = self.shape();
        let Some(whole) = shape.get(axis).copied().filter(|whole| length <= *whole) else {
            return Err(self.unfit("a longer tensor"));
        };
        let inner: usize = shape.iter().skip(axis + 1).product();
        if let Some(dim) = shape.get_mut(axis) {
            *dim = length;
        }
        let mut cut = Self::zeros(self.element(), &shape)?;
        if cut.value.shape().num_elements() == 0 {
            return Ok(cut); // an empty tensor has no memory to look at
        }
        match self.element() {
            Element::F32 => copy_front::<f32>(self, &mut cut, whole * inner, length * inner)?,
            Element::F16 => copy_front::<half::f16>(self, &mut cut, whole * inner, length * inner)?,
            Element::I64 | Element::I32 | Element::Bool | Element::Other => {
                return Err(self.unfit("floating point numbers"));
            }
        }
        Ok(cut)
    }

    /// Writes the first `length` entries along `axis`, little-endian, the other dimensions whole.
    ///
    /// # Errors
    /// What the writer says; [`io::ErrorKind::InvalidInput`] when it holds no floating point numbers or is shorter.
    pub fn write_front(&self, axis: usize, length: usize, to: &mut dyn Write) -> io::Result<()> {
        let unfit =
            || io::Error::new(io::ErrorKind::InvalidInput, self.unfit("a longer tensor of numbers").to_string());
        let shape = self.shape();
        let whole = shape.get(axis).copied().filter(|whole| length <= *whole).ok_or_else(unfit)?;
        let inner: usize = shape.iter().skip(axis + 1).product();
        let (block, kept) = (whole * inner, length * inner);
        if kept == 0 {
            return Ok(());
        }
        match self.element() {
            Element::F32 => {
                let (_, data) = self.value.try_extract_tensor::<f32>().map_err(|_| unfit())?;
                data.chunks_exact(block).try_for_each(|block| write_numbers(to, &block[..kept], |n| n.to_le_bytes()))
            }
            Element::F16 => {
                let (_, data) = self.value.try_extract_tensor::<half::f16>().map_err(|_| unfit())?;
                data.chunks_exact(block).try_for_each(|block| write_numbers(to, &block[..kept], |n| n.to_le_bytes()))
            }
            Element::I64 | Element::I32 | Element::Bool | Element::Other => Err(unfit()),
        }
    }

    /// Reads what [`Tensor::write_front`] wrote, as a tensor of `shape`.
    ///
    /// # Errors
    /// What the reader says; [`io::ErrorKind::InvalidInput`] for other elements than floating point numbers.
    pub fn read_from(element: Element, shape: &[usize], from: &mut dyn Read) -> io::Result<Self> {
        let made = |error: TensorError| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
        let mut tensor = Self::zeros(element, shape).map_err(made)?;
        if shape.contains(&0) {
            return Ok(tensor);
        }
        let unfit = |_| io::Error::new(io::ErrorKind::InvalidInput, "no floating point numbers");
        match element {
            Element::F32 => {
                let (_, data) = tensor.value.try_extract_tensor_mut::<f32>().map_err(unfit)?;
                read_numbers(from, data, f32::from_le_bytes)?;
            }
            Element::F16 => {
                let (_, data) = tensor.value.try_extract_tensor_mut::<half::f16>().map_err(unfit)?;
                read_numbers(from, data, half::f16::from_le_bytes)?;
            }
            Element::I64 | Element::I32 | Element::Bool | Element::Other => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "no floating point numbers"));
            }
        }
        Ok(tensor)
    }

    /// Reads what [`Tensor::write_front`] wrote into the first `length` entries along `axis`; the others stay.
    ///
    /// # Errors
    /// What the reader says, and then some entries are overwritten; [`io::ErrorKind::InvalidInput`] when it holds no
    /// floating point numbers or is shorter.
    pub fn read_front(&mut self, axis: usize, length: usize, from: &mut dyn Read) -> io::Result<()> {
        let unfit = |error: TensorError| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
        let (block, kept) = self.blocks(axis, length).map_err(unfit)?;
        if kept == 0 {
            return Ok(());
        }
        let other = self.unfit("floating point numbers");
        let other = |_| unfit(other);
        if self.element() == Element::F16 {
            let (_, data) = self.value.try_extract_tensor_mut::<half::f16>().map_err(other)?;
            return fronts(data, block, kept).try_for_each(|front| read_numbers(from, front, half::f16::from_le_bytes));
        }
        let (_, data) = self.value.try_extract_tensor_mut::<f32>().map_err(other)?;
        fronts(data, block, kept).try_for_each(|front| read_numbers(from, front, f32::from_le_bytes))
    }

    /// Copies the first `length` entries along `axis` from another tensor, which may be longer or shorter along it.
    ///
    /// # Errors
    /// [`TensorError::Unfit`] when one of both holds no floating point numbers, or is shorter than that.
    pub fn copy_front(&mut self, from: &Self, axis: usize, length: usize) -> Result<(), TensorError> {
        let ((block, kept), (from_block, from_kept)) = (self.blocks(axis, length)?, from.blocks(axis, length)?);
        if kept == 0 {
            return Ok(());
        }
        if kept != from_kept || self.element() != from.element() {
            return Err(from.unfit("numbers of the same kind"));
        }
        let other = self.unfit("floating point numbers");
        if self.element() == Element::F16 {
            let (_, source) = from.value.try_extract_tensor::<half::f16>().map_err(|_| from.unfit("f16"))?;
            let (_, target) = self.value.try_extract_tensor_mut::<half::f16>().map_err(|_| other)?;
            copy_fronts(fronts(target, block, kept), source.chunks_exact(from_block));
        } else {
            let (_, source) = from.value.try_extract_tensor::<f32>().map_err(|_| from.unfit("f32"))?;
            let (_, target) = self.value.try_extract_tensor_mut::<f32>().map_err(|_| other)?;
            copy_fronts(fronts(target, block, kept), source.chunks_exact(from_block));
        }
        Ok(())
    }

    /// How many numbers stand together under one entry of the axes before `axis`, and how many of them belong to its
    /// first `length` entries.
    fn blocks(&self, axis: usize, length: usize) -> Result<(usize, usize), TensorError> {
        let shape = self.shape();
        let whole = shape.get(axis).copied().filter(|whole| length <= *whole);
        let whole = whole.ok_or_else(|| self.unfit("a longer tensor"))?;
        let inner: usize = shape.iter().skip(axis + 1).product();
        Ok((whole * inner, length * inner))
    }

    fn unfit(&self, wanted: &'static str) -> TensorError {
        TensorError::Unfit { found: self.element(), shape: self.shape(), wanted }
    }
}

/// Numbers that are turned into bytes at a time.
const AT_ONCE: usize = 16 * 1024;

fn write_numbers<T: Copy, const N: usize>(
    to: &mut dyn Write,
    numbers: &[T],
    bytes: impl Fn(T) -> [u8; N],
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(AT_ONCE.min(numbers.len()) * N);
    for numbers in numbers.chunks(AT_ONCE) {
        buffer.clear();
        buffer.extend(numbers.iter().flat_map(|number| bytes(*number)));
        to.write_all(&buffer)?;
    }
    Ok(())
}

fn read_numbers<T, const N: usize>(
    from: &mut dyn Read,
    numbers: &mut [T],
    number: impl Fn([u8; N]) -> T,
) -> io::Result<()> {
    let mut buffer = vec![0; AT_ONCE.min(numbers.len()) * N];
    for numbers in numbers.chunks_mut(AT_ONCE) {
        let (bytes, _) = buffer.split_at_mut(numbers.len() * N);
        from.read_exact(bytes)?;
        for (place, bytes) in numbers.iter_mut().zip(bytes.as_chunks::<N>().0) {
            *place = number(*bytes);
        }
    }
    Ok(())
}

/// The first `kept` of every `block` numbers.
fn fronts<T>(numbers: &mut [T], block: usize, kept: usize) -> impl Iterator<Item = &mut [T]> {
    numbers.chunks_exact_mut(block).map(move |block| block.split_at_mut(kept).0)
}

fn copy_fronts<'a, T: Copy + 'a>(targets: impl Iterator<Item = &'a mut [T]>, sources: impl Iterator<Item = &'a [T]>) {
    for (target, source) in targets.zip(sources) {
        target.copy_from_slice(source.split_at(target.len()).0);
    }
}

/// Copies the first `kept` of every `block` numbers.
fn copy_front<T>(from: &Tensor, to: &mut Tensor, block: usize, kept: usize) -> Result<(), TensorError>
where
    T: ort::value::PrimitiveTensorElementType + Copy,
{
    let (_, source) = from.value.try_extract_tensor::<T>().map_err(|_| from.unfit("this element"))?;
    let shape = to.shape();
    let (_, target) = to.value.try_extract_tensor_mut::<T>().map_err(|error| unmade(&shape, &error))?;
    for (target, source) in target.chunks_exact_mut(kept).zip(source.chunks_exact(block)) {
        target.copy_from_slice(source.split_at(kept).0);
    }
    Ok(())
}

fn unmade(shape: &[usize], error: &ort::Error) -> TensorError {
    TensorError::Make { shape: shape.to_vec(), reason: error.to_string() }
}
