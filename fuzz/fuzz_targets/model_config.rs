//! Any files are a model folder with its configuration, template and tokenizer, or a typed error.

#![no_main]

use hob_model::ModelFolder;
use hob_model::chat::{Gemma4, Vocabulary};
use libfuzzer_sys::fuzz_target;
use std::cell::LazyCell;
use std::sync::Arc;
use tempfile::TempDir;

/// What the input is cut into, at its zero bytes.
const FILES: [&str; 4] = ["config.json", "generation_config.json", "chat_template.jinja", "tokenizer.json"];

thread_local! {
    static FOLDER: LazyCell<TempDir> = LazyCell::new(|| {
        let folder = TempDir::with_prefix("hob-fuzz-").expect("a temporary folder");
        std::fs::create_dir(folder.path().join("onnx")).expect("it can be made");
        for graph in ["embed_tokens.onnx", "decoder_model_merged.onnx"] {
            std::fs::write(folder.path().join("onnx").join(graph), b"").expect("it can be written");
        }
        folder
    });
}

fuzz_target!(|bytes: &[u8]| {
    FOLDER.with(|folder| {
        let mut parts = bytes.splitn(FILES.len(), |byte| *byte == 0);
        for file in FILES {
            std::fs::write(folder.path().join(file), parts.next().unwrap_or_default()).expect("it can be written");
        }
        open(folder.path());
    });
});

fn open(path: &std::path::Path) {
    let Ok(folder) = ModelFolder::open(path, None) else { return };
    assert!(folder.config.placeholders().count() <= 3);
    std::hint::black_box(folder.config.max_positions());
    std::hint::black_box(folder.generation.stops().len());
    folder.generation.suppressed().count();
    let (Ok(template), Ok(vocabulary)) = (folder.chat_template(), Vocabulary::open(&folder.tokenizer())) else { return };
    std::hint::black_box(vocabulary.text(&vocabulary.ids("Turn the lamp on.")));
    drop(Gemma4::new(template, "<bos>", Arc::new(vocabulary)));
}
