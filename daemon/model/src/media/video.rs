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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `np.arange(n) * total // n` of Transformers, told by the times of the frames.
    fn told(frames: u64, per_second: f64) -> String {
        match chosen(frames, per_second) {
            Ok(moments) => {
                let told: Vec<String> =
                    moments.iter().map(|moment| format!("{} {}", moment.frame, stamp(moment.at))).collect();
                format!("{}: {}", told.len(), told.join(", "))
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn short_videos_are_seen_whole_and_long_ones_evenly() {
        insta::assert_snapshot!(told(3, 1.0), @"3: 0 00:00, 1 00:01, 2 00:02");
        insta::assert_snapshot!(told(60, 1.0), @"32: 0 00:00, 1 00:01, 3 00:03, 5 00:05, 7 00:07, 9 00:09, 11 00:11, 13 00:13, 15 00:15, 16 00:16, 18 00:18, 20 00:20, 22 00:22, 24 00:24, 26 00:26, 28 00:28, 30 00:30, 31 00:31, 33 00:33, 35 00:35, 37 00:37, 39 00:39, 41 00:41, 43 00:43, 45 00:45, 46 00:46, 48 00:48, 50 00:50, 52 00:52, 54 00:54, 56 00:56, 58 00:58");
        assert!(told(30 * 60 * 75, 30.0).ends_with("130781 72:39"));
    }

    #[test]
    fn a_video_without_frames_or_without_a_rate_is_refused() {
        insta::assert_snapshot!(told(0, 25.0), @"the video has no frames");
        insta::assert_snapshot!(told(10, 0.0), @"a video of 0 frames a second cannot be timed; say how many it has");
        insta::assert_snapshot!(told(10, f64::NAN), @"a video of NaN frames a second cannot be timed; say how many it has");
        assert!(chosen(10, f64::MIN_POSITIVE).is_err());
    }

    proptest! {
        #[test]
        fn frames_come_in_order_and_exist(frames in 1..=u64::MAX, per_second in 0.01..240.0) {
            let Ok(moments) = chosen(frames, per_second) else { return Ok(()) };
            prop_assert_eq!(moments.len() as u64, frames.min(MOST_FRAMES));
            prop_assert!(moments.windows(2).all(|pair| pair[0].frame < pair[1].frame && pair[0].at < pair[1].at));
            prop_assert!(moments.iter().all(|moment| moment.frame < frames));
        }
    }
}
