//! Folders by hand: added, held to their record, listed, removed.

use crate::bench::{bench, files_below};
use crate::server::Server;
use hob_model_store::{AddOrder, Origin, Record, Standing, Store, verify};
use insta::assert_snapshot;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny")
}

fn order(folder: &Path) -> AddOrder {
    AddOrder { folder: folder.to_owned(), name: None, variant: Some("q4".parse().unwrap()) }
}

/// A store with the tests' model in it.
fn stocked(folder: &Path) -> (Store, Record) {
    let store = Store::at(folder.join("models"));
    let record = store.add(&order(&tiny())).unwrap();
    (store, record)
}

/// The tests' model in a folder that may be spoilt.
fn copied(folder: &Path) -> PathBuf {
    let to = folder.join("copied");
    for path in files_below(&tiny()) {
        fs::create_dir_all(to.join(&path).parent().unwrap()).unwrap();
        fs::copy(tiny().join(&path), to.join(&path)).unwrap();
    }
    to
}

#[test]
fn a_folder_is_added_with_the_files_of_one_variant() {
    let folder = tempfile::tempdir().unwrap();
    let (store, record) = stocked(folder.path());
    let placed = store.folder().join("tiny");
    assert_eq!(Record::read(&placed).unwrap(), record);
    assert!(record.files.iter().all(|file| file.checksum == Origin::Recorded));
    assert_snapshot!(files_below(store.folder()).join("\n"), @"
    .partial/tiny.lock
    tiny/chat_template.jinja
    tiny/config.json
    tiny/generation_config.json
    tiny/hob-model.toml
    tiny/onnx/decoder_model_merged_q4.onnx
    tiny/onnx/decoder_model_merged_q4.onnx_data
    tiny/onnx/embed_tokens_q4.onnx
    tiny/onnx/embed_tokens_q4.onnx_data
    tiny/tokenizer.json
    tiny/tokenizer_config.json
    ");
    assert!(verify(&placed).unwrap().differences.is_empty());
    let again = store.add(&order(&tiny())).unwrap_err().to_string();
    assert_snapshot!(again.replace(&*folder.path().to_string_lossy(), "<folder>"), @"<folder>/models/tiny is there already: add under another name (--name), or remove it first (hob model remove tiny)");
}

#[test]
fn links_that_could_lead_elsewhere_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path().join("models"));
    let said = |copied: &Path| {
        store.add(&order(copied)).unwrap_err().to_string().replace(&*folder.path().to_string_lossy(), "<folder>")
    };
    let spoilt = copied(folder.path());
    fs::remove_file(spoilt.join("config.json")).unwrap();
    symlink("/etc/passwd", spoilt.join("config.json")).unwrap();
    assert_snapshot!(said(&spoilt), @"<folder>/copied/config.json is no plain file of the folder: copy the folder with its links followed (cp -rL)");

    let spoilt = copied(folder.path());
    fs::remove_file(spoilt.join("config.json")).unwrap();
    fs::copy(tiny().join("config.json"), spoilt.join("config.json")).unwrap();
    fs::rename(spoilt.join("onnx"), folder.path().join("elsewhere")).unwrap();
    symlink(folder.path().join("elsewhere"), spoilt.join("onnx")).unwrap();
    assert!(said(&spoilt).contains("is no plain file of the folder"));
    assert!(!store.folder().join("copied").exists());
}

#[test]
fn a_folder_without_a_data_file_that_its_graph_names_is_not_whole() {
    let folder = tempfile::tempdir().unwrap();
    let spoilt = copied(folder.path());
    fs::remove_file(spoilt.join("onnx/decoder_model_merged_q4.onnx_data")).unwrap();
    let said = Store::at(folder.path().join("models")).add(&order(&spoilt)).unwrap_err().to_string();
    assert!(said.contains("onnx/decoder_model_merged_q4.onnx_data is missing"), "{said}");
}

#[test]
fn every_file_that_differs_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = stocked(folder.path());
    let model = store.folder().join("tiny");
    let mut config = fs::read(model.join("config.json")).unwrap();
    config[0] ^= 1;
    fs::write(model.join("config.json"), config).unwrap();
    fs::write(model.join("tokenizer.json"), "{}").unwrap();
    fs::remove_file(model.join("chat_template.jinja")).unwrap();
    fs::remove_file(model.join("generation_config.json")).unwrap();
    symlink("config.json", model.join("generation_config.json")).unwrap();
    let lines: Vec<String> = verify(&model).unwrap().differences.iter().map(ToString::to_string).collect();
    assert_snapshot!(lines.join("\n"), @"
    config.json has other bytes than it had
    generation_config.json is no plain file any more
    tokenizer.json has 2 bytes and had 16156
    chat_template.jinja is missing
    ");
    let said = verify(folder.path()).unwrap_err().to_string();
    assert_snapshot!(said.replace(&*folder.path().to_string_lossy(), "<folder>"), @"<folder> has no hob-model.toml: it was not put there by hob; use hob model add");
}

#[test]
fn the_store_lists_what_is_placed_unknown_and_on_its_way() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Store::at(folder.path().join("nowhere")).list().unwrap().is_empty());
    let (store, _) = stocked(folder.path());
    fs::create_dir(store.folder().join("by-hand")).unwrap();
    fs::create_dir_all(store.folder().join(".partial/begun/parts")).unwrap();
    fs::write(store.folder().join(".partial/begun/parts/x"), "four").unwrap();
    let line = |listed: hob_model_store::Listed| match listed.standing {
        Standing::Placed { record } => format!("{} {} {}", listed.name, record.variant, record.bytes()),
        Standing::Unrecorded { reason } => format!("{}: {reason}", listed.name),
        Standing::Partial { bytes } => format!("{}: {bytes} bytes so far", listed.name),
    };
    let lines: Vec<String> = store.list().unwrap().into_iter().map(line).collect();
    assert_snapshot!(lines.join("\n").replace(&*folder.path().to_string_lossy(), "<folder>"), @"
    by-hand: <folder>/models/by-hand has no hob-model.toml: it was not put there by hob; use hob model add
    tiny q4 115416
    begun: 4 bytes so far
    ");
}

#[test]
fn a_model_is_removed_with_what_was_begun_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, record) = stocked(folder.path());
    store.remove(&record.name).unwrap();
    assert_eq!(files_below(store.folder()), [".partial/tiny.lock"]);
    let said = store.remove(&record.name).unwrap_err().to_string();
    assert_snapshot!(said.replace(&*folder.path().to_string_lossy(), "<folder>"), @"<folder>/models has no model called tiny: hob model list shows what it has");

    let begun = bench();
    begun.fetch(&Server::honest(&[])).unwrap_err();
    begun.store().remove(&begun.plan.name).unwrap();
    assert!(!begun.partial("").exists());
}

#[test]
fn a_link_in_the_store_is_not_followed_when_it_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = stocked(folder.path());
    let outside = copied(folder.path());
    symlink(&outside, store.folder().join("linked")).unwrap();
    store.remove(&"linked".parse().unwrap()).unwrap_err();
    assert!(outside.join("config.json").exists());
}

#[test]
fn a_folder_that_was_in_a_store_before_is_held_to_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = stocked(folder.path());
    let carried = folder.path().join("carried");
    fs::rename(store.folder().join("tiny"), &carried).unwrap();
    let text = fs::read_to_string(carried.join("hob-model.toml")).unwrap();
    let published = "variant = \"q4\"\nrepository = \"someone/tiny\"\nrevision = \"abc\"";
    fs::write(carried.join("hob-model.toml"), text.replace("variant = \"q4\"", published)).unwrap();
    let record = store.add(&order(&carried)).unwrap();
    assert_eq!(record.revision, Some("abc".parse().unwrap()));

    fs::write(carried.join("config.json"), "{}").unwrap();
    let again = AddOrder { name: Some("again".parse().unwrap()), ..order(&carried) };
    assert_snapshot!(store.add(&again).unwrap_err(), @"config.json is not what hob-model.toml beside it says: copy the folder again; without the record it is taken as it is");
    assert!(!store.folder().join("again").exists());
}

#[test]
fn a_record_that_points_elsewhere_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (store, record) = stocked(folder.path());
    let path = store.folder().join("tiny/hob-model.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("path = \"config.json\"", "path = \"../../secret\"")).unwrap();
    let said = verify(&store.model(&record.name)).unwrap_err().to_string();
    assert!(said.contains("\"../../secret\" cannot be a file of a model"), "{said}");
}
