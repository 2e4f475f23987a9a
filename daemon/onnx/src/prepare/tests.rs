mod foreign;
mod placed;

use super::draft::{Draft, DraftError};
use super::wire::{self, fields, tag};
use super::{Pass, grows_in_place, place, rewrite};
use crate::graph::Graph;
use crate::graph::proto::{Model, Node};
use crate::operators::{Panels, operators};
use crate::port::Dim;
use crate::{Bound, Element, Place, RunError, Runtime, Session, SessionSettings, Stop, Tensor};
use proptest::prelude::*;
use prost::Message;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn published() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/published/onnx/decoder_model_merged_q4.onnx")
}

fn published_half() -> PathBuf {
    published().with_file_name("decoder_model_merged_q4f16.onnx")
}

fn content() -> Vec<u8> {
    std::fs::read(published()).unwrap()
}

fn exact() -> BTreeSet<Pass> {
    Pass::ALL.into_iter().filter(|pass| *pass != Pass::Accuracy).collect()
}

/// The file with something unknown in the model, the graph and every operator, and a foreign word in the metadata.
fn with_unknown_fields(content: &[u8]) -> Vec<u8> {
    const UNKNOWN: u32 = 777;
    let mut out = Vec::new();
    for field in fields(content).unwrap() {
        if field.tag != tag::MODEL_GRAPH {
            field.copy_to(&mut out);
            continue;
        }
        let mut graph = Vec::new();
        for part in fields(field.content).unwrap() {
            if part.tag == tag::NODE {
                let mut node = part.content.to_vec();
                wire::put(&mut node, UNKNOWN, b"of an operator");
                wire::put(&mut graph, tag::NODE, &node);
            } else {
                part.copy_to(&mut graph);
            }
        }
        wire::put(&mut graph, UNKNOWN, b"of the graph");
        wire::put(&mut out, tag::MODEL_GRAPH, &graph);
    }
    wire::put(&mut out, UNKNOWN, b"of the model");
    wire::put(&mut out, tag::MODEL_METADATA, b"\x0a\x03key\x12\x05value");
    wire::put(&mut out, tag::MODEL_METADATA, b"\x0a\x06hob.kv\x12\x08in_place");
    out
}

#[test]
fn nothing_is_lost_that_hob_does_not_know() {
    let known = with_unknown_fields(&content());
    let count = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).filter(|window| *window == what).count();
    let unchanged = rewrite(&published(), &known, &BTreeSet::new()).unwrap().graph;
    // Everything as it was, but for the mark, which only hob may make.
    assert_eq!(unchanged.len(), known.len() - 2 - 18);
    assert!(!grows_in_place(&unchanged));
    let rewritten = rewrite(&published(), &known, &exact()).unwrap();
    assert!(grows_in_place(&rewritten.graph));
    for what in [&b"of the graph"[..], b"of the model", b"key\x12\x05value"] {
        assert_eq!(count(&rewritten.graph, what), 1);
    }
    let before = Model::decode(known.as_slice()).unwrap().graph.unwrap().nodes;
    let after = Model::decode(rewritten.graph.as_slice()).unwrap().graph.unwrap().nodes;
    let stayed = after.iter().filter(|node| before.iter().any(|old| old.name == node.name)).count();
    assert_eq!(count(&rewritten.graph, b"of an operator"), stayed);
    assert!(stayed > 200 && after.len() < before.len());
}

#[test]
fn a_graph_in_a_circle_or_with_graphs_inside_is_left_alone() {
    let refused = |change: &dyn Fn(&mut Vec<Node>)| {
        let mut model = Model::decode(content().as_slice()).unwrap();
        change(&mut model.graph.as_mut().unwrap().nodes);
        match rewrite(&published(), &model.encode_to_vec(), &exact()) {
            Err(DraftError::Foreign(reason)) => reason,
            Err(DraftError::Read(error)) => error.to_string(),
            Ok(_) => "rewritten".to_owned(),
        }
    };
    assert_eq!(
        refused(&|nodes| {
            let last = nodes.last().unwrap().outputs[0].clone();
            nodes[0].inputs[0] = last;
        }),
        "its operators wait for each other in a circle"
    );
    assert_eq!(
        refused(&|nodes| {
            nodes[0].attributes.push(crate::graph::proto::Attribute { kind: 5, ..Default::default() });
        }),
        "it has operators with graphs of their own"
    );
    assert_eq!(refused(&|nodes| nodes[3].outputs[0] = "inputs_embeds".to_owned()), "a value has two origins");
}

/// Logits after each of a few appends, and all caches in the end.
type Course = Vec<Vec<f32>>;

/// A decoder, run as hob runs one.
struct Driven {
    session: Session,
    bound: Option<(Bound, Vec<Tensor>)>,
    grown: Vec<Tensor>,
}

const CONTEXT: usize = 64;

/// Tokens past, tokens new, logits wanted.
const APPENDS: [(usize, usize, i64); 4] = [(0, 9, 2), (9, 15, 1), (24, 1, 1), (25, 3, 3)];

impl Driven {
    fn open(runtime: &Runtime, graph: &[u8], in_place: bool) -> Option<Self> {
        Self::open_at(runtime, &published(), graph, in_place)
    }

    fn open_at(runtime: &Runtime, path: &Path, graph: &[u8], in_place: bool) -> Option<Self> {
        Self::drive(Session::open_prepared(runtime, path, graph, &Self::settings()).ok()?, in_place)
    }

    /// With hob's own operators between the products, which stay ONNX Runtime's: in full precision.
    fn open_placed(runtime: &Runtime, path: &Path, rewritten: &[u8]) -> Option<Self> {
        let placed = place(path, rewritten, true, &[]).ok()?;
        let nothing = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(nothing.path(), [0]).unwrap();
        let operators = operators(&Panels::open(nothing.path(), 1).unwrap(), 2).unwrap();
        let session = Session::open_placed(runtime, path, &placed, &Self::settings(), operators).ok()?;
        Self::drive(session, grows_in_place(rewritten))
    }

    fn settings() -> SessionSettings {
        SessionSettings { threads: std::num::NonZero::new(1), ..SessionSettings::default() }
    }

    fn drive(session: Session, in_place: bool) -> Option<Self> {
        let caches = |length| -> Vec<Tensor> {
            let inputs = session.signature().inputs.iter().filter(|input| input.name.starts_with("past"));
            let cache =
                inputs.map(|input| Tensor::zeros(input.element?, &[1, input.fixed(1)?, length, input.fixed(3)?]).ok());
            cache.collect::<Option<_>>().unwrap()
        };
        if !in_place {
            return Some(Self { grown: caches(0), session, bound: None });
        }
        let mut room = caches(CONTEXT);
        let names: Vec<String> = session.signature().inputs.iter().map(|input| input.name.clone()).collect();
        let pasts = names.iter().filter(|name| name.starts_with("past"));
        let presents: Vec<(String, String)> =
            pasts.map(|name| (name.clone(), name.replace("past_key_values", "present"))).collect();
        let places = presents.iter().zip(&mut room);
        let places = places.map(|((input, output), tensor)| Place { input, output, tensor }).collect();
        let bound = session.bind(places).ok()?;
        Some(Self { session, bound: Some((bound, room)), grown: Vec::new() })
    }

    fn append(&mut self, past: usize, new: usize, keep: i64) -> Result<Vec<f32>, RunError> {
        let stop: Stop = self.session.stop_handle()?;
        let number = |place: usize| f32::from(u16::try_from(place * 7919 % 1000).unwrap()) / 500.0 - 1.0;
        let mut feeds: Vec<(String, Tensor)> = Vec::new();
        for input in &self.session.signature().inputs {
            let count = |length: usize| i64::try_from(length).unwrap();
            let tensor = match input.name.as_str() {
                "attention_mask" => Tensor::i64(&[1, past + new], vec![1; past + new])?,
                "position_ids" => Tensor::i64(&[1, new], (count(past)..count(past + new)).collect())?,
                "num_logits_to_keep" => Tensor::i64(&[], vec![keep])?,
                name if name.starts_with("past") => continue,
                _ => {
                    let free = |(axis, dim): (usize, &Dim)| match dim {
                        Dim::Fixed(length) => *length,
                        Dim::Free => {
                            if axis == 0 {
                                1
                            } else {
                                new
                            }
                        }
                    };
                    let shape: Vec<usize> = input.dims.iter().enumerate().map(free).collect();
                    let each: usize = shape.iter().skip(2).product();
                    let numbers: Vec<f32> = (past * each..(past + new) * each).map(number).collect();
                    match input.element {
                        Some(Element::F16) => Tensor::f16(&shape, &numbers)?,
                        _ => Tensor::f32(&shape, numbers)?,
                    }
                }
            };
            feeds.push((input.name.clone(), tensor));
        }
        let mut inputs: Vec<(&str, &Tensor)> = feeds.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let rows = usize::try_from(keep).unwrap();
        if let Some((bound, _)) = &mut self.bound {
            return Ok(self.session.run_bound(bound, &inputs, "logits", &stop)?.last_rows(rows)?);
        }
        let names: Vec<String> = self.session.signature().inputs.iter().map(|input| input.name.clone()).collect();
        inputs.extend(names.iter().filter(|name| name.starts_with("past")).map(String::as_str).zip(&self.grown));
        let outputs = self.session.run(&inputs, &stop)?;
        let names: Vec<String> = self.session.signature().outputs.iter().map(|output| output.name.clone()).collect();
        let (mut logits, mut grown) = (Vec::new(), Vec::new());
        for (name, tensor) in names.iter().zip(outputs) {
            if name == "logits" { logits = tensor.last_rows(rows)? } else { grown.push(tensor) }
        }
        self.grown = grown;
        Ok(logits)
    }

    /// None where the graph cannot be run.
    fn course(mut self) -> Option<Course> {
        let mut course = Vec::new();
        for (past, new, keep) in APPENDS {
            course.push(self.append(past, new, keep).ok()?);
        }
        let all = APPENDS.iter().map(|(_, new, _)| new).sum();
        let caches = self.bound.map_or(self.grown, |(_, room)| room);
        for cache in caches {
            let cache = cache.front(2, all).ok()?;
            let shape = cache.shape();
            course.push(cache.last_rows(shape.iter().take(3).product()).ok()?);
        }
        Some(course)
    }
}

/// Where two courses differ by more than sums in another order explain; none where they do not.
fn difference(one: &Course, other: &Course) -> Option<String> {
    difference_beyond(1e-3, one, other)
}

fn difference_beyond(near: f32, one: &Course, other: &Course) -> Option<String> {
    if one.len() != other.len() {
        return Some(format!("{} and {} parts", one.len(), other.len()));
    }
    one.iter().zip(other).enumerate().find_map(|(part, (one, other))| {
        let differs = |(one, other): (&f32, &f32)| {
            let largest = one.abs().max(other.abs()).max(1.0);
            one.is_nan() != other.is_nan() || one.is_finite() && (one - other).abs() > near * largest
        };
        let count = one.iter().zip(other).filter(|pair| differs(*pair)).count();
        (one.len() != other.len() || count > 0)
            .then(|| format!("part {part}: {count} of {} and {}", one.len(), other.len()))
    })
}

/// One way to spoil a graph. What is spoilt is chosen by `at`.
fn spoil(nodes: &mut [Node], kind: u8, at: usize, by: i64) {
    const TURNED: [(&str, &str); 12] = [
        ("LessOrEqual", "Less"),
        ("Less", "LessOrEqual"),
        ("Add", "Sub"),
        ("Sub", "Add"),
        ("And", "Or"),
        ("Mul", "Add"),
        ("Div", "Mul"),
        ("Unsqueeze", "Squeeze"),
        ("Neg", "Abs"),
        ("Softmax", "Tanh"),
        ("Range", "Range"),
        ("Where", "Where"),
    ];
    let kinds = ["MatMulNBits", "SimplifiedLayerNormalization"];
    let places: Vec<usize> =
        (0..nodes.len()).filter(|place| !kinds.contains(&nodes[*place].operator.as_str())).collect();
    let place = places[at % places.len()];
    let donors: Vec<String> = nodes[..place].iter().flat_map(|node| node.outputs.clone()).collect();
    let node = &mut nodes[place];
    match kind % 5 {
        0 if node.inputs.len() > 1 => node.inputs.swap(0, 1),
        1 => {
            if let Some(attribute) = node.attributes.first_mut() {
                attribute.integer += by;
                if attribute.integers.len() > 1 {
                    attribute.integers.rotate_left(1);
                }
            }
        }
        2 if !donors.is_empty() => {
            let input = usize::try_from(by.unsigned_abs()).unwrap() % node.inputs.len().max(1);
            if let Some(input) = node.inputs.get_mut(input) {
                input.clone_from(&donors[donors.len() - 1 - at % donors.len().min(40)]);
            }
        }
        3 => {
            if let Some((_, other)) = TURNED.iter().find(|(operator, _)| *operator == node.operator) {
                (*other).clone_into(&mut node.operator);
            }
        }
        _ => {
            // Another number, axis or shape of those that the graph knows.
            let constants =
                ["/constants/0", "/constants/1", "/constants/12", "/constants/[1]", "/constants/[2]", "/constants/[0]"];
            if let Some(input) = node.inputs.last_mut().filter(|input| input.starts_with("/constants/")) {
                *input = constants[at % constants.len()].to_owned();
            }
        }
    }
}

fn runtime() -> Runtime {
    Runtime::find(None).expect("these tests run ONNX Runtime: `make setup` fetches it, HOB_ONNX_LIBRARY names another")
}

#[test]
fn the_fixture_rewritten_runs_as_it_did() {
    let rewritten = rewrite(&published(), &content(), &exact()).unwrap();
    let one = Driven::open(&runtime(), &content(), false).unwrap().course().unwrap();
    let other = Driven::open(&runtime(), &rewritten.graph, true).unwrap().course().unwrap();
    assert_eq!(difference(&one, &other), None);
}

#[test]
fn hobs_own_operators_do_what_those_that_went_did() {
    for (path, near) in [(published(), 1e-3), (published_half(), 0.02)] {
        let content = std::fs::read(&path).unwrap();
        let rewritten = rewrite(&path, &content, &exact()).unwrap().graph;
        let one = Driven::open_at(&runtime(), &path, &content, false).unwrap().course().unwrap();
        let bound = Driven::open_placed(&runtime(), &path, &rewritten).unwrap();
        assert!(bound.bound.is_some());
        assert_eq!(difference_beyond(near, &one, &bound.course().unwrap()), None);
        // Where past and present are two memories, one is copied into the other.
        let mut apart = Driven::open_placed(&runtime(), &path, &rewritten).unwrap();
        let (_, room) = apart.bound.take().unwrap();
        apart.grown = room;
        assert_eq!(difference_beyond(near, &one, &apart.course().unwrap()), None);
    }
}

proptest! {
    // A few at each run; PROPTEST_CASES asks for more.
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12), ..ProptestConfig::default() })]

    #[test]
    fn a_spoilt_graph_is_left_as_it_is_or_runs_as_it_did(
        changes in proptest::collection::vec((any::<u8>(), any::<usize>(), -3_i64..4), 1..3),
    ) {
        let mut model = Model::decode(content().as_slice()).unwrap();
        for (kind, at, by) in changes {
            spoil(&mut model.graph.as_mut().unwrap().nodes, kind, at, by);
        }
        let spoilt = model.encode_to_vec();
        let runtime = runtime();
        let Ok(rewritten) = rewrite(&published(), &spoilt, &exact()) else { return Ok(()) };
        let Some(one) = Driven::open(&runtime, &spoilt, false).and_then(Driven::course) else { return Ok(()) };
        let other = Driven::open(&runtime, &rewritten.graph, grows_in_place(&rewritten.graph)).and_then(Driven::course);
        let told: Vec<String> = rewritten.outcomes.iter().map(ToString::to_string).collect();
        let Some(other) = other else { return Err(TestCaseError::fail(format!("it does not run any more: {told:?}"))) };
        prop_assert_eq!(difference(&one, &other), None, "{:?}", told);
        if let Some(placed) = Driven::open_placed(&runtime, &published(), &rewritten.graph) {
            let placed = placed.course().ok_or_else(|| TestCaseError::fail("with hob's operators it does not run"))?;
            prop_assert_eq!(difference(&one, &placed), None, "with hob's operators: {:?}", told);
        }
    }

    #[test]
    fn bytes_of_any_kind_are_refused_or_rewritten_to_a_graph(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut content = content();
        for (place, byte) in changes {
            let place = place.index(content.len());
            content[place] = byte;
        }
        if let Ok(rewritten) = rewrite(&published(), &content, &exact()) {
            prop_assert!(Graph::read_prepared(&published(), &rewritten.graph).is_ok());
            prop_assert!(Draft::read(&published(), &rewritten.graph).is_ok());
        }
    }
}
