//! A model made from another: what is shared, what is refused, what is left of one that was ended.

use crate::bench::files_below;
use hob_model_store::{Derivation, DeriveModelError, DeriveOrder, verify};
use insta::assert_snapshot;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const GRAPH: &str = "onnx/decoder_model_merged_q4.onnx";

/// The tests' model in a folder of its own.
fn source(folder: &Path) -> PathBuf {
    let (from, to) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny"), folder.join("source"));
    for path in files_below(&from) {
        fs::create_dir_all(to.join(&path).parent().unwrap()).unwrap();
        fs::copy(from.join(&path), to.join(&path)).unwrap();
    }
    to
}

fn begin(folder: &Path, target: &str) -> Result<Derivation, DeriveModelError> {
    Derivation::begin(&DeriveOrder {
        folder: folder.join("source"),
        variant: "q4".parse().unwrap(),
        graph: "decoder_model_merged",
        target: folder.join(target),
    })
}

#[test]
fn all_but_the_new_graph_is_shared_and_all_of_it_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path());
    let derivation = begin(folder.path(), "new").unwrap();
    derivation.take_over(10, &|| false).unwrap();
    fs::write(derivation.folder().join(GRAPH), "another graph").unwrap();
    fs::write(derivation.folder().join("scratch"), "not of the model").unwrap();
    let (record, target) = derivation.place(vec![GRAPH.parse().unwrap()], &|| false).unwrap();
    assert_eq!((record.name.as_str(), target.as_path()), ("new", folder.path().join("new").as_path()));
    assert_snapshot!(files_below(&target).join("\n"), @"
    chat_template.jinja
    config.json
    generation_config.json
    hob-model.toml
    onnx/decoder_model_merged_q4.onnx
    onnx/embed_tokens_q4.onnx
    onnx/embed_tokens_q4.onnx_data
    tokenizer.json
    tokenizer_config.json
    ");
    let inode = |folder: &Path, name: &str| fs::metadata(folder.join(name)).unwrap().ino();
    assert_eq!(inode(&source, "tokenizer.json"), inode(&target, "tokenizer.json"));
    assert_ne!(inode(&source, GRAPH), inode(&target, GRAPH));
    assert!(verify(&target).unwrap().differences.is_empty());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "the hidden folder is gone");
}

#[test]
fn what_is_ended_is_gone_and_what_a_power_cut_left_is_cleared() {
    let folder = tempfile::tempdir().unwrap();
    source(folder.path());
    let hidden = folder.path().join(".new.new");
    fs::create_dir_all(hidden.join("onnx")).unwrap();
    fs::write(hidden.join("onnx/left"), "by a power cut").unwrap();
    let first = begin(folder.path(), "new").unwrap();
    assert_eq!(files_below(first.folder()), Vec::<String>::new());
    let said = |error: DeriveModelError| error.to_string().replace(&*folder.path().to_string_lossy(), "<folder>");
    assert_snapshot!(said(begin(folder.path(), "new").unwrap_err()), @"another hob makes <folder>/new now: wait for it, or end it");
    first.take_over(0, &|| false).unwrap();
    assert!(matches!(first.place(Vec::new(), &|| true), Err(DeriveModelError::Stopped)));
    assert!(!hidden.exists() && !folder.path().join("new").exists());
}

#[test]
fn what_cannot_be_made_is_said_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path());
    let said = |error: DeriveModelError| error.to_string().replace(&*folder.path().to_string_lossy(), "<folder>");
    let refused = |target: &str| said(begin(folder.path(), target).unwrap_err());
    assert_snapshot!(refused("source"), @"<folder>/source is there already: name another folder, or remove it first");
    assert_snapshot!(refused("nowhere/new"), @"cannot find the folder <folder>/nowhere");
    assert_snapshot!(refused("-new"), @r#"the new folder cannot be called so: "-new" cannot be a model's name: use letters, digits, '.', '_' and '-', beginning with a letter or digit, 64 at most"#);
    let full = begin(folder.path(), "new").unwrap().take_over(u64::MAX, &|| false).unwrap_err();
    assert!(said(full).contains("has no room"));
    fs::remove_file(source.join("tokenizer.json")).unwrap();
    assert!(refused("new").contains("tokenizer.json is missing"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
