//! From a picture to patches: resized to what the budget allows, cut into squares of 16 pixels.

use super::picture::Picture;
use super::resize::resized;

/// Pixels on a side of a patch.
const PATCH: u32 = 16;
/// Patches on a side of what becomes one soft token.
const POOLED: u32 = 3;
/// Pixels on a side of what becomes one soft token. Both sides of a resized picture are multiples of it.
const STEP: u32 = PATCH * POOLED;
/// Values of a patch: row after row, red, green and blue of each pixel.
const VALUES: usize = (PATCH * PATCH * 3) as usize;

/// How many soft tokens a picture may become: what it costs of the context, and how finely the model sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum ImageBudget {
    /// What a frame of a video gets.
    Tokens70,
    /// Between the two.
    Tokens140,
    /// What a picture gets when nothing else is said.
    #[default]
    Tokens280,
    /// For small print.
    Tokens560,
    /// For pages of text.
    Tokens1120,
}

impl ImageBudget {
    /// All that the encoder was trained with, the smallest first.
    pub const ALL: [Self; 5] = [Self::Tokens70, Self::Tokens140, Self::Tokens280, Self::Tokens560, Self::Tokens1120];

    /// Soft tokens at most.
    #[must_use]
    pub fn soft_tokens(self) -> u32 {
        match self {
            Self::Tokens70 => 70,
            Self::Tokens140 => 140,
            Self::Tokens280 => 280,
            Self::Tokens560 => 560,
            Self::Tokens1120 => 1120,
        }
    }
}

/// A number that is none of the budgets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no number of soft tokens for a picture; choose 70, 140, 280, 560 or 1120")]
pub struct UnknownBudget(pub u32);

impl TryFrom<u32> for ImageBudget {
    type Error = UnknownBudget;

    fn try_from(soft_tokens: u32) -> Result<Self, UnknownBudget> {
        Self::ALL.into_iter().find(|budget| budget.soft_tokens() == soft_tokens).ok_or(UnknownBudget(soft_tokens))
    }
}

/// What the vision encoder takes: `pixel_values` and `pixel_position_ids` of one picture, without padding. The encoder
/// gives the same features with it and without.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Patches {
    /// `[count, 768]`, from 0 to 1: patches row after row; in each its pixels row after row, red, green and blue.
    pub pixels: Vec<f32>,
    /// `[count, 2]`: column and row of each patch.
    pub positions: Vec<i64>,
    /// How many patches: nine for each soft token.
    pub count: usize,
    /// How many soft tokens they become.
    pub soft_tokens: usize,
}

/// Why a picture cannot be cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CutPictureError {
    /// The resizer would not.
    #[error("a picture of {} x {} pixels could not be resized to {} x {}: {reason}", from.0, from.1, to.0, to.1)]
    Resize {
        /// Width and height in pixels.
        from: (u32, u32),
        /// Width and height in pixels.
        to: (u32, u32),
        /// What the resizer said.
        reason: String,
    },
}

/// Resizes a picture to the most pixels that the budget allows, its shape kept, and cuts it into patches. Small pictures
/// are enlarged.
///
/// # Errors
/// [`CutPictureError`] when the picture cannot be resized; none is known that cannot.
pub fn patches(picture: &Picture, budget: ImageBudget) -> Result<Patches, CutPictureError> {
    let (width, height) = resized_to(picture.width(), picture.height(), budget);
    if (width, height) == (picture.width(), picture.height()) {
        return Ok(cut(picture.rgb(), width, height));
    }
    let (from, to) = ((picture.width(), picture.height()), (width, height));
    let dots = resized(picture.rgb().as_chunks().0, from, to).map_err(|error| CutPictureError::Resize {
        from,
        to,
        reason: error.to_string(),
    })?;
    Ok(cut(dots.as_flattened(), width, height))
}

/// The width and height that a picture is resized to, in pixels: the largest multiples of [`STEP`] that keep its shape
/// within the budget. Follows `get_aspect_ratio_preserving_size` of Transformers, with its roundings.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a side is at most the square root of 2^32 times the budget's, far below 2^32, and never negative"
)]
pub(super) fn resized_to(width: u32, height: u32, budget: ImageBudget) -> (u32, u32) {
    let longest = budget.soft_tokens() * STEP;
    let target = f64::from(budget.soft_tokens()) * f64::from(STEP) * f64::from(STEP);
    let factor = (target / (f64::from(width) * f64::from(height))).sqrt();
    let side = |side: u32| (factor * f64::from(side) / f64::from(STEP)).floor() as u32 * STEP;
    // Far longer than wide: one step wide, and as long as its shape or the budget says.
    let strip = |long: u32, short: u32| (long / short).saturating_mul(STEP).min(longest);
    match (side(width), side(height)) {
        (0, _) => (STEP, strip(height, width)),
        (_, 0) => (strip(width, height), STEP),
        both => both,
    }
}

/// Squares of 16 × 16 out of rows of pixels whose sides are multiples of 16.
fn cut(rgb: &[u8], width: u32, height: u32) -> Patches {
    let (columns, rows) = (width / PATCH, height / PATCH);
    let count = columns as usize * rows as usize;
    let line = width as usize * 3;
    let across = (PATCH * 3) as usize;
    let mut pixels = Vec::with_capacity(count * VALUES);
    let mut positions = Vec::with_capacity(count * 2);
    for (row, band) in (0..rows).zip(rgb.chunks_exact(line * PATCH as usize)) {
        for column in 0..columns {
            let start = column as usize * across;
            for dots in band.chunks_exact(line) {
                pixels.extend(dots[start..start + across].iter().map(|value| f32::from(*value) / 255.0));
            }
            positions.extend([i64::from(column), i64::from(row)]);
        }
    }
    Patches { pixels, positions, count, soft_tokens: count / (POOLED * POOLED) as usize }
}
