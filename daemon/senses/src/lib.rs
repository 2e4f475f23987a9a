//! What the board hears, as events: samples of a microphone, speech found among them.
//!
//! Sound goes one way: a [`microphone`] gives what its device has, [`resample`] brings it to 16 kHz and one channel in frames
//! of 32 ms, [`vad`] says how much each sounds like speech, and [`segment`] cuts what is said out of it. [`listen`] holds them
//! together and opens the device again when it falls silent or goes away.
//!
//! Nothing is kept but what is being said, and nothing is written to disk.

pub mod attention;
pub mod camera;
pub mod listen;
pub mod microphone;
pub mod resample;
pub mod segment;
pub mod vad;
pub mod wake;
pub mod wav;

/// Samples in a second, of everything behind the microphone.
pub const RATE: u32 = 16_000;

/// Samples that are looked at together: 32 ms, as the detector of speech wants them.
pub const FRAME: usize = 512;

/// Milliseconds of a frame.
pub const FRAME_MS: u64 = 32;
