//! Pictures, sound and video, from bytes to what the encoders take; and documents, which are words.
//!
//! Plain functions of their input: no file is opened, no clock is read, nothing is kept. They are meant to run off the
//! model's thread. Bytes from outside are untrusted: what they claim is checked before anything is set aside for it.
//!
//! The numbers are those of Transformers' processors for Gemma 4 (`Gemma4ImageProcessorPil`,
//! `Gemma4AudioFeatureExtractor`, `Gemma4VideoProcessor`), held by the goldens in `tests/fixtures/media`.

pub mod document;
pub mod image;
pub mod mel;
mod patches;
mod picture;
mod resample;
mod resize;
pub mod sound;
pub mod video;

#[cfg(test)]
mod tests;
