use super::*;
use crate::interrupt::Interrupt;
use crate::soft::is_soft;
use hob_events::Frame;
use tempfile::TempDir;

fn settings(folder: &TempDir, image_tokens: ImageBudget) -> MediaSettings {
    MediaSettings {
        folder: folder.path().to_owned(),
        image_tokens,
        encoder_idle: Duration::ZERO,
        spoken: Spoken::default(),
    }
}

fn library(folder: &TempDir, image_tokens: ImageBudget) -> Library {
    Library::new(Some(settings(folder, image_tokens)), Absent::default())
}

/// Puts bytes on the shelf.
fn put(folder: &TempDir, bytes: &[u8]) -> MediumId {
    let id = MediumId(Sha256::digest(bytes).into());
    std::fs::write(folder.path().join(id.to_string()), bytes).unwrap();
    id
}

/// One of the goldens' files on the shelf.
fn put_fixture(folder: &TempDir, name: &str) -> MediumId {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/media/");
    put(folder, &std::fs::read(format!("{path}{name}")).unwrap())
}

fn picture(library: &Library, id: MediumId) -> Vec<u32> {
    match library.show(&Medium::Image { id }, &mut Look::at_leisure()).unwrap() {
        Shown::Picture(rows) => rows.ids().collect(),
        other @ (Shown::Sound(_) | Shown::Film(_) | Shown::Document(_)) => unreachable!("{other:?}"),
    }
}

#[test]
fn two_pictures_share_no_id_and_the_same_one_keeps_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(&folder, ImageBudget::Tokens70);
    let (odd, large) = (put_fixture(&folder, "odd.png"), put_fixture(&folder, "large.png"));
    let one = picture(&library, odd);
    let other = picture(&library, large);
    assert_eq!((one.len(), other.len()), (60, 63));
    assert!(one.iter().chain(&other).all(|id| is_soft(*id)) && one.iter().all(|id| !other.contains(id)));
    assert_eq!(picture(&library, odd), one);
    let place = library.place(other[5]).unwrap();
    assert_eq!((place.sight.medium, place.row, place.rows), (large, 5, 63));
    assert_eq!(library.place(other[62] + 1), None);
}

#[test]
fn a_picture_of_a_film_is_seen_otherwise_than_the_picture_alone() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(&folder, ImageBudget::Tokens280);
    let id = put_fixture(&folder, "large.png");
    let alone = picture(&library, id);
    let frames = [0, 61_500].map(|at_ms| Frame { at_ms, id });
    let Shown::Film(frames) =
        library.show(&Medium::Video { frames: frames.to_vec() }, &mut Look::at_leisure()).unwrap()
    else {
        unreachable!()
    };
    let seen: Vec<(&str, usize)> = frames.iter().map(|(at, rows)| (at.as_str(), rows.ids().count())).collect();
    assert_eq!(seen, [("00:00", 63), ("01:01", 63)]);
    assert_eq!(frames[0].1, frames[1].1, "the same picture twice is one picture");
    assert!(alone.len() > 63 && frames[0].1.ids().all(|id| !alone.contains(&id)));
}

#[test]
fn a_sound_has_a_row_for_every_forty_milliseconds() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(&folder, ImageBudget::Tokens70);
    let id = put_fixture(&folder, "second.wav");
    let Shown::Sound(rows) = library.show(&Medium::Audio { id }, &mut Look::at_leisure()).unwrap() else {
        unreachable!()
    };
    assert_eq!(rows.ids().count(), 25);
}

#[test]
fn what_was_said_is_shown_out_of_memory_and_must_be_said_again_when_it_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder, ImageBudget::Tokens70);
    let spoken = settings.spoken.clone();
    let library = Library::new(Some(settings), Absent::default());
    let id = spoken.keep(&vec![0.1; 16_000]);
    let Shown::Sound(rows) = library.show(&Medium::Speech { id }, &mut Look::at_leisure()).unwrap() else {
        unreachable!()
    };
    assert_eq!(rows.ids().count(), 25);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing of it lies on the disk");
    let forgotten = Medium::Speech { id: MediumId([1; 32]) };
    let said = library.show(&forgotten, &mut Look::at_leisure()).unwrap_err().to_string();
    insta::assert_snapshot!(said, @"what was said is not known any more: say it again");
}

#[test]
fn a_document_is_words_even_for_a_model_without_eyes() {
    let folder = tempfile::tempdir().unwrap();
    let absent = Absent { vision: Some("vision".into()), audio: Some("audio".into()) };
    let library = Library::new(Some(settings(&folder, ImageBudget::Tokens70)), absent);
    let id = put(&folder, b"Bleed it\r\nonce a year.\n");
    assert_eq!(
        library.show(&Medium::Document { id }, &mut Look::at_leisure()).unwrap(),
        Shown::Document("Bleed it\nonce a year.".into())
    );
    let blob = Medium::Document { id: put(&folder, b"\xFF\xFE") };
    assert!(
        library
            .show(&blob, &mut Look::at_leisure())
            .unwrap_err()
            .to_string()
            .contains("it is no UTF-8 text (byte 0 is wrong)")
    );
}

#[test]
fn what_cannot_be_shown_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(&folder, ImageBudget::Tokens70);
    let said = |medium: &Medium| crate::front::told(&library.show(medium, &mut Look::at_leisure()).unwrap_err());
    let nowhere = MediumId([1; 32]);
    assert!(said(&Medium::Image { id: nowhere }).ends_with("is not there any more: hand it over again"));
    let text = put(&folder, b"no picture");
    assert!(!said(&Medium::Image { id: text }).is_empty() && !said(&Medium::Audio { id: text }).is_empty());
    std::fs::write(folder.path().join(text.to_string()), b"other bytes").unwrap();
    assert!(said(&Medium::Image { id: text }).ends_with("was changed on the disk: hand it over again"));

    let absent = Absent { vision: Some("m/onnx/vision_encoder_q4.onnx".into()), audio: None };
    let blind = Library::new(Some(settings(&folder, ImageBudget::Tokens70)), absent);
    let said = blind.show(&Medium::Image { id: nowhere }, &mut Look::at_leisure()).unwrap_err().to_string();
    insta::assert_snapshot!(said, @"this model takes in no pictures: it has no m/onnx/vision_encoder_q4.onnx, fetch it with its encoders");
    let none = Library::none().show(&Medium::Image { id: nowhere }, &mut Look::at_leisure()).unwrap_err().to_string();
    insta::assert_snapshot!(none, @"this hob keeps no media: set `[media] folder`");
}

#[test]
fn what_was_forgotten_gets_other_ids() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(&folder, ImageBudget::Tokens70);
    let id = put_fixture(&folder, "dot.png");
    let first = picture(&library, id);
    {
        let mut known = library.lock();
        let prepared = library.prepare(Sight { medium: id, sense: Sense::Frame }).unwrap();
        for number in 0..MOST_KNOWN {
            let mut other = [0; 32];
            other[..8].copy_from_slice(&number.to_le_bytes());
            let sight = Sight { medium: MediumId(other), sense: Sense::Frame };
            known.enter(sight, prepared.clone()).unwrap();
        }
        assert_eq!((known.sights.len(), known.firsts.len()), (MOST_KNOWN, MOST_KNOWN));
    }
    assert_eq!(library.place(first[0]), None);
    assert_ne!(picture(&library, id), first);
}

#[test]
fn numbers_that_are_used_up_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(&folder, ImageBudget::Tokens70);
    library.lock().given = u32::MAX - FIRST_SOFT - 5;
    let id = put_fixture(&folder, "odd.png");
    assert!(matches!(library.show(&Medium::Image { id }, &mut Look::at_leisure()), Err(ShowMediumError::UsedUp)));
}

#[test]
fn no_picture_is_looked_at_once_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(&folder, ImageBudget::Tokens70);
    let id = put_fixture(&folder, "odd.png");
    let interrupt = Interrupt::default();
    let mut look = Look::of(&interrupt, 1000);
    assert!(library.show(&Medium::Image { id }, &mut look).is_ok());
    interrupt.cancel();
    // A film that is not even there.
    let frames = [0, 1000].map(|at_ms| Frame { at_ms, id: MediumId([1; 32]) }).to_vec();
    let ended = library.show(&Medium::Video { frames }, &mut look);
    assert!(matches!(ended, Err(ShowMediumError::Ended(Interruption::Cancelled))), "{ended:?}");
}

#[test]
fn what_cannot_fit_is_not_looked_at_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(&folder, ImageBudget::Tokens70);
    let id = put_fixture(&folder, "large.png");
    let interrupt = Interrupt::default();
    let mut look = Look::of(&interrupt, 130);
    // The fourth is not even there.
    let ids = [id, id, id, MediumId([1; 32])];
    let frames = ids.map(|id| Frame { at_ms: 0, id }).to_vec();
    let shown = library.show(&Medium::Video { frames }, &mut look);
    assert!(matches!(shown, Err(ShowMediumError::TooMuch { rows: 189, context: 130 })), "{shown:?}");
}
