//! Any bytes are a sound of finite numbers, or a typed error.

#![no_main]

use hob_model::media::mel::{BANDS, features};
use hob_model::media::sound::{MOST_SAMPLES, decode_wav};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(sound) = decode_wav(bytes) else { return };
    assert!(!sound.samples().is_empty() && sound.samples().len() <= MOST_SAMPLES);
    let frames = features(&sound);
    assert_eq!(frames.values.len(), frames.count() * BANDS);
    assert!(frames.soft_tokens() <= 750);
    assert!(frames.values.iter().all(|value| value.is_finite()));
});
