//! Hostile, broken and strange pictures. What whole ones mean is held by the goldens.

use super::*;
use crate::media::image::{ImageBudget, patches};
use crate::media::patches::resized_to;
use proptest::prelude::*;

const PNG: &[u8] = include_bytes!("../../../../../tests/fixtures/media/odd.png");
const TINY_PNG: &[u8] = include_bytes!("../../../../../tests/fixtures/media/tiny.png");
const JPEG: &[u8] = include_bytes!("../../../../../tests/fixtures/media/photo.jpg");
/// Has EXIF, and so segments that a reader has to pass over.
const TURNED_JPEG: &[u8] = include_bytes!("../../../../../tests/fixtures/media/turned.jpg");
/// Three by two pixels, lossless.
const WEBP: &[u8] = &[
    82, 73, 70, 70, 68, 0, 0, 0, 87, 69, 66, 80, 86, 80, 56, 76, 56, 0, 0, 0, 47, 2, 64, 0, 0, 47, 160, 160, 109, 27,
    166, 31, 254, 40, 143, 6, 153, 180, 77, 233, 85, 143, 243, 175, 99, 10, 210, 54, 96, 186, 227, 223, 211, 148, 109,
    254, 3, 252, 35, 60, 100, 172, 186, 13, 8, 4, 40, 99, 197, 3, 219, 68, 244, 63, 198, 11,
];

fn said_about(bytes: &[u8]) -> String {
    match decode(bytes) {
        Ok(picture) => format!("{} x {}", picture.width(), picture.height()),
        Err(error) => error.to_string(),
    }
}

/// A PNG whose header says other sides than it has.
fn png_of(width: u32, height: u32) -> Vec<u8> {
    let mut png = TINY_PNG.to_vec();
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    png
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
    })
}

/// A JPEG whose frame header says other sides than it has.
fn jpeg_of(width: u16, height: u16) -> Vec<u8> {
    let mut jpeg = JPEG.to_vec();
    let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    jpeg
}

#[test]
fn a_picture_is_known_by_its_content() {
    assert_eq!(said_about(PNG), "53 x 37");
    assert_eq!(said_about(JPEG), "241 x 163");
    assert_eq!(said_about(WEBP), "3 x 2");
    assert_eq!(decode(WEBP).unwrap().rgb()[..12], [255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7]);
    insta::assert_snapshot!(said_about(b""), @"the picture is empty: no bytes");
    insta::assert_snapshot!(said_about(b"GIF89a"), @"this is no picture that hob reads; it reads PNG, JPEG and WebP");
    insta::assert_snapshot!(said_about(b"RIFF\0\0\0\0WAVE"), @"this is no picture that hob reads; it reads PNG, JPEG and WebP");
}

#[test]
fn a_picture_of_100_megapixels_is_refused_before_it_is_decoded() {
    insta::assert_snapshot!(said_about(&png_of(10_000, 10_000)), @"a picture of 10000 x 10000 pixels is too large (hob reads up to 50000000, 65535 on a side, with 8 bits a colour); scale it down, the model sees less than 3 million of them");
    insta::assert_snapshot!(said_about(&jpeg_of(65_535, 2_000)), @"a picture of 65535 x 2000 pixels is too large (hob reads up to 50000000, 65535 on a side, with 8 bits a colour); scale it down, the model sees less than 3 million of them");
    // A strip, and sides beyond any.
    insta::assert_snapshot!(said_about(&png_of(1, 70_000)), @"a picture of 1 x 70000 pixels is too large (hob reads up to 50000000, 65535 on a side, with 8 bits a colour); scale it down, the model sees less than 3 million of them");
    for sides in [(u32::MAX, u32::MAX), (1 << 31, 1 << 31), (0, 5), (u32::MAX, 1)] {
        assert!(decode(&png_of(sides.0, sides.1)).is_err(), "{sides:?}");
    }
}

/// The header of a progressive frame, put in front of a whole picture.
fn progressive_jpeg_of(width: u16, height: u16, samples: [u8; 3]) -> Vec<u8> {
    let [w1, w0] = width.to_be_bytes();
    let [h1, h0] = height.to_be_bytes();
    let [luma, blue, red] = samples;
    let header = [0xFF, 0xC2, 0, 17, 8, h1, h0, w1, w0, 3, 1, luma, 0, 2, blue, 1, 3, red, 1];
    [&JPEG[..2], &header, &JPEG[2..]].concat()
}

#[test]
fn a_progressive_jpeg_that_takes_too_much_memory_is_refused_before_it_is_decoded() {
    insta::assert_snapshot!(said_about(&progressive_jpeg_of(7_000, 7_000, [0x11, 0x11, 0x11])), @"a progressive JPEG of 7000 x 7000 pixels takes 280 MB to decode (hob takes 128 MB): save it as a baseline JPEG, or scale it down");
    let bytes =
        |width, height, samples| walk_jpeg(&progressive_jpeg_of(width, height, samples)).unwrap().unwrap().bytes;
    assert_eq!(bytes(16, 16, [0x22, 0x11, 0x11]), 16 * 16 * 3, "two bytes for each sample, of colours a quarter");
    assert_eq!(bytes(17, 1, [0x11, 0x11, 0x11]), 24 * 8 * 6, "in whole blocks");
    // Photos of 12 megapixels as phones write them, and as editors do.
    assert!(bytes(4_032, 3_024, [0x22, 0x11, 0x11]) < DECODER_BYTES);
    assert!(bytes(4_032, 3_024, [0x11, 0x11, 0x11]) < DECODER_BYTES);
    assert!(walk_jpeg(JPEG).unwrap().is_none(), "a baseline JPEG is decoded step by step");
}

#[test]
fn a_jpeg_is_refused_wherever_it_is_cut_off() {
    for whole in [TURNED_JPEG, JPEG] {
        // Whatever length: the header is looked at closely, the rest at every seventh byte.
        for length in (1..whole.len()).filter(|length| *length < 800 || length % 7 == 0 || length + 20 > whole.len()) {
            let error = decode(&whole[..length]).expect_err("it is cut off");
            assert!(matches!(error, ReadImageError::CutOff { .. } | ReadImageError::Format), "at {length}: {error}");
        }
    }
    insta::assert_snapshot!(said_about(&JPEG[..JPEG.len() - 1]), @"the JPEG picture is cut off; copy or take it again");
}

#[test]
fn what_is_cut_off_is_refused_or_was_whole_already() {
    for whole in [PNG, WEBP] {
        let picture = decode(whole).unwrap();
        for length in 0..whole.len() {
            if let Ok(cut) = decode(&whole[..length]) {
                assert_eq!(cut, picture, "at {length}");
            }
        }
    }
    insta::assert_snapshot!(said_about(&PNG[..PNG.len() / 2]), @"the PNG picture is cut off; copy or take it again");
}

#[test]
fn a_preview_within_a_jpeg_is_not_taken_for_its_end() {
    let preview = [&[0xFF, 0xE1, 0, 8], b"ab\xFF\xD9cd".as_slice()].concat();
    let with_preview = [&JPEG[..2], &preview, &JPEG[2..]].concat();
    assert_eq!(said_about(&with_preview), "241 x 163");
    insta::assert_snapshot!(said_about(&with_preview[..5_000]), @"the JPEG picture is cut off; copy or take it again");
}

#[test]
fn frames_have_as_many_bytes_as_they_say() {
    assert!(Picture::from_rgb(2, 1, vec![0; 6]).is_ok());
    let said = |width, height, bytes| Picture::from_rgb(width, height, vec![0; bytes]).unwrap_err().to_string();
    insta::assert_snapshot!(said(2, 1, 5), @"5 bytes are no frame of 2 x 1 pixels of RGB");
    insta::assert_snapshot!(said(0, 1, 0), @"a frame of 0 x 1 pixels shows nothing");
    insta::assert_snapshot!(said(u32::MAX, u32::MAX, 0), @"a frame of 4294967295 x 4294967295 pixels is more than hob handles (50000000); choose a smaller mode");
}

#[test]
fn the_longest_strips_fit_every_budget() {
    for budget in [ImageBudget::Tokens70, ImageBudget::Tokens280] {
        for (width, height) in [(1, 4_000), (4_000, 1)] {
            let strip = Picture::from_rgb(width, height, vec![9; (width * height * 3) as usize]).unwrap();
            let made = patches(&strip, budget).unwrap();
            let tokens = u32::try_from(made.soft_tokens).unwrap();
            assert!((1..=budget.soft_tokens()).contains(&tokens), "{width} x {height}: {tokens}");
            assert_eq!(made.pixels.len(), made.count * 768);
        }
    }
    for (budget, side) in ImageBudget::ALL.into_iter().flat_map(|budget| [1, 7, 700].map(|side| (budget, side))) {
        let (width, height) = resized_to(side, MOST_SIDE, budget);
        assert_eq!(resized_to(MOST_SIDE, side, budget), (height, width));
        assert!(width >= 48 && height >= 48 && width * height <= budget.soft_tokens() * 48 * 48, "{width} x {height}");
    }
}

/// A file with some of its bytes changed.
fn spoilt(whole: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let changes = proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8);
    changes.prop_map(|changes| {
        let mut bytes = whole.to_vec();
        changes.into_iter().for_each(|(place, byte)| bytes[place.index(whole.len())] = byte);
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn spoilt_files_are_pictures_or_refused(
        bytes in prop_oneof![spoilt(TINY_PNG), spoilt(PNG), spoilt(TURNED_JPEG), spoilt(WEBP)],
    ) {
        if let Ok(picture) = decode(&bytes) {
            prop_assert!(fits(picture.width(), picture.height()));
            prop_assert_eq!(picture.rgb().len() as u64, u64::from(picture.width()) * u64::from(picture.height()) * 3);
        }
    }

    #[test]
    fn any_bytes_are_pictures_or_refused(
        start in prop_oneof![Just(&PNG[..8]), Just(&PNG[..33]), Just(&JPEG[..3]), Just(&WEBP[..16]), Just(&[][..])],
        rest in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        if let Ok(picture) = decode(&[start, &rest].concat()) {
            prop_assert!(fits(picture.width(), picture.height()));
        }
    }
}
