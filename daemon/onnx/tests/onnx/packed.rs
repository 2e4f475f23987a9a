//! Weights that were packed once.

use crate::runtime;
use hob_onnx::{
    Dim, Element, Kernels, Origin, PackedSettings, Packing, Pass, Session, SessionSettings, Tensor, find_packed,
    rewrite,
};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const DECODER: &str = "decoder_model_merged_q4f16.onnx";

/// A copy of the published fixture's decoder.
fn decoder(folder: &Path) -> PathBuf {
    let fixture = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/published/onnx"));
    for name in [DECODER.to_owned(), format!("{DECODER}_data")] {
        std::fs::copy(fixture.join(&name), folder.join(&name)).expect("the fixture can be copied");
    }
    folder.join(DECODER)
}

fn settings(folder: &Path) -> PackedSettings {
    PackedSettings { folder: folder.join("packed"), most: 2, least_bytes: 0 }
}

fn open(path: &Path, packed: &PackedSettings) -> (Session, Packing) {
    open_with(path, &SessionSettings::default(), packed)
}

fn open_with(path: &Path, settings: &SessionSettings, packed: &PackedSettings) -> (Session, Packing) {
    let settings = SessionSettings { packed: Some(packed.clone()), ..settings.clone() };
    let session = Session::open(&runtime(), path, &settings).expect("the fixture opens");
    let packing = session.packing().expect("it was asked for").clone();
    (session, packing)
}

/// The logits of one token after nothing, with every row the same number.
fn logits(session: &mut Session) -> Vec<f32> {
    let made = |name: &str| match name {
        "attention_mask" => Tensor::i64(&[1, 1], vec![1]).expect("one number"),
        "position_ids" => Tensor::i64(&[1, 1], vec![0]).expect("one number"),
        "num_logits_to_keep" => Tensor::i64(&[], vec![1]).expect("one number"),
        _ => {
            let port = session.signature().inputs.iter().find(|port| port.name == name).expect("it is an input");
            let free = if name.starts_with("past") { 0 } else { 1 };
            let shape: Vec<usize> = (0..port.dims.len())
                .map(|axis| match port.dims[axis] {
                    Dim::Free if axis == 0 => 1,
                    Dim::Free => free,
                    Dim::Fixed(size) => size,
                })
                .collect();
            match port.element {
                Some(Element::F32) => Tensor::f32(&shape, vec![0.25; shape.iter().product()]),
                other => Tensor::zeros(other.expect("hob knows its numbers"), &shape),
            }
            .expect("a tensor of that shape")
        }
    };
    let names: Vec<String> = session.signature().inputs.iter().map(|port| port.name.clone()).collect();
    let tensors: Vec<Tensor> = names.iter().map(|name| made(name)).collect();
    let feeds: Vec<(&str, &Tensor)> = names.iter().map(String::as_str).zip(&tensors).collect();
    let stop = session.stop_handle().expect("a handle");
    session.run(&feeds, &stop).expect("it runs")[0].last_rows(1).expect("numbers")
}

#[test]
fn packed_weights_are_found_again_and_give_the_very_same() {
    let folder = tempfile::tempdir().unwrap();
    let (path, packed) = (decoder(folder.path()), settings(folder.path()));
    let expected = logits(&mut Session::open(&runtime(), &path, &SessionSettings::default()).unwrap());
    let (mut made, packing) = open(&path, &packed);
    assert_eq!((packing, logits(&mut made)), (Packing::Made, expected.clone()));
    let (mut mapped, packing) = open(&path, &packed);
    assert_eq!((packing, logits(&mut mapped)), (Packing::Mapped, expected));
    let origin = Origin { path: &path, prepared: None };
    let (found, bytes) = find_packed(&runtime(), origin, &SessionSettings::default(), &packed).unwrap();
    assert!(found.starts_with(&packed.folder) && bytes > 0);
}

#[test]
fn other_weights_and_other_settings_are_packed_anew_and_the_oldest_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, packed) = (decoder(folder.path()), settings(folder.path()));
    assert_eq!(open(&path, &packed).1, Packing::Made);
    let data = path.with_extension("onnx_data");
    let file = std::fs::File::options().write(true).open(&data).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(open(&path, &packed).1, Packing::Made, "the data file is another now");
    let spinning = SessionSettings { spinning: true, ..SessionSettings::default() };
    assert_eq!(open_with(&path, &spinning, &packed).1, Packing::Made);
    assert_eq!(std::fs::read_dir(&packed.folder).unwrap().count(), 2);
    assert_eq!(open(&path, &packed).1, Packing::Mapped, "the one before the last was kept");
}

#[test]
fn what_is_broken_is_made_anew_and_where_it_cannot_be_the_weights_are_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let (path, packed) = (decoder(folder.path()), settings(folder.path()));
    open(&path, &packed);
    let origin = Origin { path: &path, prepared: None };
    let (found, _) = find_packed(&runtime(), origin, &SessionSettings::default(), &packed).unwrap();
    std::fs::write(found.join("graph.onnx"), "no graph").unwrap();
    assert_eq!(open(&path, &packed).1, Packing::Made);

    let taken = folder.path().join("taken");
    std::fs::write(&taken, "a file").unwrap();
    let (mut loaded, packing) = open(&path, &PackedSettings { folder: taken, most: 2, least_bytes: 0 });
    assert!(matches!(packing, Packing::Loaded { because } if because.contains("taken")));
    assert!(logits(&mut loaded).iter().all(|number| number.is_finite()));
}

#[test]
fn small_weights_are_not_worth_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let least_bytes = PackedSettings::USUAL_LEAST_BYTES;
    let packed = PackedSettings { least_bytes, ..settings(folder.path()) };
    let (_, packing) = open(&decoder(folder.path()), &packed);
    assert!(matches!(packing, Packing::Loaded { because } if because == "the weights are small"));
    assert!(!packed.folder.exists());
}

#[test]
fn what_another_process_packs_is_left_alone_and_what_one_began_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, packed) = (decoder(folder.path()), settings(folder.path()));
    let begun = packed.folder.join("0123456789abcdef0123456789abcdef.part");
    std::fs::create_dir_all(&begun).unwrap();
    std::fs::write(begun.join("graph.onnx_data"), "half of it").unwrap();
    let other = std::fs::File::open(&packed.folder).unwrap();
    other.lock().unwrap();
    let (mut loaded, packing) = open(&path, &packed);
    assert!(
        matches!(packing, Packing::Loaded { because } if because.starts_with("another process packs weights into"))
    );
    assert!(logits(&mut loaded).iter().all(|number| number.is_finite()) && begun.exists());
    other.unlock().unwrap();
    assert_eq!(open(&path, &packed).1, Packing::Made);
    assert!(!begun.exists());
    // What is packed is opened whoever packs something else.
    other.lock().unwrap();
    assert_eq!(open(&path, &packed).1, Packing::Mapped);
}

/// The fixture's decoder, with activations rounded to 8 bits.
fn rounded(path: &Path) -> Vec<u8> {
    let published = std::fs::read(path).expect("the fixture can be read");
    rewrite(path, &published, &BTreeSet::from([Pass::Accuracy])).expect("it can be rewritten").graph
}

fn open_rounded(path: &Path, settings: &SessionSettings, packed: &PackedSettings) -> (Session, Packing) {
    let settings = SessionSettings { packed: Some(packed.clone()), ..settings.clone() };
    let session = Session::open_prepared(&runtime(), path, &rounded(path), &settings).expect("the fixture opens");
    let packing = session.packing().expect("it was asked for").clone();
    (session, packing)
}

#[test]
fn own_kernels_are_as_near_to_unrounded_activations_as_those_of_onnx_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let (path, packed) = (decoder(folder.path()), settings(folder.path()));
    let exact = logits(&mut Session::open(&runtime(), &path, &SessionSettings::default()).unwrap());
    let away = |session: &mut Session| -> f32 {
        let squares = logits(session).into_iter().zip(&exact).map(|(logit, exact)| (logit - exact).powi(2));
        (squares.sum::<f32>() / exact.iter().map(|exact| exact.powi(2)).sum::<f32>()).sqrt()
    };
    let theirs = SessionSettings { kernels: Kernels::OnnxRuntime, ..SessionSettings::default() };
    let (mut theirs, packing) = open_rounded(&path, &theirs, &packed);
    assert_eq!(packing, Packing::Made);
    let theirs = away(&mut theirs);
    for packing in [Packing::Made, Packing::Mapped] {
        let (mut own, found) = open_rounded(&path, &SessionSettings::default(), &packed);
        let own = away(&mut own);
        assert_eq!(found, packing);
        assert!(own > 0.0 && own < theirs * 1.3 && own < 0.05, "{own} beside {theirs}");
    }
}

#[test]
fn what_could_not_be_opened_is_not_packed_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, packed) = (decoder(folder.path()), settings(folder.path()));
    assert_eq!(open_rounded(&path, &SessionSettings::default(), &packed).1, Packing::Made);
    let graph = rounded(&path);
    let origin = Origin { path: &path, prepared: Some(&graph) };
    let (found, bytes) = find_packed(&runtime(), origin, &SessionSettings::default(), &packed).unwrap();
    assert!(bytes > 0);
    std::fs::remove_dir_all(&found).unwrap();
    std::fs::create_dir(&found).unwrap();
    std::fs::write(found.join("refused"), "it was too much").unwrap();
    let (mut loaded, packing) = open_rounded(&path, &SessionSettings::default(), &packed);
    assert!(matches!(packing, Packing::Loaded { because } if because.starts_with("it was too much; remove ")));
    assert_eq!(loaded.kernels(), Kernels::OnnxRuntime);
    assert!(logits(&mut loaded).iter().all(|number| number.is_finite()));
}

#[test]
fn panels_cut_short_are_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, packed) = (decoder(folder.path()), settings(folder.path()));
    let (mut session, _) = open_rounded(&path, &SessionSettings::default(), &packed);
    assert_eq!(session.kernels(), Kernels::Hob);
    let expected = logits(&mut session);
    let graph = rounded(&path);
    let origin = Origin { path: &path, prepared: Some(&graph) };
    let (found, _) = find_packed(&runtime(), origin, &SessionSettings::default(), &packed).unwrap();
    let data = std::fs::File::options().write(true).open(found.join("graph.onnx_data")).unwrap();
    drop(session);
    data.set_len(data.metadata().unwrap().len() - 1).unwrap();
    let (mut again, packing) = open_rounded(&path, &SessionSettings::default(), &packed);
    assert_eq!((packing, logits(&mut again)), (Packing::Made, expected));
}
