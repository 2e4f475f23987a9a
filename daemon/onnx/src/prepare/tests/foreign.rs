//! Graphs that look like one that is known and are another, and hostile ones.

use super::super::world::{Tokens, World};
use super::*;
use crate::graph::build::node;
use crate::graph::proto::{Constant, Dimension, GraphBody, Shape};

/// The fixture with its graph changed.
fn changed(change: impl FnOnce(&mut GraphBody)) -> Vec<u8> {
    let mut model = Model::decode(content().as_slice()).unwrap();
    change(model.graph.as_mut().unwrap());
    model.encode_to_vec()
}

fn place(body: &GraphBody, output: &str) -> usize {
    body.nodes.iter().position(|node| node.outputs.iter().any(|name| name == output)).expect("the fixture has it")
}

/// What became of the attention that is written out, and whether the graph runs as it did.
fn told(graph: &[u8]) -> String {
    let rewritten = rewrite(&published(), graph, &exact()).expect("it is a graph");
    let one = Driven::open(&runtime(), graph, false).expect("it opens").course().expect("it runs");
    let in_place = grows_in_place(&rewritten.graph);
    let other = Driven::open(&runtime(), &rewritten.graph, in_place).expect("it opens").course().expect("it runs");
    assert_eq!(difference(&one, &other), None);
    rewritten.outcomes.iter().take(2).map(|outcome| format!("{outcome}\n")).collect()
}

#[test]
fn attention_that_sees_what_comes_after_is_left_as_it_is() {
    let stretched = changed(|body| {
        // Padding is hidden, and from all tokens the same.
        let real = "/model/attn_bias/real/Unsqueeze/output_0";
        let [zero, lowest] = ["/model/attn_bias/zero", "/model/attn_bias/lowest"];
        let at = place(body, real) + 1;
        body.nodes.insert(at, node("Where", "", &[real, zero, lowest], "padding"));
        let layer = place(body, "/model/layers.9/attn/bias/Unsqueeze/output_0");
        "padding".clone_into(&mut body.nodes[layer].inputs[0]);
    });
    insta::assert_snapshot!(told(&stretched), @"
    attention in one operator: 1; 1 left as published: /model/layers.9/attn/Softmax: its numbers stand where they should not
    keys and values shared without a copy: 4
    ");
}

#[test]
fn shares_along_another_axis_are_left_as_they_are() {
    let turned = changed(|body| {
        let softmax = place(body, "/model/layers.9/attn/Softmax/output_0");
        body.nodes[softmax].set_integer("axis", -2);
    });
    insta::assert_snapshot!(told(&turned), @"
    attention in one operator: 1; 1 left as published: /model/layers.9/attn/Softmax: its shares are not taken among the tokens that are seen
    keys and values shared without a copy: 4
    ");
}

#[test]
fn operators_that_are_older_than_those_that_are_known_are_left_as_they_are() {
    let mut model = Model::decode(content().as_slice()).unwrap();
    model.opsets.iter_mut().filter(|opset| opset.domain.is_empty()).for_each(|opset| opset.version = 12);
    let refused = rewrite(&published(), &model.encode_to_vec(), &exact()).unwrap_err().to_string();
    assert_eq!(
        refused,
        "it is left as published: its operators are those of ONNX opset 12, and hob knows those from 13 on"
    );
}

#[test]
fn values_of_more_dimensions_than_any_have_no_shape() {
    let wide = changed(|body| {
        let axes: Vec<u8> = (0_i64..16).flat_map(i64::to_le_bytes).collect();
        let constant =
            |name: &str, dims, raw| Constant { name: name.to_owned(), dims, element: 7, raw, ..Constant::default() };
        body.initializers.push(constant("axes", vec![16], axes));
        body.initializers.push(constant("one", vec![1; 17], vec![0; 8]));
        body.nodes.push(node("Unsqueeze", "", &["attention_mask", "axes"], "wide"));
        body.nodes.push(node("Unsqueeze", "", &["wide", "axes"], "wider"));
        body.nodes.push(node("Identity", "", &["one"], "same"));
        let mut input = body.inputs[0].clone();
        "many".clone_into(&mut input.name);
        let kind = input.kind.as_mut().and_then(|kind| kind.tensor.as_mut()).expect("a tensor");
        kind.shape = Some(Shape { dims: vec![Dimension { length: Some(1), name: None }; 17] });
        body.inputs.push(input);
    });
    let draft = Draft::read(&published(), &wide).unwrap();
    let world = World::new(&draft, Tokens { past: 3, new: 2 }, 1);
    assert_eq!(world.shape("attention_mask"), Some(&[1, 5][..]));
    for name in ["wide", "wider", "one", "same", "many"] {
        assert_eq!(world.shape(name), None, "{name}");
    }
}

#[test]
fn numbers_that_cannot_be_meant_end_nothing() {
    let spoilt = changed(|body| {
        for node in &mut body.nodes {
            if node.operator == "Split" {
                node.outputs.clear();
            }
            if node.operator == "GroupQueryAttention" {
                node.set_integer("local_window_size", i64::MAX);
            }
        }
    });
    rewrite(&published(), &spoilt, &exact()).unwrap();
}
