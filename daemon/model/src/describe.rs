//! What a model folder holds, for people.

use crate::budget::Needs;
use crate::folder::{ModelFolder, OpenModelError};
use crate::requantized::RequantizedNote;
use hob_onnx::{Graph, Kernels};
use serde::Serialize;
use std::path::Path;

/// One file of a model folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileSize {
    /// Its name within the folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// What `hob model info` shows.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Description {
    /// The folder's name.
    pub name: String,
    /// The architecture that `config.json` names.
    pub architecture: String,
    /// The variant that would be used.
    pub variant: &'static str,
    /// Layers of the language model, where `config.json` tells.
    pub layers: Option<usize>,
    /// Pairs of key and value caches; layers that share another's have none.
    pub kv_pairs: usize,
    /// Bytes of cache per token and slot.
    pub kv_bytes_per_token: usize,
    /// The longest context it was trained for.
    pub context_tokens: Option<usize>,
    /// Logits per step.
    pub vocabulary: usize,
    /// Bytes of the weights of its graph for pictures, which is open only while some are looked at; none without one.
    pub vision_bytes: Option<u64>,
    /// Bytes of the weights of its graph for sound, likewise.
    pub audio_bytes: Option<u64>,
    /// Whether its template can ask for thoughts.
    pub thinking: bool,
    /// Whether embedding rows are read from disk instead of loading their tables.
    pub tables_on_disk: bool,
    /// How its decoder was requantized on a board, where it was.
    pub requantized: Option<RequantizedNote>,
    /// Every file, sorted by name.
    pub files: Vec<FileSize>,
}

/// What an encoder's weights take; nothing for one that is not there or cannot be read, which is told when it is opened.
fn weights(encoder: Option<&Path>) -> Option<u64> {
    encoder.and_then(|file| Graph::read(file).ok()).map(|graph| graph.bytes_in_memory(Kernels::OnnxRuntime))
}

/// Looks into a folder. The graphs are read and not loaded, so this takes no time and no memory to speak of.
///
/// # Errors
/// [`OpenModelError`] as when the model is opened.
pub fn describe(folder: &ModelFolder) -> Result<Description, OpenModelError> {
    let path = &folder.path;
    let needs = Needs::read(folder)?;
    let layout = needs.layout();
    let mut files = sizes(path)?;
    let graphs = sizes(&path.join("onnx"))?;
    files.extend(graphs.into_iter().map(|file| FileSize { name: format!("onnx/{}", file.name), ..file }));
    files.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(Description {
        name: folder.name(),
        architecture: folder.config.model_type.clone(),
        variant: folder.variant.name(),
        layers: folder.config.layers(),
        kv_pairs: layout.caches.len() / 2,
        kv_bytes_per_token: layout.bytes_per_token(),
        context_tokens: folder.config.max_positions(),
        vocabulary: layout.vocabulary,
        vision_bytes: weights(folder.vision.as_deref()),
        audio_bytes: weights(folder.audio.as_deref()),
        thinking: std::fs::read_to_string(path.join("chat_template.jinja"))
            .is_ok_and(|template| template.contains("enable_thinking")),
        tables_on_disk: needs.tables_on_disk(),
        // A spoilt note is no reason not to run the model.
        requantized: RequantizedNote::read(path).ok().flatten(),
        files,
    })
}

fn sizes(folder: &Path) -> Result<Vec<FileSize>, OpenModelError> {
    let unreadable = |source| OpenModelError::Unreadable { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        // Models are often links into a store that is shared.
        let about = std::fs::metadata(entry.path()).map_err(unreadable)?;
        if about.is_file() {
            files.push(FileSize { name: entry.file_name().to_string_lossy().into_owned(), bytes: about.len() });
        }
    }
    Ok(files)
}
