//! A sound that arrives in pieces comes to the same as the whole. What the whole comes to is held by the goldens.

use super::*;
use proptest::prelude::*;

fn sound(length: usize) -> Vec<f32> {
    (0..length).map(|at| ((at * at % 1_009) as f32 / 504.5 - 1.0) * 0.5).collect()
}

fn whole(samples: &[f32]) -> Frames {
    features(&Sound::from_samples(samples, 1, 16_000).unwrap())
}

#[test]
fn a_stream_hears_thirty_seconds_and_no_more() {
    let samples = sound(496_000);
    let mut stream = MelStream::new();
    let taken: Vec<usize> = samples.chunks(100_000).map(|piece| stream.push(piece)).collect();
    assert_eq!(taken, [100_000, 100_000, 100_000, 100_000, 80_000]);
    let frames = stream.finish();
    assert_eq!((frames.count(), frames.soft_tokens()), (2_999, 750));
}

#[test]
fn nothing_heard_is_no_frames() {
    assert_eq!(MelStream::new().finish(), Frames::default());
    assert_eq!(Frames::default().soft_tokens(), 0);
}

#[test]
fn the_tokens_that_are_settled_are_never_more_than_there_are() {
    for length in [160, 161, 640, 641, 800, 4_800] {
        let frames = whole(&sound(length));
        assert!(frames.settled_tokens() <= frames.soft_tokens(), "{length}");
    }
    // 0.5 s: 49 valid frames, 13 tokens, of which the last is made of one frame so far.
    let frames = whole(&sound(8_000));
    assert_eq!((frames.soft_tokens(), frames.settled_tokens()), (13, 12));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn pieces_of_any_length_come_to_the_whole(
        length in 1_usize..6_000,
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
    ) {
        let samples = sound(length);
        let expected = whole(&samples);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(length)).chain([0, length]).collect();
        cuts.sort_unstable();
        let mut stream = MelStream::new();
        for piece in cuts.windows(2) {
            prop_assert_eq!(stream.push(&samples[piece[0]..piece[1]]), piece[1] - piece[0]);
            let so_far = stream.frames();
            prop_assert!(so_far.valid.iter().all(|valid| *valid));
            prop_assert_eq!(&expected.values[..so_far.values.len()], so_far.values.as_slice());
            prop_assert!(expected.valid.starts_with(&so_far.valid));
        }
        prop_assert_eq!(stream.finish(), expected);
    }
}
