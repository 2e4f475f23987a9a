//! Hob's own operators in a graph, and what keeps them out.

use super::*;
use crate::graph::proto::Attribute;
use crate::prepare::place;
use crate::product::find;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The published fixture as it is prepared, decoded.
fn prepared() -> Model {
    static PREPARED: LazyLock<Model> = LazyLock::new(|| {
        let all = Pass::ALL.into_iter().collect();
        Model::decode(rewrite(&published(), &content(), &all).unwrap().graph.as_slice()).unwrap()
    });
    PREPARED.clone()
}

/// How many operators there are of each kind once hob's own are placed.
fn placed(model: &Model) -> BTreeMap<String, usize> {
    let mut bytes = model.encode_to_vec();
    wire::put(&mut bytes, tag::MODEL_METADATA, b"\x0a\x06hob.kv\x12\x08in_place");
    placed_into(&bytes)
}

fn placed_into(bytes: &[u8]) -> BTreeMap<String, usize> {
    let graph = Graph::parse(&published(), bytes).unwrap();
    let placed = place(&published(), bytes, true, &find(&graph)).unwrap();
    let mut counts = BTreeMap::new();
    for node in Graph::parse(&published(), &placed).unwrap().nodes() {
        *counts.entry(node.operator.clone()).or_insert(0) += 1;
    }
    counts
}

fn of(counts: &BTreeMap<String, usize>, operator: &str) -> usize {
    counts.get(operator).copied().unwrap_or(0)
}

/// The same with something done to every operator of a kind.
fn with(operator: &str, change: impl Fn(&mut Node)) -> BTreeMap<String, usize> {
    let mut model = prepared();
    let nodes = &mut model.graph.as_mut().unwrap().nodes;
    assert!(nodes.iter().any(|node| node.operator == operator), "there is a {operator}");
    nodes.iter_mut().filter(|node| node.operator == operator).for_each(change);
    placed(&model)
}

fn set(node: &mut Node, attribute: Attribute) {
    node.attributes.retain(|other| other.name != attribute.name);
    node.attributes.push(attribute);
}

#[test]
fn products_gates_and_sums_become_hobs_own() {
    let before = prepared().graph.unwrap().nodes;
    let count = |operator: &str| before.iter().filter(|node| node.operator == operator).count();
    let counts = placed(&prepared());
    assert_eq!(of(&counts, "PanelProduct"), count("MatMulNBits"));
    assert_eq!(of(&counts, "GatedGelu"), count("Gelu"));
    assert_eq!([of(&counts, "MatMulNBits"), of(&counts, "Gelu"), of(&counts, "Split")], [0; 3]);
    // Three sums of a norm to a layer, and one of the rows that all layers get. A norm follows two of the three: the third goes
    // through a gate first.
    let sums = of(&counts, "ResidualNorm");
    let norms_before = count("SimplifiedLayerNormalization");
    assert_eq!(sums, count("Gelu") / 2 * 3 + 1);
    let heads = of(&counts, "HeadNorm");
    assert_eq!(of(&counts, "SimplifiedLayerNormalization"), norms_before - sums - sums / 3 * 2 - heads);
}

#[test]
fn a_gate_of_another_kind_is_left_alone() {
    let exact = with("Gelu", |node| {
        set(
            node,
            Attribute { name: "approximate".to_owned(), text: b"none".to_vec(), kind: 3, ..Attribute::default() },
        );
    });
    assert_eq!(of(&exact, "GatedGelu"), 0);
    // Halves of other sizes, or along another axis.
    let axis = with("Split", |node| {
        set(node, Attribute { name: "axis".to_owned(), integer: 1, kind: 2, ..Attribute::default() });
    });
    assert!(of(&axis, "Split") > 0);
}

#[test]
fn what_something_else_reads_stays() {
    let mut model = prepared();
    let graph = model.graph.as_mut().unwrap();
    let gelus: Vec<String> =
        graph.nodes.iter().filter(|node| node.operator == "Gelu").map(|node| node.outputs[0].clone()).collect();
    let whole = placed(&model);
    let graph = model.graph.as_mut().unwrap();
    for (place, gelu) in gelus.iter().enumerate() {
        let output = format!("also {place}");
        let kind = graph.outputs[0].kind.clone();
        graph.nodes.push(Node {
            inputs: vec![gelu.clone()],
            outputs: vec![output.clone()],
            name: output.clone(),
            operator: "Identity".to_owned(),
            domain: String::new(),
            attributes: Vec::new(),
        });
        graph.outputs.push(crate::graph::proto::Value { name: output, kind });
    }
    let counts = placed(&model);
    assert_eq!((of(&counts, "GatedGelu"), of(&counts, "Gelu")), (0, gelus.len()));
    assert_eq!(of(&counts, "ResidualNorm"), of(&whole, "ResidualNorm"));
}

#[test]
fn a_norm_over_another_axis_is_not_added() {
    let counts = with("SimplifiedLayerNormalization", |node| {
        set(node, Attribute { name: "axis".to_owned(), integer: 1, kind: 2, ..Attribute::default() });
    });
    assert_eq!(of(&counts, "ResidualNorm"), 0);
}

#[test]
fn products_that_may_not_round_stay_those_of_onnx_runtime() {
    let exact = with("MatMulNBits", |node| node.attributes.retain(|one| one.name != "accuracy_level"));
    assert_eq!((of(&exact, "PanelProduct"), of(&exact, "MatMulNBits") > 0), (0, true));
    let ordered = with("MatMulNBits", |node| {
        node.inputs.resize(5, String::new());
        node.inputs[4] = node.inputs[1].clone();
    });
    assert_eq!(of(&ordered, "PanelProduct"), 0);
    for wrong in [-1, 0, 70_000, i64::MAX] {
        for name in ["N", "K", "block_size", "bits"] {
            let hostile = with("MatMulNBits", |node| {
                set(node, Attribute { name: name.to_owned(), integer: wrong, kind: 2, ..Attribute::default() });
            });
            assert_eq!(of(&hostile, "PanelProduct"), 0, "{name} of {wrong}");
        }
    }
}

#[test]
fn constants_that_stand_among_the_inputs_go_with_the_products() {
    let mut model = prepared();
    let graph = model.graph.as_mut().unwrap();
    let ports = graph.inputs.len();
    let kind = graph.inputs[0].kind.clone();
    let names: Vec<String> = graph.initializers.iter().map(|constant| constant.name.clone()).collect();
    graph.inputs.extend(names.into_iter().map(|name| crate::graph::proto::Value { name, kind: kind.clone() }));
    let bytes = model.encode_to_vec();
    let products = find(&Graph::parse(&published(), &bytes).unwrap());
    let placed =
        Model::decode(place(&published(), &bytes, true, &products).unwrap().as_slice()).unwrap().graph.unwrap();
    let constants: BTreeSet<&str> = placed.initializers.iter().map(|constant| constant.name.as_str()).collect();
    let asked: Vec<&str> = placed.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(asked.iter().filter(|name| !constants.contains(*name)).count(), ports, "{asked:?}");
}

#[test]
fn gates_that_meet_lose_nothing() {
    let mut model = prepared();
    let graph = model.graph.as_mut().unwrap();
    let mut gelus = graph.nodes.iter().filter(|node| node.operator == "Gelu");
    let (gate, mut second) = (gelus.next().unwrap().clone(), gelus.next().unwrap().clone());
    // The first gate's other half goes through a gate of its own.
    let product = graph.nodes.iter().position(|node| node.operator == "Mul" && node.inputs.contains(&gate.outputs[0]));
    let product = &mut graph.nodes[product.unwrap()];
    let other = product.inputs.iter_mut().find(|input| **input != gate.outputs[0]).unwrap();
    second.inputs = vec![other.clone()];
    second.outputs = vec!["a gate of its own".to_owned()];
    second.name = "a gate of its own".to_owned();
    other.clone_from(&second.outputs[0]);
    graph.nodes.push(second);
    let bytes = model.encode_to_vec();
    let placed = place(&published(), &bytes, true, &find(&Graph::parse(&published(), &bytes).unwrap())).unwrap();
    let placed = Graph::parse(&published(), &placed).unwrap();
    let constants: BTreeSet<&str> = placed.initializers().iter().map(|constant| constant.name.as_str()).collect();
    for input in placed.nodes().flat_map(|node| &node.inputs).filter(|input| !input.is_empty()) {
        let known = placed.maker(input).is_some() || constants.contains(input.as_str()) || placed.is_port(input);
        assert!(known, "nobody makes {input}");
    }
}

#[test]
fn what_calls_itself_hobs_is_not_touched() {
    let mut model = prepared();
    let graph = model.graph.as_mut().unwrap();
    graph.nodes[0].domain = "hob".to_owned();
    let refused = place(&published(), &model.encode_to_vec(), true, &[]).unwrap_err().to_string();
    assert_eq!(refused, "it is left as published: it has operators that call themselves hob's");
}

#[test]
fn heads_and_attention_become_hobs_own() {
    let before = prepared().graph.unwrap().nodes;
    let count = |operator: &str| before.iter().filter(|node| node.operator == operator).count();
    let counts = placed(&prepared());
    let layers = count("GroupQueryAttention");
    assert_eq!((of(&counts, "CachedAttention"), of(&counts, "GroupQueryAttention")), (layers, 0));
    // Queries of each layer, and keys and values of those that have their own.
    let own = prepared().graph.unwrap().outputs.len() / 2;
    assert_eq!((of(&counts, "HeadNorm"), of(&counts, "RotaryEmbedding")), (layers + 2 * own, 0));
}

#[test]
fn heads_that_are_turned_otherwise_are_normed_alone() {
    let whole = of(&placed(&prepared()), "HeadNorm");
    let number =
        |name: &str, integer: i64| Attribute { name: name.to_owned(), integer, kind: 2, ..Attribute::default() };
    for other in [number("interleaved", 1), number("num_heads", 3), number("of another day", 1)] {
        let counts = with("RotaryEmbedding", |node| set(node, other.clone()));
        assert!(of(&counts, "RotaryEmbedding") > 0, "{other:?}");
        assert_eq!(of(&counts, "HeadNorm"), whole, "{other:?}");
    }
    let counts = with("RotaryEmbedding", |node| node.inputs.swap(0, 2));
    assert!(of(&counts, "RotaryEmbedding") > 0);
}

#[test]
fn attention_of_another_kind_is_left_alone() {
    let number =
        |name: &str, integer: i64| Attribute { name: name.to_owned(), integer, kind: 2, ..Attribute::default() };
    let others = [
        number("do_rotary", 1),
        number("smooth_softmax", 1),
        number("sliding_window_cache", 1),
        number("num_heads", 3),
        number("kv_num_heads", 0),
        number("kv_num_heads", -1),
        number("of another day", 1),
        number("local_window_size", 0),
        number("local_window_size", -2),
        number("num_heads", i64::MAX),
        Attribute { name: "softcap".to_owned(), float: 30.0, kind: 1, ..Attribute::default() },
    ];
    for other in others {
        let counts = with("GroupQueryAttention", |node| set(node, other.clone()));
        assert_eq!(of(&counts, "CachedAttention"), 0, "{other:?}");
    }
    let masked = with("GroupQueryAttention", |node| {
        node.inputs.resize(11, String::new());
        node.inputs[10] = node.inputs[0].clone();
    });
    assert_eq!(of(&masked, "CachedAttention"), 0);
    let unmarked = placed_into(&prepared().encode_to_vec());
    assert_eq!(of(&unmarked, "CachedAttention"), 0, "its caches are not grown in place");
    // A published file that says so of itself is not believed.
    let mut bytes = prepared().encode_to_vec();
    wire::put(&mut bytes, tag::MODEL_METADATA, b"\x0a\x06hob.kv\x12\x08in_place");
    let placed = place(&published(), &bytes, false, &[]).unwrap();
    let graph = Graph::parse(&published(), &placed).unwrap();
    assert!(graph.nodes().all(|node| !node.operator.contains("CachedAttention")));
}
