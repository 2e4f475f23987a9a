//! Damaged folders, and what is said about them.

use crate::{fixture, runtime};
use hob_model::{Gemma, ModelFolder, ModelSettings, OpenModelError, Variant, describe};
use hob_onnx::{OpenSessionError, ReadGraphError, WeightsError};
use std::path::Path;
use tempfile::TempDir;

/// A copy of the tiny folder to damage.
fn copy() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_into(&fixture("tiny"), folder.path());
    folder
}

pub(crate) fn copy_into(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_into(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn open(folder: &TempDir) -> Result<Gemma, OpenModelError> {
    let settings = ModelSettings { variant: Some(Variant::Fp32), ..ModelSettings::new(folder.path()) };
    Gemma::open(&runtime(), &settings)
}

fn refused(folder: &TempDir) -> OpenModelError {
    open(folder).expect_err("this folder is damaged")
}

#[test]
fn a_decoder_of_another_layout_is_told_what_it_lacks() {
    let folder = copy();
    let onnx = folder.path().join("onnx");
    // The embedding in the decoder's place: loads, and has nothing that a decoder needs.
    std::fs::copy(onnx.join("embed_tokens.onnx"), onnx.join("decoder_model_merged.onnx")).unwrap();
    let said = refused(&folder).to_string();
    assert!(said.starts_with("decoder_model_merged has another layout: expected inputs_embeds"), "{said}");
    assert!(said.ends_with("found input_ids i64[?,?]"), "{said}");
}

/// What ONNX Runtime itself says, when nothing was reckoned before.
fn unchecked(folder: &TempDir) -> OpenModelError {
    let settings =
        ModelSettings { variant: Some(Variant::Fp32), check_memory: false, ..ModelSettings::new(folder.path()) };
    Gemma::open(&runtime(), &settings).expect_err("a damaged folder was opened")
}

#[test]
fn a_truncated_graph_and_missing_weights_are_named() {
    let folder = copy();
    let decoder = folder.path().join("onnx/decoder_model_merged.onnx");
    let whole = std::fs::read(&decoder).unwrap();
    std::fs::write(&decoder, &whole[..whole.len() / 3]).unwrap();
    assert!(matches!(refused(&folder), OpenModelError::Graph(ReadGraphError::NotAGraph { .. })));
    assert!(matches!(unchecked(&folder), OpenModelError::Session(OpenSessionError::NotAGraph { .. })));
    std::fs::write(&decoder, whole).unwrap();
    std::fs::remove_file(folder.path().join("onnx/embed_tokens.onnx_data")).unwrap();
    assert!(matches!(refused(&folder), OpenModelError::Weights(WeightsError::Unreadable { .. })));
    assert!(matches!(unchecked(&folder), OpenModelError::Session(OpenSessionError::Weights { .. })));
}

#[test]
fn a_tokenizer_of_another_family_is_refused() {
    let folder = copy();
    let tokenizer = folder.path().join("tokenizer.json");
    let text = std::fs::read_to_string(&tokenizer).unwrap();
    std::fs::write(&tokenizer, text.replace("<|tool_call>", "<|other|>")).unwrap();
    let said = refused(&folder).to_string();
    assert!(said.contains("<|tool_call>"), "{said}");
    std::fs::write(&tokenizer, "{}").unwrap();
    assert!(matches!(refused(&folder), OpenModelError::Format { .. }));
    std::fs::remove_file(folder.path().join("chat_template.jinja")).unwrap();
    std::fs::write(&tokenizer, text).unwrap();
    assert!(refused(&folder).to_string().contains("chat_template.jinja"));
}

#[test]
fn a_folder_is_described() {
    let told = describe(&ModelFolder::open(&fixture("tiny"), None).unwrap()).unwrap();
    assert_eq!((told.name.as_str(), told.variant, told.layers, told.kv_pairs), ("tiny", "q4", Some(4), 2));
    assert_eq!((told.context_tokens, told.vision_bytes, told.audio_bytes), (Some(8192), None, None));
    assert!(told.files.iter().any(|file| file.name == "onnx/embed_tokens_q4.onnx_data" && file.bytes > 0));
    // Two pairs: one head of 8 and one of 16, in single precision.
    assert_eq!(told.kv_bytes_per_token, 2 * (8 + 16) * 4);
    let half = describe(&ModelFolder::open(&fixture("tiny_f16"), Some(Variant::Q4f16)).unwrap()).unwrap();
    assert_eq!(half.kv_bytes_per_token * 2, told.kv_bytes_per_token);
}

#[test]
fn weights_are_missed_wherever_their_file_is_cut_off() {
    let folder = copy();
    for (file, last) in [("decoder_model_merged", "lm_head.weight"), ("embed_tokens", "")] {
        let data = folder.path().join(format!("onnx/{file}.onnx_data"));
        let whole = std::fs::read(&data).unwrap();
        for length in [0, 100, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&data, &whole[..length]).unwrap();
            let said = refused(&folder).to_string();
            assert!(said.contains(&format!("{file}.onnx_data has {length} bytes, and '")), "{said}");
            assert!(length < whole.len() - 1 || said.contains(last), "{said}");
            assert!(matches!(unchecked(&folder), OpenModelError::Session(OpenSessionError::Weights { .. })));
        }
        std::fs::write(&data, whole).unwrap();
    }
}

#[test]
fn a_tokenizer_or_a_configuration_with_more_tokens_than_the_graph_is_refused() {
    let folder = copy();
    let change = |file: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let path = folder.path().join(file);
        let whole = std::fs::read(&path).unwrap();
        let mut json = serde_json::from_slice(&whole).unwrap();
        change(&mut json);
        std::fs::write(&path, json.to_string()).unwrap();
        let said = refused(&folder).to_string();
        std::fs::write(&path, whole).unwrap();
        said.replace(&folder.path().display().to_string(), "<folder>")
    };
    let more = |json: &mut serde_json::Value| json["model"]["vocab"]["another"] = 376.into();
    insta::assert_snapshot!(change("tokenizer.json", &more), @"the tokenizer or the chat template of <folder> does not fit: 377 tokens, and the graph gives logits for 376");
    let stops = |json: &mut serde_json::Value| json["eos_token_id"] = serde_json::json!([1, 376]);
    insta::assert_snapshot!(change("generation_config.json", &stops), @"the tokenizer or the chat template of <folder> does not fit: its configuration speaks of token 376, and the graph gives logits for 376");
    let picture = |json: &mut serde_json::Value| json["image_token_id"] = 258_880.into();
    insta::assert_snapshot!(change("config.json", &picture), @"the tokenizer or the chat template of <folder> does not fit: its configuration speaks of token 258880, and the graph gives logits for 376");
    assert!(open(&folder).is_ok());
}
