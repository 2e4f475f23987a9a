//! Opening graphs, looking at them and running them.

use crate::{graph, runtime};
use hob_onnx::{Dim, Element, OpenSessionError, RunError, Session, SessionSettings, Tensor};
use std::num::NonZero;
use std::path::Path;

fn open(path: &Path) -> Result<Session, OpenSessionError> {
    Session::open(&runtime(), path, &SessionSettings::default())
}

#[test]
fn a_graph_tells_its_inputs_and_outputs() {
    let decoder = open(&graph("decoder_model_merged_q4.onnx")).unwrap();
    let input = |name: &str| decoder.signature().inputs.iter().find(|port| port.name == name).unwrap();
    assert_eq!(input("num_logits_to_keep").dims, []);
    assert_eq!(input("num_logits_to_keep").element, Some(Element::I64));
    let past = input("past_key_values.0.key");
    assert_eq!((past.element, past.dims.len(), past.dims[2]), (Some(Element::F32), 4, Dim::Free));
    assert!(past.fixed(3).is_some() && past.fixed(2).is_none());
    assert!(decoder.signature().outputs.iter().any(|port| port.name == "logits"));
}

#[test]
fn tokens_go_in_and_rows_come_out() {
    let mut embed = open(&graph("embed_tokens.onnx")).unwrap();
    let stop = embed.stop_handle().unwrap();
    let ids = Tensor::i64(&[1, 3], vec![2, 105, 106]).unwrap();
    let outputs = embed.run(&[("input_ids", &ids)], &stop).unwrap();
    let rows = &outputs[embed.signature().outputs.iter().position(|port| port.name == "inputs_embeds").unwrap()];
    assert_eq!((rows.element(), &rows.shape()[..2]), (Element::F32, [1, 3].as_slice()));
    let width = rows.shape()[2];
    let two = rows.last_rows(2).unwrap();
    assert_eq!(two.len(), 2 * width);
    assert_eq!(rows.last_rows(1).unwrap(), two[width..]);
    assert!(rows.last_rows(4).is_err());
}

#[test]
fn a_stopped_run_says_so_and_the_session_runs_again() {
    let mut embed = open(&graph("embed_tokens.onnx")).unwrap();
    let ids = Tensor::i64(&[1, 1], vec![2]).unwrap();
    let stop = embed.stop_handle().unwrap();
    let elsewhere = stop.clone();
    std::thread::spawn(move || elsewhere.stop()).join().unwrap();
    assert!(matches!(embed.run(&[("input_ids", &ids)], &stop), Err(RunError::Stopped)));
    let fresh = embed.stop_handle().unwrap();
    assert!(embed.run(&[("input_ids", &ids)], &fresh).is_ok());
}

#[test]
fn a_wrong_input_is_an_error() {
    let mut embed = open(&graph("embed_tokens.onnx")).unwrap();
    let stop = embed.stop_handle().unwrap();
    let floats = Tensor::f32(&[1, 1], vec![2.0]).unwrap();
    assert!(matches!(embed.run(&[("input_ids", &floats)], &stop), Err(RunError::Failed(_))));
    let ids = Tensor::i64(&[1, 1], vec![2]).unwrap();
    assert!(matches!(embed.run(&[("tokens", &ids)], &stop), Err(RunError::Failed(_))));
    assert!(Tensor::i64(&[1, 2], vec![2]).is_err());
}

#[test]
fn a_missing_graph_and_a_cut_graph_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("decoder.onnx");
    assert!(matches!(open(&nowhere), Err(OpenSessionError::Missing { .. })));

    let whole = std::fs::read(graph("decoder_model_merged.onnx")).unwrap();
    std::fs::write(&nowhere, whole.get(..whole.len() / 2).unwrap()).unwrap();
    let refused = open(&nowhere).unwrap_err();
    assert!(matches!(refused, OpenSessionError::NotAGraph { .. }), "{refused:?}");
}

#[test]
fn missing_and_cut_weights_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("decoder_model_merged.onnx");
    std::fs::copy(graph("decoder_model_merged.onnx"), &copy).unwrap();
    let refused = open(&copy).unwrap_err();
    assert!(matches!(refused, OpenSessionError::Weights { .. }), "{refused:?}");
    assert!(refused.to_string().contains("decoder_model_merged.onnx_data"));

    let weights = std::fs::read(graph("decoder_model_merged.onnx_data")).unwrap();
    std::fs::write(folder.path().join("decoder_model_merged.onnx_data"), &weights[..weights.len() / 2]).unwrap();
    let refused = open(&copy).unwrap_err();
    assert!(matches!(refused, OpenSessionError::Weights { .. }), "{refused:?}");
}

#[test]
fn a_graph_of_a_later_opset_asks_for_a_newer_library() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("embed_tokens.onnx");
    let mut bytes = std::fs::read(graph("embed_tokens.onnx")).unwrap();
    // The file ends in `opset_import { domain: "" version: 20 }`.
    assert_eq!(bytes.pop(), Some(20));
    bytes.push(99);
    std::fs::write(&copy, bytes).unwrap();
    std::fs::copy(graph("embed_tokens.onnx_data"), folder.path().join("embed_tokens.onnx_data")).unwrap();
    let refused = open(&copy).unwrap_err();
    assert!(matches!(refused, OpenSessionError::Operators { .. }), "{refused:?}");
}

#[test]
fn half_precision_caches_are_cut_as_single_ones_are() {
    let _library = runtime();
    let numbers = (0..24_u8).map(f32::from).collect();
    let cache = Tensor::f32(&[1, 2, 4, 3], numbers).unwrap();
    let cut = cache.front(2, 1).unwrap();
    assert_eq!(cut.shape(), [1, 2, 1, 3]);
    assert_eq!(cut.last_rows(2).unwrap(), [0.0, 1.0, 2.0, 12.0, 13.0, 14.0]);
    assert_eq!(cache.front(2, 0).unwrap().shape(), [1, 2, 0, 3]);
    assert!(cache.front(2, 5).is_err());

    let half = Tensor::zeros(Element::F16, &[1, 1, 4, 2]).unwrap();
    let cut = half.front(2, 3).unwrap();
    assert_eq!((cut.element(), cut.shape()), (Element::F16, vec![1, 1, 3, 2]));
    assert_eq!(cut.last_rows(3).unwrap(), [0.0; 6]);
}

#[test]
fn threads_can_be_held_to_the_cores_of_a_crew() {
    // As it is written for two threads of a crew on the first core: the caller's own is not among them.
    let entries = vec![("session.intra_op_thread_affinities".to_owned(), "1".to_owned())];
    let settings = SessionSettings { threads: NonZero::new(2), entries, ..SessionSettings::default() };
    let mut embed = Session::open(&runtime(), &graph("embed_tokens.onnx"), &settings).unwrap();
    let stop = embed.stop_handle().unwrap();
    embed.run(&[("input_ids", &Tensor::i64(&[1, 1], vec![2]).unwrap())], &stop).unwrap();
    let wrong = vec![("session.intra_op_thread_affinities".to_owned(), "1;1".to_owned())];
    let refused =
        Session::open(&runtime(), &graph("embed_tokens.onnx"), &SessionSettings { entries: wrong, ..settings });
    assert!(refused.is_err(), "ONNX Runtime reads the entry: one group for each thread but the caller's");
}
