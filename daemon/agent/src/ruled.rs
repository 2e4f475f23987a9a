//! What rules decided is carried out: a message goes out, or a command waits in the backlog with those of people.

use crate::agent::{Agent, CAMERA_TOPIC};
use crate::rules::{Act, Decision, Held, Ruling};
use crate::step::{Decisions, Effect};
use hob_events::{Ask, AuditEntry, AuditKind, Command, CommandId, Medium, Notice, Record, Source, Trust, UnixMs};
use std::collections::VecDeque;

/// A frame that is older is not what a question about it means. The shelf keeps frames for twice as long.
const FRESH_MS: u64 = 60_000;

/// What rules looked at, and what they decided.
#[derive(Debug, Clone, PartialEq)]
pub struct LookedAt {
    /// Counted from the start of hob.
    pub number: u64,
    /// When.
    pub at: UnixMs,
    /// The message; none where a time had come.
    pub said: Option<(String, String)>,
    /// What each rule decided, in their order.
    pub rulings: Vec<Ruling>,
}

/// The last that rules looked at, for people who ask why.
#[derive(Debug, Default)]
pub(crate) struct Looked(VecDeque<LookedAt>);

impl Looked {
    /// How many are kept.
    const MOST: usize = 256;

    /// Bytes of a payload that are kept.
    const PAYLOAD_BYTES: usize = 512;

    fn add(&mut self, at: UnixMs, said: Option<(&str, &str)>, rulings: Vec<Ruling>) {
        if rulings.is_empty() {
            return;
        }
        let number = self.0.back().map_or(1, |last| last.number + 1);
        let cut = |payload: &str| {
            let end = payload.floor_char_boundary(Self::PAYLOAD_BYTES);
            payload.get(..end).unwrap_or_default().to_owned()
        };
        let said = said.map(|(topic, payload)| (topic.to_owned(), cut(payload)));
        if self.0.len() == Self::MOST {
            self.0.pop_front();
        }
        self.0.push_back(LookedAt { number, at, said, rulings });
    }
}

impl Agent {
    /// What the rules looked at last, the newest at the end.
    pub fn looked(&self) -> impl DoubleEndedIterator<Item = &LookedAt> {
        self.looked.0.iter()
    }

    pub(crate) fn message(&mut self, at: UnixMs, topic: &str, payload: &str, retained: bool, out: &mut Decisions) {
        self.rules.leave_room(self.room_for_rules());
        let rulings = self.rules.message(at, topic, payload, retained);
        self.carry_out(at, Some((topic, payload)), rulings, out);
    }

    /// What rules wait for may have come, whatever else is told.
    pub(crate) fn rules_by_time(&mut self, at: UnixMs, out: &mut Decisions) {
        self.rules.leave_room(self.room_for_rules());
        let rulings = self.rules.wake(at);
        self.carry_out(at, None, rulings, out);
        for (piece, memory) in self.rules.changes(at) {
            out.record(Record::Remembered { piece, memory: Some(memory) });
        }
    }

    /// Half of the room is kept for people.
    fn room_for_rules(&self) -> usize {
        self.room().saturating_sub(self.settings.backlog / 2)
    }

    fn carry_out(&mut self, at: UnixMs, said: Option<(&str, &str)>, rulings: Vec<Ruling>, out: &mut Decisions) {
        for Ruling { rule, topic, decision } in &rulings {
            let done = match decision {
                Decision::Acts(act) => Some(self.carry_out_one(at, rule, topic.as_deref(), act, out)),
                Decision::Held(Held::Full) => {
                    self.dropped += 1;
                    None
                }
                Decision::Held(held @ Held::Itself { first: true, .. }) => Some(held.to_string()),
                // Not worth a line on disk for each message of a sensor that does not stop talking.
                Decision::Held(_) | Decision::Ignores | Decision::Waits(_) | Decision::Misses(_) => None,
            };
            if let Some(decision) = done {
                let topic = topic.as_deref().unwrap_or_default().to_owned();
                let kind = AuditKind::Ruled { rule: rule.to_string(), topic, decision };
                out.record(Record::Audit(AuditEntry { at, kind }));
            }
        }
        self.looked.add(at, said, rulings);
    }

    /// Does what a rule wants done, and says in words what that is.
    fn carry_out_one(&mut self, at: UnixMs, rule: &str, topic: Option<&str>, act: &Act, out: &mut Decisions) -> String {
        // A rule's words come from a device, so its turn is believed as one; a call was written by the owner.
        let seen = topic.and_then(|topic| self.frames.get(topic)).filter(|(_, came)| at.since(*came) <= FRESH_MS);
        let frame = || seen.map(|(medium, _)| medium.clone());
        let of_camera = topic.is_some_and(|topic| topic.starts_with(CAMERA_TOPIC));
        if of_camera && seen.is_none() && matches!(act, Act::Ask(_) | Act::Notify { .. }) {
            return "asks nothing: its camera has shown nothing of late".to_owned();
        }
        let mut notice = None;
        let (ask, media, trust) = match act {
            Act::Call { tool, args } => {
                (Ask::Call { tool: tool.clone(), args: args.clone() }, Vec::new(), Trust::Person)
            }
            Act::Ask(words) => (Ask::Text(words.clone()), frame().into_iter().collect(), Trust::Device),
            Act::Notify { topic, words, within_ms } => {
                let frame = frame();
                let picture = frame.as_ref().and_then(|frame| frame.shelved().next());
                notice = Some(Notice { topic: topic.clone(), by: at.plus_ms(*within_ms), picture });
                (Ask::Text(words.clone()), frame.into_iter().collect(), Trust::Device)
            }
            Act::Publish { topic, payload, retain } => {
                let (topic, payload, retain) = (topic.clone(), payload.clone(), *retain);
                out.effect(Effect::Publish { topic, payload, retain });
                return act.to_string();
            }
        };
        let source = Source::Rule { rule: rule.to_owned(), notice };
        self.accept_rule(at, source, (ask, media), trust, out)
    }

    fn accept_rule(
        &mut self,
        at: UnixMs,
        source: Source,
        (ask, media): (Ask, Vec<Medium>),
        trust: Trust,
        out: &mut Decisions,
    ) -> String {
        // The moment and a number that grows make it new, before and after a restart.
        let number = self.take_turn_number();
        let id = CommandId::lossy(&format!("rule-{}-{}", at.0, number.0));
        let command = Command {
            id: id.clone(),
            ask,
            media,
            conversation: None,
            area: None,
            dry_run: false,
            think: None,
            expires: notice_of(&source).map(|notice| notice.by),
            source,
            trust,
            received: at,
        };
        out.record(Record::Accepted { command: command.clone() });
        self.backlog.push_back(command);
        format!("command {id}")
    }
}

/// Whoever waits for what a rule's question brings.
pub(crate) fn notice_of(source: &Source) -> Option<&Notice> {
    match source {
        Source::Rule { notice, .. } => notice.as_ref(),
        Source::Mqtt { .. } | Source::Socket { .. } | Source::Microphone { .. } => None,
    }
}
