//! The model crate on the tiny random models of the repository: real graphs, real tokenizer, nonsense words.

#[cfg(test)]
mod folder;
#[cfg(test)]
mod gemma;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod media;
#[cfg(test)]
mod prepared;
#[cfg(test)]
mod published;

use hob_onnx::Runtime;
use std::path::PathBuf;

fn runtime() -> Runtime {
    Runtime::find(None).expect("these tests run ONNX Runtime: `make setup` fetches it, HOB_ONNX_LIBRARY names another")
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures")).join(name)
}
