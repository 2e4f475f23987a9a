//! The settings of the model.

use hob_events::Thinking;
use hob_model::Activations;
use hob_model_store::HubAddress;
use hob_onnx::{Kernels, Provider, Wanted};
use serde::Deserialize;
use std::path::PathBuf;

/// Which model, and how it decodes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// A folder of the published layout.
    pub folder: PathBuf,
    /// `fp32`, `fp16`, `quantized`, `q4`, `q4f16` or `q2f16`; empty for the first that is there.
    pub variant: String,
    /// Most tokens of prompt and answer together.
    pub context_tokens: usize,
    /// Prompt tokens run at once; a deadline or a cancellation is noticed between two of them.
    pub chunk_tokens: usize,
    /// KV slots: prompts that are remembered side by side.
    pub slots: usize,
    /// Threads; 0 for as many as the board and its limits give.
    pub threads: usize,
    /// Whether small cores work too, where there are fast ones beside them.
    pub all_cores: bool,
    /// Whether threads wait for work by turning in circles.
    pub spinning: bool,
    /// From this temperature on the model rests between runs; 0 leaves heat to the kernel.
    pub hot_celsius: i32,
    /// What carries out the graph's operators, in order of preference.
    pub providers: Vec<Wanted>,
    /// Whether hob goes on, with a warning, when a provider cannot be had or leaves its part to the processor.
    pub fallback: bool,
    /// An idle model is dropped after so many minutes and opened again by the next command; 0 keeps it.
    pub unload_after_minutes: u32,
    /// Whether the model thinks before it answers, where a command does not say: `off`, `on`, or most tokens of a thought.
    pub thinking: Thinking,
    /// Whether words that were said before are drafted.
    pub draft: Draft,
    /// Generations that may wait.
    pub queue: usize,
    /// Whether a model that would not fit into memory is refused before it is opened.
    pub check_memory: bool,
    /// Whether the decoder is rewritten for speed before it is opened.
    pub prepare: bool,
    /// How precise activations are where the decoder leaves it open: `int8` or `published`.
    pub activations: Activations,
    /// Answers kept, so that the very same prompt is not decoded again; 0 keeps none.
    pub memo_entries: usize,
    /// Beginnings of prompts kept on disk with their keys and values, for the next start; 0 keeps none.
    pub prefix_files: usize,
    /// Whether the weights are kept in `cache` as the processor wants them, so that they are pages of a file instead of
    /// memory of hob's own. That takes the room of the weights once more, with ONNX Runtime's kernels twice.
    pub pack_weights: bool,
    /// Whose kernels multiply with packed weights: `hob` or `onnxruntime`.
    pub kernels: Kernels,
    /// Where answers, beginnings, rewritten graphs and packed weights are kept; may be emptied at any time.
    pub cache: PathBuf,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// Where `hob model fetch` and `hob model add` put models.
    pub store: PathBuf,
    /// Where `hob model fetch` finds them.
    pub hub: String,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            folder: "/usr/share/hob/models/pocket".into(),
            variant: String::new(),
            context_tokens: 4096,
            chunk_tokens: 256,
            slots: 2,
            threads: 0,
            all_cores: false,
            spinning: false,
            hot_celsius: 85,
            providers: vec![Wanted::any(Provider::Cpu)],
            fallback: false,
            unload_after_minutes: 0,
            thinking: Thinking::OFF,
            draft: Draft::Auto,
            queue: 8,
            check_memory: true,
            prepare: true,
            activations: Activations::default(),
            memo_entries: 2048,
            prefix_files: 4,
            pack_weights: true,
            kernels: Kernels::default(),
            cache: "/var/cache/hob/model".into(),
            sampling: Sampling::default(),
            store: "/var/lib/hob/models".into(),
            hub: "https://huggingface.co".into(),
        }
    }
}

impl Model {
    /// The first thing that cannot be meant.
    pub(super) fn wrong(&self) -> Option<String> {
        if let Some(reason) = self.sampling.wrong() {
            return Some(reason);
        }
        let providers = &self.providers;
        if providers.is_empty() {
            return Some("model.providers must name at least one, such as \"cpu\"".to_owned());
        }
        let mut twice = providers
            .iter()
            .enumerate()
            .filter(|(place, wanted)| providers.iter().take(*place).any(|earlier| earlier.provider == wanted.provider));
        if let Some((_, wanted)) = twice.next() {
            return Some(format!("model.providers names '{}' twice", wanted.provider));
        }
        self.hub.parse::<HubAddress>().err().map(|error| format!("model.hub: {error}"))
    }
}

/// Whether words that were said before are drafted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Draft {
    /// Where that is measured to be faster.
    Auto,
    /// Never.
    Off,
}

/// How the next token is chosen. A temperature of 0 takes the likeliest.
#[derive(Debug, Clone, Copy, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f32,
    /// Only the likeliest so many; 0 for all.
    pub top_k: usize,
    /// Only the likeliest that make up this share; 0 for all.
    pub top_p: f32,
    /// Only those with at least this share of the likeliest's probability; 0 for all.
    pub min_p: f32,
    /// The same seed gives the same choices.
    pub seed: u64,
}

impl Sampling {
    /// What cannot be meant. A share above 1 would leave no token, and what is no number is held to nothing.
    fn wrong(&self) -> Option<String> {
        let shares = [("top_p", self.top_p), ("min_p", self.min_p)];
        let share = shares.into_iter().find(|(_, share)| !(0.0..=1.0).contains(share));
        if let Some((key, share)) = share {
            return Some(format!("model.sampling.{key} is a share from 0 to 1, not {share}"));
        }
        let temperature = self.temperature;
        let is_right = temperature.is_finite() && temperature >= 0.0;
        (!is_right).then(|| format!("model.sampling.temperature is 0 or a number above it, not {temperature}"))
    }
}
