//! The model: what it reads, what it may write, how it runs.
//!
//! [`ModelWorker`] is what the daemon talks to: a bounded queue, and one thread that owns a [`LanguageModel`]. The real
//! one is [`Gemma`]: a [`ChatFormat`](chat::ChatFormat) turns a prompt into token ids, a [`Decoder`] runs them over KV
//! slots that remember earlier prompts, a [`Constraint`](grammar::Constraint) masks what may not be written, a
//! [`Sampler`] chooses, and the format reads the result back into words and calls. A prompt that was answered before is
//! answered from the exact memo.
//!
//! It does not judge calls, carry them out, or keep history: those are the agent's, the plugin host's and the state's.

mod budget;
pub mod chat;
mod config;
mod decoder;
mod describe;
mod draft;
mod embed;
mod encoder;
mod folder;
mod front;
mod gemma;
mod generate;
pub mod grammar;
mod ids;
mod interrupt;
mod kv;
mod language_model;
mod layout;
pub mod media;
mod memo;
mod ort_decoder;
mod pace;
mod prefix;
mod prepared;
mod queue;
mod rendered;
mod requantized;
mod sampler;
mod scripted;
mod slot;
mod soft;
#[cfg(test)]
mod toy;
mod words;
mod worker;

pub use budget::{Budget, Extent, Needs, Room, Size};
pub use config::{GenerationConfig, ModelConfig};
pub use decoder::{Decoder, ForwardFailure, Keep, Logits, Slot};
pub use describe::{Description, FileSize, describe};
pub use encoder::{EncoderNeeds, Hearing, Senses};
pub use folder::{ModelFolder, OpenModelError, UnknownVariant, Variant};
pub use front::Recalled;
pub use gemma::{Gemma, ModelSettings, Parts};
pub use interrupt::{Interrupt, Interruption};
pub use kv::Slots;
pub use language_model::{Glimpse, LanguageModel, Progress, Recall, Warmed};
pub use layout::{Cache, Layout};
pub use memo::MemoSettings;
pub use ort_decoder::OrtDecoder;
pub use prefix::PrefixSettings;
pub use prepared::{Activations, Origin, PrepareError, PrepareSettings, Prepared, UnknownActivations};
pub use requantized::{
    CompareError, Comparison, REQUANTIZED_FILE, RequantizedNote, WeightError, compare, graph_sha256,
};
pub use sampler::{Choice, Sampler, Sampling, sureness};
pub use scripted::{Scripted, ScriptedModel};
pub use soft::{FIRST_SOFT, MediaSettings, Rows, Shown, Spoken, is_soft};
pub use worker::{
    ModelWorker, Opener, PANICS_IN_A_ROW, Plan, Planner, Report, Standing, StartWorkerError, SwapFailure, SwapNotBegun,
    WorkerHandle, WorkerSettings,
};
