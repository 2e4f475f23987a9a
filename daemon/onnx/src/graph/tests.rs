//! Hostile and broken files. What well-formed ones mean is held by the tests of `lookup`.

use super::proto::{
    Attribute, Constant, Dimension, Entry, GraphBody, Kind, Model, Node, Opset, Shape, TensorKind, Value,
};
use super::*;
use proptest::prelude::*;

fn fixture() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/tiny/onnx/embed_tokens_q4.onnx");
    std::fs::read(path).unwrap()
}

fn external(location: &str, offset: &str, dims: Vec<i64>) -> Constant {
    let entry = |key: &str, value: &str| Entry { key: key.to_owned(), value: value.to_owned() };
    Constant {
        name: "table".to_owned(),
        dims,
        element: 1,
        location: proto::EXTERNAL,
        external: vec![entry("location", location), entry("offset", offset)],
        ..Constant::default()
    }
}

/// What is said about a constant in a graph whose folder holds `weights` of 64 bytes.
fn said_about(constant: Constant) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("weights"), [0; 64]).unwrap();
    let body = GraphBody { initializers: vec![constant], ..GraphBody::default() };
    let file = Model { graph: Some(body), ..Model::default() }.encode_to_vec();
    let graph = Graph::parse(&folder.path().join("graph.onnx"), &file).unwrap();
    match graph.weights("table") {
        Ok(weights) => format!("{:?}", weights.unwrap().dims),
        Err(error) => error.to_string().replace(&folder.path().display().to_string(), "."),
    }
}

#[test]
fn a_place_outside_the_folder_or_the_file_is_refused() {
    assert_eq!(said_about(external("weights", "32", vec![2, 4])), "[2, 4]");
    let outside = "it lies outside the model's folder, in";
    assert!(said_about(external("../weights", "0", vec![1])).contains(outside));
    assert!(said_about(external("/etc/passwd", "0", vec![1])).contains(outside));
    assert!(said_about(external("", "0", vec![1])).contains(outside));
    assert!(said_about(external("nothing", "0", vec![1])).contains("cannot read the weights in ./nothing"));
    assert_eq!(
        said_about(external("weights", "60", vec![2])),
        "./weights has 64 bytes, and 'table' ends at 68: fetch it again"
    );
    assert!(said_about(external("weights", &u64::MAX.to_string(), vec![2])).contains("fetch it again"));
    assert!(said_about(external("weights", "-1", vec![2])).contains("its offset is '-1'"));
}

#[test]
fn the_files_of_a_graph_are_those_within_its_folder() {
    let tensor = Some(external("of a setting", "0", vec![1]));
    let attributes = vec![Attribute { tensor, ..Attribute::default() }];
    let body = GraphBody {
        nodes: vec![Node { attributes, ..Node::default() }],
        initializers: ["b", "sub/a", "b", "../c", "/etc/passwd", ""].map(|place| external(place, "0", vec![1])).into(),
        ..GraphBody::default()
    };
    let file = Model { graph: Some(body), ..Model::default() }.encode_to_vec();
    let files = Graph::parse(Path::new("/models/one/graph.onnx"), &file).unwrap().data_files();
    assert_eq!(files, ["b", "of a setting", "sub/a"].map(|name| Path::new("/models/one").join(name)));
}

#[test]
fn impossible_shapes_are_refused() {
    assert!(said_about(external("weights", "0", vec![-1])).contains("its dimensions are [-1]"));
    assert!(said_about(external("weights", "0", vec![i64::MAX, i64::MAX])).contains("larger than any memory"));
    let inside =
        Constant { name: "table".to_owned(), dims: vec![3], element: 1, raw: vec![0; 8], ..Constant::default() };
    assert!(said_about(inside).contains("it should have 12 bytes and has 8"));
    let unknown = Constant { name: "table".to_owned(), element: 8, ..Constant::default() };
    assert!(said_about(unknown).contains("of the unknown kind 8"));
}

#[test]
fn what_is_no_graph_is_told_from_one_that_is_cut_short() {
    let parse = |content: &[u8]| Graph::parse(Path::new("g.onnx"), content).map(|graph| graph.makers.len());
    let whole = fixture();
    assert!(parse(&whole).unwrap() > 5);
    for content in [&whole[..whole.len() / 2], b"version https://git-lfs", b""] {
        let error = parse(content).unwrap_err().to_string();
        assert!(error.starts_with("g.onnx is cut short or no ONNX graph"), "{error}");
    }
}

#[test]
fn a_file_of_nothing_but_small_parts_is_refused_before_it_is_decoded() {
    // An empty operator in two bytes, three hundred in memory.
    let graph = [0x0a, 0x00].repeat(MOST_PARTS + 1);
    let mut file = vec![0x3a];
    prost::encoding::encode_varint(u64::try_from(graph.len()).unwrap(), &mut file);
    file.extend(graph);
    let error = Graph::parse(Path::new("g.onnx"), &file).unwrap_err().to_string();
    assert_eq!(
        error,
        "g.onnx is cut short or no ONNX graph (it has 500002 parts, and no model needs more than 500000): fetch it again"
    );
    assert!(proto::count_parts(&fixture()).unwrap() > 50);
}

#[test]
fn small_parts_count_wherever_they_stand() {
    let body = |graph| Model { graph: Some(graph), ..Model::default() };
    let tensor = Constant { external: vec![Entry::default(); MOST_PARTS], ..Constant::default() };
    let attributes = vec![Attribute { tensor: Some(tensor), ..Attribute::default() }];
    let nodes = vec![Node { attributes, ..Node::default() }];
    let shape = Some(Shape { dims: vec![Dimension::default(); MOST_PARTS] });
    let kind = Some(Kind { tensor: Some(TensorKind { shape, ..TensorKind::default() }) });
    let inputs = vec![Value { kind, ..Value::default() }];
    for (what, model) in [
        ("places of a setting", body(GraphBody { nodes, ..GraphBody::default() })),
        ("dimensions", body(GraphBody { inputs: inputs.clone(), ..GraphBody::default() })),
        ("dimensions", body(GraphBody { outputs: inputs, ..GraphBody::default() })),
        ("opsets", Model { opsets: vec![Opset::default(); MOST_PARTS + 1], ..Model::default() }),
    ] {
        let error = Graph::parse(Path::new("g.onnx"), &model.encode_to_vec()).unwrap_err().to_string();
        assert!(error.contains("parts, and no model needs more"), "{what}: {error}");
    }
}

#[test]
fn a_constant_of_no_rows_is_not_as_wide_as_it_says() {
    assert!(said_about(external("weights", "0", vec![0, 1 << 60])).contains("larger than any memory"));
    assert_eq!(said_about(external("weights", "0", vec![0, 0])), "[0, 0]");
}

proptest! {
    #[test]
    fn spoilt_files_are_read_or_refused_and_never_more(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut content = fixture();
        for (place, byte) in changes {
            let place = place.index(content.len());
            content[place] = byte;
        }
        if let Ok(graph) = Graph::parse(Path::new("/nowhere/graph.onnx"), &content) {
            for constant in graph.constants.keys() {
                if let Ok(Some(weights)) = graph.weights(constant) {
                    prop_assert!(weights.rows() == 0 || weights.row_bytes() <= 1 << 20);
                }
            }
            prop_assert!(graph.signature().inputs.len() <= content.len());
        }
    }
}
