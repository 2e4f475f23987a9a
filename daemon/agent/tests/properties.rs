//! What holds for every list of steps.

mod house;

use hob_agent::{Agent, Answer, Decisions, Effect, Input, Step};
use hob_events::{CommandId, GenerateFailure, Outcome, Record, Source, ToolCall, TurnId, UnixMs, Writing};
use house::*;
use proptest::prelude::*;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// What the world does next. Indexes are taken modulo what there is.
#[derive(Debug, Clone)]
enum Move {
    Command { conversation: Option<u8>, ttl_ms: Option<u16> },
    Generate { which: usize, writing: Vec<u8>, fails: bool },
    End { which: usize, well: bool },
    Answer { which: usize, number: u32, yes: bool },
    Cancel { which: usize },
    Late { turn: u8 },
    Ready,
    Hold,
    Message { hot: bool },
    Pass { ms: u32 },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let step = prop_oneof![
        4 => (proptest::option::of(0u8..2), proptest::option::of(1u16..2_000)).prop_map(|(conversation, ttl_ms)| Move::Command { conversation, ttl_ms }),
        6 => (any::<usize>(), proptest::collection::vec(0u8..7, 0..3), prop::bool::weighted(0.1)).prop_map(|(which, writing, fails)| Move::Generate { which, writing, fails }),
        5 => (any::<usize>(), any::<bool>()).prop_map(|(which, well)| Move::End { which, well }),
        2 => (any::<usize>(), 1u32..3, any::<bool>()).prop_map(|(which, number, yes)| Move::Answer { which, number, yes }),
        1 => any::<usize>().prop_map(|which| Move::Cancel { which }),
        1 => (0u8..20).prop_map(|turn| Move::Late { turn }),
        1 => any::<bool>().prop_map(|hot| Move::Message { hot }),
        2 => (1u32..90_000).prop_map(|ms| Move::Pass { ms }),
        6 => Just(Move::Ready),
        1 => Just(Move::Hold),
    ];
    proptest::collection::vec(step, 0..60)
}

/// The world around the agent: what is outstanding, and what was seen.
struct World {
    agent: Agent,
    now: u64,
    accepted: Vec<CommandId>,
    generating: BTreeSet<TurnId>,
    calling: BTreeMap<TurnId, ToolCall>,
    finals: BTreeMap<CommandId, usize>,
    log: Vec<(Step, Decisions)>,
}

impl World {
    fn new() -> Self {
        let rules = json!([{"name": "hot", "topic": "t", "when": {"equals": "hot"}, "do": {"ask": "it is {payload}"}}]);
        Self {
            agent: agent(rules).hold(),
            now: 1,
            accepted: Vec::new(),
            generating: BTreeSet::new(),
            calling: BTreeMap::new(),
            finals: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    fn tell(&mut self, input: Input) {
        self.now += 1;
        let step = Step { at: UnixMs(self.now), input };
        match &step.input {
            Input::Generated { turn, .. } => _ = self.generating.remove(turn),
            Input::Ended { receipt } => _ = self.calling.remove(&receipt.id.turn),
            Input::Happened(_)
            | Input::Answered { .. }
            | Input::Cancel { .. }
            | Input::OfferChanged(_)
            | Input::Ready
            | Input::Hold
            | Input::ModelChanged(_)
            | Input::Wake => {}
        }
        let decisions = self.agent.step(step.clone());
        for record in &decisions.records {
            if let Record::Accepted { command } = record {
                self.accepted.push(command.id.clone());
            }
        }
        for effect in &decisions.effects {
            match effect {
                Effect::Generate(order) => {
                    assert!(self.generating.insert(order.turn), "a second generation of {}", order.turn);
                    assert!(!self.calling.contains_key(&order.turn), "a generation while a call runs");
                }
                Effect::CancelGeneration(turn) => _ = self.generating.remove(turn),
                Effect::Call { call, .. } => {
                    assert!(!self.generating.contains(&call.id.turn), "a call while a generation runs");
                    assert!(self.calling.insert(call.id.turn, call.clone()).is_none(), "a second call at once");
                }
                Effect::Publish { topic, .. } => assert_eq!(topic, "", "no rule publishes"),
                Effect::Tell { update, .. } => {
                    assert!(!self.finals.contains_key(&update.id), "a status after the final result");
                }
                Effect::Finish { result, .. } => {
                    assert!(result.status.is_final());
                    *self.finals.entry(result.id.clone()).or_default() += 1;
                }
            }
        }
        self.log.push((step, decisions));
    }

    fn make(&mut self, next: Move) {
        match next {
            Move::Command { conversation, ttl_ms } => {
                if self.agent.room() == 0 {
                    return;
                }
                let id = format!("c{}", self.accepted.len());
                let mut command = conversation.map_or_else(|| text(&id), |c| in_conversation(&id, &c.to_string()));
                command.received = UnixMs(self.now);
                command.expires = ttl_ms.map(|ttl| UnixMs(self.now + u64::from(ttl)));
                self.accepted.push(command.id.clone());
                let Step { input, .. } = happened(self.now, command);
                self.tell(input);
            }
            Move::Generate { which, writing, fails } => {
                let Some(turn) = pick(self.generating.iter(), which).copied() else { return };
                let writing: Vec<Writing> = writing.into_iter().map(written).collect();
                let Step { input, .. } = generated(self.now, turn.0, writing);
                let failed = Input::Generated { turn, result: Err(GenerateFailure::Deadline { limit_ms: 1 }) };
                self.tell(if fails { failed } else { input });
            }
            Move::End { which, well } => {
                let Some(call) = pick(self.calling.values(), which).cloned() else { return };
                let failed = Outcome::Stopped { reason: "it trapped".into() };
                let outcome = if well { Outcome::Returned { value: json!({"ok": true}) } } else { failed };
                self.tell(Input::Ended { receipt: receipt(&call, outcome) });
            }
            Move::Answer { which, number, yes } => {
                let Some(command) = pick(self.accepted.iter(), which).cloned() else { return };
                let answer = Answer { command, number: Some(number), yes };
                self.tell(Input::Answered { answer, source: Source::Socket { uid: 0 } });
            }
            Move::Cancel { which } => {
                let Some(command) = pick(self.accepted.iter(), which).cloned() else { return };
                self.tell(Input::Cancel { command });
            }
            Move::Late { turn } => {
                let turn = TurnId(u64::from(turn));
                if !self.generating.contains(&turn) {
                    let Step { input, .. } = generated(self.now, turn.0, vec![words("late")]);
                    self.tell(input);
                }
            }
            Move::Ready => self.tell(Input::Ready),
            Move::Hold => self.tell(Input::Hold),
            Move::Message { hot } => {
                let payload = if hot { "hot" } else { "cold" }.to_owned();
                let kind = hob_events::EventKind::Message { topic: "t".into(), payload, retained: false };
                self.tell(Input::Happened(hob_events::Event { at: UnixMs(self.now), kind }));
            }
            Move::Pass { ms } => {
                self.now += u64::from(ms);
                self.tell(Input::Wake);
            }
        }
    }

    /// Answers everything that is outstanding until nothing is.
    fn drain(&mut self) {
        self.tell(Input::Ready);
        for _ in 0..2_000 {
            if let Some(turn) = self.generating.first().copied() {
                let Step { input, .. } = generated(self.now, turn.0, vec![words("bye")]);
                self.tell(input);
            } else if let Some(call) = self.calling.values().next().cloned() {
                self.tell(Input::Ended { receipt: receipt(&call, Outcome::Returned { value: json!({}) }) });
            } else if let Some(wake) = self.agent.next_wake() {
                self.now = self.now.max(wake.0);
                self.tell(Input::Wake);
            } else {
                return;
            }
        }
        unreachable!("the agent never comes to rest");
    }
}

fn pick<T>(mut from: impl ExactSizeIterator<Item = T>, which: usize) -> Option<T> {
    let length = from.len();
    if length == 0 { None } else { from.nth(which % length) }
}

fn written(kind: u8) -> Writing {
    match kind {
        0 => call("turn_on", "lamp", 1.0),
        1 => call("toggle", "lamp", 1.0),
        2 => call("unlock", "front door", 1.0),
        3 => call("get_state", "lamp", 1.0),
        4 => call("turn_on", "lamp", 0.01),
        5 => Writing::Malformed { text: "call:".into(), reason: "it has no end".into() },
        _ => words("hello"),
    }
}

proptest! {
    #[test]
    fn every_accepted_command_reaches_exactly_one_final_result(moves in moves()) {
        let mut world = World::new();
        for next in moves {
            world.make(next);
        }
        world.drain();
        prop_assert_eq!(world.agent.unfinished(), 0);
        for id in &world.accepted {
            prop_assert_eq!(world.finals.get(id).copied(), Some(1), "{}", id);
        }
        prop_assert_eq!(world.finals.len(), world.accepted.len());
    }

    #[test]
    fn the_same_steps_give_the_same_answers(moves in moves()) {
        let mut world = World::new();
        for next in moves {
            world.make(next);
        }
        let mut again = World::new().agent;
        for (step, decisions) in world.log {
            prop_assert_eq!(again.step(step), decisions);
        }
    }

    #[test]
    fn no_lock_moves_without_a_yes(moves in moves()) {
        let mut world = World::new();
        for next in moves.into_iter().filter(|next| !matches!(next, Move::Answer { yes: true, .. })) {
            world.make(next);
        }
        world.drain();
        let unlocked = |decisions: &Decisions| decisions.effects.iter().any(|effect| matches!(effect, Effect::Call { call, .. } if call.tool.as_str() == "unlock"));
        prop_assert!(!world.log.iter().any(|(_, decisions)| unlocked(decisions)));
    }
}
