use super::block::{FEW, Form, Grid, MANY, NewRows, Rows, nibble, requantize};
use super::{Requantization, RequantizeError, Requantized};
use crate::graph::build::{Built, constant, node};
use crate::graph::{Graph, Node};
use crate::{Runtime, Session, SessionSettings, Stop, Tensor};
use insta::assert_snapshot;
use proptest::prelude::*;
use std::num::NonZero;
use std::path::{Path, PathBuf};

/// A quantized matrix with blocks of `block`, as it lies in a file.
#[derive(Debug, Clone)]
struct Packed {
    depth: usize,
    block: usize,
    form: Form,
    numbers: Vec<u8>,
    scales: Vec<f32>,
    points: Vec<u8>,
}

impl Packed {
    fn scales_as_kept(&self) -> Vec<u8> {
        let kept = |scale: &f32| match self.form.half {
            true => half::f16::from_f32(*scale).to_le_bytes().to_vec(),
            false => scale.to_le_bytes().to_vec(),
        };
        self.scales.iter().flat_map(kept).collect()
    }

    /// The same weights in blocks of 128, and the share that was lost.
    fn requantized(&self) -> (Self, f64) {
        let scales = self.scales_as_kept();
        let old = Rows { numbers: &self.numbers, scales: &scales, points: &self.points };
        let (NewRows { numbers, scales, points }, loss) = requantize(old, self.depth, self.form).unwrap();
        let read = |bytes: &[u8]| match self.form.half {
            true => bytes.as_chunks().0.iter().map(|two| half::f16::from_le_bytes(*two).to_f32()).collect(),
            false => bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect::<Vec<_>>(),
        };
        (Self { block: MANY, numbers, scales: read(&scales), points, ..*self }, loss.relative())
    }

    fn weights(&self) -> Vec<f32> {
        let blocks = self.depth / self.block;
        let weight = |place: usize| {
            let (row, block) = (place / self.depth, place % self.depth / self.block);
            let points = self.points.get(row * blocks.div_ceil(2)..).unwrap_or_default();
            let point = if self.form.points { nibble(points, block) } else { 8 };
            let grid = Grid { scale: self.scales[row * blocks + block], point };
            (f32::from(nibble(&self.numbers, place)) - f32::from(grid.point)) * grid.scale
        };
        (0..self.numbers.len() * 2).map(weight).collect()
    }
}

/// Rows of one, two or three new blocks, of any form, with scales as models have them.
fn packed() -> impl Strategy<Value = Packed> {
    let scale = (0.001_f32..0.1, any::<bool>()).prop_map(|(scale, negative)| if negative { -scale } else { scale });
    (1..4_usize, 1..3_usize, any::<bool>(), any::<bool>(), any::<bool>()).prop_flat_map(
        move |(many, rows, half, points, shared)| {
            let (depth, blocks) = (many * MANY, many * MANY / FEW);
            let numbers = prop::collection::vec(any::<u8>(), rows * depth / 2);
            let scales = prop::collection::vec(scale.clone(), rows * blocks);
            let points_of = prop::collection::vec(any::<u8>(), if points { rows * blocks / 2 } else { 0 });
            (numbers, scales, points_of).prop_map(move |(numbers, mut scales, mut point_bytes)| {
                if shared {
                    scales.chunks_mut(MANY / FEW).for_each(|four| four.fill(four[0]));
                    point_bytes.chunks_mut(2).for_each(|pair| pair.fill(pair[0] & 15 | pair[0] << 4));
                }
                let round = |scale: f32| if half { half::f16::from_f32(scale).to_f32() } else { scale };
                let scales = scales.into_iter().map(round).collect();
                Packed { depth, block: FEW, form: Form { half, points }, numbers, scales, points: point_bytes }
            })
        },
    )
}

fn lost(weights: &[f32], others: &[f32]) -> f64 {
    let square = |number: f32| f64::from(number).powi(2);
    let whole: f64 = weights.iter().map(|weight| square(*weight)).sum();
    let lost: f64 = weights.iter().zip(others).map(|(weight, other)| square(weight - other)).sum();
    if whole > 0.0 { (lost / whole).sqrt() } else { 0.0 }
}

/// What is lost by the usual choice: the weight that is furthest from zero gets the furthest number, or the least and
/// the greatest where zero points are free.
fn lost_by_the_usual_choice(weights: &[f32], form: Form) -> f64 {
    let usual = weights.chunks(MANY).flat_map(|block| {
        let (low, high) = block.iter().fold((0.0_f32, 0.0_f32), |(low, high), one| (low.min(*one), high.max(*one)));
        let (scale, point) = match form.points {
            true => ((high - low) / 15.0, (-low / (high - low) * 15.0).round()),
            false => (if high > -low { high } else { low } / -8.0, 8.0),
        };
        block.iter().map(move |one| ((one / scale + point).round().clamp(0.0, 15.0) - point) * scale)
    });
    lost(weights, &usual.collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn what_is_told_is_what_is_lost_and_no_more_than_by_the_usual_choice(old in packed()) {
        let (new, told) = old.requantized();
        let weights = old.weights();
        let lost = lost(&weights, &new.weights());
        prop_assert!((lost - told).abs() <= 1e-5, "told {told}, lost {lost}");
        let usual = lost_by_the_usual_choice(&weights, old.form);
        prop_assert!(lost <= usual * 1.02 + 1e-3, "lost {lost}, usually {usual}");
    }

    #[test]
    fn blocks_that_share_scale_and_point_stay_to_the_bit(old in packed()) {
        let shared = |row: &[f32]| row.iter().all(|scale| *scale == row[0]);
        let even = |pair: &[u8]| pair.iter().all(|byte| *byte == pair[0] && byte & 15 == byte >> 4);
        prop_assume!(old.scales.chunks(MANY / FEW).all(shared) && old.points.chunks(2).all(even));
        let (new, lost) = old.requantized();
        prop_assert_eq!(lost, 0.0);
        prop_assert_eq!(&new.numbers, &old.numbers);
        prop_assert_eq!(new.weights(), old.weights());
    }
}

#[test]
fn a_block_of_zeros_and_one_of_spoilt_scales() {
    let form = Form { half: false, points: false };
    let mut zeros =
        Packed { depth: MANY, block: FEW, form, numbers: vec![0x88; 64], scales: vec![0.0; 4], points: Vec::new() };
    zeros.scales[1] = 0.5;
    let (new, lost) = zeros.requantized();
    assert_eq!((new.weights(), lost), (vec![0.0; MANY], 0.0));
    zeros.scales[2] = f32::NAN;
    let scales = zeros.scales_as_kept();
    assert!(requantize(Rows { numbers: &zeros.numbers, scales: &scales, points: &[] }, MANY, form).is_none());
}

/// Numbers that look like chance and are the same each time.
fn noise(count: usize, seed: u32) -> Vec<u8> {
    let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(Some(seed), next).map(|state| state.to_le_bytes()[3]).skip(1).take(count).collect()
}

fn matrix(rows: usize, depth: usize, form: Form, seed: u32) -> Packed {
    let blocks = depth / FEW;
    let scales = noise(rows * blocks, seed + 1).into_iter().map(|byte| 0.01 + f32::from(byte) / 10_000.0);
    let round = |scale: f32| if form.half { half::f16::from_f32(scale).to_f32() } else { scale };
    Packed {
        depth,
        block: FEW,
        form,
        numbers: noise(rows * depth / 2, seed),
        scales: scales.map(round).collect(),
        points: noise(if form.points { rows * blocks.div_ceil(2) } else { 0 }, seed + 2),
    }
}

const WIDTH: usize = 256;
const ROWS: usize = 24;

fn product(name: &str, input: &str, depth: usize, rows: usize, points: bool) -> Node {
    let part = |part: &str| format!("{name}.{part}");
    let (numbers, scales, zero_points) = (part("numbers"), part("scales"), part("points"));
    let mut inputs = vec![input, &numbers, &scales];
    inputs.extend(points.then_some(zero_points.as_str()));
    let settings = [("K", depth), ("N", rows), ("bits", 4), ("block_size", FEW)];
    Node { name: name.to_owned(), ..node("MatMulNBits", "com.microsoft", &inputs, name).with(&settings) }
}

fn add(built: &mut Built, name: &str, matrix: &Packed, flat: bool) {
    let (blocks, rows) = (matrix.depth / FEW, matrix.numbers.len() * 2 / matrix.depth);
    let dims = |row: usize| if flat { vec![rows * row] } else { vec![rows, row] };
    let part = |part: &str| format!("{name}.{part}");
    built.constant(constant::bytes(&part("numbers"), &[rows, blocks, FEW / 2], matrix.numbers.clone()));
    built.constant(constant::floats(&part("scales"), &dims(blocks), &matrix.scales, matrix.form.half));
    if matrix.form.points {
        built.constant(constant::bytes(&part("points"), &dims(blocks.div_ceil(2)), matrix.points.clone()));
    }
}

/// A table of rows, and products of them: two that can be requantized, one whose depth 128 does not divide.
fn graph(folder: &Path) -> (PathBuf, [Packed; 3]) {
    let form = |points| Form { half: false, points };
    let first = matrix(WIDTH, WIDTH, form(true), 1);
    let second = matrix(96, WIDTH, form(false), 2);
    let third = matrix(ROWS, 96, form(true), 3);
    let mut built = Built::new("ids");
    let table: Vec<f32> = noise(4 * WIDTH, 9).into_iter().map(|byte| f32::from(byte) / 128.0 - 1.0).collect();
    built.constant(constant::floats("table", &[4, WIDTH], &table, false));
    built.node(node("Gather", "", &["table", "ids"], "rows"));
    for (name, input, matrix, flat) in
        [("first", "rows", &first, false), ("second", "first", &second, true), ("third", "second", &third, false)]
    {
        add(&mut built, name, matrix, flat);
        let rows = matrix.numbers.len() * 2 / matrix.depth;
        built.node(product(name, input, matrix.depth, rows, matrix.form.points));
    }
    built.output("third", ROWS);
    (built.write(folder), [first, second, third])
}

fn threads(count: usize) -> NonZero<usize> {
    NonZero::new(count).unwrap()
}

fn write(path: &Path, folder: &Path, count: usize) -> Result<Vec<Requantized>, RequantizeError> {
    Requantization::read(path)?.write(folder, threads(count), &|_| (), &|| false)
}

#[test]
fn what_can_be_requantized_is_and_everything_else_stays() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (path, [first, second, third]) = graph(from.path());
    let read = Requantization::read(&path).unwrap();
    assert_eq!(read.products(), 2);
    assert_snapshot!(read.left().in_words(), @"1 with 96 weights to a row, which 128 does not divide");
    let told = std::sync::atomic::AtomicU64::new(0);
    let report = |bytes| {
        told.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
    };
    let done = read.write(to.path(), threads(2), &report, &|| false).unwrap();
    assert_eq!(told.into_inner(), read.bytes_to_read().unwrap());
    let written = ["graph.onnx", "graph.onnx_data"].map(|name| to.path().join(name).metadata().unwrap().len());
    assert!(written.iter().sum::<u64>().abs_diff(read.bytes().unwrap()) < 2000);
    let expected = [&first, &second].map(|matrix| matrix.requantized());
    for (done, (_, lost)) in done.iter().zip(&expected) {
        assert!(done.relative_error == *lost && *lost > 0.0 && *lost < 0.2, "{done:?}");
    }
    let new = Graph::read(&to.path().join("graph.onnx")).unwrap();
    new.check_weights().unwrap();
    let blocks: Vec<_> = new.nodes().filter_map(|node| node.integer("block_size")).collect();
    assert_eq!(blocks, [128, 128, 32]);
    let bytes = |name: &str| {
        let weights = new.weights(name).unwrap().unwrap();
        let mut bytes = vec![0; usize::try_from(weights.bytes()).unwrap()];
        weights.read_at(0, &mut bytes).unwrap();
        (weights.dims, bytes)
    };
    assert_eq!(bytes("first.numbers"), (vec![WIDTH, 2, 64], expected[0].0.numbers.clone()));
    assert_eq!(bytes("first.points"), (vec![WIDTH, 1], expected[0].0.points.clone()));
    assert_eq!(bytes("second.scales"), (vec![96 * 2], expected[1].0.scales_as_kept()));
    assert_eq!(bytes("third.numbers"), (vec![ROWS, 3, 16], third.numbers));
}

#[test]
fn the_files_are_the_same_however_many_threads_there_are() {
    let [from, one, three] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (path, _) = graph(from.path());
    assert_eq!(write(&path, one.path(), 1).unwrap(), write(&path, three.path(), 3).unwrap());
    for name in ["graph.onnx", "graph.onnx_data"] {
        let [one, three] = [&one, &three].map(|folder| std::fs::read(folder.path().join(name)).unwrap());
        assert!(one == three, "{name}");
    }
}

#[test]
fn the_library_computes_what_the_weights_say() {
    let runtime = Runtime::find(None).expect("these tests run ONNX Runtime: `make setup` fetches it");
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (path, matrices) = graph(from.path());
    write(&path, to.path(), 2).unwrap();
    let settings = SessionSettings { threads: NonZero::new(1), ..SessionSettings::default() };
    let mut session = Session::open(&runtime, &to.path().join("graph.onnx"), &settings).unwrap();
    let ids = Tensor::i64(&[1, 2], vec![0, 3]).unwrap();
    let given = session.run(&[("ids", &ids)], &Stop::new(&runtime).unwrap()).unwrap();
    let given = given[0].last_rows(2).unwrap();
    let table: Vec<f32> = noise(4 * WIDTH, 9).into_iter().map(|byte| f32::from(byte) / 128.0 - 1.0).collect();
    let rows = [&table[..WIDTH], &table[3 * WIDTH..]].concat();
    let [first, second, third] = matrices;
    let wanted = [first.requantized().0, second.requantized().0, third].iter().fold(rows, |rows, matrix| {
        let weights = matrix.weights();
        let dot = |row: &[f32], weights: &[f32]| row.iter().zip(weights).map(|(one, other)| one * other).sum::<f32>();
        rows.chunks(matrix.depth)
            .flat_map(|row| weights.chunks(matrix.depth).map(|weights| dot(row, weights)).collect::<Vec<_>>())
            .collect()
    });
    let most = wanted.iter().fold(0.0_f32, |most, number| most.max(number.abs()));
    assert_eq!(given.len(), wanted.len());
    for (given, wanted) in given.iter().zip(&wanted) {
        assert!((given - wanted).abs() < most * 1e-4, "{given} for {wanted}");
    }
}

#[test]
fn what_is_damaged_or_ended_is_said() {
    let from = tempfile::tempdir().unwrap();
    let (path, _) = graph(from.path());
    let said = |stopped: bool| {
        let to = tempfile::tempdir().unwrap();
        let read = Requantization::read(&path);
        let done = read.and_then(|read| read.write(to.path(), threads(2), &|_| (), &|| stopped));
        done.unwrap_err().to_string().replace(&*from.path().to_string_lossy(), "<folder>")
    };
    assert_snapshot!(said(true), @"it was ended before it was done");
    let data = path.with_extension("onnx_data");
    let mut bytes = std::fs::read(&data).unwrap();
    let scales = 4 * WIDTH * 4 + WIDTH * WIDTH / 2;
    bytes[scales..scales + 4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    std::fs::write(&data, &bytes).unwrap();
    assert_snapshot!(said(false), @"the weights 'first.scales' in <folder>/graph.onnx are damaged (a scale is no number): fetch it again");
    std::fs::write(&data, &bytes[..bytes.len() - 1]).unwrap();
    assert!(said(false).contains("fetch it again"), "{}", said(false));
    std::fs::write(&path, b"\x0a\x01").unwrap();
    assert!(said(false).contains("fetch it again"), "{}", said(false));
}

#[test]
fn a_graph_without_anything_to_do_is_told_with_the_reasons() {
    let folder = tempfile::tempdir().unwrap();
    let mut built = Built::new("ids");
    let form = Form { half: true, points: false };
    add(&mut built, "twice", &matrix(8, WIDTH, form, 4), false);
    built.node(product("twice", "ids", WIDTH, 8, false));
    built.node(node("Shape", "", &["twice.numbers"], "shape"));
    let mut wide = product("wide", "ids", WIDTH, 8, false);
    wide = wide.with(&[("K", WIDTH), ("N", 8), ("bits", 8), ("block_size", 32)]);
    built.node(wide);
    let error = Requantization::read(&built.write(folder.path())).unwrap_err();
    let said = error.to_string().replace(&*folder.path().to_string_lossy(), "<folder>");
    assert_snapshot!(said, @"nothing in <folder>/graph.onnx can be requantized to blocks of 128: 1 with 8 bits; 1 with weights that something else reads too");
    let empty = Built::new("ids").write(folder.path());
    assert!(Requantization::read(&empty).unwrap_err().to_string().ends_with("it has no MatMulNBits"));
}
