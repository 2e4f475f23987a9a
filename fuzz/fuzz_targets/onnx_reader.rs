//! Any bytes are a graph whose weights lie in its folder, or a typed error.

#![no_main]

use hob_onnx::{Graph, Lookup};
use libfuzzer_sys::fuzz_target;
use std::cell::LazyCell;
use tempfile::TempDir;

thread_local! {
    /// A folder as a model's: the graph, and a file of weights beside it.
    static FOLDER: LazyCell<TempDir> = LazyCell::new(|| {
        let folder = TempDir::with_prefix("hob-fuzz-").expect("a temporary folder");
        for weights in ["weights", "embed_tokens_q4.onnx_data"] {
            std::fs::write(folder.path().join(weights), vec![7; 64 << 10]).expect("it can be written");
        }
        folder
    });
}

fuzz_target!(|bytes: &[u8]| {
    FOLDER.with(|folder| {
        let path = folder.path().join("graph.onnx");
        std::fs::write(&path, bytes).expect("it can be written");
        read(&path);
    });
});

fn read(path: &std::path::Path) {
    let Ok(graph) = Graph::read(path) else { return };
    let signature = graph.signature();
    let _bytes = graph.bytes_in_memory();
    // Whether they are right is not asked, only that asking ends well.
    drop(graph.check_weights());
    drop(Lookup::recognise(path));
    for output in &signature.outputs {
        walk_back(&graph, &output.name);
    }
}

/// Nodes in a row that are looked at. A graph that goes in circles has no first one.
const LONGEST_WAY: usize = 64;

fn walk_back(graph: &Graph, output: &str) {
    let mut value = output.to_owned();
    for _ in 0..LONGEST_WAY {
        let Some(node) = graph.maker(&value) else { return };
        std::hint::black_box(node.constant("value"));
        std::hint::black_box(node.integer("axis"));
        for input in &node.inputs {
            let Ok(Some(weights)) = graph.weights(input) else { continue };
            let mut row = vec![0; weights.row_bytes().min(1 << 20)];
            drop(weights.row(weights.rows() / 2, &mut row));
            std::hint::black_box(weights.scalar());
            std::hint::black_box(weights.integers());
        }
        let Some(first) = node.inputs.first() else { return };
        value.clone_from(first);
    }
}
