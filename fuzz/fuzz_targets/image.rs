//! Any bytes are a picture that can be cut, or a typed error.

#![no_main]

use hob_model::media::image::{ImageBudget, decode, patches};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(picture) = decode(bytes) else { return };
    // The budget changes only how large the result is.
    let Ok(made) = patches(&picture, ImageBudget::Tokens70) else { return };
    assert_eq!((made.pixels.len(), made.positions.len()), (made.count * 768, made.count * 2));
    assert!(made.soft_tokens > 0 && made.soft_tokens <= 70);
    assert!(made.pixels.iter().all(|value| (0.0..=1.0).contains(value)));
});
