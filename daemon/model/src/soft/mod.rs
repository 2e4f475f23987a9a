//! Rows of a prompt that are no words: what the model sees and hears, as ids among the others.
//!
//! A picture becomes some hundred rows of the decoder's input. In a prompt each of them has an id of its own, from
//! [`FIRST_SOFT`] on, far above every vocabulary. It belongs to one row of one medium shown in one way, and to no other as
//! long as the process lives. So whatever compares prompts id by id (slots, parking) tells two pictures apart, without a
//! word about pictures; and whoever writes ids down for another process, or for ever, looks with [`is_soft`] where to stop.

mod library;
mod look;
mod sight;
mod spoken;

pub use library::MediaSettings;
pub(crate) use library::{Absent, Library, Place, Prepared, ShowMediumError};
pub(crate) use look::Look;
pub use sight::{Rows, Shown};
pub(crate) use sight::{Sense, Sight};
pub use spoken::Spoken;

/// Where the ids of rows that are no words begin. No vocabulary has as many tokens.
pub const FIRST_SOFT: u32 = 1 << 31;

/// Whether an id stands for a row of a medium.
#[must_use]
pub fn is_soft(id: u32) -> bool {
    id >= FIRST_SOFT
}
