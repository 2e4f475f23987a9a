//! ONNX Runtime on the tiny random model of the repository.

mod library;
mod packed;
mod provider;
mod session;

use hob_onnx::Runtime;
use std::path::{Path, PathBuf};

fn runtime() -> Runtime {
    Runtime::find(None).expect("these tests run ONNX Runtime: `make setup` fetches it, HOB_ONNX_LIBRARY names another")
}

fn graph(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/tiny/onnx")).join(name)
}
