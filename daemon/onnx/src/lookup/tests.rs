//! Every table against ONNX Runtime itself, bit by bit.

use super::*;
use crate::graph::build::{Built, constant, node};
use crate::{Session, SessionSettings};
use proptest::prelude::*;
use std::path::PathBuf;

const ROWS: usize = 7;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

fn runtime() -> Runtime {
    Runtime::find(None).expect("these tests run ONNX Runtime: `make setup` fetches it")
}

fn open(path: &Path) -> Result<Lookup, OpenLookupError> {
    Lookup::open(&runtime(), path)
}

/// What the graph itself gives for `ids`, as bits.
fn run_by_session(path: &Path, ids: &[i64]) -> Vec<Vec<u32>> {
    let mut session = Session::open(&runtime(), path, &SessionSettings::default()).unwrap();
    let name = session.signature().inputs[0].name.clone();
    let fed = Tensor::i64(&[1, ids.len()], ids.to_vec()).unwrap();
    let stop = session.stop_handle().unwrap();
    session.run(&[(name.as_str(), &fed)], &stop).unwrap().iter().map(bits).collect()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let shape = tensor.shape();
    let rows = shape.iter().rev().skip(1).product();
    tensor.last_rows(rows).unwrap().iter().map(|number| number.to_bits()).collect()
}

fn assert_same(path: &Path, ids: &[i64]) {
    let lookup = open(path).unwrap();
    let ours = lookup.run(ids).unwrap();
    let theirs = run_by_session(path, ids);
    assert_eq!(ours.len(), theirs.len());
    for ((port, ours), theirs) in lookup.signature().outputs.iter().zip(&ours).zip(&theirs) {
        assert_eq!(ours.shape().len(), port.dims.len());
        let differing = bits(ours).iter().zip(theirs).position(|(ours, theirs)| ours != theirs);
        let number = |bits: &[u32]| differing.and_then(|place| bits.get(place)).map(|bits| f32::from_bits(*bits));
        assert_eq!(number(&bits(ours)), number(theirs), "{port} of {} at {differing:?}", path.display());
    }
}

#[test]
fn every_row_of_every_model_in_the_project_is_the_same() {
    let graphs = [
        "tests/fixtures/tiny/onnx/embed_tokens.onnx",
        "tests/fixtures/tiny/onnx/embed_tokens_q4.onnx",
        "tests/fixtures/tiny_f16/onnx/embed_tokens_q4f16.onnx",
        "models/pocket/onnx/embed_tokens_quantized.onnx",
    ];
    for graph in graphs {
        let path = fixture(graph);
        let rows = open(&path).unwrap().looked_up[0].table.rows();
        assert_same(&path, &(0..i64::try_from(rows).unwrap()).collect::<Vec<_>>());
    }
}

#[test]
fn an_id_that_no_table_has_is_refused() {
    let lookup = open(&fixture("tests/fixtures/tiny/onnx/embed_tokens_q4.onnx")).unwrap();
    assert_eq!(
        lookup.run(&[100_000]).unwrap_err().to_string(),
        "the graph could not be run: the constant 'a table' is broken: it has no row 100000"
    );
}

/// A graph of one quantized table, as the published ones have it: half or single precision scales, zero points or none,
/// a factor, and ids replaced by a rule.
fn quantized(bits: usize, half: bool, zero_points: bool, numbers: &[u8], factor: f32) -> Built {
    let (width, block) = (64, 32);
    let blocks = width / block;
    let columns = width * bits / 8;
    let byte = |place: usize| numbers[place % numbers.len()];
    let data: Vec<u8> = (0..ROWS * columns).map(byte).collect();
    let scales: Vec<f32> = (0..ROWS * blocks).map(|place| f32::from(byte(place + 3)) / 300.0 - 0.4).collect();
    let points: Vec<u8> = (0..ROWS * (blocks * bits).div_ceil(8)).map(|place| byte(place + 5)).collect();
    let mut built = Built::new("ids");
    built.constant(constant::bytes("data", &[ROWS, columns], data));
    built.constant(constant::floats("scales", &[ROWS, blocks], &scales, half));
    built.constant(constant::floats("factor", &[], &[factor], half));
    built.constant(constant::longs("five", &[5]));
    built.constant(constant::longs("zero", &[0]));
    built.node(node("Equal", "", &["ids", "five"], "is_five"));
    built.node(node("Where", "", &["is_five", "zero", "ids"], "looked_up"));
    let mut inputs = vec!["data", "looked_up", "scales"];
    if zero_points {
        built.constant(constant::bytes("points", &[ROWS, (blocks * bits).div_ceil(8)], points));
        inputs.push("points");
    }
    let settings = [("bits", bits), ("block_size", block), ("gather_axis", 0), ("quantize_axis", 1)];
    built.node(node("GatherBlockQuantized", "com.microsoft", &inputs, "row").with(&settings));
    built.node(node("Mul", "", &["row", "factor"], "scaled"));
    built.node(node("Cast", "", &["scaled"], "out").with(&[("to", 1)]));
    built.output("out", width);
    built
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn quantized_tables_are_the_same_in_every_format(
        bits in prop::sample::select(vec![2_usize, 4, 8]),
        half in any::<bool>(),
        zero_points in any::<bool>(),
        numbers in proptest::collection::vec(any::<u8>(), 50..400),
        factor in prop::sample::select(vec![1.0_f32, 16.0, 39.25, 50.5, 39.191_84]),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = quantized(bits, half, zero_points, &numbers, factor).write(folder.path());
        assert_same(&path, &[0, 6, 5, 3, 3, 1, 2, 4]);
    }
}

#[test]
fn whole_tables_in_half_precision_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut built = Built::new("ids");
    let numbers: Vec<f32> =
        (0..ROWS * 24).map(|place| (f32::from(u8::try_from(place).unwrap()) - 80.0) / 7.0).collect();
    built.constant(constant::floats("data", &[ROWS, 24], &numbers, true));
    built.constant(constant::floats("factor", &[], &[39.25], true));
    built.node(node("Gather", "", &["data", "ids"], "row"));
    built.node(node("Mul", "", &["factor", "row"], "scaled"));
    built.node(node("Cast", "", &["scaled"], "out").with(&[("to", 1)]));
    built.output("out", 24);
    assert_same(&built.write(folder.path()), &[0, 1, 2, 3, 4, 5, 6, -1]);
}

#[test]
fn a_graph_that_does_more_is_left_to_a_session() {
    let folder = tempfile::tempdir().unwrap();
    let mut built = Built::new("ids");
    built.constant(constant::floats("data", &[ROWS, 4], &[0.5; ROWS * 4], false));
    built.node(node("Gather", "", &["data", "ids"], "row"));
    built.node(node("Tanh", "", &["row"], "out"));
    built.output("out", 4);
    let error = open(&built.write(folder.path())).unwrap_err().to_string();
    assert_eq!(error, "'Tanh' (Tanh) does more than to look rows up");

    let decoder = open(&fixture("tests/fixtures/tiny/onnx/decoder_model_merged.onnx")).unwrap_err();
    assert_eq!(decoder.to_string(), "it has not one input");
}

#[test]
fn a_graph_that_goes_in_circles_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let said = |nodes: &[Node]| {
        let mut built = Built::new("ids");
        built.constant(constant::floats("data", &[ROWS, 4], &[0.5; ROWS * 4], false));
        nodes.iter().for_each(|node| built.node(node.clone()));
        built.output("out", 4);
        Lookup::recognise(&built.write(folder.path())).unwrap_err().to_string()
    };
    let rows = [node("Identity", "", &["other"], "out"), node("Identity", "", &["out"], "other")];
    assert_eq!(said(&rows), "the way to 'out' is too long");
    let itself = [node("Identity", "", &["out"], "out")];
    assert_eq!(said(&itself), "the way to 'out' is too long");
    // A rule for ids that asks for itself twice would grow without end.
    let ids = [node("Gather", "", &["data", "id"], "out"), node("Add", "", &["id", "id"], "id")];
    assert_eq!(said(&ids), "the rule for ids is too long");
}
