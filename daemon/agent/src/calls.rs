//! From a written call to its receipt: looked at, passed through the gate, asked about, run, noted.

use crate::agent::{Agent, audit, tell};
use crate::ending::Ending;
use crate::gate::{Doubt, Gate, Verdict};
use crate::reply;
use crate::step::{Answer, Decisions, Effect};
use crate::target;
use crate::turn::{Stage, Turn, Written};
use hob_events::{
    Ask, AuditKind, CallId, Outcome, Permit, Receipt, Record, Source, Status, ToolCall, ToolName, UnixMs,
};
use serde_json::{Map, Value, json};

/// What looking at a written call led to.
enum Looked {
    Run(ToolCall),
    Ask(ToolCall, Doubt),
    /// It is over before it began: unknown, impossible, denied or dry.
    Over(Box<Receipt>),
}

impl Agent {
    /// Looks at the next written call: runs it, asks about it, or notes why not. Without one, the turn goes on.
    pub(crate) fn next_call(&mut self, at: UnixMs, mut turn: Turn, out: &mut Decisions) {
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

    fn look_at(&self, at: UnixMs, id: CallId, turn: &Turn, written: Written, out: &mut Decisions) -> Looked {
        let Written { call: written, lowest } = written;
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
        let gate = Gate { risk, trust: turn.command.trust, lowest, confidence: written.confidence };
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
            permit: Permit { risk, trust: gate.trust, devices: target::named(tool, &devices) },
            idempotent: tool.effects.idempotent || tool.effects.read_only,
            deadline_ms: tool.deadline_ms,
        };
        match verdict {
            Verdict::Deny => {
                let reason =
                    format!("{} is not allowed from there", reply::call_in_words(call.tool.as_str(), &call.args));
                over(call.tool, call.args, Outcome::Denied { reason })
            }
            Verdict::Allow if turn.command.dry_run => {
                over(call.tool, call.args, Outcome::Returned { value: json!({ "dry_run": true }) })
            }
            Verdict::Confirm(_) if turn.command.dry_run => {
                over(call.tool, call.args, Outcome::Returned { value: json!({ "dry_run": true, "would_ask": true }) })
            }
            Verdict::Allow => Looked::Run(call),
            Verdict::Confirm(doubt) => Looked::Ask(call, doubt),
        }
    }

    pub(crate) fn run(&mut self, at: UnixMs, mut turn: Turn, call: ToolCall, out: &mut Decisions) {
        if !self.reads_only(call.tool.as_str()) {
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

    pub(crate) fn reads_only(&self, tool: &str) -> bool {
        self.offer.tool(tool).is_some_and(|tool| tool.effects.read_only)
    }

    pub(crate) fn note(&self, turn: &mut Turn, receipt: Receipt, out: &mut Decisions) {
        turn.acted |= !self.reads_only(receipt.tool.as_str());
        out.record(Record::Receipt { command: turn.command.id.clone(), receipt: receipt.clone() });
        turn.note(receipt);
    }

    pub(crate) fn ended(&mut self, at: UnixMs, receipt: Receipt, out: &mut Decisions) {
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

    pub(crate) fn ask_person(&mut self, at: UnixMs, mut turn: Turn, call: ToolCall, doubt: Doubt, out: &mut Decisions) {
        let asking = self.turns.values().filter(|turn| matches!(turn.stage, Stage::Asking { .. })).count();
        if asking >= self.settings.questions_at_once {
            let message = "too many questions are open already".to_owned();
            return self.finish(at, turn, Ending::Denied { message }, out);
        }
        let question = reply::question(&call, doubt == Doubt::Confidence);
        turn.questions += 1;
        tell(&turn, Status::AwaitingConfirmation, Some(question.clone()), out);
        let until = at.plus_ms(self.settings.confirm_within_ms);
        turn.deadline = turn.deadline.plus_ms(self.settings.confirm_within_ms);
        turn.stage = Stage::Asking { call: Box::new(call), question, until };
        self.turns.insert(turn.id, turn);
    }

    pub(crate) fn answered(&mut self, at: UnixMs, answer: &Answer, source: &Source, out: &mut Decisions) {
        let Answer { command, number, yes } = answer;
        let waits = |turn: &&Turn| {
            turn.command.id == *command
                && matches!(turn.stage, Stage::Asking { .. })
                && number.unwrap_or(1) == turn.questions
        };
        let Some(id) = self.turns.values().find(waits).map(|turn| turn.id) else { return };
        let Some(turn) = self.turns.remove(&id) else { return };
        let Stage::Asking { call, question, .. } = turn.stage.clone() else { return };
        audit(at, AuditKind::Answered { command: command.clone(), yes: *yes, source: source_word(source) }, out);
        if *yes {
            return self.run(at, turn, *call, out);
        }
        self.deny(at, turn, &call, format!("the answer to \"{question}\" was no"), out);
    }

    /// Ends a turn whose held call got no yes. Calls after it were written on the assumption that it would run.
    pub(crate) fn deny(&mut self, at: UnixMs, mut turn: Turn, call: &ToolCall, message: String, out: &mut Decisions) {
        let reason = format!("nothing was done: {message}");
        let receipt = receipt_of(call, Outcome::Denied { reason });
        self.note(&mut turn, receipt, out);
        self.finish(at, turn, Ending::Denied { message }, out);
    }
}

/// The receipt of a call of which nothing more is known.
pub(crate) fn receipt_of(call: &ToolCall, outcome: Outcome) -> Receipt {
    Receipt { id: call.id, tool: call.tool.clone(), args: call.args.clone(), outcome, actions: Vec::new(), took_ms: 0 }
}

/// A door in one word, for the audit.
#[must_use]
pub fn source_word(source: &Source) -> String {
    match source {
        Source::Mqtt { .. } => "mqtt".to_owned(),
        Source::Socket { uid } => format!("socket uid {uid}"),
        Source::Rule { rule, .. } => format!("rule {rule}"),
        Source::Microphone { name } => format!("microphone {name}"),
    }
}
