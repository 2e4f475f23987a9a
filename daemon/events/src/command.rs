//! The command contract: what a person or a program may ask, and how a payload becomes a command.
//!
//! Every door (MQTT, control socket) parses with [`parse_command`], so that all speak the same contract.

use crate::ids::{CommandId, ConversationId, InvalidId, SenseName, ToolName, UnixMs};
use crate::medium::{Frame, MAX_FRAMES, Medium, MediumId};
use crate::thinking::Thinking;
use crate::trust::Trust;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Which door a command came through. The gate and the answer need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "door", rename_all = "snake_case")]
pub enum Source {
    /// Over the broker.
    Mqtt {
        /// Where the sender wants the answer, instead of `command/<id>/result`.
        response_topic: Option<String>,
        /// Sent back with the answer.
        #[serde(default)]
        correlation: Option<Vec<u8>>,
    },
    /// Over the control socket, from a process of this user id.
    Socket {
        /// The peer's user id.
        uid: u32,
    },
    /// A rule of the owner's fired.
    Rule {
        /// The rule's name.
        rule: String,
        /// Who waits for what its question brings.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        notice: Option<Notice>,
    },
    /// Somebody spoke.
    Microphone {
        /// Where.
        name: SenseName,
    },
}

/// One message of a rule, with what the model said of a picture and the picture itself. It goes out in time, with words or
/// without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Where it goes.
    pub topic: String,
    /// By when the words have to be there.
    pub by: UnixMs,
    /// What the question was about, where it was about something to see.
    pub picture: Option<MediumId>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Plain words: the model decides.
    Text(String),
    /// Words that were said, and that nobody has written down: the first of the command's media. The model hears them.
    Speech,
    /// A tool call written out: no model is asked.
    Call {
        /// Which tool.
        tool: ToolName,
        /// Its arguments.
        args: Map<String, Value>,
    },
}

/// A command that was accepted: its inbox entry is durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Named by its sender, or by hob.
    pub id: CommandId,
    /// What is asked.
    pub ask: Ask,
    /// What is to be looked at or listened to with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<Medium>,
    /// The conversation it belongs to; none makes it one-shot.
    #[serde(default)]
    pub conversation: Option<ConversationId>,
    /// The room the speaker is in.
    #[serde(default)]
    pub area: Option<String>,
    /// Decide and answer, but act on nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether the model thinks first, and for how long; as the settings have it without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think: Option<Thinking>,
    /// Where it came from.
    pub source: Source,
    /// How far the source is believed.
    pub trust: Trust,
    /// When it arrived.
    pub received: UnixMs,
    /// After this moment it is not begun any more.
    #[serde(default)]
    pub expires: Option<UnixMs>,
}

/// What a payload says, before a door adds where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandDraft {
    /// The sender's name for it.
    pub id: Option<CommandId>,
    /// What is asked.
    pub ask: Ask,
    /// What is to be looked at or listened to with it.
    pub media: Vec<MediumDraft>,
    /// The conversation it belongs to.
    pub conversation: Option<ConversationId>,
    /// The room the speaker is in.
    pub area: Option<String>,
    /// Decide, but act on nothing.
    pub dry_run: bool,
    /// Whether the model thinks first, and for how long.
    pub think: Option<Thinking>,
    /// How long it stays worth beginning.
    pub ttl_ms: Option<u64>,
}

/// A medium as a payload brings it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediumDraft {
    /// It was handed over before.
    Named(Medium),
    /// A small picture in the payload itself, as Base64.
    Picture(String),
    /// A short sound in the payload itself, as Base64.
    Sound(String),
    /// A short document in the payload itself, as Base64.
    Document(String),
    /// What a camera shows when the command is taken in.
    Camera(SenseName),
}

/// Bounds on a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandLimits {
    /// Bytes of the whole payload.
    pub payload_bytes: usize,
    /// Characters of the text.
    pub text_chars: usize,
    /// Pictures, sounds, documents and films with one command.
    pub media: usize,
}

impl Default for CommandLimits {
    /// A spoken command has some 60 characters; 2,000 hold a pasted paragraph and keep the prompt short.
    fn default() -> Self {
        Self { payload_bytes: 16 * 1024, text_chars: 2_000, media: 8 }
    }
}

/// Why a payload is no command. Its [`code`](Self::code) goes into the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedCommand {
    /// Larger than allowed.
    #[error("the payload has {bytes} bytes and {limit} are allowed")]
    Oversize {
        /// Bytes that came.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not UTF-8.
    #[error("the payload is not UTF-8: byte {at} is wrong")]
    NotText {
        /// Where decoding stopped.
        at: usize,
    },
    /// Nothing in it.
    #[error("the payload is empty: send plain words, or JSON with \"text\"")]
    Empty,
    /// Looks like JSON and is none.
    #[error("the payload begins like JSON but is none: {reason}")]
    NotJson {
        /// Where and why.
        reason: String,
    },
    /// JSON of another shape.
    #[error("the payload is JSON of the wrong shape: {reason}")]
    WrongShape {
        /// What was expected.
        reason: String,
    },
    /// A name that cannot be one.
    #[error("\"{field}\" cannot be used: {reason}")]
    BadName {
        /// Which field.
        field: &'static str,
        /// Why.
        reason: InvalidId,
    },
    /// More pictures, sounds and films than allowed, or a film without pictures, or a call with any.
    #[error("\"media\" cannot be used: {reason}")]
    BadMedia {
        /// Why.
        reason: String,
    },
    /// More words than allowed.
    #[error("the text has {chars} characters and {limit} are allowed")]
    TextTooLong {
        /// Characters that came.
        chars: usize,
        /// Characters allowed.
        limit: usize,
    },
}

impl MalformedCommand {
    /// The code in the answer's `error.code`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Oversize { .. } | Self::TextTooLong { .. } => "oversize",
            Self::NotText { .. } | Self::NotJson { .. } => "malformed",
            Self::Empty | Self::WrongShape { .. } | Self::BadName { .. } | Self::BadMedia { .. } => "invalid",
        }
    }
}

/// The JSON form. Unknown keys are refused: a misspelt `conversation` must not silently become a one-shot command.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    id: Option<String>,
    text: Option<String>,
    tool: Option<String>,
    args: Option<Map<String, Value>>,
    #[serde(default)]
    media: Vec<MediumFields>,
    conversation: Option<String>,
    area: Option<String>,
    ttl_ms: Option<u64>,
    think: Option<Thinking>,
    #[serde(default)]
    dry_run: bool,
}

/// One entry of `media`: `{kind, id}`, `{kind, data}`, `{kind: "video", frames}`, or `{kind: "camera", name}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MediumFields {
    kind: MediumKind,
    id: Option<MediumId>,
    data: Option<String>,
    frames: Option<Vec<Frame>>,
    name: Option<SenseName>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MediumKind {
    Image,
    Audio,
    Document,
    Video,
    Camera,
}

/// Reads a payload: plain UTF-8 words, or JSON `{id?, text | tool + args?, media?, conversation?, area?, ttl_ms?,
/// dry_run?, think?}`.
/// A payload whose first character is `{` is taken for JSON.
///
/// # Errors
/// [`MalformedCommand`], with what to send instead.
pub fn parse_command(payload: &[u8], limits: CommandLimits) -> Result<CommandDraft, MalformedCommand> {
    if payload.len() > limits.payload_bytes {
        return Err(MalformedCommand::Oversize { bytes: payload.len(), limit: limits.payload_bytes });
    }
    let text =
        std::str::from_utf8(payload).map_err(|error| MalformedCommand::NotText { at: error.valid_up_to() })?.trim();
    if text.is_empty() {
        return Err(MalformedCommand::Empty);
    }
    if !text.starts_with('{') {
        return Ok(plain(checked_text(text, limits)?));
    }
    let value: Value =
        serde_json::from_str(text).map_err(|error| MalformedCommand::NotJson { reason: error.to_string() })?;
    let fields: Fields =
        serde_json::from_value(value).map_err(|error| MalformedCommand::WrongShape { reason: error.to_string() })?;
    from_fields(fields, limits)
}

fn plain(text: String) -> CommandDraft {
    CommandDraft {
        id: None,
        ask: Ask::Text(text),
        media: Vec::new(),
        conversation: None,
        area: None,
        dry_run: false,
        think: None,
        ttl_ms: None,
    }
}

fn from_fields(fields: Fields, limits: CommandLimits) -> Result<CommandDraft, MalformedCommand> {
    let ask = match (fields.text, fields.tool, fields.args) {
        (Some(text), None, None) => Ask::Text(checked_text(text.trim(), limits)?),
        (None, Some(tool), args) => {
            let tool = ToolName::new(tool).map_err(|reason| MalformedCommand::BadName { field: "tool", reason })?;
            Ask::Call { tool, args: args.unwrap_or_default() }
        }
        (Some(_), Some(_), _) | (Some(_), None, Some(_)) | (None, None, _) => {
            let reason = "it needs either \"text\", or \"tool\" with \"args\"".to_owned();
            return Err(MalformedCommand::WrongShape { reason });
        }
    };
    if matches!(ask, Ask::Call { .. }) && !fields.media.is_empty() {
        let reason = "a call shows nothing to the model: send \"text\" with it".to_owned();
        return Err(MalformedCommand::BadMedia { reason });
    }
    let id = fields.id.map(CommandId::new).transpose();
    let conversation = fields.conversation.map(ConversationId::new).transpose();
    Ok(CommandDraft {
        id: id.map_err(|reason| MalformedCommand::BadName { field: "id", reason })?,
        ask,
        media: media(fields.media, limits)?,
        conversation: conversation.map_err(|reason| MalformedCommand::BadName { field: "conversation", reason })?,
        area: fields.area.map(|area| checked_text(area.trim(), limits)).transpose()?,
        dry_run: fields.dry_run,
        think: fields.think,
        ttl_ms: fields.ttl_ms,
    })
}

fn media(listed: Vec<MediumFields>, limits: CommandLimits) -> Result<Vec<MediumDraft>, MalformedCommand> {
    let refused = |reason: String| Err(MalformedCommand::BadMedia { reason });
    if listed.len() > limits.media {
        return refused(format!("there are {}, and {} are allowed", listed.len(), limits.media));
    }
    let mut media = Vec::with_capacity(listed.len());
    for fields in listed {
        if fields.name.is_some() && !matches!(fields.kind, MediumKind::Camera) {
            return refused("only a camera has a \"name\"".to_owned());
        }
        if let (MediumKind::Camera, Some(name), None, None, None) =
            (fields.kind, &fields.name, &fields.id, &fields.data, &fields.frames)
        {
            media.push(MediumDraft::Camera(name.clone()));
            continue;
        }
        media.push(match (fields.kind, fields.id, fields.data, fields.frames) {
            (MediumKind::Camera, ..) => return refused("a camera needs its \"name\", and nothing else".to_owned()),
            (MediumKind::Image, Some(id), None, None) => MediumDraft::Named(Medium::Image { id }),
            (MediumKind::Audio, Some(id), None, None) => MediumDraft::Named(Medium::Audio { id }),
            (MediumKind::Document, Some(id), None, None) => MediumDraft::Named(Medium::Document { id }),
            (MediumKind::Image, None, Some(data), None) => MediumDraft::Picture(data),
            (MediumKind::Audio, None, Some(data), None) => MediumDraft::Sound(data),
            (MediumKind::Document, None, Some(data), None) => MediumDraft::Document(data),
            (MediumKind::Video, None, None, Some(frames)) if (1..=MAX_FRAMES).contains(&frames.len()) => {
                MediumDraft::Named(Medium::Video { frames })
            }
            (MediumKind::Video, ..) => {
                return refused(format!("a video needs \"frames\", 1 to {MAX_FRAMES} of {{\"at_ms\", \"id\"}}"));
            }
            (MediumKind::Image | MediumKind::Audio | MediumKind::Document, ..) => {
                return refused("an image, a sound or a document needs either \"id\" or \"data\"".to_owned());
            }
        });
    }
    Ok(media)
}

fn checked_text(text: &str, limits: CommandLimits) -> Result<String, MalformedCommand> {
    let chars = text.chars().count();
    if chars == 0 {
        return Err(MalformedCommand::Empty);
    }
    if chars > limits.text_chars {
        return Err(MalformedCommand::TextTooLong { chars, limit: limits.text_chars });
    }
    // Control characters would let a payload forge lines of the prompt and of the log.
    Ok(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use proptest::prelude::*;

    fn check(payload: &str) -> String {
        match parse_command(payload.as_bytes(), CommandLimits { payload_bytes: 200, text_chars: 40, media: 2 }) {
            Ok(draft) => format!("{:?} {:?}", draft.ask, draft.id.map(|id| id.to_string())),
            Err(error) => format!("{}: {error}", error.code()),
        }
    }

    #[test]
    fn plain_words_and_json_are_commands() {
        assert_snapshot!(check(" turn on the light\n"), @r#"Text("turn on the light") None"#);
        assert_snapshot!(check(r#"{"id":"a1","text":"lights off"}"#), @r#"Text("lights off") Some("a1")"#);
        assert_snapshot!(check(r#"{"tool":"turn_on","args":{"device":"lamp"}}"#), @r#"Call { tool: ToolName("turn_on"), args: {"device": String("lamp")} } None"#);
    }

    #[test]
    fn a_bad_payload_is_told_what_is_wrong() {
        assert_snapshot!(check(""), @r#"invalid: the payload is empty: send plain words, or JSON with "text""#);
        assert_snapshot!(check("{\"text\": \"x\""), @"malformed: the payload begins like JSON but is none: EOF while parsing an object at line 1 column 12");
        assert_snapshot!(check(r#"{"txt":"x"}"#), @"invalid: the payload is JSON of the wrong shape: unknown field `txt`, expected one of `id`, `text`, `tool`, `args`, `media`, `conversation`, `area`, `ttl_ms`, `think`, `dry_run`");
        assert_snapshot!(check(r#"{"text":"x","tool":"y"}"#), @r#"invalid: the payload is JSON of the wrong shape: it needs either "text", or "tool" with "args""#);
        assert_snapshot!(check(r#"{"id":"a b","text":"x"}"#), @r#"invalid: "id" cannot be used: ' ' cannot be part of an identifier: use letters, digits, '_', '-', '.' and ':'"#);
        assert_snapshot!(check(r#"{"tool":"x","media":[{"kind":"image","data":"AA=="}]}"#), @r#"invalid: "media" cannot be used: a call shows nothing to the model: send "text" with it"#);
        assert_snapshot!(check(r#"{"text":"x","media":[{"kind":"image"}]}"#), @r#"invalid: "media" cannot be used: an image, a sound or a document needs either "id" or "data""#);
        assert_snapshot!(check(r#"{"text":"x","media":[{"kind":"video","frames":[]}]}"#), @r#"invalid: "media" cannot be used: a video needs "frames", 1 to 32 of {"at_ms", "id"}"#);
        assert_snapshot!(check(&"x".repeat(41)), @"oversize: the text has 41 characters and 40 are allowed");
        assert_snapshot!(check(&"x".repeat(201)), @"oversize: the payload has 201 bytes and 200 are allowed");
    }

    proptest! {
        #[test]
        fn any_bytes_are_either_a_command_or_an_error(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(draft) = parse_command(&payload, CommandLimits::default())
                && let Ask::Text(text) = draft.ask
            {
                prop_assert!(!text.is_empty() && !text.contains(char::is_control));
            }
        }
    }
}
