//! What goes into an operator and comes out of it, as slices.
//!
//! `ort`'s own values also ask for the names of dimensions, the device and more, and take some five microseconds each: more
//! than much of what is done with them, hundreds of times for a token.

use ort::AsPointer;
use ort::operator::ComputeContext;
use ort::sys::{OrtTensorTypeAndShapeInfo, OrtValue};
use ort::value::PrimitiveTensorElementType;
use std::ptr;

/// An input.
#[derive(Debug)]
pub(super) struct Input<'a, N> {
    pub(super) shape: Vec<i64>,
    pub(super) numbers: &'a [N],
}

impl<N> Input<'_, N> {
    /// The last dimension.
    pub(super) fn width(&self) -> ort::Result<usize> {
        let last = self.shape.last().and_then(|last| usize::try_from(*last).ok()).filter(|last| *last > 0);
        last.ok_or_else(|| ort::Error::new("activations without a width"))
    }

    /// Its shape with another last dimension.
    pub(super) fn shape_with(&self, last: usize) -> Vec<i64> {
        let mut shape = self.shape.clone();
        if let Some(place) = shape.last_mut() {
            *place = i64::try_from(last).unwrap_or(i64::MAX);
        }
        shape
    }
}

/// An input that has to be there. The operator has said that its numbers are of this kind, and ONNX Runtime holds to it.
pub(super) fn input<N: PrimitiveTensorElementType>(run: &ComputeContext, place: usize) -> ort::Result<Input<'_, N>> {
    optional(run, place)?.ok_or_else(|| ort::Error::new("an input is missing"))
}

/// An input that may be left out, of the same kind.
#[expect(unsafe_code, reason = "ort has no quick call for it")]
pub(super) fn optional<N: PrimitiveTensorElementType>(
    run: &ComputeContext,
    place: usize,
) -> ort::Result<Option<Input<'_, N>>> {
    let Some(Lying { shape, numbers, count }) = lying::<N>(run, place)? else { return Ok(None) };
    // Of nothing there need not be a place.
    // SAFETY: a value of a run lives as long as the run, which is borrowed; nobody writes to an input that is asked for here.
    let numbers = if count == 0 { &[] } else { unsafe { std::slice::from_raw_parts(aligned(numbers)?, count) } };
    Ok(Some(Input { shape, numbers }))
}

/// Where an input lies, for one that an output may lie in the same memory as.
#[derive(Debug)]
pub(super) struct Lying<N> {
    pub(super) shape: Vec<i64>,
    pub(super) numbers: *mut N,
    pub(super) count: usize,
}

impl<N> Lying<N> {
    /// The place of the first number.
    pub(super) fn aligned(&self) -> ort::Result<*const N> {
        Ok(aligned(self.numbers)?.cast_const())
    }
}

/// Where an input lies, unless it is left out. It is of the kind that the operator has said.
#[expect(unsafe_code, reason = "ort has no quick call for it")]
pub(super) fn lying<N: PrimitiveTensorElementType>(
    run: &ComputeContext,
    place: usize,
) -> ort::Result<Option<Lying<N>>> {
    let api = ort::api();
    // SAFETY: every call fills what it is given or gives a status, which is read once; what is asked for here is freed here.
    unsafe {
        let mut count = 0;
        ort::Error::result_from_status((api.KernelContext_GetInputCount)(run.ptr(), &raw mut count))?;
        if place >= count {
            return Ok(None);
        }
        let mut value = ptr::null();
        ort::Error::result_from_status((api.KernelContext_GetInput)(run.ptr(), place, &raw mut value))?;
        if value.is_null() {
            return Ok(None);
        }
        let shape = shape(value)?;
        let (numbers, count) = (data::<N>(value.cast_mut())?, product(&shape)?);
        Ok(Some(Lying { shape, numbers, count }))
    }
}

/// Room for an output, of the same kind. Each is to be asked for once.
#[expect(unsafe_code, reason = "ort has no quick call for it")]
#[expect(
    clippy::mut_from_ref,
    reason = "each output of a run is another memory, and that of no input that is read as a slice"
)]
pub(super) fn output<'a, N: PrimitiveTensorElementType>(
    run: &'a ComputeContext,
    place: usize,
    shape: &[i64],
) -> ort::Result<&'a mut [N]> {
    let api = ort::api();
    let mut value = ptr::null_mut();
    // SAFETY: as for inputs. ONNX Runtime gives each output a memory of its own, and nothing here asks for one twice.
    unsafe {
        let context = run.ptr().cast_mut();
        let made = (api.KernelContext_GetOutput)(context, place, shape.as_ptr(), shape.len(), &raw mut value);
        ort::Error::result_from_status(made)?;
        if value.is_null() {
            return Err(ort::Error::new("an output is missing"));
        }
        let (numbers, count) = (data::<N>(value)?, product(shape)?);
        Ok(if count == 0 { &mut [] } else { std::slice::from_raw_parts_mut(aligned(numbers)?, count) })
    }
}

/// Constants lie where their file says, which need not be where such numbers may lie.
fn aligned<N>(numbers: *mut N) -> ort::Result<*mut N> {
    let fits = !numbers.is_null() && numbers.is_aligned();
    fits.then_some(numbers).ok_or_else(|| ort::Error::new("numbers in a place where such cannot be"))
}

/// # Safety
/// It must be a tensor.
#[expect(unsafe_code, reason = "as above")]
unsafe fn data<N>(value: *mut OrtValue) -> ort::Result<*mut N> {
    let mut numbers = ptr::null_mut();
    // SAFETY: asked of the caller.
    unsafe { ort::Error::result_from_status((ort::api().GetTensorMutableData)(value, &raw mut numbers)) }?;
    Ok(numbers.cast())
}

/// # Safety
/// It must be a tensor.
#[expect(unsafe_code, reason = "as above")]
unsafe fn shape(value: *const OrtValue) -> ort::Result<Vec<i64>> {
    /// Frees what was asked for, however it ends.
    struct About(*mut OrtTensorTypeAndShapeInfo);

    impl Drop for About {
        fn drop(&mut self) {
            // SAFETY: it was given by the call below, and to nobody else.
            unsafe { (ort::api().ReleaseTensorTypeAndShapeInfo)(self.0) };
        }
    }

    let api = ort::api();
    let (mut about, mut count) = (ptr::null_mut(), 0);
    // SAFETY: asked of the caller; each call fills what it is given.
    unsafe {
        ort::Error::result_from_status((api.GetTensorTypeAndShape)(value, &raw mut about))?;
        let about = About(about);
        ort::Error::result_from_status((api.GetDimensionsCount)(about.0, &raw mut count))?;
        let mut shape = vec![0; count];
        ort::Error::result_from_status((api.GetDimensions)(about.0, shape.as_mut_ptr(), count))?;
        Ok(shape)
    }
}

/// How many numbers a shape has.
fn product(shape: &[i64]) -> ort::Result<usize> {
    let count = shape.iter().try_fold(1_usize, |count, dim| count.checked_mul(usize::try_from(*dim).ok()?));
    count.ok_or_else(|| ort::Error::new("a tensor larger than any memory"))
}
