//! Hostile, broken and strange sounds, and other rates.

#![expect(clippy::cast_possible_truncation, reason = "rounding to the nearest f32 is meant")]

use super::*;
use hound::{SampleFormat, WavSpec, WavWriter};
use proptest::prelude::*;

const WAV: &[u8] = include_bytes!("../../../../../tests/fixtures/media/short.wav");

/// A WAV file of these samples.
fn wav<S: hound::Sample + Copy>(spec: WavSpec, samples: &[S]) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut file, spec).unwrap();
    samples.iter().for_each(|sample| writer.write_sample(*sample).unwrap());
    writer.finalize().unwrap();
    file.into_inner()
}

fn spec(channels: u16, sample_rate: u32, bits_per_sample: u16) -> WavSpec {
    let sample_format = if bits_per_sample == 0 { SampleFormat::Float } else { SampleFormat::Int };
    WavSpec {
        channels,
        sample_rate,
        bits_per_sample: if bits_per_sample == 0 { 32 } else { bits_per_sample },
        sample_format,
    }
}

fn said_about(bytes: &[u8]) -> String {
    match decode_wav(bytes) {
        Ok(sound) => format!("{} samples, {:?} lost", sound.samples().len(), sound.lost()),
        Err(error) => error.to_string(),
    }
}

/// A tone of 440 Hz.
fn tone(rate: u32, seconds: u32) -> Vec<f32> {
    (0..rate * seconds)
        .map(|at| (f64::from(at) / f64::from(rate) * 440.0 * std::f64::consts::TAU).sin() as f32 / 2.0)
        .collect()
}

/// How loud the tone is in samples that begin with a period of it, by how many of them it is late, and the most that
/// something else is.
fn tone_in(samples: &[f32]) -> (f64, f64, f64) {
    let step = 440.0 / 16_000.0 * std::f64::consts::TAU;
    let turns = || (0..).map(|at| f64::from(at) * step).zip(samples);
    let half = samples.len() as f64 / 2.0;
    let sine = turns().map(|(turn, sample)| turn.sin() * f64::from(*sample)).sum::<f64>() / half;
    let cosine = turns().map(|(turn, sample)| turn.cos() * f64::from(*sample)).sum::<f64>() / half;
    let rest = turns().map(|(turn, sample)| (f64::from(*sample) - sine * turn.sin() - cosine * turn.cos()).abs());
    (sine.hypot(cosine), -cosine.atan2(sine) / step, rest.fold(0.0, f64::max))
}

#[test]
fn whole_numbers_and_floats_of_every_width_say_the_same() {
    for bits in [8, 16, 24, 32] {
        let full = 1_i64 << (bits - 1);
        let samples = [0, full / 2, -full / 2, -full].map(|sample| i32::try_from(sample).unwrap());
        let sound = decode_wav(&wav(spec(1, 16_000, bits), &samples)).unwrap();
        assert_eq!(sound.samples(), [0.0, 0.5, -0.5, -1.0], "{bits}");
    }
    let sound = decode_wav(&wav(spec(1, 16_000, 0), &[0.0_f32, 0.5, -0.5, -1.0])).unwrap();
    assert_eq!(sound.samples(), [0.0, 0.5, -0.5, -1.0]);
}

#[test]
fn channels_are_mixed_into_one() {
    let sound = decode_wav(&wav(spec(2, 16_000, 0), &[0.5_f32, -0.5, 1.0, 0.5])).unwrap();
    assert_eq!(sound.samples(), [0.0, 0.75]);
    // A microphone that stopped within a frame.
    let sound = Sound::from_samples(&[0.5, -0.5, 1.0], 2, 16_000).unwrap();
    assert_eq!(sound.samples(), [0.0]);
}

#[test]
fn other_rates_are_brought_to_16_khz() {
    for rate in [8_000, 11_025, 22_050, 44_100, 48_000, 96_000] {
        let sound = Sound::from_samples(&tone(rate, 2), 1, rate).unwrap();
        assert_eq!(sound.samples().len(), 32_000, "{rate}");
        // The first and the last moment are not a tone: there is silence beyond them.
        let (loud, shifted, rest) = tone_in(&sound.samples()[2_000..30_000]);
        assert!((loud - 0.5).abs() < 1e-3 && rest < 1e-3, "{rate}: {loud} loud, and {rest} else");
        assert!(shifted.abs() < 1.5, "{rate}: shifted by {shifted} samples");
    }
    // What 16 kHz cannot carry is silent, and not another tone.
    let high: Vec<f32> =
        (0..96_000).map(|at| (f64::from(at % 48) / 48.0 * 11.0 * std::f64::consts::TAU).sin() as f32).collect();
    let heard = Sound::from_samples(&high, 1, 48_000).unwrap();
    let loudest = heard.samples()[2_000..30_000].iter().fold(0.0_f32, |most, sample| most.max(sample.abs()));
    assert!(loudest < 1e-3, "{loudest}");
}

#[test]
fn what_is_longer_than_thirty_seconds_is_cut_and_says_so() {
    let sound = Sound::from_samples(&vec![0.1; 8_000 * 31], 1, 8_000).unwrap();
    assert_eq!((sound.samples().len(), sound.lost()), (MOST_SAMPLES, Duration::from_secs(1)));
    assert_eq!(sound.length(), Duration::from_secs(30));
    let file = wav(spec(2, 16_000, 16), &vec![5_i16; 2 * 16_000 * 32]);
    insta::assert_snapshot!(said_about(&file), @"480000 samples, 2s lost");
    insta::assert_snapshot!(said_about(WAV), @"4800 samples, 0ns lost");
}

#[test]
fn samples_that_are_none_are_refused() {
    let with = |sample: f32| said_about(&wav(spec(1, 16_000, 0), &[0.0, 0.0, 0.0, 0.0, sample]));
    insta::assert_snapshot!(with(f32::NAN), @"the sound has a sample of NaN, 250µs after its beginning, and that is none; record it again");
    insta::assert_snapshot!(with(f32::NEG_INFINITY), @"the sound has a sample of -inf, 250µs after its beginning, and that is none; record it again");
    insta::assert_snapshot!(with(3e38), @"the sound has a sample of 3e38, 250µs after its beginning, and that is none; record it again");
}

#[test]
fn sounds_of_no_length_and_absurd_headers_are_refused() {
    insta::assert_snapshot!(said_about(b""), @"the sound is empty: no samples");
    insta::assert_snapshot!(said_about(&wav::<i16>(spec(1, 16_000, 16), &[])), @"the sound is empty: no samples");
    insta::assert_snapshot!(said_about(b"ID3\x04\0\0\0\0\0\0"), @"this is no sound that hob reads (Ill-formed WAVE file: no RIFF tag found); it reads WAV files of whole numbers or floats, uncompressed");
    let error = Sound::from_samples(&[], 1, 16_000).unwrap_err();
    insta::assert_snapshot!(error, @"the sound is empty: no samples");
    let with = |place: usize, bytes: &[u8]| {
        let mut file = WAV.to_vec();
        file[place..place + bytes.len()].copy_from_slice(bytes);
        said_about(&file)
    };
    // Channels, rate, bits, and how much data there is.
    insta::assert_snapshot!(with(22, &[0, 0]), @"this is no sound that hob reads (Ill-formed WAVE file: file contains zero channels); it reads WAV files of whole numbers or floats, uncompressed");
    insta::assert_snapshot!(with(22, &[255, 255]), @"this is no sound that hob reads (Ill-formed WAVE file: sample bits exceeds size of sample); it reads WAV files of whole numbers or floats, uncompressed");
    insta::assert_snapshot!(with(24, &[0; 4]), @"this is no sound that hob reads (Ill-formed WAVE file: inconsistent fmt chunk); it reads WAV files of whole numbers or floats, uncompressed");
    insta::assert_snapshot!(with(24, &[255; 4]), @"this is no sound that hob reads (Ill-formed WAVE file: inconsistent fmt chunk); it reads WAV files of whole numbers or floats, uncompressed");
    insta::assert_snapshot!(with(34, &[7, 0]), @"this is no sound that hob reads (Ill-formed WAVE file: bits per sample is not a multiple of 8); it reads WAV files of whole numbers or floats, uncompressed");
    insta::assert_snapshot!(with(40, &[0xFE, 0xFF, 0xFF, 0x7F]), @"the sound is cut off; copy or record it again");
    let error = Sound::from_samples(&[0.0], 0, 16_000).unwrap_err();
    insta::assert_snapshot!(error, @"a sound of 0 channels is not read; hob reads 1 to 64");
}

#[test]
fn a_file_is_refused_wherever_it_is_cut_off() {
    for length in (0..100).chain((100..WAV.len()).step_by(97)) {
        assert!(decode_wav(&WAV[..length]).is_err(), "at {length}");
    }
    insta::assert_snapshot!(said_about(&WAV[..1_001]), @"the sound is cut off; copy or record it again");
    insta::assert_snapshot!(said_about(&WAV[..30]), @"the sound is cut off; copy or record it again");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn spoilt_files_are_sounds_or_refused(
        changes in proptest::collection::vec((0_usize..60, any::<u8>()), 1..6),
        length in any::<proptest::sample::Index>(),
    ) {
        let mut file = WAV.to_vec();
        changes.into_iter().for_each(|(place, byte)| file[place] = byte);
        file.truncate(file.len() - length.index(file.len()) / 8);
        if let Ok(sound) = decode_wav(&file) {
            prop_assert!((1..=MOST_SAMPLES).contains(&sound.samples().len()));
            prop_assert!(sound.samples().iter().all(|sample| sample.is_finite()));
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_rate_that_is_read_keeps_the_length(rate in RATES, length in 1_usize..5_000) {
        let sound = Sound::from_samples(&vec![0.25; length], 1, rate).unwrap();
        let wanted = (length as u64 * u64::from(RATE)).div_ceil(u64::from(rate));
        prop_assert!(wanted.abs_diff(sound.samples().len() as u64) <= 1, "{} for {wanted}", sound.samples().len());
    }
}
