//! How a payload becomes an accepted command: checked, known or new, written to the inbox, acknowledged, begun.

use crate::clock::now;
use crate::driver::{Accepting, Again, Driver, DriverError, Then, Told};
use crate::repeated::Sameness;
use crate::shelf::{ShelfJob, TakeMediaError, look};
use hob_agent::{Answer, Input, source_word};
use hob_doors::{DoorRequest, Reply, Request};
use hob_events::{
    Ask, AuditEntry, AuditKind, Command, CommandDraft, CommandId, CommandResult, ErrorReport, Event, EventKind,
    MalformedCommand, MediumDraft, Record, Source, Status, StatusUpdate, Timings, TopicFilter, Trust, UnixMs,
    parse_command,
};
use hob_mqtt::{Ack, Arrived};
use hob_state::CommitError;
use serde_json::Value;
use std::collections::BTreeMap;
use std::thread;
use tokio::sync::mpsc;

/// What the names begin with that hob gives. A sender that took one ahead of time would stand in its way.
const OWN_PREFIXES: &[&str] = &["rule-", "mqtt-", "socket-", "said-", "refused-"];

/// Why a command was not accepted. The sender is told; nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum RefuseCommandError {
    /// The payload is none.
    #[error(transparent)]
    Malformed(#[from] MalformedCommand),
    /// The name is of the kind that hob gives.
    #[error("an id must not begin with \"{0}\": hob names its own commands so")]
    Reserved(&'static str),
    /// The broker had kept it: it may be days old, and every restart would run it again.
    #[error("a retained command is not run: send it without retain")]
    Retained,
    /// Too much waits.
    #[error("hob is busy: {waiting} commands wait already; try again later")]
    Busy {
        /// How many wait.
        waiting: usize,
    },
    /// Its media.
    #[error(transparent)]
    Media(#[from] TakeMediaError),
    /// The disk.
    #[error("the command cannot be written down: {reason}")]
    State {
        /// Why.
        reason: String,
    },
}

impl RefuseCommandError {
    /// For programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(error) => error.code(),
            Self::Reserved(_) => "invalid",
            Self::Retained => "retained",
            Self::Busy { .. } => "busy",
            Self::Media(error) => error.code(),
            Self::State { .. } => "state",
        }
    }
}

impl Driver {
    /// A payload came on the command topic.
    pub(crate) fn arrived(&mut self, arrived: Arrived) -> Result<(), DriverError> {
        let source = Source::Mqtt {
            response_topic: arrived.response_topic.clone().filter(|topic| self.may_answer_on(topic)),
            correlation: arrived.correlation.as_ref().map(|bytes| bytes.to_vec()),
        };
        let content = format!("{:08x}", short_hash(&arrived.payload));
        let fingerprint = format!("mqtt-{}-{content}", arrived.packet);
        let draft = if arrived.retained { Err(RefuseCommandError::Retained) } else { self.read(&arrived.payload) };
        let draft = match draft {
            Ok(draft) => draft,
            Err(error) => {
                self.refuse_over_mqtt(&error, None, source);
                self.acknowledge(arrived);
                return Ok(());
            }
        };
        let same = Sameness { content: &content, again: arrived.repeated.then_some(fingerprint.as_str()) };
        if let Some(known) = self.known(&draft, &source, Some(same)) {
            self.repeated(&known, Again::Mqtt { ack: Box::new(arrived.ack), source });
            return Ok(());
        }
        let expires = arrived.expires_in_s.map(|seconds| now().plus_ms(u64::from(seconds) * 1_000));
        let id = draft.id.clone().unwrap_or_else(|| self.name_for(&fingerprint));
        let (command, media) = command(id.clone(), draft, source.clone(), Trust::Person, expires);
        match self.check_room() {
            Ok(()) => self.take_in(Accepting { command, ack: Some(arrived.ack), follower: None }, media),
            Err(error) => {
                self.refuse_over_mqtt(&error, Some(id), source);
                self.acknowledge(arrived);
                Ok(())
            }
        }
    }

    /// A command came over the socket.
    pub(crate) fn asked(&mut self, payload: &Value, uid: u32, replies: mpsc::Sender<Reply>) -> Result<(), DriverError> {
        let bytes = match payload {
            Value::String(words) => words.clone().into_bytes(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                payload.to_string().into_bytes()
            }
        };
        let refuse = |error: RefuseCommandError| {
            replies.try_send(Reply::error(error.code(), &error)).ok();
            Ok(())
        };
        let draft = match self.read(&bytes) {
            Ok(draft) => draft,
            Err(error) => return refuse(error),
        };
        let source = Source::Socket { uid };
        if let Some(known) = self.known(&draft, &source, None) {
            self.repeated(&known, Again::Socket(replies));
            return Ok(());
        }
        if let Err(error) = self.check_room() {
            return refuse(error);
        }
        let id = draft.id.clone().unwrap_or_else(|| self.name_for("socket"));
        // Root and hob's own user speak for the owner; whom the owner let in besides is a person.
        let trust = if uid == 0 { Trust::Owner } else { Trust::Person };
        let (command, media) = command(id, draft, source, trust, None);
        self.take_in(Accepting { command, ack: None, follower: Some(replies) }, media)
    }

    /// Into the inbox, over the shelf when it brings media: those are durable first.
    pub(crate) fn take_in(&mut self, accepting: Accepting, media: Vec<MediumDraft>) -> Result<(), DriverError> {
        self.entrance.enter(&accepting.command);
        if media.is_empty() {
            return self.write_to_inbox(accepting);
        }
        if media.iter().any(|medium| matches!(medium, MediumDraft::Camera(_))) {
            return self.look_first(media, accepting);
        }
        let job = ShelfJob::Take { media, frames: BTreeMap::new(), accepting: Box::new(accepting) };
        match self.stages.shelf.submit(job).map_err(|job| *job) {
            Ok(()) => Ok(()),
            Err(ShelfJob::Take { accepting, .. }) => {
                self.refuse_accepting(*accepting, &RefuseCommandError::Busy { waiting: self.agent.unfinished() });
                Ok(())
            }
            // No other job was handed over.
            Err(
                ShelfJob::Begin { .. }
                | ShelfJob::Piece { .. }
                | ShelfJob::Finish { .. }
                | ShelfJob::See { .. }
                | ShelfJob::Show { .. },
            ) => Ok(()),
        }
    }

    /// A camera may take its time: neither the driver nor the shelf waits for it.
    fn look_first(&self, media: Vec<MediumDraft>, accepting: Accepting) -> Result<(), DriverError> {
        let (cameras, shelf, back) = (self.stages.cameras.clone(), self.stages.shelf.clone(), self.back());
        let accepting = Box::new(accepting);
        let look = move || {
            let refused = match look(&cameras, &media) {
                Err(error) => Some((accepting, error.into())),
                Ok(frames) => match shelf.submit(ShelfJob::Take { media, frames, accepting }).map_err(|job| *job) {
                    Err(ShelfJob::Take { accepting, .. }) => Some((accepting, TakeMediaError::TooMany)),
                    Ok(()) | Err(_) => None,
                },
            };
            if let Some((accepting, error)) = refused {
                back.blocking_send(Told::Shelved(accepting, Err(error))).ok();
            }
        };
        thread::Builder::new().name("hob-look".to_owned()).spawn(look).map(drop).map_err(DriverError::Thread)
    }

    /// The shelf has a command's media, or not.
    pub(crate) fn shelved(
        &mut self,
        accepting: Accepting,
        taken: Result<(), TakeMediaError>,
    ) -> Result<(), DriverError> {
        match taken {
            Ok(()) => self.write_to_inbox(accepting),
            Err(error) => {
                self.refuse_accepting(accepting, &RefuseCommandError::Media(error));
                Ok(())
            }
        }
    }

    /// Tells the sender of a command that was about to go into the inbox why it does not.
    fn refuse_accepting(&mut self, accepting: Accepting, error: &RefuseCommandError) {
        let Accepting { command, ack, follower } = accepting;
        for again in self.entrance.leave(&command.id) {
            self.refuse_again(Some(command.id.clone()), again, error);
        }
        match follower {
            Some(follower) => {
                follower.try_send(Reply::error(error.code(), error)).ok();
            }
            None => self.refuse_over_mqtt(error, Some(command.id), command.source),
        }
        self.give(ack);
    }

    /// Tells whoever asked for it again.
    pub(crate) fn refuse_again(&mut self, id: Option<CommandId>, again: Again, error: &RefuseCommandError) {
        match again {
            Again::Socket(replies) => {
                replies.try_send(Reply::error(error.code(), error)).ok();
            }
            Again::Mqtt { ack, source } => {
                self.refuse_over_mqtt(error, id, source);
                self.give(Some(*ack));
            }
        }
    }

    /// Something for the shelf came over the socket.
    fn to_shelf(&self, job: ShelfJob) {
        if let Err(job) = self.stages.shelf.submit(job)
            && let ShelfJob::Begin { replies, .. } | ShelfJob::Piece { replies, .. } | ShelfJob::Finish { replies, .. } =
                *job
        {
            replies.try_send(Reply::error("busy", "the disk does not keep up: try again later")).ok();
        }
    }

    fn write_to_inbox(&mut self, accepting: Accepting) -> Result<(), DriverError> {
        let command = accepting.command.clone();
        let kind = AuditKind::Accepted {
            command: command.id.clone(),
            source: source_word(&command.source),
            trust: command.trust,
            ask: match &command.ask {
                Ask::Text(words) => words.clone(),
                Ask::Speech => "spoken words".to_owned(),
                Ask::Call { tool, args } => format!("{tool} {}", Value::Object(args.clone())),
            },
        };
        let audit = Record::Audit(AuditEntry { at: command.received, kind });
        self.commit(vec![Record::Accepted { command }, audit], Then::Begin(Box::new(accepting)))
    }

    /// The inbox entry is durable, or will not be.
    pub(crate) fn accepted(
        &mut self,
        accepting: Accepting,
        result: Result<(), CommitError>,
    ) -> Result<(), DriverError> {
        let Accepting { command, ack, follower } = accepting;
        let again = self.entrance.leave(&command.id);
        if let Err(error) = result {
            self.not_accepted(&command, error, Awaiting { ack, follower, again });
            return Ok(());
        }
        self.give(ack);
        if let Some(follower) = follower {
            follower.try_send(Reply::Accepted { id: command.id.clone() }).ok();
            self.followers.add(command.id.clone(), follower);
        }
        again.into_iter().for_each(|again| self.repeated(&command.id, again));
        let update = StatusUpdate { id: command.id.clone(), status: Status::Accepted, question: None, number: None };
        self.tell_status(&update, &command.source);
        tracing::info!(command = %command.id, from = source_word(&command.source), "accepted");
        self.tell_agent(Input::Happened(Event { at: command.received, kind: EventKind::Command(Box::new(command)) }))
    }

    fn not_accepted(&mut self, command: &Command, error: CommitError, told: Awaiting) {
        let Awaiting { ack, follower, again } = told;
        // Two with one id raced for the inbox: the first is worked on, and its result answers both.
        if let CommitError::AlreadyKnown { command: known } = &error {
            match follower {
                Some(follower) => self.followers.add(known.clone(), follower),
                None => self.answer_again(known, &command.source),
            }
            again.into_iter().for_each(|again| self.repeated(known, again));
        } else {
            let error = RefuseCommandError::State { reason: error.to_string() };
            tracing::error!(%error, command = %command.id, "not accepted");
            for again in again {
                self.refuse_again(Some(command.id.clone()), again, &error);
            }
            if let Some(follower) = &follower {
                follower.try_send(Reply::error(error.code(), &error)).ok();
            } else {
                self.refuse_over_mqtt(&error, Some(command.id.clone()), command.source.clone());
            }
        }
        self.give(ack);
    }

    // ---- answers ----------------------------------------------------------------------------------------------

    /// An answer to a question came over the broker.
    pub(crate) fn answer(&mut self, command: CommandId, arrived: Arrived) -> Result<(), DriverError> {
        let answer = read_answer(&arrived.payload);
        let stale = arrived.retained || arrived.repeated;
        self.acknowledge(arrived);
        let Some((yes, number)) = answer.filter(|_| !stale) else {
            tracing::warn!(%command, stale, "not an answer: send yes or no, with the question's number after it, once");
            return Ok(());
        };
        let source = Source::Mqtt { response_topic: None, correlation: None };
        self.tell_agent(Input::Answered { answer: Answer { command, number, yes }, source })
    }

    /// Something was asked at the door.
    pub(crate) fn hear_door(&mut self, asked: DoorRequest) -> Result<(), DriverError> {
        let DoorRequest { peer, request, replies } = asked;
        let reply = match request {
            Request::Command { command } => return self.asked(&command, peer.uid, replies),
            Request::Confirm { id, yes, number } => {
                let answer = Answer { command: id, number, yes };
                self.tell_agent(Input::Answered { answer, source: Source::Socket { uid: peer.uid } })?;
                Reply::Done
            }
            Request::Cancel { id } => {
                self.tell_agent(Input::Cancel { command: id })?;
                Reply::Done
            }
            Request::Upload => {
                self.to_shelf(ShelfJob::Begin { uid: peer.uid, replies });
                return Ok(());
            }
            Request::Piece { upload, data } => {
                self.to_shelf(ShelfJob::Piece { uid: peer.uid, upload, data, replies });
                return Ok(());
            }
            Request::Uploaded { upload } => {
                self.to_shelf(ShelfJob::Finish { uid: peer.uid, upload, replies });
                return Ok(());
            }
            Request::Microphones => self.microphones(),
            Request::Cameras => self.cameras(),
            Request::Mute { microphone, muted } => self.mute(&microphone, muted)?,
            Request::Listen { microphone, pressed } => self.push(&microphone, pressed),
            Request::Rules { last } => self.looked(last),
            Request::Tools => self.tools(),
            Request::Devices => self.devices(),
            Request::Model => self.model(),
            Request::ModelSwap { folder, variant } => {
                if !is_owner(peer.uid) {
                    let message = "the model is the owner's to change: ask as root or as hob's own user";
                    replies.try_send(Reply::error("denied", message)).ok();
                    return Ok(());
                }
                return self.swap(folder, variant.as_deref(), replies);
            }
            Request::Status => self.status(),
            Request::Audit { last } => self.audit(last),
            Request::AuditVerify => self.verify_audit(),
        };
        replies.try_send(reply).ok();
        Ok(())
    }

    // ---- small things -----------------------------------------------------------------------------------------

    fn read(&self, payload: &[u8]) -> Result<CommandDraft, RefuseCommandError> {
        let draft = parse_command(payload, self.limits)?;
        let named = |prefix: &&&str| draft.id.as_ref().is_some_and(|id| id.as_str().starts_with(**prefix));
        match OWN_PREFIXES.iter().find(named) {
            Some(prefix) => Err(RefuseCommandError::Reserved(prefix)),
            None => Ok(draft),
        }
    }

    /// Whether a sender may have its answer there: not on a device's topic, which would make the answer a command to it,
    /// nor on one of hob's that it listens to itself.
    fn may_answer_on(&self, topic: &str) -> bool {
        let plain = TopicFilter::new(topic).is_ok() && !topic.contains(['+', '#']);
        plain && !self.stages.devices.owns_topic(topic) && self.stages.topics.read(topic).is_none()
    }

    pub(crate) fn check_room(&self) -> Result<(), RefuseCommandError> {
        if self.agent.room() > self.entrance.len() {
            return Ok(());
        }
        Err(RefuseCommandError::Busy { waiting: self.agent.unfinished() + self.entrance.len() })
    }

    /// A new name for a command that came without one. It begins with what the command can be known by.
    pub(crate) fn name_for(&mut self, beginning: &str) -> CommandId {
        self.unnamed += 1;
        CommandId::lossy(&format!("{beginning}-{}-{}", now().0, self.unnamed))
    }

    fn acknowledge(&self, arrived: Arrived) {
        self.give(Some(arrived.ack));
    }

    pub(crate) fn give(&self, ack: Option<Ack>) {
        if let (Some(mqtt), Some(ack)) = (&self.stages.mqtt, ack) {
            mqtt.ack(ack);
        }
    }

    /// Answers a payload that is not accepted. It has the form of a final result, so that a client reads one form.
    fn refuse_over_mqtt(&mut self, error: &RefuseCommandError, id: Option<CommandId>, source: Source) {
        tracing::info!(%error, "refused a command");
        let id = id.unwrap_or_else(|| self.name_for("refused"));
        let result = CommandResult {
            id: id.clone(),
            status: Status::Failed,
            speech: match error.code() {
                "medium" => format!("That did not work: {error}."),
                _ => "That was not understood.".to_owned(),
            },
            actions: Vec::new(),
            error: Some(ErrorReport { code: error.code().to_owned(), message: error.to_string() }),
            timings: Timings::default(),
            model: None,
            dry_run: false,
            forgotten_turns: 0,
        };
        let (topic, correlation) = match source {
            Source::Mqtt { response_topic, correlation } => (response_topic, correlation),
            Source::Socket { .. } | Source::Rule { .. } | Source::Microphone { .. } => (None, None),
        };
        let topic = topic.unwrap_or_else(|| self.stages.topics.result(&id));
        if let Ok(payload) = serde_json::to_vec(&result) {
            self.publish_refusal(topic, correlation, payload);
        }
    }
}

/// Whether a peer speaks for the owner.
fn is_owner(uid: u32) -> bool {
    uid == 0 || Some(uid) == crate::start::own_uid()
}

fn command(
    id: CommandId,
    draft: CommandDraft,
    source: Source,
    trust: Trust,
    expires: Option<UnixMs>,
) -> (Command, Vec<MediumDraft>) {
    let received = now();
    let by_ttl = draft.ttl_ms.map(|ttl| received.plus_ms(ttl));
    let command = Command {
        id,
        ask: draft.ask,
        // Filled in by the shelf.
        media: Vec::new(),
        conversation: draft.conversation,
        area: draft.area,
        dry_run: draft.dry_run,
        think: draft.think,
        source,
        trust,
        received,
        expires: match (by_ttl, expires) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        },
    };
    (command, draft.media)
}

/// Whoever waits to hear whether a command is accepted.
struct Awaiting {
    ack: Option<Ack>,
    follower: Option<mpsc::Sender<Reply>>,
    again: Vec<Again>,
}

/// `yes` or `no` and the like, with the question's number after a blank when it is not the first.
fn read_answer(payload: &[u8]) -> Option<(bool, Option<u32>)> {
    let said = std::str::from_utf8(payload).ok()?.trim().to_lowercase();
    let (word, number) = match said.split_once(' ') {
        Some((word, number)) => (word, Some(number.trim().parse().ok()?)),
        None => (said.as_str(), None),
    };
    match word {
        "yes" | "true" | "on" => Some((true, number)),
        "no" | "false" | "off" => Some((false, number)),
        _ => None,
    }
}

/// A short name for a payload. It tells repetitions from other messages under the same number, so nothing hangs on its
/// strength; it is FNV-1a (32 bits) because it must be the same after a restart.
fn short_hash(payload: &[u8]) -> u32 {
    payload.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_word_and_perhaps_a_number() {
        assert_eq!(read_answer(b" Yes\n"), Some((true, None)));
        assert_eq!(read_answer(b"no 2"), Some((false, Some(2))));
        for not in [&b"maybe"[..], b"yes please", b"", b"\xff"] {
            assert_eq!(read_answer(not), None, "{not:?}");
        }
    }

    #[test]
    fn the_short_hash_is_that_of_its_definition() {
        assert_eq!(short_hash(b""), 0x811c_9dc5);
        assert_eq!(short_hash(b"a"), 0xe40c_292c);
    }
}
