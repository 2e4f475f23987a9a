//! How a payload becomes an accepted command: checked, known or new, written to the inbox, acknowledged, begun.

use crate::clock::now;
use crate::driver::{Accepting, Driver, DriverError, Then};
use hob_agent::{Input, source_word};
use hob_doors::{DoorRequest, Reply, Request};
use hob_events::{
    Ask, AuditEntry, AuditKind, Command, CommandDraft, CommandId, CommandResult, ErrorReport, Event, EventKind,
    MalformedCommand, Record, Source, Status, StatusUpdate, Timings, Trust, UnixMs, parse_command,
};
use hob_mqtt::Arrived;
use hob_state::CommitError;
use serde_json::Value;
use tokio::sync::mpsc;

/// Why a command was not accepted. The sender is told; nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefuseCommandError {
    /// The payload is none.
    #[error(transparent)]
    Malformed(#[from] MalformedCommand),
    /// The broker had kept it: it may be days old, and every restart would run it again.
    #[error("a retained command is not run: send it without retain")]
    Retained,
    /// Too much waits.
    #[error("hob is busy: {waiting} commands wait already; try again later")]
    Busy {
        /// How many wait.
        waiting: usize,
    },
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
            Self::Retained => "retained",
            Self::Busy { .. } => "busy",
            Self::State { .. } => "state",
        }
    }
}

impl Driver {
    /// A payload came on the command topic.
    pub(crate) fn arrived(&mut self, arrived: Arrived) -> Result<(), DriverError> {
        let source = Source::Mqtt {
            response_topic: arrived.response_topic.clone(),
            correlation: arrived.correlation.as_ref().map(|bytes| bytes.to_vec()),
        };
        let fingerprint = format!("mqtt-{}-{:08x}", arrived.packet, crc(&arrived.payload));
        let draft = if arrived.retained {
            Err(RefuseCommandError::Retained)
        } else {
            parse_command(&arrived.payload, self.limits).map_err(RefuseCommandError::from)
        };
        let draft = match draft {
            Ok(draft) => draft,
            Err(error) => {
                self.refuse_over_mqtt(&error, None, source);
                self.acknowledge(arrived);
                return Ok(());
            }
        };
        if let Some(known) = self.known(&draft, &source, arrived.repeated.then_some(fingerprint.as_str())) {
            self.answer_again(&known, &source);
            self.acknowledge(arrived);
            return Ok(());
        }
        let expires = arrived.expires_in_s.map(|seconds| now().plus_ms(u64::from(seconds) * 1_000));
        let id = draft.id.clone().unwrap_or_else(|| self.name_for(&fingerprint));
        let command = command(id.clone(), draft, source.clone(), Trust::Person, expires);
        match self.check_room() {
            Ok(()) => self.write_to_inbox(Accepting { command, ack: Some(arrived.ack), follower: None }),
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
        let draft = match parse_command(&bytes, self.limits) {
            Ok(draft) => draft,
            Err(error) => return refuse(error.into()),
        };
        let source = Source::Socket { uid };
        if let Some(known) = self.known(&draft, &source, None) {
            match self.stages.store.final_of(&known) {
                Ok(Some(stored)) => {
                    replies.try_send(Reply::Final { result: stored.result }).ok();
                }
                Ok(None) | Err(_) => self.followers.add(known, replies),
            }
            return Ok(());
        }
        if let Err(error) = self.check_room() {
            return refuse(error);
        }
        let id = draft.id.clone().unwrap_or_else(|| self.name_for("socket"));
        // Root and hob's own user speak for the owner; whom the owner let in besides is a person.
        let trust = if uid == 0 { Trust::Owner } else { Trust::Person };
        let command = command(id, draft, source, trust, None);
        self.write_to_inbox(Accepting { command, ack: None, follower: Some(replies) })
    }

    fn write_to_inbox(&mut self, accepting: Accepting) -> Result<(), DriverError> {
        let command = accepting.command.clone();
        let kind = AuditKind::Accepted {
            command: command.id.clone(),
            source: source_word(&command.source),
            trust: command.trust,
            ask: match &command.ask {
                Ask::Text(words) => words.clone(),
                Ask::Call { tool, args } => format!("{tool} {}", Value::Object(args.clone())),
            },
        };
        self.accepting.push(command.id.clone());
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
        self.accepting.retain(|id| *id != command.id);
        if let Err(error) = result {
            self.not_accepted(&command, error, ack, follower);
            return Ok(());
        }
        if let (Some(mqtt), Some(ack)) = (&self.stages.mqtt, ack) {
            mqtt.ack(ack);
        }
        if let Some(follower) = follower {
            follower.try_send(Reply::Accepted { id: command.id.clone() }).ok();
            self.followers.add(command.id.clone(), follower);
        }
        let update = StatusUpdate { id: command.id.clone(), status: Status::Accepted, question: None };
        self.tell_status(&update, &command.source);
        tracing::info!(command = %command.id, from = source_word(&command.source), "accepted");
        self.tell_agent(Input::Happened(Event { at: command.received, kind: EventKind::Command(command) }))
    }

    fn not_accepted(
        &mut self,
        command: &Command,
        error: CommitError,
        ack: Option<hob_mqtt::Ack>,
        follower: Option<mpsc::Sender<Reply>>,
    ) {
        // Two with one id raced for the inbox: the first is worked on, and its result answers both.
        if let CommitError::AlreadyKnown { command: known } = &error {
            match follower {
                Some(follower) => self.followers.add(known.clone(), follower),
                None => self.answer_again(known, &command.source),
            }
        } else {
            let error = RefuseCommandError::State { reason: error.to_string() };
            tracing::error!(%error, command = %command.id, "not accepted");
            if let Some(follower) = &follower {
                follower.try_send(Reply::error(error.code(), &error)).ok();
            } else {
                self.refuse_over_mqtt(&error, Some(command.id.clone()), command.source.clone());
            }
        }
        if let (Some(mqtt), Some(ack)) = (&self.stages.mqtt, ack) {
            mqtt.ack(ack);
        }
    }

    // ---- known commands ---------------------------------------------------------------------------------------

    /// The command that this is a repetition of: by its id, by its correlation data, or, when the broker says that it
    /// may have sent it before, by its number and content.
    fn known(&self, draft: &CommandDraft, source: &Source, fingerprint: Option<&str>) -> Option<CommandId> {
        let by_id = draft.id.clone().filter(|id| self.is_known(id));
        let by_correlation = || match source {
            Source::Mqtt { response_topic, correlation: Some(correlation) } if draft.id.is_none() => {
                self.stages.store.correlated(response_topic.as_deref(), correlation).ok().flatten()
            }
            Source::Mqtt { .. } | Source::Socket { .. } | Source::Rule { .. } => None,
        };
        let by_fingerprint = || {
            let fingerprint = fingerprint.filter(|_| draft.id.is_none())?;
            self.stages.store.latest_named(fingerprint).ok().flatten()
        };
        by_id.or_else(by_correlation).or_else(by_fingerprint)
    }

    fn is_known(&self, id: &CommandId) -> bool {
        self.accepting.contains(id)
            || matches!(self.stages.store.unfinished_command(id), Ok(Some(_)))
            || matches!(self.stages.store.final_of(id), Ok(Some(_)))
    }

    /// Answers a repetition: with the stored result, or with the word that it is being worked on.
    fn answer_again(&mut self, id: &CommandId, source: &Source) {
        match self.stages.store.final_of(id) {
            Ok(Some(stored)) => {
                let (topic, correlation) = match source {
                    Source::Mqtt { response_topic, correlation } => (response_topic.clone(), correlation.clone()),
                    Source::Socket { .. } | Source::Rule { .. } => (None, None),
                };
                let topic = topic.unwrap_or_else(|| self.stages.topics.result(id));
                self.publish_result(id.clone(), topic, correlation, stored.payload);
            }
            Ok(None) | Err(_) => {
                let update = StatusUpdate { id: id.clone(), status: Status::Accepted, question: None };
                self.tell_status(&update, source);
            }
        }
    }

    // ---- answers ----------------------------------------------------------------------------------------------

    /// An answer to a question came over the broker.
    pub(crate) fn answer(&mut self, command: CommandId, arrived: Arrived) -> Result<(), DriverError> {
        let said = String::from_utf8_lossy(&arrived.payload).trim().to_lowercase();
        let yes = match said.as_str() {
            "yes" | "true" | "1" | "on" => Some(true),
            "no" | "false" | "0" | "off" => Some(false),
            _ => None,
        };
        let retained = arrived.retained;
        self.acknowledge(arrived);
        match yes {
            Some(yes) if !retained => {
                let source = Source::Mqtt { response_topic: None, correlation: None };
                self.tell_agent(Input::Answered { command, yes, source })
            }
            Some(_) | None => {
                tracing::warn!(%command, said, retained, "not an answer: send yes or no, without retain");
                Ok(())
            }
        }
    }

    /// Something was asked at the door.
    pub(crate) fn hear_door(&mut self, asked: DoorRequest) -> Result<(), DriverError> {
        let DoorRequest { peer, request, replies } = asked;
        let reply = match request {
            Request::Command { command } => return self.asked(&command, peer.uid, replies),
            Request::Confirm { id, yes } => {
                self.tell_agent(Input::Answered { command: id, yes, source: Source::Socket { uid: peer.uid } })?;
                Reply::Done
            }
            Request::Cancel { id } => {
                self.tell_agent(Input::Cancel { command: id })?;
                Reply::Done
            }
            Request::Tools => self.tools(),
            Request::Devices => self.devices(),
            Request::Model => self.model(),
            Request::Status => self.status(),
            Request::Audit { last } => self.audit(last),
            Request::AuditVerify => self.verify_audit(),
        };
        replies.try_send(reply).ok();
        Ok(())
    }

    // ---- small things -----------------------------------------------------------------------------------------

    fn check_room(&self) -> Result<(), RefuseCommandError> {
        if self.agent.room() > self.accepting.len() {
            return Ok(());
        }
        Err(RefuseCommandError::Busy { waiting: self.agent.unfinished() + self.accepting.len() })
    }

    /// A new name for a command that came without one. It begins with what the command can be known by.
    fn name_for(&mut self, beginning: &str) -> CommandId {
        self.unnamed += 1;
        CommandId::lossy(&format!("{beginning}-{}-{}", now().0, self.unnamed))
    }

    fn acknowledge(&self, arrived: Arrived) {
        if let Some(mqtt) = &self.stages.mqtt {
            mqtt.ack(arrived.ack);
        }
    }

    /// Answers a payload that is not accepted. It has the form of a final result, so that a client reads one form.
    fn refuse_over_mqtt(&mut self, error: &RefuseCommandError, id: Option<CommandId>, source: Source) {
        tracing::info!(%error, "refused a command");
        let id = id.unwrap_or_else(|| self.name_for("refused"));
        let result = CommandResult {
            id: id.clone(),
            status: Status::Failed,
            speech: "That was not understood.".to_owned(),
            actions: Vec::new(),
            error: Some(ErrorReport { code: error.code().to_owned(), message: error.to_string() }),
            timings: Timings::default(),
            model: None,
            dry_run: false,
        };
        let (topic, correlation) = match source {
            Source::Mqtt { response_topic, correlation } => (response_topic, correlation),
            Source::Socket { .. } | Source::Rule { .. } => (None, None),
        };
        let topic = topic.unwrap_or_else(|| self.stages.topics.result(&id));
        if let Ok(payload) = serde_json::to_vec(&result) {
            self.publish_refusal(topic, correlation, payload);
        }
    }
}

fn command(id: CommandId, draft: CommandDraft, source: Source, trust: Trust, expires: Option<UnixMs>) -> Command {
    let received = now();
    let by_ttl = draft.ttl_ms.map(|ttl| received.plus_ms(ttl));
    Command {
        id,
        ask: draft.ask,
        conversation: draft.conversation,
        area: draft.area,
        dry_run: draft.dry_run,
        source,
        trust,
        received,
        expires: match (by_ttl, expires) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        },
    }
}

/// A short name for a payload. It only tells repetitions that the broker announces from other messages with the same
/// packet number, so nothing hangs on its strength.
fn crc(payload: &[u8]) -> u32 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    payload.hash(&mut hasher);
    #[expect(clippy::cast_possible_truncation, reason = "32 bits of it are enough")]
    let short = hasher.finish() as u32;
    short
}
