//! One table: rows of numbers, whole or in quantized blocks.

use super::{OpenLookupError, unlike};
use crate::graph::{Graph, Node, NumberKind, Weights, WeightsError};
use crate::tensor::Element;

/// A table of `rows` × `width` numbers.
#[derive(Debug)]
pub(super) struct Table {
    /// The constants that it is made of.
    names: Vec<String>,
    /// Numbers, or packed ones: then the low bits of a byte come first.
    data: Weights,
    width: usize,
    blocks: Option<Blocks>,
}

/// How `GatherBlockQuantized` packs: number = (packed - zero point) × scale, with one scale and one zero point for each
/// block of a row.
#[derive(Debug)]
struct Blocks {
    bits: usize,
    size: usize,
    scales: Weights,
    /// Packed as the numbers are. Without them half the range is zero.
    zero_points: Option<Weights>,
}

impl Table {
    /// The table that a `Gather` or a `GatherBlockQuantized` looks into.
    pub(super) fn open(graph: &Graph, node: &Node) -> Result<Self, OpenLookupError> {
        let constant = |place: usize| match node.inputs.get(place).filter(|name| !name.is_empty()) {
            Some(name) => graph.weights(name),
            None => Ok(None),
        };
        let data = constant(0)?.ok_or_else(|| unlike(format!("'{}' looks into no constant", node.name)))?;
        let axis = node.integer("axis").or(node.integer("gather_axis")).unwrap_or(0);
        let [_, columns] = data.dims[..] else { return Err(unlike("a table is no matrix")) };
        if axis != 0 || columns == 0 || data.rows() == 0 {
            return Err(unlike(format!("'{}' looks up something else than rows", node.name)));
        }
        let parts = node.inputs.iter().enumerate().filter(|(place, name)| *place != 1 && !name.is_empty());
        let names = parts.map(|(_, name)| name.clone()).collect();
        if node.is("Gather") {
            return match data.kind {
                NumberKind::F32 | NumberKind::F16 => Ok(Self { names, width: columns, data, blocks: None }),
                NumberKind::U8 | NumberKind::I8 | NumberKind::I64 | NumberKind::I32 | NumberKind::Bool => {
                    Err(unlike("a table holds no floating point numbers"))
                }
            };
        }
        let positive = |name: &str, default: i64| usize::try_from(node.integer(name).unwrap_or(default)).unwrap_or(0);
        let (bits, size) = (positive("bits", 4), positive("block_size", 128));
        let along_row = node.integer("quantize_axis").unwrap_or(1) == 1;
        let scales = constant(2)?.ok_or_else(|| unlike("a quantized table has no scales"))?;
        let table = Self {
            names,
            width: columns * 8 / bits.max(1),
            data,
            blocks: Some(Blocks { bits, size, scales, zero_points: constant(3)? }),
        };
        if !along_row || !table.fits() {
            return Err(unlike(format!("'{}' packs its table in another way", node.name)));
        }
        Ok(table)
    }

    /// Whether the parts of a quantized table fit each other.
    fn fits(&self) -> bool {
        let Some(Blocks { bits, size, scales, zero_points }) = &self.blocks else { return true };
        if self.data.kind != NumberKind::U8 || ![2, 4, 8].contains(bits) || *size == 0 {
            return false;
        }
        let (rows, blocks) = (self.data.rows(), self.width.div_ceil(*size));
        let scales_fit = matches!(scales.kind, NumberKind::F32 | NumberKind::F16) && scales.dims == [rows, blocks];
        let packed =
            |points: &Weights| points.kind == NumberKind::U8 && points.dims == [rows, (blocks * bits).div_ceil(8)];
        scales_fit && zero_points.as_ref().is_none_or(packed)
    }

    /// The constants that it is made of.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.data.rows()
    }

    /// Numbers of a row.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// What a row is made of as it leaves the table.
    pub(super) fn element(&self) -> Element {
        let kind = self.blocks.as_ref().map_or(self.data.kind, |blocks| blocks.scales.kind);
        if kind == NumberKind::F16 { Element::F16 } else { Element::F32 }
    }

    /// A reader with the memory that reading takes.
    pub(super) fn reader(&self) -> Reader<'_> {
        let bytes = |weights: Option<&Weights>| vec![0; weights.map_or(0, Weights::row_bytes)];
        let blocks = self.blocks.as_ref();
        Reader {
            table: self,
            data: bytes(Some(&self.data)),
            scales: bytes(blocks.map(|blocks| &blocks.scales)),
            zero_points: bytes(blocks.and_then(|blocks| blocks.zero_points.as_ref())),
        }
    }
}

/// Reads rows of one table.
pub(super) struct Reader<'a> {
    table: &'a Table,
    data: Vec<u8>,
    scales: Vec<u8>,
    zero_points: Vec<u8>,
}

impl Reader<'_> {
    /// Fills `row` with the numbers of row `index`, in single precision and not rounded yet; a negative one counts from the end, as in `Gather`.
    pub(super) fn read(&mut self, index: i64, row: &mut [f32]) -> Result<(), WeightsError> {
        let rows = i64::try_from(self.table.data.rows()).unwrap_or(i64::MAX);
        let index = if index < 0 { index.saturating_add(rows) } else { index };
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.table.data.row(index, &mut self.data)?;
        let Some(blocks) = &self.table.blocks else {
            fill(self.table.data.kind, &self.data, row);
            return Ok(());
        };
        blocks.scales.row(index, &mut self.scales)?;
        if let Some(points) = &blocks.zero_points {
            points.row(index, &mut self.zero_points)?;
        }
        let mut scales = vec![0.0; self.table.width.div_ceil(blocks.size)];
        fill(blocks.scales.kind, &self.scales, &mut scales);
        let middle = 1_u8 << (blocks.bits - 1);
        for (block, (numbers, scale)) in row.chunks_mut(blocks.size).zip(&scales).enumerate() {
            let zero = blocks.zero_points.as_ref().map_or(middle, |_| packed(&self.zero_points, blocks.bits, block));
            for (place, number) in numbers.iter_mut().enumerate() {
                let value = packed(&self.data, blocks.bits, block * blocks.size + place);
                *number = f32::from(i16::from(value) - i16::from(zero)) * scale;
            }
        }
        Ok(())
    }
}

/// The `place`th number of `bits` bits each, packed from the low end.
fn packed(bytes: &[u8], bits: usize, place: usize) -> u8 {
    let per_byte = 8 / bits;
    let byte = bytes.get(place / per_byte).copied().unwrap_or(0);
    let mask = u8::MAX >> (8 - bits);
    (byte >> (place % per_byte * bits)) & mask
}

/// Whole numbers out of little-endian bytes.
fn fill(kind: NumberKind, bytes: &[u8], row: &mut [f32]) {
    match kind {
        NumberKind::F16 => {
            for (number, &[low, high]) in row.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *number = half::f16::from_le_bytes([low, high]).to_f32();
            }
        }
        NumberKind::F32 | NumberKind::U8 | NumberKind::I8 | NumberKind::I64 | NumberKind::I32 | NumberKind::Bool => {
            for (number, four) in row.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *number = f32::from_le_bytes(*four);
            }
        }
    }
}
