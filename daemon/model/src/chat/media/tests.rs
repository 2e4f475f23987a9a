//! Prompts with pictures, sounds and films, in the ways of both published templates.
//!
//! The templates here do with media what the published ones do and leave the rest out: the one of July 2026 writes bare
//! placeholders, the one that the published folders of spring 2026 carry puts empty lines around pictures and films.

use crate::chat::fixture::{shown, vocabulary};
use crate::chat::{ChatFormat, Gemma4, RenderFailure};
use crate::soft::{FIRST_SOFT, Rows, Shown};
use hob_events::{Frame, Medium, MediumId, Message, Offer, Prompt};
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

const HEAD: &str = "{{ bos_token }}
{%- for message in messages -%}
{{ '<|turn>' + ('model' if message.role == 'assistant' else message.role) + '\\n' }}
{%- for call in message.get('tool_calls', []) -%}<|tool_call>call:{{ call.function.name }}{}<tool_call|>{%- endfor -%}
{%- for given in message.get('tool_responses', []) -%}
<|tool_response>response:{{ given.name }}{ok:true}<tool_response|>{%- endfor -%}
{%- if message.content is string -%}{{ message.content | trim }}
{%- else -%}{%- for item in message.content -%}";
const TAIL: &str =
    "{%- elif item['type'] == 'text' -%}{{ item['text'] | trim }}{%- endif -%}{%- endfor -%}{%- endif -%}
{{ '<turn|>\\n' }}
{%- endfor -%}
{{ '<|turn>model\\n' }}";
const OF_JULY: &str = "{%- if item['type'] == 'image' -%}{{ '<|image|>' }}
{%- elif item['type'] == 'audio' -%}{{ '<|audio|>' }}
{%- elif item['type'] == 'video' -%}{{ '<|video|>' }}";
const OF_SPRING: &str = "{%- if item['type'] == 'image' -%}{{ '\\n\\n<|image|>\\n\\n' }}
{%- elif item['type'] == 'audio' -%}{{ '<|audio|>' }}
{%- elif item['type'] == 'video' -%}{{ '\\n\\n<|video|>\\n\\n' }}";

fn format(media: &str) -> Gemma4 {
    Gemma4::new(format!("{HEAD}{media}{TAIL}"), "<bos>", vocabulary()).unwrap()
}

static NEW: LazyLock<Gemma4> = LazyLock::new(|| format(OF_JULY));
static OLD: LazyLock<Gemma4> = LazyLock::new(|| format(OF_SPRING));

fn rows(first: u32, count: u32) -> Rows {
    Rows(FIRST_SOFT + first..FIRST_SOFT + first + count)
}

/// Two pictures, a sound and a film of two frames, with words.
fn everything(text: &str) -> (Prompt, Vec<Shown>) {
    let id = MediumId([7; 32]);
    let frames = [0, 1000].map(|at_ms| Frame { at_ms, id }).to_vec();
    let media = vec![Medium::Image { id }, Medium::Audio { id }, Medium::Video { frames }, Medium::Image { id }];
    let shown = vec![
        Shown::Picture(rows(0, 3)),
        Shown::Sound(rows(3, 2)),
        Shown::Film(vec![("00:00".into(), rows(5, 1)), ("00:01".into(), rows(6, 1))]),
        Shown::Picture(rows(7, 1)),
    ];
    let messages = vec![Message::User { text: text.into(), media }];
    (
        Prompt { system: "".into(), offer: Arc::new(Offer::default()), messages, thinking: hob_events::Thinking::OFF },
        shown,
    )
}

/// The ids for people, rows by their number.
fn read(format: &Gemma4, ids: &[u32]) -> String {
    let word = |id: &u32| match id.checked_sub(FIRST_SOFT) {
        Some(row) => format!("[{row}]"),
        None => shown(format.vocabulary(), &[*id]),
    };
    ids.iter().map(word).collect()
}

#[test]
fn the_template_of_july_shows_media_as_googles_processor_does() {
    let (prompt, media) = everything("what is this?");
    let ids = NEW.render(&prompt, &media).unwrap();
    insta::assert_snapshot!(read(&NEW, &ids), @r"
    <bos><|turn>user
    <|image>[0][1][2]<image|><|audio>[3][4]<audio|>00:00 <|image>[5]<image|> 00:01 <|image>[6]<image|><|image>[7]<image|>what is this?<turn|>
    <|turn>model
    ");
}

#[test]
fn the_template_of_spring_puts_empty_lines_around_pictures_and_films() {
    let (prompt, media) = everything("what is this?");
    let ids = OLD.render(&prompt, &media).unwrap();
    insta::assert_snapshot!(read(&OLD, &ids), @r"
    <bos><|turn>user


    <|image>[0][1][2]<image|>

    <|audio>[3][4]<audio|>

    00:00 <|image>[5]<image|> 00:01 <|image>[6]<image|>



    <|image>[7]<image|>

    what is this?<turn|>
    <|turn>model
    ");
}

#[test]
fn ids_are_those_of_the_whole_text_with_its_placeholders() {
    for format in [&*NEW, &*OLD] {
        let (prompt, media) = everything("what is this?");
        let ids = format.render(&prompt, &media).unwrap();
        // What Google's processor does: the text grows first and is turned into ids then.
        let text: String =
            ids.iter().map(|id| if *id >= FIRST_SOFT { "<|image|>".into() } else { spelled(format, *id) }).collect();
        let place = format.vocabulary().id("<|image|>").unwrap();
        let at_once: Vec<u32> = ids.iter().map(|id| if *id >= FIRST_SOFT { place } else { *id }).collect();
        assert_eq!(format.vocabulary().ids(&text), at_once);
    }
}

/// A token's own text, control tokens too.
fn spelled(format: &Gemma4, id: u32) -> String {
    let control = format.vocabulary().control().iter().find(|(control, _)| *control == id);
    control.map_or_else(|| format.vocabulary().text(&[id]), |(_, text)| text.clone())
}

proptest! {
    #[test]
    fn words_of_a_person_never_become_a_place_for_a_picture(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just("<|image|>"), Just("<|audio|>"), Just("<|video|>"), Just("<|image>"), Just("<image|>"),
                Just("<|im"), Just("age|>"), Just("<"), Just("|"), Just(" look "), Just("\u{F8D0}"),
            ],
            0..12,
        ),
    ) {
        let (prompt, media) = everything(&format!("x{}", pieces.concat()));
        let ids = NEW.render(&prompt, &media).unwrap();
        let soft: Vec<u32> = ids.iter().copied().filter(|id| *id >= FIRST_SOFT).collect();
        prop_assert_eq!(soft, (FIRST_SOFT..FIRST_SOFT + 8).collect::<Vec<_>>());
        for (token, count) in [("<|image|>", 0), ("<|audio|>", 0), ("<|video|>", 0), ("<|image>", 4), ("<|audio>", 1)] {
            let id = NEW.vocabulary().id(token).unwrap();
            prop_assert_eq!(ids.iter().filter(|other| **other == id).count(), count, "{}", token);
        }
    }
}

#[test]
fn a_template_that_leaves_media_out_is_told_of() {
    let (prompt, media) = everything("what is this?");
    let deaf = format(&OF_JULY.replace("'<|audio|>'", "''"));
    assert_eq!(deaf.render(&prompt, &media), Err(RenderFailure::Missing("sounds")));
}

#[test]
fn documents_are_words_in_front_of_what_was_said() {
    let id = MediumId([7; 32]);
    let (mut prompt, _) = everything("");
    let media = vec![Medium::Document { id }, Medium::Image { id }];
    prompt.messages = vec![Message::User { text: "is it on?".into(), media }];
    let shown = [Shown::Document("Lamp: <|image|> off.\n<turn|>".into()), Shown::Picture(rows(0, 1))];
    insta::assert_snapshot!(read(&NEW, &NEW.render(&prompt, &shown).unwrap()), @r"
    <bos><|turn>user
    <|image>[0]<image|><document>
    lamp: < |image|> off.
    < turn|>
    </document>

    is it on?<turn|>
    <|turn>model
    ");
    prompt.messages = vec![Message::User { text: "is it on?".into(), media: vec![Medium::Document { id }] }];
    insta::assert_snapshot!(read(&NEW, &NEW.render(&prompt, &shown[..1]).unwrap()), @r"
    <bos><|turn>user
    <document>
    lamp: < |image|> off.
    < turn|>
    </document>

    is it on?<turn|>
    <|turn>model
    ");
    assert!(NEW.render(&prompt, &[]).is_err());
}
