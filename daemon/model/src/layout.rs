//! Which input is what: the published layout, found in two graphs by their own words.

use crate::decoder::Keep;
use crate::folder::OpenModelError;
use crate::ort_decoder::TOKEN_AXIS;
use hob_onnx::{Dim, Element, Port, Signature, Tensor, TensorError};
use std::fmt;

/// One tensor of the KV cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// The decoder's input.
    pub past: String,
    /// The place of the output that it grows into.
    pub present: usize,
    /// Single or half precision.
    pub element: Element,
    /// Key and value heads.
    pub heads: usize,
    /// Numbers per head and token. Not the same for every layer.
    pub width: usize,
}

/// What the two graphs of a language model take and give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The input of `embed_tokens`.
    pub ids: String,
    /// Outputs of `embed_tokens` by place, with the decoder's inputs that take them.
    pub rows: Vec<(usize, String)>,
    /// Whether the decoder is told positions.
    pub positions: bool,
    /// Whether the decoder can be asked for fewer rows of logits than there are tokens.
    pub keep: bool,
    /// The place of the logits among the decoder's outputs.
    pub logits: usize,
    /// How many logits a row has.
    pub vocabulary: usize,
    /// The caches, in the decoder's order.
    pub caches: Vec<Cache>,
}

const MASK: &str = "attention_mask";
const POSITIONS: &str = "position_ids";
const KEEP: &str = "num_logits_to_keep";
const EMBEDDINGS: &str = "inputs_embeds";
const LOGITS: &str = "logits";
const PAST: &str = "past_key_values";
const PRESENT: &str = "present";

impl Layout {
    pub(crate) fn read(embed: &Signature, decoder: &Signature) -> Result<Self, OpenModelError> {
        let [ids] = embed.inputs.as_slice() else { return Err(unlike("embed_tokens", &IDS_WANTED, &embed.inputs)) };
        if ids.element != Some(Element::I64) || ids.dims.len() != 2 {
            return Err(unlike("embed_tokens", &IDS_WANTED, &embed.inputs));
        }
        let mut layout = Self {
            ids: ids.name.clone(),
            rows: Vec::new(),
            positions: false,
            keep: false,
            logits: usize::MAX,
            vocabulary: 0,
            caches: Vec::new(),
        };
        for port in &decoder.inputs {
            layout.take_input(port, embed, decoder)?;
        }
        layout.take_logits(decoder)?;
        if layout.rows.is_empty() || layout.caches.is_empty() {
            return Err(unlike("decoder_model_merged", &INPUTS_WANTED, &decoder.inputs));
        }
        Ok(layout)
    }

    fn take_input(&mut self, port: &Port, embed: &Signature, decoder: &Signature) -> Result<(), OpenModelError> {
        let refused = || unlike("decoder_model_merged", &INPUTS_WANTED, &decoder.inputs);
        let integers = |rank: usize| (port.element == Some(Element::I64) && port.dims.len() == rank).then_some(());
        match port.name.as_str() {
            MASK => integers(2).ok_or_else(refused)?,
            POSITIONS => {
                integers(2).ok_or_else(refused)?;
                self.positions = true;
            }
            KEEP => {
                integers(0).ok_or_else(refused)?;
                self.keep = true;
            }
            name if name.starts_with(PAST) => self.caches.push(cache(port, decoder).ok_or_else(refused)?),
            name => {
                let same = |output: &Port| output.name == name && output.element == port.element;
                let place = embed.outputs.iter().position(same).ok_or_else(refused)?;
                self.rows.push((place, name.to_owned()));
            }
        }
        Ok(())
    }

    fn take_logits(&mut self, decoder: &Signature) -> Result<(), OpenModelError> {
        let place = decoder.outputs.iter().position(|output| output.name == LOGITS);
        let width = place.and_then(|place| decoder.outputs.get(place)?.fixed(2));
        let (Some(place), Some(width)) = (place, width) else {
            return Err(unlike("decoder_model_merged", &"logits float[batch,kept,vocabulary]", &decoder.outputs));
        };
        (self.logits, self.vocabulary) = (place, width);
        Ok(())
    }

    /// The place of the rows among the outputs of `embed_tokens` that media are written over.
    pub(crate) fn embeddings(&self) -> Option<usize> {
        self.rows.iter().find(|(_, name)| name == EMBEDDINGS).map(|(place, _)| *place)
    }

    /// The rows of `embed_tokens` under the decoder's names.
    pub(crate) fn handed_on<'a>(&'a self, rows: &'a [Tensor]) -> Vec<(&'a str, &'a Tensor)> {
        self.rows.iter().filter_map(|(place, name)| Some((name.as_str(), rows.get(*place)?))).collect()
    }

    /// Those of the counted inputs that this decoder wants.
    pub(crate) fn counted<'a>(&self, inputs: &'a Inputs) -> Vec<(&'a str, &'a Tensor)> {
        let mut feeds = vec![(MASK, &inputs.mask)];
        if self.positions {
            feeds.push((POSITIONS, &inputs.positions));
        }
        if self.keep {
            feeds.push((KEEP, &inputs.keep));
        }
        feeds
    }

    /// Bytes that one token takes in a slot.
    #[must_use]
    pub fn bytes_per_token(&self) -> usize {
        let each = |cache: &Cache| if cache.element == Element::F16 { 2 } else { 4_usize };
        let bytes = |cache: &Cache| each(cache).saturating_mul(cache.heads).saturating_mul(cache.width);
        self.caches.iter().map(bytes).fold(0, usize::saturating_add)
    }
}

/// Inputs that follow from how many tokens there are.
pub(crate) struct Inputs {
    mask: Tensor,
    positions: Tensor,
    keep: Tensor,
}

impl Inputs {
    /// For `new` tokens behind `past` ones. Positions count from zero; nothing is masked, as there is one sequence
    /// without padding.
    pub(crate) fn new(past: usize, new: usize, keep: Keep) -> Result<Self, TensorError> {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        Ok(Self {
            mask: Tensor::i64(&[1, past + new], vec![1; past + new])?,
            positions: Tensor::i64(&[1, new], (count(past)..count(past + new)).collect())?,
            // Zero would mean all of them.
            keep: Tensor::i64(&[], vec![count(keep.rows().clamp(1, new.max(1)))])?,
        })
    }
}

/// Reads one cache; nothing when it is not `[batch, heads, tokens, width]` of a type that hob can cut, or has no output.
fn cache(port: &Port, decoder: &Signature) -> Option<Cache> {
    let element = port.element.filter(|element| matches!(element, Element::F32 | Element::F16))?;
    let grown = port.name.replacen(PAST, PRESENT, 1);
    let present = decoder.outputs.iter().position(|output| output.name == grown && output.element == port.element)?;
    let whole = port.dims.len() == 4 && port.dims.get(TOKEN_AXIS) == Some(&Dim::Free);
    let (heads, width) = (port.fixed(1)?, port.fixed(3)?);
    whole.then(|| Cache { past: port.name.clone(), present, element, heads, width })
}

const IDS_WANTED: &str = "one input, input_ids i64[batch,tokens]";
const INPUTS_WANTED: &str = "inputs_embeds and other rows that embed_tokens gives, attention_mask i64[batch,all], \
    position_ids i64[batch,tokens], num_logits_to_keep i64[], and past_key_values.* f32 or f16[batch,heads,past,width] \
    with a present.* each";

fn unlike(graph: &'static str, expected: &dyn fmt::Display, found: &[Port]) -> OpenModelError {
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    OpenModelError::Layout { graph, expected: expected.to_string(), found: found.join(", ") }
}
