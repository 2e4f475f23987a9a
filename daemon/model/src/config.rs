//! What hob reads from a model folder's `config.json` and `generation_config.json`.
//!
//! Only facts that the graphs do not state themselves: how far positions go, which token ids mean a picture or a sound,
//! where a generation stops. Heads, layers with a cache and number types are read from the graphs.

use serde::Deserialize;

/// `config.json`. Multimodal models keep the language model's part under `text_config`; others have it on top.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
pub struct ModelConfig {
    /// The architecture's name, for people only.
    pub model_type: String,
    text_config: TextConfig,
    #[serde(flatten)]
    top: TextConfig,
    image_token_id: Option<u32>,
    audio_token_id: Option<u32>,
    video_token_id: Option<u32>,
    vision_config: Option<VisionConfig>,
}

#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
struct VisionConfig {
    num_attention_heads: Option<usize>,
}

/// Heads of Gemma 4's vision encoder, for a `config.json` that does not tell.
const USUAL_VISION_HEADS: usize = 12;

#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
struct TextConfig {
    max_position_embeddings: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    pad_token_id: Option<u32>,
}

impl ModelConfig {
    /// The longest context that the model was trained for, in tokens.
    #[must_use]
    pub fn max_positions(&self) -> Option<usize> {
        self.text_config.max_position_embeddings.or(self.top.max_position_embeddings)
    }

    /// Layers of the language model, for people.
    #[must_use]
    pub fn layers(&self) -> Option<usize> {
        self.text_config.num_hidden_layers.or(self.top.num_hidden_layers)
    }

    /// Heads of each layer's queries.
    #[must_use]
    pub(crate) fn heads(&self) -> Option<usize> {
        self.text_config.num_attention_heads.or(self.top.num_attention_heads)
    }

    /// The token of padding; Gemma 4 takes its rows where a medium stands.
    #[must_use]
    pub(crate) fn padding(&self) -> u32 {
        self.text_config.pad_token_id.or(self.top.pad_token_id).unwrap_or(0)
    }

    /// Heads of each layer of the vision encoder.
    #[must_use]
    pub(crate) fn vision_heads(&self) -> usize {
        let told = self.vision_config.as_ref().and_then(|vision| vision.num_attention_heads);
        told.unwrap_or(USUAL_VISION_HEADS)
    }

    /// The ids of the three placeholders that `config.json` names: of pictures, sounds and films.
    #[must_use]
    pub(crate) fn placeholder_ids(&self) -> [Option<u32>; 3] {
        [self.image_token_id, self.audio_token_id, self.video_token_id]
    }

    /// Ids that stand for pictures and sounds in a prompt and mean nothing when they are generated: a decoder would look
    /// up the row of padding for them.
    pub fn placeholders(&self) -> impl Iterator<Item = u32> {
        self.placeholder_ids().into_iter().flatten()
    }
}

/// `generation_config.json`. Its sampling values are not used: hob's default is greedy, and the owner's settings decide.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
pub struct GenerationConfig {
    eos_token_id: OneOrMore,
    suppress_tokens: Option<Vec<u32>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(u32),
    More(Vec<u32>),
}

impl Default for OneOrMore {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

impl GenerationConfig {
    /// The ids that end a generation.
    #[must_use]
    pub fn stops(&self) -> &[u32] {
        match &self.eos_token_id {
            OneOrMore::One(id) => std::slice::from_ref(id),
            OneOrMore::More(ids) => ids,
        }
    }

    /// Ids that the model's makers want never to be generated.
    pub fn suppressed(&self) -> impl Iterator<Item = u32> {
        self.suppress_tokens.iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_part_is_found_at_both_places() {
        let nested: ModelConfig =
            serde_json::from_str(r#"{"text_config": {"max_position_embeddings": 8}, "image_token_id": 5}"#).unwrap();
        assert_eq!((nested.max_positions(), nested.placeholders().collect::<Vec<_>>()), (Some(8), vec![5]));
        let flat: ModelConfig = serde_json::from_str(r#"{"max_position_embeddings": 9}"#).unwrap();
        assert_eq!((flat.max_positions(), flat.layers()), (Some(9), None));
    }

    #[test]
    fn one_stop_and_several_stops_are_read() {
        let one: GenerationConfig = serde_json::from_str(r#"{"eos_token_id": 1}"#).unwrap();
        let more: GenerationConfig =
            serde_json::from_str(r#"{"eos_token_id": [1, 106], "suppress_tokens": [7]}"#).unwrap();
        assert_eq!((one.stops(), more.stops()), ([1].as_slice(), [1, 106].as_slice()));
        assert_eq!(more.suppressed().collect::<Vec<_>>(), [7]);
    }
}
