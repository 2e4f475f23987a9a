//! The agent: turns side by side, each waiting for exactly one thing.
//!
//! A command waits in the backlog, then becomes a turn. A turn is taken out of the map, moved one step on, and put back
//! with what it now waits for, or finished. Nothing else ends a turn, so every command gets exactly one final result.

use crate::gate::{Doubt, Gate, Verdict};
use crate::prompt::{system_text, user_text};
use crate::reply;
use crate::restore::Unfinished;
use crate::rules::{RuleAction, Rules};
use crate::settings::AgentSettings;
use crate::step::{Decisions, Effect, Input, Step};
use crate::target;
use crate::turn::{Stage, Turn, to_ms};
use hob_events::{
    Allowed, Ask, AuditEntry, AuditKind, CallId, Command, CommandId, CommandResult, Confidence, ConversationId,
    ErrorReport, EventKind, GenerateFailure, GenerateOrder, Generated, Message, Offer, Outcome, Permit, Priority,
    Prompt, Receipt, Record, Source, Status, StatusUpdate, ToolCall, ToolName, Trust, TurnId, UnixMs, WrittenCall,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The agent loop. See the crate's page.
#[derive(Debug)]
pub struct Agent {
    settings: AgentSettings,
    rules: Rules,
    /// When each rule last did something.
    fired: BTreeMap<String, UnixMs>,
    offer: Arc<Offer>,
    system: Arc<str>,
    /// Named in results.
    model: Option<String>,
    next_turn: u64,
    backlog: VecDeque<Command>,
    turns: BTreeMap<TurnId, Turn>,
    conversations: BTreeMap<ConversationId, Conversation>,
}

#[derive(Debug, Clone)]
struct Conversation {
    messages: Vec<Message>,
    at: UnixMs,
}

/// How a turn ends.
enum Ending {
    /// As its receipts say.
    Done,
    /// Something else went wrong.
    Failed { code: &'static str, message: String },
    /// Nobody said yes.
    Denied { message: String },
    /// Someone took it back.
    Cancelled,
}

impl Agent {
    /// An idle agent whose first turn gets the number `next_turn`.
    #[must_use]
    pub fn new(
        settings: AgentSettings,
        rules: Rules,
        offer: Arc<Offer>,
        model: Option<String>,
        next_turn: u64,
    ) -> Self {
        let system = system_text(&settings.instructions, &offer.inventory).into();
        Self {
            settings,
            rules,
            fired: BTreeMap::new(),
            offer,
            system,
            model,
            next_turn,
            backlog: VecDeque::new(),
            turns: BTreeMap::new(),
            conversations: BTreeMap::new(),
        }
    }

    /// Takes up what was left over when hob went away: conversations, and commands without a final result. Those that
    /// may be begun anew are; the others end with what is known of them.
    pub fn restore(
        &mut self,
        at: UnixMs,
        conversations: Vec<(ConversationId, Vec<Message>, UnixMs)>,
        unfinished: Vec<Unfinished>,
    ) -> Decisions {
        let mut out = Decisions::default();
        for (id, messages, when) in conversations {
            self.conversations.insert(id, Conversation { messages, at: when });
        }
        for left in unfinished {
            if left.can_begin_anew() {
                self.backlog.push_back(left.command);
            } else {
                self.end_interrupted(at, left, &mut out);
            }
        }
        self.begin_waiting(at, &mut out);
        out
    }

    /// The system text and the offer that every prompt begins with, for warming the model.
    #[must_use]
    pub fn stable_prompt(&self) -> Prompt {
        Prompt { system: self.system.clone(), offer: self.offer.clone(), messages: Vec::new() }
    }

    /// Whether another command may be accepted. Doors ask before they accept.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.backlog.len() < self.settings.backlog
    }

    /// Commands that wait or are worked on.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.backlog.len() + self.turns.len()
    }

    /// When the agent wants an [`Input::Wake`], if at all.
    #[must_use]
    pub fn next_wake(&self) -> Option<UnixMs> {
        let turns = self.turns.values().map(|turn| match &turn.stage {
            Stage::Asking { until, .. } => *until,
            Stage::Generating | Stage::Calling(_) => turn.deadline,
        });
        let waiting = self.backlog.iter().filter_map(|command| command.expires);
        turns.chain(waiting).min()
    }

    /// Takes one step.
    pub fn step(&mut self, step: Step) -> Decisions {
        let mut out = Decisions::default();
        let Step { at, input } = step;
        match input {
            Input::Happened(event) => match event.kind {
                EventKind::Command(command) => self.backlog.push_back(command),
                EventKind::Message { topic, payload, retained } => {
                    self.message(at, &topic, &payload, retained, &mut out);
                }
            },
            Input::Generated { turn, result } => self.generated(at, turn, result, &mut out),
            Input::Ended { receipt } => self.ended(at, receipt, &mut out),
            Input::Answered { command, yes, source } => self.answered(at, &command, yes, &source, &mut out),
            Input::Cancel { command } => self.cancel(at, &command, &mut out),
            Input::OfferChanged(offer) => self.offer_changed(offer),
            Input::Wake => {}
        }
        self.let_time_pass(at, &mut out);
        self.begin_waiting(at, &mut out);
        out
    }

    fn offer_changed(&mut self, offer: Arc<Offer>) {
        self.system = system_text(&self.settings.instructions, &offer.inventory).into();
        self.offer = offer;
    }

    // ---- from message to command ------------------------------------------------------------------------------

    fn message(&mut self, at: UnixMs, topic: &str, payload: &str, retained: bool, out: &mut Decisions) {
        let Some(rule) = self.rules.first(topic, payload, retained) else { return };
        let just_fired = self.fired.get(&rule.name).is_some_and(|last| at.since(*last) < rule.not_within_ms);
        // A rule's words come from a device, so its turn is believed as one; a call was written by the owner.
        let (ask, trust) = match &rule.action {
            RuleAction::Ignore => return,
            RuleAction::Call { tool, args } => (Ask::Call { tool: tool.clone(), args: args.clone() }, Trust::Person),
            RuleAction::Ask(template) => {
                let words = template.replace("{topic}", topic).replace("{payload}", payload);
                (Ask::Text(words), Trust::Device)
            }
        };
        let name = rule.name.clone();
        let decision = match (just_fired, self.has_room()) {
            (true, _) => "left alone: it acted a moment ago".to_owned(),
            (false, false) => "dropped: the backlog is full".to_owned(),
            (false, true) => self.accept_rule(at, &name, ask, trust, out),
        };
        let kind = AuditKind::Ruled { rule: name, topic: topic.to_owned(), decision };
        out.record(Record::Audit(AuditEntry { at, kind }));
    }

    fn accept_rule(&mut self, at: UnixMs, rule: &str, ask: Ask, trust: Trust, out: &mut Decisions) -> String {
        // Turn numbers are never given out twice, so the id is new even after a restart.
        let number = self.take_turn_number();
        let Ok(id) = CommandId::new(format!("rule-{}", number.0)) else { return "dropped: it has no name".to_owned() };
        self.fired.insert(rule.to_owned(), at);
        let command = Command {
            id: id.clone(),
            ask,
            conversation: None,
            area: None,
            dry_run: false,
            source: Source::Rule { rule: rule.to_owned() },
            trust,
            received: at,
            expires: None,
        };
        out.record(Record::Accepted { command: command.clone() });
        self.backlog.push_back(command);
        format!("command {id}")
    }

    // ---- from command to turn ---------------------------------------------------------------------------------

    fn begin_waiting(&mut self, at: UnixMs, out: &mut Decisions) {
        while self.working() < self.settings.turns_at_once {
            let Some(place) = self.backlog.iter().position(|command| !self.conversation_is_busy(command)) else {
                return;
            };
            let Some(command) = self.backlog.remove(place) else { return };
            self.begin(at, command, out);
        }
    }

    /// Turns that work; one that waits for a person holds nothing.
    fn working(&self) -> usize {
        self.turns.values().filter(|turn| !matches!(turn.stage, Stage::Asking { .. })).count()
    }

    /// Turns of one conversation see each other, so they go one after another.
    fn conversation_is_busy(&self, command: &Command) -> bool {
        let same = |turn: &Turn| turn.command.conversation == command.conversation;
        command.conversation.is_some() && self.turns.values().any(same)
    }

    fn take_turn_number(&mut self) -> TurnId {
        let id = TurnId(self.next_turn);
        self.next_turn += 1;
        id
    }

    fn begin(&mut self, at: UnixMs, command: Command, out: &mut Decisions) {
        let id = self.take_turn_number();
        out.record(Record::Began { command: command.id.clone(), turn: id });
        let history = command
            .conversation
            .as_ref()
            .and_then(|id| self.conversations.get(id))
            .map(|conversation| conversation.messages.clone())
            .unwrap_or_default();
        let words = match &command.ask {
            Ask::Text(words) => words.clone(),
            Ask::Call { tool, args } => reply::call_in_words(tool.as_str(), args),
        };
        let user = user_text(&command, &words);
        let ask = command.ask.clone();
        let mut turn = Turn::new(id, command, history, user, at.plus_ms(self.settings.turn_deadline_ms));
        turn.timings.queue_ms = to_ms(at.since(turn.command.received));
        match ask {
            Ask::Text(_) => self.ask_model(at, turn, out),
            Ask::Call { tool, args } => {
                turn.todo.push_back(WrittenCall { tool: tool.into(), args, confidence: Confidence::CERTAIN });
                self.next_call(at, turn, out);
            }
        }
    }

    // ---- the model --------------------------------------------------------------------------------------------

    fn ask_model(&mut self, at: UnixMs, mut turn: Turn, out: &mut Decisions) {
        if turn.rounds == self.settings.rounds {
            let message = format!("the model was asked {} times and had not finished", turn.rounds);
            return self.finish(at, turn, Ending::Failed { code: "model", message }, out);
        }
        turn.rounds += 1;
        turn.stage = Stage::Generating;
        tell(&turn, Status::Thinking, None, out);
        out.effect(Effect::Generate(GenerateOrder {
            turn: turn.id,
            prompt: Prompt { system: self.system.clone(), offer: self.offer.clone(), messages: turn.messages.clone() },
            allowed: if turn.acted { Allowed::CallsOrEnd } else { Allowed::CallsOrText },
            priority: match &turn.command.source {
                Source::Mqtt { .. } | Source::Socket { .. } => Priority::Person,
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
            Err(failure) => {
                let code = match failure {
                    GenerateFailure::Busy { .. } => "busy",
                    GenerateFailure::Deadline { .. } => "deadline",
                    GenerateFailure::Cancelled => "cancelled",
                    GenerateFailure::TooLong { .. } => "oversize",
                    GenerateFailure::Model { .. } => "model",
                };
                return self.finish(at, turn, Ending::Failed { code, message: failure.to_string() }, out);
            }
        };
        turn.timings.add(&generated.timings);
        let written = serde_json::to_string(&generated.writing).unwrap_or_default();
        audit(at, AuditKind::Written { turn: id, text: written }, out);
        let malformed = turn.take_up(generated.writing, generated.tokens);
        match malformed {
            Some(reason) if turn.todo.is_empty() => {
                let message = format!("the model wrote a call that is none: {reason}");
                self.finish(at, turn, Ending::Failed { code: "model", message }, out);
            }
            Some(_) | None if turn.todo.is_empty() => self.finish(at, turn, Ending::Done, out),
            Some(_) | None => self.next_call(at, turn, out),
        }
    }

    // ---- calls ------------------------------------------------------------------------------------------------

    /// Looks at the next written call: runs it, asks about it, or notes why not. Without one, the turn goes on.
    fn next_call(&mut self, at: UnixMs, mut turn: Turn, out: &mut Decisions) {
        while let Some(written) = turn.todo.pop_front() {
            let id = turn.next_call_id();
            if turn.calls > self.settings.calls {
                let message = format!("one turn may make {} calls", self.settings.calls);
                return self.finish(at, turn, Ending::Failed { code: "tool", message }, out);
            }
            match self.look_at(at, id, &turn, written, out) {
                Looked::Run(call) => return self.run(at, turn, call, out),
                Looked::Ask(call, doubt) => return self.ask_person(at, turn, call, doubt, out),
                Looked::Over(receipt) => self.note(&mut turn, *receipt, out),
            }
        }
        if matches!(turn.command.ask, Ask::Call { .. }) || turn.command.dry_run {
            return self.finish(at, turn, Ending::Done, out);
        }
        self.ask_model(at, turn, out);
    }

    fn look_at(&self, at: UnixMs, id: CallId, turn: &Turn, written: WrittenCall, out: &mut Decisions) -> Looked {
        let over = |tool: ToolName, args: Map<String, Value>, outcome: Outcome| {
            Looked::Over(Box::new(Receipt { id, tool, args, outcome, actions: Vec::new(), took_ms: 0 }))
        };
        let Some(tool) = self.offer.tool(&written.tool) else {
            let message = format!("there is no tool called {}", written.tool);
            return over(ToolName::lossy(&written.tool), written.args, Outcome::Failed { message });
        };
        let devices = match target::devices(tool, &written.args, &self.offer.inventory) {
            Ok(devices) => devices,
            Err(message) => return over(tool.name.clone(), written.args, Outcome::Failed { message }),
        };
        let risk = target::risk(tool, &devices);
        let gate = Gate { risk, trust: turn.command.trust, confidence: written.confidence };
        let verdict = gate.decide(self.settings.thresholds);
        let kind = AuditKind::Gated {
            call: id,
            tool: tool.name.clone(),
            args: written.args.clone(),
            risk,
            trust: gate.trust,
            confidence: gate.confidence,
            decision: verdict.to_string(),
        };
        audit(at, kind, out);
        let call = ToolCall {
            id,
            tool: tool.name.clone(),
            plugin: tool.plugin.clone(),
            args: written.args,
            permit: Permit { risk, trust: gate.trust },
            idempotent: tool.effects.idempotent || tool.effects.read_only,
            deadline_ms: tool.deadline_ms,
        };
        match verdict {
            Verdict::Deny => {
                let reason =
                    format!("{} is not allowed from there", reply::call_in_words(call.tool.as_str(), &call.args));
                over(call.tool, call.args, Outcome::Denied { reason })
            }
            Verdict::Allow | Verdict::Confirm(_) if turn.command.dry_run => {
                over(call.tool, call.args, Outcome::Returned { value: json!({ "dry_run": true }) })
            }
            Verdict::Allow => Looked::Run(call),
            Verdict::Confirm(doubt) => Looked::Ask(call, doubt),
        }
    }

    fn run(&mut self, at: UnixMs, mut turn: Turn, call: ToolCall, out: &mut Decisions) {
        if !self.reads_only(&call.tool) {
            turn.acted = true;
            out.record(Record::Calling {
                call: call.id,
                command: turn.command.id.clone(),
                tool: call.tool.clone(),
                args: call.args.clone(),
                idempotent: call.idempotent,
            });
        }
        turn.stage = Stage::Calling(Box::new(call.clone()));
        // The host ends every call by its own deadline; a turn must not give up on one before that.
        turn.deadline = turn.deadline.max(at.plus_ms(u64::from(call.deadline_ms) * 2));
        tell(&turn, Status::Executing, None, out);
        out.effect(Effect::Call { call, command: turn.command.id.clone() });
        self.turns.insert(turn.id, turn);
    }

    fn reads_only(&self, tool: &ToolName) -> bool {
        self.offer.tool(tool.as_str()).is_some_and(|tool| tool.effects.read_only)
    }

    fn note(&self, turn: &mut Turn, receipt: Receipt, out: &mut Decisions) {
        turn.acted |= !self.reads_only(&receipt.tool);
        out.record(Record::Receipt { command: turn.command.id.clone(), receipt: receipt.clone() });
        turn.note(receipt);
    }

    fn ended(&mut self, at: UnixMs, receipt: Receipt, out: &mut Decisions) {
        let id = receipt.id;
        let Some(mut turn) = self.take_if(id.turn, |stage| matches!(stage, Stage::Calling(call) if call.id == id))
        else {
            return;
        };
        let outcome = reply::report(&receipt).outcome;
        audit(at, AuditKind::Ended { call: id, outcome }, out);
        self.note(&mut turn, receipt, out);
        if turn.cancelled {
            self.finish(at, turn, Ending::Cancelled, out);
        } else {
            self.next_call(at, turn, out);
        }
    }

    // ---- people -----------------------------------------------------------------------------------------------

    fn ask_person(&mut self, at: UnixMs, mut turn: Turn, call: ToolCall, doubt: Doubt, out: &mut Decisions) {
        let asking = self.turns.values().filter(|turn| matches!(turn.stage, Stage::Asking { .. })).count();
        if asking >= self.settings.questions_at_once {
            let message = "too many questions are open already".to_owned();
            return self.finish(at, turn, Ending::Denied { message }, out);
        }
        let question = reply::question(&call, doubt == Doubt::Confidence);
        tell(&turn, Status::AwaitingConfirmation, Some(question.clone()), out);
        let until = at.plus_ms(self.settings.confirm_within_ms);
        turn.deadline = turn.deadline.plus_ms(self.settings.confirm_within_ms);
        turn.stage = Stage::Asking { call: Box::new(call), question, until };
        self.turns.insert(turn.id, turn);
    }

    fn answered(&mut self, at: UnixMs, command: &CommandId, yes: bool, source: &Source, out: &mut Decisions) {
        let waits = |turn: &&Turn| turn.command.id == *command && matches!(turn.stage, Stage::Asking { .. });
        let Some(id) = self.turns.values().find(waits).map(|turn| turn.id) else { return };
        let Some(turn) = self.turns.remove(&id) else { return };
        let Stage::Asking { call, question, .. } = turn.stage.clone() else { return };
        audit(at, AuditKind::Answered { command: command.clone(), yes, source: source_word(source) }, out);
        if yes {
            return self.run(at, turn, *call, out);
        }
        self.deny(at, turn, &call, format!("the answer to \"{question}\" was no"), out);
    }

    /// Ends a turn whose held call got no yes. Calls after it were written on the assumption that it would run.
    fn deny(&mut self, at: UnixMs, mut turn: Turn, call: &ToolCall, message: String, out: &mut Decisions) {
        let reason = format!("nothing was done: {message}");
        let receipt = receipt_of(call, Outcome::Denied { reason });
        self.note(&mut turn, receipt, out);
        self.finish(at, turn, Ending::Denied { message }, out);
    }

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

    // ---- time -------------------------------------------------------------------------------------------------

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

    // ---- the end ----------------------------------------------------------------------------------------------

    fn take_if(&mut self, id: TurnId, waits: impl Fn(&Stage) -> bool) -> Option<Turn> {
        if self.turns.get(&id).is_some_and(|turn| waits(&turn.stage)) { self.turns.remove(&id) } else { None }
    }

    fn finish(&mut self, at: UnixMs, mut turn: Turn, ending: Ending, out: &mut Decisions) {
        turn.timings.total_ms = to_ms(at.since(turn.command.received));
        let told = reply::compose(&self.offer, &turn.receipts, &turn.words);
        let (status, error) = match ending {
            Ending::Done => of_receipts(&turn.receipts),
            Ending::Failed { code, message } => (Status::Failed, Some(error(code, message))),
            Ending::Denied { message } => (Status::Denied, Some(error("denied", message))),
            Ending::Cancelled => (Status::Cancelled, Some(error("cancelled", "it was taken back".to_owned()))),
        };
        let speech = match (&error, told.is_empty()) {
            (Some(error), true) => format!("That did not work: {}.", error.message),
            (None, true) => "I have nothing to say to that.".to_owned(),
            (_, false) => told,
        };
        self.remember(at, &turn, out);
        let result = CommandResult {
            id: turn.command.id.clone(),
            status,
            speech,
            actions: turn.receipts.iter().map(reply::report).collect(),
            error,
            timings: turn.timings,
            model: self.model.clone().filter(|_| turn.rounds > 0),
            dry_run: turn.command.dry_run,
        };
        conclude(at, turn.command.source, result, out);
    }

    fn finish_unbegun(
        &self,
        at: UnixMs,
        command: Command,
        status: Status,
        code: &str,
        message: &str,
        out: &mut Decisions,
    ) {
        let mut result = CommandResult {
            id: command.id.clone(),
            status,
            speech: format!("Nothing was done: {message}."),
            actions: Vec::new(),
            error: Some(error(code, message.to_owned())),
            timings: hob_events::Timings::default(),
            model: None,
            dry_run: command.dry_run,
        };
        result.timings.total_ms = to_ms(at.since(command.received));
        result.timings.queue_ms = result.timings.total_ms;
        conclude(at, command.source, result, out);
    }

    fn end_interrupted(&self, at: UnixMs, left: Unfinished, out: &mut Decisions) {
        let mut receipts = Vec::new();
        for call in left.calls {
            let lost = Receipt {
                id: call.id,
                tool: call.tool,
                args: call.args,
                outcome: Outcome::Unknown,
                actions: call.actions,
                took_ms: 0,
            };
            receipts.push(call.receipt.unwrap_or(lost));
        }
        let message = "hob was interrupted while it acted, and does not act twice".to_owned();
        let mut result = CommandResult {
            id: left.command.id.clone(),
            status: Status::Failed,
            speech: reply::compose(&self.offer, &receipts, ""),
            actions: receipts.iter().map(reply::report).collect(),
            error: Some(error("interrupted", message)),
            timings: hob_events::Timings::default(),
            model: None,
            dry_run: left.command.dry_run,
        };
        result.timings.total_ms = to_ms(at.since(left.command.received));
        conclude(at, left.command.source, result, out);
    }

    /// Keeps a finished turn in its conversation; whole oldest turns, then whole oldest conversations make room.
    fn remember(&mut self, at: UnixMs, turn: &Turn, out: &mut Decisions) {
        let Some(id) = turn.command.conversation.clone() else { return };
        let mut messages = turn.messages.clone();
        let users =
            |messages: &[Message]| messages.iter().filter(|message| matches!(message, Message::User { .. })).count();
        while users(&messages) > self.settings.conversation_turns.max(1) {
            messages.remove(0);
            while messages.first().is_some_and(|message| matches!(message, Message::Model { .. })) {
                messages.remove(0);
            }
        }
        out.record(Record::Conversation { id: id.clone(), messages: messages.clone(), at });
        self.conversations.insert(id, Conversation { messages, at });
        while self.conversations.len() > self.settings.conversations.max(1) {
            let oldest = self.conversations.iter().min_by_key(|(_, kept)| kept.at).map(|(id, _)| id.clone());
            let Some(oldest) = oldest else { break };
            self.conversations.remove(&oldest);
        }
    }
}

/// What looking at a written call led to.
enum Looked {
    Run(ToolCall),
    Ask(ToolCall, Doubt),
    /// It is over before it began: unknown, impossible, denied or dry.
    Over(Box<Receipt>),
}

fn is_due(turn: &Turn, at: UnixMs) -> bool {
    match &turn.stage {
        Stage::Asking { until, .. } => *until <= at,
        Stage::Generating | Stage::Calling(_) => turn.deadline <= at,
    }
}

/// The receipt of a call of which nothing more is known.
fn receipt_of(call: &ToolCall, outcome: Outcome) -> Receipt {
    Receipt { id: call.id, tool: call.tool.clone(), args: call.args.clone(), outcome, actions: Vec::new(), took_ms: 0 }
}

/// The status that receipts give a turn: the worst of them.
fn of_receipts(receipts: &[Receipt]) -> (Status, Option<ErrorReport>) {
    for receipt in receipts {
        let (status, code, message) = match &receipt.outcome {
            Outcome::Returned { .. } => continue,
            Outcome::Failed { message } => (Status::Failed, "tool", message.clone()),
            Outcome::Denied { reason } => (Status::Denied, "denied", reason.clone()),
            Outcome::Stopped { reason } => (Status::Failed, "tool", reason.clone()),
            Outcome::Unknown => (Status::Failed, "interrupted", "it is not known whether this happened".to_owned()),
        };
        return (status, Some(error(code, message)));
    }
    (Status::Succeeded, None)
}

fn error(code: &str, message: String) -> ErrorReport {
    ErrorReport { code: code.to_owned(), message }
}

fn audit(at: UnixMs, kind: AuditKind, out: &mut Decisions) {
    out.record(Record::Audit(AuditEntry { at, kind }));
}

fn tell(turn: &Turn, status: Status, question: Option<String>, out: &mut Decisions) {
    let update = StatusUpdate { id: turn.command.id.clone(), status, question };
    out.effect(Effect::Tell { update, source: turn.command.source.clone() });
}

/// Writes down the end of a command and lets it be told.
fn conclude(at: UnixMs, source: Source, result: CommandResult, out: &mut Decisions) {
    let kind = AuditKind::Finished { command: result.id.clone(), status: result.status, speech: result.speech.clone() };
    audit(at, kind, out);
    let correlation = match &source {
        Source::Mqtt { correlation, .. } => correlation.clone(),
        Source::Socket { .. } | Source::Rule { .. } => None,
    };
    out.record(Record::Final { result: result.clone(), correlation });
    out.effect(Effect::Finish { result, source });
}

/// A door in one word, for the audit.
#[must_use]
pub fn source_word(source: &Source) -> String {
    match source {
        Source::Mqtt { .. } => "mqtt".to_owned(),
        Source::Socket { uid } => format!("socket uid {uid}"),
        Source::Rule { rule } => format!("rule {rule}"),
    }
}
