//! Opening the shared library, and what is said when it is not one.

use hob_onnx::{OpenLibraryError, Runtime};
use std::path::Path;

#[test]
fn a_missing_library_says_how_to_get_one() {
    let refused = Runtime::open(Path::new("/nowhere/libonnxruntime.so")).unwrap_err();
    assert!(matches!(refused, OpenLibraryError::Unreadable { .. }));
    assert_eq!(
        refused.to_string(),
        "cannot read the ONNX Runtime library /nowhere/libonnxruntime.so: run `make setup`, or correct `[onnx] library`"
    );
}

#[test]
fn a_file_that_is_no_library_is_refused_without_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("libonnxruntime.so");
    std::fs::write(&text, "a page that says the download moved").unwrap();
    assert!(matches!(Runtime::open(&text), Err(OpenLibraryError::NotOnnxRuntime { .. })));

    // Another library altogether: loads, and has nothing that is needed.
    let libc = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6"];
    if let Some(other) = libc.iter().map(Path::new).find(|path| path.exists()) {
        let refused = Runtime::open(other).unwrap_err();
        assert!(
            matches!(&refused, OpenLibraryError::NotOnnxRuntime { reason, .. } if reason.contains("OrtGetApiBase"))
        );
    }
    // And after all that the right one still opens.
    assert!(crate::runtime().build().contains("ORT Build Info"));
}

#[test]
fn a_library_cut_short_is_refused_before_it_is_mapped() {
    let whole = std::fs::read(crate::runtime().path()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("libonnxruntime.so");
    std::fs::write(&cut, whole.get(..whole.len() / 2).unwrap()).unwrap();
    // In its own process the truth is told; where the right library is open already, that is what is said.
    let refused = Runtime::open(&cut).unwrap_err();
    assert!(matches!(refused, OpenLibraryError::Truncated { .. } | OpenLibraryError::AnotherIsOpen { .. }));
}

#[test]
fn the_same_library_opens_twice_and_another_does_not() {
    let first = crate::runtime();
    assert_eq!(Runtime::open(first.path()).unwrap().path(), first.path());
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("libonnxruntime.so");
    std::fs::copy(first.path(), &copy).unwrap();
    assert!(matches!(Runtime::open(&copy), Err(OpenLibraryError::AnotherIsOpen { .. })));
}
