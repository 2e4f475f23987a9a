//! The agent: turns side by side, each waiting for exactly one thing.
//!
//! A command waits in the backlog, then becomes a turn. A turn is taken out of the map, moved one step on, and put back
//! with what it now waits for, or finished. Nothing else ends a turn, so every command gets exactly one final result.

use crate::calls::receipt_of;
use crate::ending::Ending;
use crate::prompt::{system_text, user_text};
use crate::reply;
use crate::ruled::{Looked, notice_of};
use crate::rules::Engine;
use crate::settings::AgentSettings;
use crate::step::{Decisions, Effect, Input, Step};
use crate::turn::{Stage, Turn, Written, lowest_of, to_ms};
use hob_events::{
    Allowed, Ask, AuditEntry, AuditKind, Command, CommandId, Confidence, ConversationId, EventKind, GenerateFailure,
    GenerateOrder, Generated, Medium, Message, Offer, Outcome, Priority, Prompt, Record, Source, Status, StatusUpdate,
    Thinking, Trust, TurnId, Unfinished, UnixMs, WrittenCall,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The agent loop. See the crate's page.
#[derive(Debug)]
pub struct Agent {
    pub(crate) settings: AgentSettings,
    pub(crate) rules: Engine,
    pub(crate) looked: Looked,
    pub(crate) offer: Arc<Offer>,
    system: Arc<str>,
    /// Named in results.
    pub(crate) model: Option<String>,
    /// Whether the model thinks where a command does not say.
    thinking: Thinking,
    /// Whether turns may begin.
    ready: bool,
    next_turn: u64,
    pub(crate) backlog: VecDeque<Command>,
    /// Messages whose rule found no room.
    pub(crate) dropped: u64,
    /// What each camera showed last, by its topic.
    pub(crate) frames: BTreeMap<String, (Medium, UnixMs)>,
    pub(crate) turns: BTreeMap<TurnId, Turn>,
    pub(crate) conversations: BTreeMap<ConversationId, Conversation>,
}

#[derive(Debug, Clone)]
pub(crate) struct Conversation {
    pub(crate) messages: Vec<Message>,
    /// The least that anything in it was believed, what was left out since then among it.
    pub(crate) lowest: Trust,
    pub(crate) at: UnixMs,
}

/// A conversation that was kept over a restart.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptConversation {
    /// Which one.
    pub id: ConversationId,
    /// Its messages, oldest first.
    pub messages: Vec<Message>,
    /// The least that anything in it was believed; nothing where that was not written down yet, and its messages say.
    pub lowest: Option<Trust>,
    /// When it last grew.
    pub at: UnixMs,
}

/// Before the name of a camera: rules that look at its frames have this topic. No broker passes on what begins so.
pub const CAMERA_TOPIC: &str = "$camera/";

impl Agent {
    /// An idle agent whose first turn gets the number `next_turn`.
    #[must_use]
    pub fn new(
        settings: AgentSettings,
        rules: Engine,
        offer: Arc<Offer>,
        model: Option<String>,
        next_turn: u64,
    ) -> Self {
        let system = system_text(&settings.instructions, &offer.inventory).into();
        Self {
            settings,
            rules,
            looked: Looked::default(),
            offer,
            system,
            model,
            thinking: Thinking::OFF,
            ready: true,
            next_turn,
            backlog: VecDeque::new(),
            dropped: 0,
            frames: BTreeMap::new(),
            turns: BTreeMap::new(),
            conversations: BTreeMap::new(),
        }
    }

    /// Begins no turn before [`Input::Ready`]: while the model is opened commands wait, and their time does not run.
    #[must_use]
    pub fn hold(self) -> Self {
        Self { ready: false, ..self }
    }

    /// Has the model think, unless a command says otherwise.
    #[must_use]
    pub fn thinking(self, thinking: Thinking) -> Self {
        Self { thinking, ..self }
    }

    /// Takes up what was left over when hob went away: conversations, and commands without a final result. Those that
    /// may be begun anew are; the others end with what is known of them. When the record is `whole` no more, nothing
    /// that looks unbegun can be trusted to be so, and none is begun anew.
    pub fn restore(
        &mut self,
        at: UnixMs,
        whole: bool,
        conversations: Vec<KeptConversation>,
        unfinished: Vec<Unfinished>,
    ) -> Decisions {
        let mut out = Decisions::default();
        for KeptConversation { id, messages, lowest, at } in conversations {
            let lowest = lowest.unwrap_or_else(|| lowest_of(&messages));
            self.conversations.insert(id, Conversation { messages, lowest, at });
        }
        for left in unfinished {
            if whole && left.can_begin_anew() {
                self.backlog.push_back(left.command);
            } else {
                self.end_interrupted(at, left, &mut out);
            }
        }
        // A command may have waited out its time while hob was away.
        self.let_time_pass(at, &mut out);
        self.begin_waiting(at, &mut out);
        out
    }

    /// The system text and the offer that every prompt begins with, for warming the model.
    #[must_use]
    pub fn stable_prompt(&self) -> Prompt {
        Prompt { system: self.system.clone(), offer: self.offer.clone(), messages: Vec::new(), thinking: self.thinking }
    }

    /// How many more commands may be accepted. Doors ask before they accept.
    #[must_use]
    pub fn room(&self) -> usize {
        self.settings.backlog.saturating_sub(self.backlog.len())
    }

    /// Whether turns may begin.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Commands that wait or are worked on.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.backlog.len() + self.turns.len()
    }

    /// Messages that a rule wanted acted on and that found the backlog full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// When the agent wants an [`Input::Wake`], if at all.
    #[must_use]
    pub fn next_wake(&self) -> Option<UnixMs> {
        let turns = self.turns.values().map(|turn| match &turn.stage {
            Stage::Asking { until, .. } => *until,
            Stage::Generating | Stage::Calling(_) => turn.deadline,
        });
        let waiting = self.backlog.iter().filter_map(|command| command.expires);
        turns.chain(waiting).chain(self.rules.next_wake()).min()
    }

    /// Takes one step.
    pub fn step(&mut self, step: Step) -> Decisions {
        let mut out = Decisions::default();
        let Step { at, input } = step;
        match input {
            Input::Happened(event) => match event.kind {
                EventKind::Command(command) => self.backlog.push_back(*command),
                EventKind::Frame { camera, medium, motion } => {
                    let topic = format!("{CAMERA_TOPIC}{camera}");
                    self.frames.insert(topic.clone(), (medium, at));
                    self.rules_by_time(at, &mut out);
                    self.message(at, &topic, &serde_json::json!({ "motion": motion }).to_string(), false, &mut out);
                }
                EventKind::Message { topic, payload, retained } => {
                    // What was waited for was over before this came.
                    self.rules_by_time(at, &mut out);
                    self.message(at, &topic, &payload, retained, &mut out);
                }
            },
            Input::Generated { turn, result } => self.generated(at, turn, result, &mut out),
            Input::Ended { receipt } => self.ended(at, receipt, &mut out),
            Input::Answered { answer, source } => self.answered(at, &answer, &source, &mut out),
            Input::Cancel { command } => self.cancel(at, &command, &mut out),
            Input::OfferChanged(offer) => self.offer_changed(offer),
            Input::Ready => self.ready = true,
            Input::Hold => self.ready = false,
            Input::ModelChanged(name) => self.model = Some(name),
            Input::Wake => {}
        }
        self.let_time_pass(at, &mut out);
        self.rules_by_time(at, &mut out);
        self.begin_waiting(at, &mut out);
        out
    }

    /// What is still to be written down before hob stops.
    pub fn farewell(&mut self) -> Vec<Record> {
        let changes = self.rules.all_changes().into_iter();
        changes.map(|(piece, memory)| Record::Remembered { piece, memory: Some(memory) }).collect()
    }

    fn offer_changed(&mut self, offer: Arc<Offer>) {
        self.system = system_text(&self.settings.instructions, &offer.inventory).into();
        self.offer = offer;
    }

    // ---- from command to turn ---------------------------------------------------------------------------------

    fn begin_waiting(&mut self, at: UnixMs, out: &mut Decisions) {
        while self.ready && self.working() < self.settings.turns_at_once {
            let Some(place) = self.backlog.iter().position(|command| !self.conversation_is_busy(command)) else {
                return;
            };
            let Some(command) = self.backlog.remove(place) else { return };
            self.begin(at, command, out);
        }
    }

    /// Turns that work; one that waits for a person holds nothing.
    #[must_use]
    pub fn working(&self) -> usize {
        self.turns.values().filter(|turn| !matches!(turn.stage, Stage::Asking { .. })).count()
    }

    /// Turns of one conversation see each other, so they go one after another.
    fn conversation_is_busy(&self, command: &Command) -> bool {
        let same = |turn: &Turn| turn.command.conversation == command.conversation;
        command.conversation.is_some() && self.turns.values().any(same)
    }

    pub(crate) fn take_turn_number(&mut self) -> TurnId {
        let id = TurnId(self.next_turn);
        self.next_turn += 1;
        id
    }

    fn begin(&mut self, at: UnixMs, command: Command, out: &mut Decisions) {
        let id = self.take_turn_number();
        out.record(Record::Began { command: command.id.clone(), turn: id });
        let words = match &command.ask {
            Ask::Text(words) => words.clone(),
            Ask::Speech => String::new(),
            Ask::Call { tool, args } => reply::call_in_words(tool.as_str(), args),
        };
        let user = user_text(&command, &words);
        let ask = command.ask.clone();
        let past = command.conversation.as_ref().and_then(|id| self.conversations.get(id)).cloned();
        let deadline = at.plus_ms(self.settings.turn_deadline_ms);
        let deadline = notice_of(&command.source).map_or(deadline, |notice| deadline.min(notice.by));
        let mut turn = Turn::new(id, command, past.as_ref(), user, deadline);
        turn.timings.queue_ms = to_ms(at.since(turn.command.received));
        match ask {
            Ask::Text(_) | Ask::Speech => self.ask_model(at, turn, out),
            Ask::Call { tool, args } => {
                let call = WrittenCall { tool: tool.into(), args, confidence: Confidence::CERTAIN };
                turn.todo.push_back(Written { call, lowest: turn.command.trust });
                self.next_call(at, turn, out);
            }
        }
    }

    // ---- the model --------------------------------------------------------------------------------------------

    pub(crate) fn ask_model(&mut self, at: UnixMs, mut turn: Turn, out: &mut Decisions) {
        if turn.rounds == self.settings.rounds {
            let message = format!("the model was asked {} times and had not finished", turn.rounds);
            return self.finish(at, turn, Ending::Failed { code: "model", message }, out);
        }
        turn.rounds += 1;
        tell(&turn, Status::Thinking, None, out);
        self.generate(at, turn, out);
    }

    fn generate(&mut self, at: UnixMs, mut turn: Turn, out: &mut Decisions) {
        turn.stage = Stage::Generating;
        out.effect(Effect::Generate(GenerateOrder {
            turn: turn.id,
            prompt: Prompt {
                system: self.system.clone(),
                offer: self.offer.clone(),
                messages: turn.messages.clone(),
                thinking: turn.command.think.unwrap_or(self.thinking),
            },
            allowed: if turn.acted { Allowed::CallsOrEnd } else { Allowed::CallsOrText },
            priority: match &turn.command.source {
                Source::Mqtt { .. } | Source::Socket { .. } | Source::Microphone { .. } => Priority::Person,
                Source::Rule { .. } if !turn.command.media.is_empty() => Priority::Camera,
                Source::Rule { .. } => Priority::Sensor,
            },
            conversation: turn.command.conversation.clone(),
            max_tokens: self.settings.max_tokens,
            deadline_ms: turn.deadline.since(at),
        }));
        self.turns.insert(turn.id, turn);
    }

    fn generated(&mut self, at: UnixMs, id: TurnId, result: Result<Generated, GenerateFailure>, out: &mut Decisions) {
        let Some(mut turn) = self.take_if(id, |stage| matches!(stage, Stage::Generating)) else { return };
        let generated = match result {
            Ok(generated) => generated,
            // The system part and this turn's own words stay; of the conversation, what was said first goes.
            Err(GenerateFailure::TooLong { .. }) if turn.forget_oldest() => return self.generate(at, turn, out),
            // So does what shows something that cannot be shown any more: the shelf lost it, or this model is blind.
            Err(GenerateFailure::Medium { .. }) if turn.history_shows() && turn.forget_oldest() => {
                return self.generate(at, turn, out);
            }
            Err(failure) => {
                if matches!(failure, GenerateFailure::Medium { .. }) {
                    self.blame_own_media(&mut turn);
                }
                let code = match failure {
                    GenerateFailure::Busy { .. } => "busy",
                    GenerateFailure::Deadline { .. } => "deadline",
                    GenerateFailure::Cancelled => "cancelled",
                    GenerateFailure::TooLong { .. } => "oversize",
                    GenerateFailure::Medium { .. } => "medium",
                    GenerateFailure::Model { .. } => "model",
                };
                return self.finish(at, turn, Ending::Failed { code, message: failure.to_string() }, out);
            }
        };
        turn.timings.add(&generated.timings);
        let written = serde_json::to_string(&generated.writing).unwrap_or_default();
        audit(at, AuditKind::Written { turn: id, text: written }, out);
        let malformed = turn.take_up(generated.writing, generated.tokens, generated.tokenizer);
        // A model that is unsure whether it is done says the same again.
        let todo = std::mem::take(&mut turn.todo);
        let again = |call: &WrittenCall| turn.has_done(call) && !self.reads_only(&call.tool);
        turn.todo = todo.into_iter().filter(|written| !again(&written.call)).collect();
        match malformed {
            Some(reason) if turn.todo.is_empty() => {
                let message = format!("the model wrote a call that is none: {reason}");
                self.finish(at, turn, Ending::Failed { code: "model", message }, out);
            }
            Some(_) | None if turn.todo.is_empty() => self.finish(at, turn, Ending::Done, out),
            Some(_) | None => {
                self.take_back_questions(at, &turn.command.source, out);
                self.next_call(at, turn, out);
            }
        }
    }

    /// Who is asked something and says another command that is understood does not mean to answer: what waits at the same
    /// microphone is taken back. A cough, or words for somebody else, take nothing back.
    fn take_back_questions(&mut self, at: UnixMs, by: &Source, out: &mut Decisions) {
        let Source::Microphone { .. } = by else { return };
        let asked = |turn: &&Turn| matches!(turn.stage, Stage::Asking { .. }) && turn.command.source == *by;
        let waiting: Vec<CommandId> = self.turns.values().filter(asked).map(|turn| turn.command.id.clone()).collect();
        for command in waiting {
            self.cancel(at, &command, out);
        }
    }

    /// This turn's own media cannot be shown: its conversation goes on without them, and with what was left out in search
    /// of the one to blame.
    fn blame_own_media(&self, turn: &mut Turn) {
        let own = turn.own_messages().iter().cloned().map(Message::without_media).collect::<Vec<_>>();
        let past = turn.command.conversation.as_ref().and_then(|id| self.conversations.get(id));
        let past = past.map(|past| past.messages.clone()).unwrap_or_default();
        turn.history = past.len();
        turn.forgotten = 0;
        turn.messages = past.into_iter().chain(own).collect();
    }

    pub(crate) fn take_if(&mut self, id: TurnId, waits: impl Fn(&Stage) -> bool) -> Option<Turn> {
        if self.turns.get(&id).is_some_and(|turn| waits(&turn.stage)) { self.turns.remove(&id) } else { None }
    }

    // ---- people who change their mind, and time ---------------------------------------------------------------

    fn cancel(&mut self, at: UnixMs, command: &CommandId, out: &mut Decisions) {
        if let Some(place) = self.backlog.iter().position(|waiting| waiting.id == *command) {
            if let Some(command) = self.backlog.remove(place) {
                self.finish_unbegun(at, command, Status::Cancelled, "cancelled", "it was taken back", out);
            }
            return;
        }
        let Some(id) = self.turns.values().find(|turn| turn.command.id == *command).map(|turn| turn.id) else { return };
        let Some(mut turn) = self.turns.remove(&id) else { return };
        match turn.stage {
            Stage::Generating => {
                out.effect(Effect::CancelGeneration(id));
                self.finish(at, turn, Ending::Cancelled, out);
            }
            Stage::Asking { .. } => self.finish(at, turn, Ending::Cancelled, out),
            Stage::Calling(_) => {
                turn.cancelled = true;
                self.turns.insert(id, turn);
            }
        }
    }

    fn let_time_pass(&mut self, at: UnixMs, out: &mut Decisions) {
        while let Some(place) =
            self.backlog.iter().position(|command| command.expires.is_some_and(|expires| expires <= at))
        {
            let Some(command) = self.backlog.remove(place) else { break };
            self.finish_unbegun(at, command, Status::Expired, "expired", "it waited longer than its ttl_ms", out);
        }
        let due: Vec<TurnId> = self.turns.values().filter(|turn| is_due(turn, at)).map(|turn| turn.id).collect();
        for id in due {
            let Some(turn) = self.turns.remove(&id) else { continue };
            match turn.stage.clone() {
                Stage::Asking { call, question, .. } => {
                    self.deny(at, turn, &call, format!("nobody answered \"{question}\" in time"), out);
                }
                Stage::Generating => {
                    out.effect(Effect::CancelGeneration(id));
                    let message = "the turn took longer than its deadline".to_owned();
                    self.finish(at, turn, Ending::Failed { code: "deadline", message }, out);
                }
                Stage::Calling(call) => {
                    let mut turn = turn;
                    let receipt = receipt_of(&call, Outcome::Unknown);
                    self.note(&mut turn, receipt, out);
                    let message = "the tool did not come back in time".to_owned();
                    self.finish(at, turn, Ending::Failed { code: "deadline", message }, out);
                }
            }
        }
    }
}

fn is_due(turn: &Turn, at: UnixMs) -> bool {
    match &turn.stage {
        Stage::Asking { until, .. } => *until <= at,
        Stage::Generating | Stage::Calling(_) => turn.deadline <= at,
    }
}

pub(crate) fn audit(at: UnixMs, kind: AuditKind, out: &mut Decisions) {
    out.record(Record::Audit(AuditEntry { at, kind }));
}

pub(crate) fn tell(turn: &Turn, status: Status, question: Option<String>, out: &mut Decisions) {
    let number = question.as_ref().map(|_| turn.questions);
    let update = StatusUpdate { id: turn.command.id.clone(), status, question, number };
    out.effect(Effect::Tell { update, source: turn.command.source.clone() });
}
