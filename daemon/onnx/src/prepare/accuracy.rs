//! How precisely activations go into quantized products.

use super::draft::Draft;
use super::report::{Outcome, Pass};

/// Activations are rounded to 8 bits as well. Kernels for it are faster; without it in the file, they go
/// on in single precision.
const INT8: i64 = 4;

const LEVEL: &str = "accuracy_level";

/// Lets activations be rounded wherever the file does not say how precise they must be.
pub(super) fn round(draft: &mut Draft) -> Outcome {
    let mut outcome = Outcome::of(Pass::Accuracy);
    for part in draft.parts.iter_mut().filter(|part| part.node.is_contrib("MatMulNBits")) {
        if part.node.integer(LEVEL).unwrap_or(0) == 0 {
            part.node.set_integer(LEVEL, INT8);
            outcome.took += 1;
        }
    }
    if outcome.took == 0 {
        outcome.note = Some("no product leaves it open".to_owned());
    }
    outcome
}
