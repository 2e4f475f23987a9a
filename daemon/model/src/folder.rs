//! A folder of the published ONNX layout: which files are there, and which of them to use.
//!
//! ```text
//! config.json  generation_config.json  tokenizer.json  chat_template.jinja
//! onnx/embed_tokens<suffix>.onnx           onnx/decoder_model_merged<suffix>.onnx      and their .onnx_data files
//! onnx/vision_encoder<suffix>.onnx         onnx/audio_encoder<suffix>.onnx             where the model has them
//! ```

use crate::budget::{Budget, Size};
use crate::config::{GenerationConfig, ModelConfig};
use crate::prepared::Prepared;
use hob_onnx::{Graph, OpenSessionError, ReadGraphError, WeightsError};
use serde::de::DeserializeOwned;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// How a model's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// 2-bit layers whose weights were trained for it, half precision between them.
    Q2f16,
    /// 4-bit weights, half precision between them.
    Q4f16,
    /// 4-bit weights, single precision between them.
    Q4,
    /// 8-bit weights.
    Quantized,
    /// Half precision.
    Fp16,
    /// Single precision.
    Fp32,
}

impl Variant {
    /// The order in which they are looked for when the settings name none: smallest first.
    pub const PREFERENCE: [Self; 6] = [Self::Q2f16, Self::Q4f16, Self::Q4, Self::Quantized, Self::Fp16, Self::Fp32];

    /// The name in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Q2f16 => "q2f16",
            Self::Q4f16 => "q4f16",
            Self::Q4 => "q4",
            Self::Quantized => "quantized",
            Self::Fp16 => "fp16",
            Self::Fp32 => "fp32",
        }
    }

    /// What stands between a graph's name and `.onnx`.
    fn suffix(self) -> String {
        match self {
            Self::Fp32 => String::new(),
            Self::Q2f16 | Self::Q4f16 | Self::Q4 | Self::Quantized | Self::Fp16 => format!("_{}", self.name()),
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A variant that hob does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no variant '{0}': use q2f16, q4f16, q4, quantized, fp16 or fp32, or leave it empty")]
pub struct UnknownVariant(pub String);

impl FromStr for Variant {
    type Err = UnknownVariant;

    fn from_str(name: &str) -> Result<Self, UnknownVariant> {
        let known = Self::PREFERENCE.into_iter().find(|variant| variant.name() == name);
        known.ok_or_else(|| UnknownVariant(name.to_owned()))
    }
}

/// Why a model could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenModelError {
    /// There is no folder of that name.
    #[error("there is no model folder {0}: fetch a model, or correct `[model] folder`")]
    NotAFolder(PathBuf),
    /// A file is not there or cannot be read.
    #[error("cannot read {path}: the model folder is incomplete, fetch it again")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file is not the JSON that it should be.
    #[error("{path} is broken: {reason}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// No graphs, or not those that were asked for.
    #[error("{folder} has no {wanted} graphs, but {found}: correct `[model] variant`")]
    NoVariant {
        /// The model folder.
        folder: PathBuf,
        /// What was asked for.
        wanted: String,
        /// What is there.
        found: String,
    },
    /// A graph could not be opened.
    #[error(transparent)]
    Session(#[from] OpenSessionError),
    /// A graph could not be read.
    #[error(transparent)]
    Graph(#[from] ReadGraphError),
    /// A graph has other inputs or outputs than this layout.
    #[error("{graph} has another layout: expected {expected}, found {found}")]
    Layout {
        /// Which graph.
        graph: &'static str,
        /// What hob can drive.
        expected: String,
        /// What the graph says.
        found: String,
    },
    /// The weights are not what the graph says.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// It would not fit.
    #[error("this model takes {budget}; {free} are free. {advice}")]
    Memory {
        /// What it takes.
        budget: Budget,
        /// What is free.
        free: Size,
        /// What would fit.
        advice: String,
    },
    /// The tokenizer, the template or the stop ids do not serve.
    #[error("the tokenizer or the chat template of {folder} does not fit: {reason}")]
    Format {
        /// The model folder.
        folder: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// The settings ask for something that cannot be.
    #[error("the settings do not fit this model: {0}")]
    Settings(String),
}

/// The files of one model in one variant. Nothing but the two small configuration files has been read.
#[derive(Debug, Clone)]
pub struct ModelFolder {
    /// The folder itself.
    pub path: PathBuf,
    /// Which graphs are used.
    pub variant: Variant,
    /// `config.json`.
    pub config: ModelConfig,
    /// `generation_config.json`.
    pub generation: GenerationConfig,
    /// Token ids to rows.
    pub embed: PathBuf,
    /// Rows and caches to logits and grown caches.
    pub decoder: PathBuf,
    /// Pictures to rows, where the model has eyes.
    pub vision: Option<PathBuf>,
    /// Sound to rows, where the model has ears.
    pub audio: Option<PathBuf>,
    /// The decoder as it was rewritten, to be run in place of the published one.
    pub prepared: Option<Prepared>,
}

impl ModelFolder {
    /// What the decoder's graph is called, before its variant.
    pub const DECODER: &'static str = DECODER;

    /// Looks at a folder. `variant` is the one to use; `None` takes the first of [`Variant::PREFERENCE`] that is there.
    ///
    /// # Errors
    /// [`OpenModelError`] for a folder that is none or lacks something.
    pub fn open(path: &Path, variant: Option<Variant>) -> Result<Self, OpenModelError> {
        if !path.is_dir() {
            return Err(OpenModelError::NotAFolder(path.to_owned()));
        }
        let config = read_json(&path.join("config.json"))?;
        let generation = read_json(&path.join("generation_config.json"))?;
        let variant = chosen(path, variant)?;
        let optional = |name| Some(graph(path, name, variant)).filter(|file| file.is_file());
        Ok(Self {
            variant,
            config,
            generation,
            embed: graph(path, EMBED, variant),
            decoder: graph(path, DECODER, variant),
            vision: optional(VISION),
            audio: optional(AUDIO),
            prepared: None,
            path: path.to_owned(),
        })
    }

    /// Where a graph of this variant lies, or would.
    #[must_use]
    pub(crate) fn expected(&self, name: &str) -> PathBuf {
        graph(&self.path, name, self.variant)
    }

    /// The decoder that is run, read without loading it.
    ///
    /// # Errors
    /// [`ReadGraphError`] for a file that is no graph.
    pub(crate) fn decoder_graph(&self) -> Result<Graph, ReadGraphError> {
        match &self.prepared {
            Some(prepared) => Graph::read_prepared(&self.decoder, prepared.graph()),
            None => Graph::read(&self.decoder),
        }
    }

    /// `tokenizer.json`.
    #[must_use]
    pub fn tokenizer(&self) -> PathBuf {
        self.path.join("tokenizer.json")
    }

    /// The text of `chat_template.jinja`.
    ///
    /// # Errors
    /// [`OpenModelError::Unreadable`] when it is not there.
    pub fn chat_template(&self) -> Result<String, OpenModelError> {
        read(&self.path.join("chat_template.jinja"))
    }

    /// The model's name for people: the folder's.
    #[must_use]
    pub fn name(&self) -> String {
        let whole = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        whole.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
    }
}

pub(crate) const VISION: &str = "vision_encoder";
pub(crate) const AUDIO: &str = "audio_encoder";
const EMBED: &str = "embed_tokens";
const DECODER: &str = "decoder_model_merged";

fn graph(folder: &Path, name: &str, variant: Variant) -> PathBuf {
    folder.join("onnx").join(format!("{name}{}.onnx", variant.suffix()))
}

/// Both graphs of the language model have to be there.
fn chosen(folder: &Path, wanted: Option<Variant>) -> Result<Variant, OpenModelError> {
    let complete = |variant: &Variant| [EMBED, DECODER].iter().all(|name| graph(folder, name, *variant).is_file());
    let there: Vec<Variant> = Variant::PREFERENCE.into_iter().filter(complete).collect();
    let first = there.iter().copied().find(|variant| wanted.is_none_or(|wanted| wanted == *variant));
    first.ok_or_else(|| OpenModelError::NoVariant {
        folder: folder.to_owned(),
        wanted: wanted
            .map_or_else(|| "embed_tokens and decoder_model_merged".to_owned(), |variant| variant.to_string()),
        found: if there.is_empty() {
            "none".to_owned()
        } else {
            there.iter().map(|variant| variant.name()).collect::<Vec<_>>().join(", ")
        },
    })
}

fn read(path: &Path) -> Result<String, OpenModelError> {
    std::fs::read_to_string(path).map_err(|source| OpenModelError::Unreadable { path: path.to_owned(), source })
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, OpenModelError> {
    let text = read(path)?;
    let broken = |error: serde_json::Error| OpenModelError::Broken { path: path.to_owned(), reason: error.to_string() };
    serde_json::from_str(&text).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(graphs: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("onnx")).unwrap();
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        std::fs::write(folder.path().join("generation_config.json"), "{}").unwrap();
        for name in graphs {
            std::fs::write(folder.path().join("onnx").join(name), "").unwrap();
        }
        folder
    }

    #[test]
    fn the_smallest_complete_variant_is_taken_unless_one_is_named() {
        let folder = folder(&[
            "embed_tokens.onnx",
            "decoder_model_merged.onnx",
            "embed_tokens_q4.onnx",
            "decoder_model_merged_q4.onnx",
            "decoder_model_merged_q4f16.onnx",
            "vision_encoder.onnx",
        ]);
        let first = ModelFolder::open(folder.path(), None).unwrap();
        assert_eq!((first.variant, first.vision), (Variant::Q4, None));
        let named = ModelFolder::open(folder.path(), Some(Variant::Fp32)).unwrap();
        assert!(named.vision.is_some() && named.audio.is_none());
    }

    #[test]
    fn what_is_missing_is_named() {
        let nowhere = ModelFolder::open(Path::new("/nowhere"), None).unwrap_err();
        assert_eq!(
            nowhere.to_string(),
            "there is no model folder /nowhere: fetch a model, or correct `[model] folder`"
        );
        let folder = folder(&["embed_tokens_q4.onnx", "decoder_model_merged_q4.onnx"]);
        let said = |variant| ModelFolder::open(folder.path(), variant).unwrap_err().to_string();
        assert!(said(Some(Variant::Fp16)).ends_with("has no fp16 graphs, but q4: correct `[model] variant`"));
        std::fs::write(folder.path().join("config.json"), "{\"text").unwrap();
        assert!(said(None).contains("config.json is broken: EOF while parsing"));
        std::fs::remove_file(folder.path().join("config.json")).unwrap();
        assert!(said(None).contains("the model folder is incomplete"));
    }

    #[test]
    fn a_variant_is_called_as_in_the_published_file_names() {
        assert_eq!("quantized".parse(), Ok(Variant::Quantized));
        assert!("int4".parse::<Variant>().is_err());
    }
}
