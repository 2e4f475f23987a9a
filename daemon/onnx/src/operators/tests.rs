//! Attention against ONNX Runtime's, where the fixtures are too small to tell: several heads of keys, more rows than one
//! thread takes, and what is refused.

use super::{DOMAIN, Own, Panels, operators};
use crate::graph::build::node;
use crate::graph::proto::{Dimension, GraphBody, Kind, Model, Node, Opset, Shape, TensorKind, Value};
use crate::{Element, Place, RunError, Runtime, Session, SessionSettings, Tensor};
use hob_kernels::Scales;
use prost::Message;
use std::path::Path;

/// Heads, heads of keys, numbers of each, and the tokens that are seen.
#[derive(Debug, Clone, Copy)]
struct Case {
    heads: usize,
    kv_heads: usize,
    width: usize,
    window: usize,
    numbers: Scales,
}

const ROOM: usize = 64;

impl Case {
    fn value(self, name: &str, dims: &[Option<usize>], whole: bool) -> Value {
        let dim = |length: &Option<usize>| Dimension {
            length: length.map(|length| i64::try_from(length).unwrap()),
            name: length.is_none().then(|| "any".to_owned()),
        };
        let shape = Some(Shape { dims: dims.iter().map(dim).collect() });
        let element = match self.numbers {
            _ if whole => 7,
            Scales::Single => 1,
            Scales::Half => 10,
        };
        Value { name: name.to_owned(), kind: Some(Kind { tensor: Some(TensorKind { element, shape }) }) }
    }

    fn graph(self, own: bool) -> Vec<u8> {
        let Self { heads, kv_heads, width, window, .. } = self;
        let cast =
            |from: &str, to: &str| Node { name: to.to_owned(), ..node("Cast", "", &[from], to).with(&[("to", 6)]) };
        let counts = [("num_heads", heads), ("kv_num_heads", kv_heads)];
        let mut attention = if own {
            let inputs = ["query", "key", "value", "past_key", "past_value", "all32"];
            let counts = [&counts[..], &[("window", window)]].concat();
            node(Own::CachedAttention.name(self.numbers), DOMAIN, &inputs, "out").with(&counts)
        } else {
            let inputs = ["query", "key", "value", "past_key", "past_value", "last32", "all32"];
            let sight = [("local_window_size", window)];
            let counts = [&counts[..], &sight[..usize::from(window > 0)]].concat();
            node("GroupQueryAttention", "com.microsoft", &inputs, "out").with(&counts)
        };
        attention.set_float("scale", 0.3);
        attention.outputs.extend(["present_key".to_owned(), "present_value".to_owned()]);
        let rows = |heads: usize| [Some(1), None, Some(heads * width)];
        let cache = [Some(1), Some(kv_heads), None, Some(width)];
        let inputs = vec![
            self.value("query", &rows(heads), false),
            self.value("key", &rows(kv_heads), false),
            self.value("value", &rows(kv_heads), false),
            self.value("past_key", &cache, false),
            self.value("past_value", &cache, false),
            self.value("last", &[Some(1)], true),
            self.value("all", &[], true),
        ];
        let outputs = vec![
            self.value("out", &rows(heads), false),
            self.value("present_key", &cache, false),
            self.value("present_value", &cache, false),
        ];
        let nodes: Vec<Node> = vec![cast("last", "last32"), cast("all", "all32"), attention];
        let body = GraphBody { name: "attention".to_owned(), nodes, inputs, outputs, ..GraphBody::default() };
        let opset = |domain: &str, version| Opset { domain: domain.to_owned(), version };
        let opsets = vec![opset("", 20), opset("com.microsoft", 1), opset(DOMAIN, 1)];
        let opsets = opsets.into_iter().filter(|opset| own || opset.domain != DOMAIN).collect();
        Model { ir_version: 10, opsets, graph: Some(body) }.encode_to_vec()
    }

    fn open(self, own: bool) -> Session {
        let runtime = Runtime::find(None).expect("these tests run ONNX Runtime: `make setup` fetches it");
        let settings = SessionSettings { threads: std::num::NonZero::new(2), ..SessionSettings::default() };
        let nowhere = Path::new("attention.onnx");
        if !own {
            return Session::open_prepared(&runtime, nowhere, &self.graph(false), &settings).unwrap();
        }
        let nothing = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(nothing.path(), [0]).unwrap();
        let operators = operators(&Panels::open(nothing.path(), 1).unwrap(), 2).unwrap();
        Session::open_placed(&runtime, nowhere, &self.graph(true), &settings, operators).unwrap()
    }

    fn tensor(self, shape: &[usize], seed: usize) -> Tensor {
        let number = |place: usize| f32::from(u16::try_from((place + seed) * 7919 % 1009).unwrap()) / 504.0 - 1.0;
        let numbers: Vec<f32> = (0..shape.iter().product()).map(number).collect();
        match self.numbers {
            Scales::Single => Tensor::f32(shape, numbers).unwrap(),
            Scales::Half => Tensor::f16(shape, &numbers).unwrap(),
        }
    }

    /// What comes out of each append, and both caches.
    fn course(self, own: bool, appends: &[(usize, usize)]) -> Result<Vec<Vec<f32>>, RunError> {
        let Self { heads, kv_heads, width, .. } = self;
        let mut session = self.open(own);
        let element = match self.numbers {
            Scales::Single => Element::F32,
            Scales::Half => Element::F16,
        };
        let [mut keys, mut values] = [(); 2].map(|()| Tensor::zeros(element, &[1, kv_heads, ROOM, width]).unwrap());
        let places = vec![
            Place { input: "past_key", output: "present_key", tensor: &mut keys },
            Place { input: "past_value", output: "present_value", tensor: &mut values },
        ];
        let mut bound = session.bind(places)?;
        let mut course = Vec::new();
        for (past, new) in appends.iter().copied() {
            let whole = |number: usize| i64::try_from(number).unwrap();
            let feeds = [
                ("query", self.tensor(&[1, new, heads * width], past)),
                ("key", self.tensor(&[1, new, kv_heads * width], past + 3)),
                ("value", self.tensor(&[1, new, kv_heads * width], past + 5)),
                ("last", Tensor::i64(&[1], vec![whole(past + new) - 1])?),
                ("all", Tensor::i64(&[], vec![whole(past + new)])?),
            ];
            let feeds: Vec<(&str, &Tensor)> = feeds.iter().map(|(name, tensor)| (*name, tensor)).collect();
            let stop = session.stop_handle()?;
            course.push(session.run_bound(&mut bound, &feeds, "out", &stop)?.last_rows(new)?);
        }
        drop(bound);
        for cache in [keys, values] {
            course.push(cache.last_rows(kv_heads * ROOM)?);
        }
        Ok(course)
    }
}

#[test]
fn attention_is_that_of_onnx_runtime() {
    for (numbers, near) in [(Scales::Single, 1e-4), (Scales::Half, 4e-3)] {
        for (heads, kv_heads) in [(8, 2), (8, 1), (3, 3)] {
            for window in [0, 1, 7, 33] {
                let case = Case { heads, kv_heads, width: 64, window, numbers };
                let appends = [(0, 41), (41, 1), (42, 3), (45, 19)];
                let [own, theirs] = [true, false].map(|own| case.course(own, &appends).unwrap());
                for (part, (own, theirs)) in own.iter().zip(&theirs).enumerate() {
                    assert_eq!(own.len(), theirs.len());
                    let most = own.iter().zip(theirs).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
                    assert!(most <= near, "{case:?}, part {part}: {most}");
                }
            }
        }
    }
}

#[test]
fn more_tokens_than_there_is_room_for_are_refused() {
    let case = Case { heads: 2, kv_heads: 1, width: 8, window: 0, numbers: Scales::Single };
    let refused = case.course(true, &[(0, ROOM), (ROOM, 1)]).unwrap_err().to_string();
    assert!(refused.contains("[1, 1, 16] ask [1, 1, 64, 8] and [1, 1, 64, 8] for 65 tokens"), "{refused}");
}
