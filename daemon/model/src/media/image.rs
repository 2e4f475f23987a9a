//! Pictures: read from a file's bytes or a camera's frame, then cut into the patches that the vision encoder takes.

pub use super::patches::{CutPictureError, ImageBudget, Patches, UnknownBudget, patches};
pub use super::picture::{FrameError, MOST_PIXELS, MOST_SIDE, Picture, ReadImageError, decode};
