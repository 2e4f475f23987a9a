//! Video: which of its frames the model sees, and how it is told when they were.
//!
//! Each frame is a picture of [`ImageBudget::Tokens70`](super::image::ImageBudget::Tokens70).

use std::time::Duration;

/// Frames of one video that the model sees, `num_frames` of Transformers' video processor.
pub const MOST_FRAMES: u64 = 32;

/// Longest video that the model was made for, by its model card. What is longer is still seen as 32 frames, further apart.
pub const LONGEST: Duration = Duration::from_secs(60);

/// A frame to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moment {
    /// Counted from the first frame of the video, 0.
    pub frame: u64,
    /// When it is shown, from the beginning.
    pub at: Duration,
}

/// Why the frames of a video cannot be chosen.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChooseFramesError {
    /// There are none.
    #[error("the video has no frames")]
    Empty,
    /// Not a positive number.
    #[error("a video of {0} frames a second cannot be timed; say how many it has")]
    Rate(f64),
}

/// Which of `frames` frames the model sees: all of a short video, else [`MOST_FRAMES`] evenly apart, the first among them.
/// `per_second` is the frame rate of the video itself; frames that were taken once a second have 1.
///
/// # Errors
/// [`ChooseFramesError`] for a video without frames or without a rate.
pub fn chosen(frames: u64, per_second: f64) -> Result<Vec<Moment>, ChooseFramesError> {
    if frames == 0 {
        return Err(ChooseFramesError::Empty);
    }
    let count = frames.min(MOST_FRAMES);
    (0..count)
        .map(|index| {
            let frame = u64::try_from(u128::from(index) * u128::from(frames) / u128::from(count)).unwrap_or(u64::MAX);
            Ok(Moment { frame, at: time_of(frame, per_second)? })
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "frames beyond 2^53 would be shown in millions of years")]
fn time_of(frame: u64, per_second: f64) -> Result<Duration, ChooseFramesError> {
    let rate = ChooseFramesError::Rate(per_second);
    if !(per_second > 0.0 && per_second.is_finite()) {
        return Err(rate);
    }
    Duration::try_from_secs_f64(frame as f64 / per_second).map_err(|_| rate)
}

/// How the model is told when a frame was: minutes and seconds, `01:05`.
#[must_use]
pub fn stamp(at: Duration) -> String {
    let seconds = at.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}
