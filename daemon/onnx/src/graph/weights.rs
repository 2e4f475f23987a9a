//! The numbers of a constant, read from where they lie.

use super::proto::{Constant, EXTERNAL};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Why a constant's numbers cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file that should hold them cannot be read.
    #[error("cannot read the weights in {path}: fetch it again")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It ends before the numbers do.
    #[error("{path} has {found} bytes, and '{name}' ends at {expected}: fetch it again")]
    Short {
        /// The file.
        path: PathBuf,
        /// The constant.
        name: String,
        /// Bytes that there are.
        found: u64,
        /// Bytes that there should be at least.
        expected: u64,
    },
    /// The graph says something about it that cannot be.
    #[error("the constant '{name}' is broken: {reason}")]
    Broken {
        /// The constant.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

/// How a number is stored. Other kinds are read by nobody here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberKind {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// Bytes; quantized numbers are packed into them.
    U8,
    /// Signed bytes.
    I8,
    /// 64-bit integers.
    I64,
    /// 32-bit integers.
    I32,
    /// Truth values, one byte each.
    Bool,
}

impl NumberKind {
    /// By the numbers of `TensorProto.DataType`.
    pub(crate) fn of(code: i32) -> Option<Self> {
        match code {
            1 => Some(Self::F32),
            2 => Some(Self::U8),
            3 => Some(Self::I8),
            6 => Some(Self::I32),
            7 => Some(Self::I64),
            9 => Some(Self::Bool),
            10 => Some(Self::F16),
            _ => None,
        }
    }

    /// How many bytes each takes.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::F16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::I64 => 8,
        }
    }
}

/// The numbers of a constant. Those in a file stay there: only what is asked for is read, and the system keeps what is
/// asked for often. (Reading at a place is safe where a mapped file that is cut short would end the process, and
/// measured as fast.)
#[derive(Debug, Clone)]
pub struct Weights {
    /// Dimensions, outermost first; none for a single number.
    pub dims: Vec<usize>,
    /// How each number is stored.
    pub kind: NumberKind,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Inside(Arc<[u8]>),
    Beside { file: Arc<File>, path: Arc<Path>, offset: u64 },
}

impl Weights {
    pub(crate) fn new(constant: &Constant, graph: &Path) -> Result<Self, WeightsError> {
        let broken = |reason: String| WeightsError::Broken { name: constant.name.clone(), reason };
        let kind = NumberKind::of(constant.element)
            .ok_or_else(|| broken(format!("its numbers are of the unknown kind {}", constant.element)))?;
        let dims: Option<Vec<usize>> = constant.dims.iter().map(|dim| usize::try_from(*dim).ok()).collect();
        let dims = dims.ok_or_else(|| broken(format!("its dimensions are {:?}", constant.dims)))?;
        let count = dims.iter().try_fold(1_usize, |count, dim| count.checked_mul(*dim));
        let bytes = count.and_then(|count| count.checked_mul(kind.bytes()));
        // Without rows there is nothing, however wide they are said to be.
        let row = dims.iter().skip(1).try_fold(kind.bytes(), |bytes, dim| bytes.checked_mul(*dim));
        let bytes = bytes.filter(|bytes| row.is_some_and(|row| row <= *bytes || row == 0));
        let bytes = bytes.ok_or_else(|| broken("it is larger than any memory".to_owned()))?;
        let source = if constant.location == EXTERNAL {
            beside(constant, graph, bytes)?
        } else {
            let inside = inside(constant, kind);
            if inside.len() != bytes {
                return Err(broken(format!("it should have {bytes} bytes and has {}", inside.len())));
            }
            Source::Inside(inside.into())
        };
        Ok(Self { dims, kind, source })
    }

    /// The bytes of a constant in a file, whatever its numbers are.
    ///
    /// # Errors
    /// [`WeightsError`] for one that is not in a file, or not whole.
    pub(crate) fn raw(constant: &Constant, graph: &Path) -> Result<Self, WeightsError> {
        let broken = |reason: &str| WeightsError::Broken { name: constant.name.clone(), reason: reason.to_owned() };
        if NumberKind::of(constant.element).is_none() && constant.about("length").is_none() {
            return Err(broken("it does not say how long it is"));
        }
        let bytes = usize::try_from(constant.bytes()).map_err(|_| broken("it is larger than any memory"))?;
        let source = beside(constant, graph, bytes)?;
        Ok(Self { dims: vec![bytes], kind: NumberKind::U8, source })
    }

    /// How many rows of the outermost dimension there are; one for a single number.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.dims.first().copied().unwrap_or(1)
    }

    /// How many bytes all of it takes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::try_from(self.rows() * self.row_bytes()).unwrap_or(u64::MAX)
    }

    /// How many bytes a row of the outermost dimension takes.
    #[must_use]
    pub fn row_bytes(&self) -> usize {
        self.dims.iter().skip(1).product::<usize>() * self.kind.bytes()
    }

    /// Fills `row`, which must be [`Weights::row_bytes`] long, with one row of the outermost dimension.
    ///
    /// # Errors
    /// [`WeightsError`] when there is no such row, or the file cannot be read any more.
    pub fn row(&self, row: usize, into: &mut [u8]) -> Result<(), WeightsError> {
        let at = row.checked_mul(self.row_bytes()).filter(|_| row < self.rows() && into.len() == self.row_bytes());
        let none = || WeightsError::Broken { name: "a table".to_owned(), reason: format!("it has no row {row}") };
        self.read_at(at.ok_or_else(none)?, into)
    }

    /// The bytes of the first `rows` rows.
    ///
    /// # Errors
    /// [`WeightsError`] when there are fewer, or the file cannot be read any more.
    pub(super) fn first_rows(&self, rows: usize) -> Result<Vec<u8>, WeightsError> {
        let mut bytes = vec![0; rows.min(self.rows()) * self.row_bytes()];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// The one number of a constant that is a single number, in single precision.
    #[must_use]
    pub fn scalar(&self) -> Option<f32> {
        let mut bytes = [0; 8];
        let bytes = bytes.get_mut(..self.kind.bytes())?;
        if self.dims.iter().product::<usize>() != 1 || self.read_at(0, bytes).is_err() {
            return None;
        }
        match self.kind {
            NumberKind::F32 => Some(f32::from_le_bytes(bytes.try_into().ok()?)),
            NumberKind::F16 => Some(half::f16::from_le_bytes(bytes.try_into().ok()?).to_f32()),
            NumberKind::U8 | NumberKind::I8 | NumberKind::I64 | NumberKind::I32 | NumberKind::Bool => None,
        }
    }

    /// The whole numbers of a small constant; none of a large one.
    #[must_use]
    pub fn integers(&self) -> Option<Vec<i64>> {
        const SMALL: usize = 1024;
        let mut whole = vec![0; self.rows().checked_mul(self.row_bytes()).filter(|bytes| *bytes <= SMALL)?];
        self.read_at(0, &mut whole).ok()?;
        let numbers = whole.chunks_exact(self.kind.bytes());
        match self.kind {
            NumberKind::I64 => numbers.map(|bytes| Some(i64::from_le_bytes(bytes.try_into().ok()?))).collect(),
            NumberKind::I32 => numbers.map(|bytes| Some(i32::from_le_bytes(bytes.try_into().ok()?).into())).collect(),
            NumberKind::U8 | NumberKind::Bool => Some(whole.iter().map(|byte| i64::from(*byte)).collect()),
            NumberKind::F32 | NumberKind::F16 | NumberKind::I8 => None,
        }
    }

    /// The whole number at a place, counted row by row; none of other numbers.
    pub(crate) fn whole_at(&self, place: usize) -> Option<i64> {
        let width = self.kind.bytes();
        let mut bytes = [0; 8];
        self.read_at(place.checked_mul(width)?, bytes.get_mut(..width)?).ok()?;
        match self.kind {
            NumberKind::I64 => Some(i64::from_le_bytes(bytes)),
            NumberKind::I32 => Some(i32::from_le_bytes(*bytes.first_chunk()?).into()),
            NumberKind::U8 | NumberKind::Bool => Some(bytes[0].into()),
            NumberKind::F32 | NumberKind::F16 | NumberKind::I8 => None,
        }
    }

    /// Fills `into` with the bytes from the `at`th on.
    pub(crate) fn read_at(&self, at: usize, into: &mut [u8]) -> Result<(), WeightsError> {
        match &self.source {
            Source::Inside(bytes) => {
                let part = bytes.get(at..).and_then(|rest| rest.get(..into.len()));
                let none =
                    || WeightsError::Broken { name: "a table".to_owned(), reason: format!("it ends before {at}") };
                into.copy_from_slice(part.ok_or_else(none)?);
                Ok(())
            }
            Source::Beside { file, path, offset } => {
                let unreadable = |source| WeightsError::Unreadable { path: path.to_path_buf(), source };
                let at = u64::try_from(at).unwrap_or(u64::MAX).saturating_add(*offset);
                file.read_exact_at(into, at).map_err(unreadable)
            }
        }
    }
}

/// Numbers in the graph itself: as bytes, or in the field of their kind, which small constants often are.
fn inside(constant: &Constant, kind: NumberKind) -> Vec<u8> {
    if !constant.raw.is_empty() {
        return constant.raw.clone();
    }
    let integers = || constant.integers.iter();
    match kind {
        NumberKind::F32 => constant.floats.iter().flat_map(|number| number.to_le_bytes()).collect(),
        NumberKind::I64 => constant.longs.iter().flat_map(|number| number.to_le_bytes()).collect(),
        NumberKind::I32 => integers().flat_map(|number| number.to_le_bytes()).collect(),
        // Half precision numbers and bytes stand in the low end of 32 bits.
        NumberKind::F16 => integers().flat_map(|number| number.to_le_bytes().into_iter().take(2)).collect(),
        NumberKind::U8 | NumberKind::I8 | NumberKind::Bool => {
            integers().flat_map(|number| number.to_le_bytes().into_iter().take(1)).collect()
        }
    }
}

/// Numbers in a file beside the graph. The place is the graph's own word, so it is held to the folder and to the file.
fn beside(constant: &Constant, graph: &Path, bytes: usize) -> Result<Source, WeightsError> {
    let broken = |reason: String| WeightsError::Broken { name: constant.name.clone(), reason };
    let said = |key: &str| constant.external.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str());
    let number = |key: &str| match said(key) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| broken(format!("its {key} is '{text}'"))),
    };
    let location = said("location").ok_or_else(|| broken("it names no file".to_owned()))?;
    let outside = || broken(format!("it lies outside the model's folder, in '{location}'"));
    let place = within_folder(location).ok_or_else(outside)?;
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    let offset = number("offset")?.unwrap_or(0);
    if number("length")?.is_some_and(|length| length != bytes) {
        return Err(broken(format!("its shape asks for {bytes} bytes, and another length is given")));
    }
    let path = graph.parent().unwrap_or(Path::new("")).join(place);
    let unreadable = |source| WeightsError::Unreadable { path: path.clone(), source };
    let file = File::open(&path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?.len();
    let expected = offset.saturating_add(bytes);
    if expected > found {
        return Err(WeightsError::Short { path, name: constant.name.clone(), found, expected });
    }
    Ok(Source::Beside { file: Arc::new(file), path: path.into(), offset })
}

/// A place that a graph names, unless it leads out of the graph's folder.
pub(super) fn within_folder(location: &str) -> Option<&Path> {
    let place = Path::new(location);
    let inside = place.components().all(|part| matches!(part, Component::Normal(_)));
    (inside && !place.as_os_str().is_empty()).then_some(place)
}
