//! What the encoders take and give, read from their own words.

use super::EncodeError;
use crate::media::image::Patches;
use crate::media::mel::{BANDS, Frames};
use hob_onnx::{Element, Port, Signature, Tensor, TensorError};

/// Values of a patch: 16 × 16 pixels of three colours.
const PATCH: usize = 768;

const VISION: &str = "pixel_values f32 or f16[pictures,patches,768], pixel_position_ids i64[pictures,patches,2] and \
    image_features f32 or f16[tokens,width of the decoder]";
const AUDIO: &str = "input_features f32 or f16[clips,frames,128], input_features_mask bool[clips,frames] and \
    audio_features f32 or f16[…,width of the decoder]";

/// Inputs of a run, by name.
pub(super) struct Feeds {
    named: [(&'static str, Tensor); 2],
}

impl Feeds {
    pub(super) fn each(&self) -> [(&str, &Tensor); 2] {
        self.named.each_ref().map(|(name, tensor)| (*name, tensor))
    }
}

/// The vision encoder.
#[derive(Debug)]
pub(super) struct VisionLayout {
    pixels: Element,
    /// The place of the features among the outputs.
    pub(super) features: usize,
}

impl VisionLayout {
    pub(super) fn read(signature: &Signature) -> Result<Self, EncodeError> {
        let pixels = numbers(signature, "pixel_values", &[None, None, Some(PATCH)]);
        let positions = input(signature, "pixel_position_ids", 3).filter(|port| port.element == Some(Element::I64));
        let features = output(signature, "image_features");
        match (pixels, positions, features) {
            (Some(pixels), Some(_), Some(features)) if signature.inputs.len() == 2 => Ok(Self { pixels, features }),
            _ => Err(unlike("vision_encoder", VISION, signature)),
        }
    }

    pub(super) fn feeds(&self, patches: &Patches) -> Result<Feeds, TensorError> {
        let count = patches.count;
        Ok(Feeds {
            named: [
                ("pixel_values", floats(self.pixels, &[1, count, PATCH], &patches.pixels)?),
                ("pixel_position_ids", Tensor::i64(&[1, count, 2], patches.positions.clone())?),
            ],
        })
    }
}

/// The audio encoder.
#[derive(Debug)]
pub(super) struct AudioLayout {
    values: Element,
    /// The place of the features among the outputs.
    pub(super) features: usize,
}

impl AudioLayout {
    pub(super) fn read(signature: &Signature) -> Result<Self, EncodeError> {
        let values = numbers(signature, "input_features", &[None, None, Some(BANDS)]);
        let mask = input(signature, "input_features_mask", 2).filter(|port| port.element == Some(Element::Bool));
        let features = output(signature, "audio_features");
        match (values, mask, features) {
            (Some(values), Some(_), Some(features)) if signature.inputs.len() == 2 => Ok(Self { values, features }),
            _ => Err(unlike("audio_encoder", AUDIO, signature)),
        }
    }

    pub(super) fn feeds(&self, frames: &Frames) -> Result<Feeds, TensorError> {
        let count = frames.count();
        Ok(Feeds {
            named: [
                ("input_features", floats(self.values, &[1, count, BANDS], &frames.values)?),
                ("input_features_mask", Tensor::bool(&[1, count], frames.valid.clone())?),
            ],
        })
    }
}

fn floats(element: Element, shape: &[usize], numbers: &[f32]) -> Result<Tensor, TensorError> {
    if element == Element::F16 { Tensor::f16(shape, numbers) } else { Tensor::f32(shape, numbers.to_vec()) }
}

fn input<'a>(signature: &'a Signature, name: &str, rank: usize) -> Option<&'a Port> {
    signature.inputs.iter().find(|port| port.name == name && port.dims.len() == rank)
}

/// The kind of an input of floating point numbers; `fixed` names those of its dimensions that have to be so long.
fn numbers(signature: &Signature, name: &str, fixed: &[Option<usize>]) -> Option<Element> {
    let port = input(signature, name, fixed.len())?;
    let as_long = |(axis, wanted): (usize, &Option<usize>)| wanted.is_none() || port.fixed(axis) == *wanted;
    let fits = fixed.iter().enumerate().all(as_long);
    port.element.filter(|element| fits && matches!(element, Element::F32 | Element::F16))
}

/// The place of an output of floating point numbers. How wide its rows are is held against the decoder's when they are
/// put in.
fn output(signature: &Signature, name: &str) -> Option<usize> {
    let floating = |port: &Port| matches!(port.element, Some(Element::F32 | Element::F16)) && !port.dims.is_empty();
    signature.outputs.iter().position(|port| port.name == name && floating(port))
}

fn unlike(graph: &'static str, expected: &'static str, signature: &Signature) -> EncodeError {
    let found: Vec<String> = signature.inputs.iter().chain(&signature.outputs).map(ToString::to_string).collect();
    EncodeError::Layout { graph, expected, found: found.join(", ") }
}
