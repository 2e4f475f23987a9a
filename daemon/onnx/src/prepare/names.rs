//! The names of the published layout: those of what goes into the decoder and comes out. Nothing else is known by name.

pub(super) const MASK: &str = "attention_mask";
pub(super) const POSITIONS: &str = "position_ids";
pub(super) const KEEP: &str = "num_logits_to_keep";
pub(super) const PAST: &str = "past_key_values";
pub(super) const PRESENT: &str = "present";
