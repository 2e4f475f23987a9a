//! The rules at work: what each remembers, and what it decides.

use crate::rules::begin::{LATE_MS, RETRY_MS, begin};
use crate::rules::condition::{Look, Miss};
use crate::rules::limits::{Echoes, RuleLimits, may_ask, why_held};
use crate::rules::memory::{
    COMMON, Common, Kept, LONGEST, LONGEST_PIECE, LONGEST_TOPIC, OnTopic, RuleMemory, remembered,
};
use crate::rules::moment::Place;
use crate::rules::rule::{Rule, RuleAction, Trigger};
use crate::rules::ruling::{Act, Decision, Held, Ruling};
use crate::rules::template::{Said, fill};
use hob_events::UnixMs;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Topics of which it is known which rules look at them.
const KNOWN: usize = 4_096;

/// What is remembered is written down at the latest after this time, and at once where a rule has acted or may act again: each
/// time wears out a card.
const SAVE_MS: u64 = 60_000;

/// The rules, and what they remember.
#[derive(Debug)]
pub struct Engine {
    rules: Vec<Ruled>,
    place: Place,
    limits: RuleLimits,
    common: Common,
    common_changed: bool,
    last: LastWords,
    /// The latest moment that was told.
    latest: UnixMs,
    /// How many more commands may be begun.
    room: usize,
    /// Topics whose last words are wanted.
    watched: HashSet<String>,
    /// By topic, which rules look at it.
    looking: HashMap<Arc<str>, Arc<[usize]>>,
    echoes: Echoes,
    /// Nothing has to be looked at before.
    soonest: Option<UnixMs>,
    /// When what changed is to be written down.
    save: Option<UnixMs>,
}

/// What topics said last, read, and when.
type LastWords = HashMap<String, (UnixMs, Value)>;

/// A rule, and what it remembers.
#[derive(Debug)]
struct Ruled {
    name: Arc<str>,
    rule: Rule,
    kept: Kept,
    changed: bool,
}

/// Why a set of rules cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRules {
    /// Two of one name.
    #[error("two rules are called '{0}'")]
    Twice(String),
    /// The sun where nobody said where.
    #[error("rule '{0}' goes by the sun: say where the board stands with `latitude` and `longitude` in `[place]`")]
    Nowhere(String),
}

/// A message, or silence, or a time, for one rule to look at.
struct Sight<'a> {
    at: UnixMs,
    topic: &'a Arc<str>,
    payload: &'a str,
    value: &'a Value,
    retained: bool,
    /// The rules that led to it.
    chain: &'a [usize],
}

impl Engine {
    /// Rules that begin at a moment with what they remember.
    ///
    /// # Errors
    /// [`InvalidRules`].
    pub fn new(
        rules: Vec<Rule>,
        place: Place,
        limits: RuleLimits,
        memory: RuleMemory,
        at: UnixMs,
    ) -> Result<Self, InvalidRules> {
        let mut names = HashSet::new();
        for rule in &rules {
            if !names.insert(rule.name.as_str()) {
                return Err(InvalidRules::Twice(rule.name.clone()));
            }
            let sun = matches!(&rule.trigger, Trigger::Time(moment) if moment.needs_position());
            if sun && place.position.is_none() {
                return Err(InvalidRules::Nowhere(rule.name.clone()));
            }
        }
        let RuleMemory { rules: mut kept, mut common } = memory;
        let watched: HashSet<String> = rules.iter().flat_map(Rule::watches).map(str::to_owned).collect();
        common.last.retain(|topic, _| watched.contains(topic));
        let last = common.last.iter().map(|(topic, (at, said))| (topic.clone(), (*at, read(said)))).collect();
        let ruled = |rule: Rule| {
            let mut kept = kept.remove(&rule.name).unwrap_or_default().for_rule(rule.fingerprint());
            begin(&rule, &mut kept, &place, at);
            let changed = !matches!(rule.trigger, Trigger::Message { .. });
            Ruled { name: rule.name.as_str().into(), rule, kept, changed }
        };
        let rules: Vec<Ruled> = rules.into_iter().map(ruled).collect();
        let save = rules.iter().any(|ruled| ruled.changed).then(|| at.plus_ms(SAVE_MS));
        let mut engine = Self {
            rules,
            place,
            limits,
            common,
            common_changed: false,
            last,
            latest: at,
            room: usize::MAX,
            watched,
            looking: HashMap::new(),
            echoes: Echoes::default(),
            soonest: None,
            save,
        };
        engine.find_soonest();
        Ok(engine)
    }

    /// How many commands its rules may begin from now on, until it is told anew.
    pub fn leave_room(&mut self, commands: usize) {
        self.room = commands;
    }

    /// When it wants to be woken, if at all.
    #[must_use]
    pub fn next_wake(&self) -> Option<UnixMs> {
        self.soonest.into_iter().chain(self.save).min()
    }

    /// What has changed of what is remembered and is to be written down now, in pieces for [`RuleMemory::of`].
    pub fn changes(&mut self, at: UnixMs) -> Vec<(String, Value)> {
        if self.save.is_some_and(|save| save <= at) { self.all_changes() } else { Vec::new() }
    }

    /// The same, due or not: hob is about to stop.
    pub fn all_changes(&mut self) -> Vec<(String, Value)> {
        self.save = None;
        let mut changes = Vec::new();
        for ruled in self.rules.iter_mut().filter(|ruled| ruled.changed) {
            ruled.changed = false;
            let piece = loop {
                match piece_of(&ruled.kept) {
                    None if !ruled.kept.topics.is_empty() => ruled.kept.forget_half(),
                    piece => break piece,
                }
            };
            changes.extend(piece.map(|piece| (ruled.name.to_string(), piece)));
        }
        if std::mem::take(&mut self.common_changed) {
            changes.extend(piece_of(&self.common).map(|piece| (COMMON.to_owned(), piece)));
        }
        changes
    }

    /// What the rules decide about a message, in their order. None of them looks at most messages.
    pub fn message(&mut self, at: UnixMs, topic: &str, payload: &str, retained: bool) -> Vec<Ruling> {
        if topic.len() > LONGEST_TOPIC {
            return Vec::new();
        }
        let (topic, looking) = &self.looking(topic);
        let watched = self.watched.contains(&**topic);
        if looking.is_empty() && !watched {
            return Vec::new();
        }
        self.mend(at);
        let value = read(payload);
        if watched {
            self.note_last(at, topic, payload, &value, retained);
        }
        self.save_within(at, SAVE_MS);
        let chain = self.echoes.chain(at, topic, payload);
        let sight = Sight { at, topic, payload, value: &value, retained, chain: &chain };
        let mut decided: Option<usize> = None;
        let mut rulings = Vec::with_capacity(looking.len());
        for index in looking.iter().copied() {
            let Some(looked) = self.look(index, &sight) else { continue };
            let decision = match (looked, decided) {
                (Ok(()), Some(earlier)) => Decision::Held(Held::Before(self.rules[earlier].name.clone())),
                (Ok(()), None) => self.act(index, &sight),
                (Err(decision), _) => decision,
            };
            if matches!(decision, Decision::Acts(_) | Decision::Ignores) {
                decided = Some(index);
            }
            rulings.push(self.ruling(index, Some(topic), decision));
        }
        rulings
    }

    /// What the rules decide because time has passed.
    pub fn wake(&mut self, at: UnixMs) -> Vec<Ruling> {
        self.mend(at);
        if self.soonest.is_none_or(|soonest| soonest > at) {
            return Vec::new();
        }
        let mut rulings = Vec::new();
        for index in 0..self.rules.len() {
            for (topic, payload) in self.take_due(index, at) {
                let value = read(&payload);
                let sight = Sight { at, topic: &topic, payload: &payload, value: &value, retained: false, chain: &[] };
                let decision = self.waited(index, &sight);
                rulings.push(self.ruling(index, Some(&topic), decision));
            }
            if let Some(decision) = self.time_comes(index, at) {
                rulings.push(self.ruling(index, None, decision));
            }
        }
        self.save_within(at, SAVE_MS);
        self.find_soonest();
        rulings
    }

    /// After the clock was set, or the board slept: what waits is reckoned from now, as after a restart.
    fn mend(&mut self, at: UnixMs) {
        let back = at < self.latest;
        let late = self.soonest.is_some_and(|soonest| at.since(soonest) > LATE_MS);
        self.latest = at;
        if back || late {
            for ruled in &mut self.rules {
                begin(&ruled.rule, &mut ruled.kept, &self.place, at);
            }
            self.find_soonest();
        }
    }

    /// Remembers what a topic said whose last words are wanted. What the broker had kept has no age.
    fn note_last(&mut self, at: UnixMs, topic: &str, payload: &str, value: &Value, retained: bool) {
        self.common_changed = true;
        if payload.len() > LONGEST {
            self.common.last.remove(topic);
            self.last.remove(topic);
            return;
        }
        let said_at = match self.last.get(topic) {
            _ if !retained => at,
            Some((before, _)) => *before,
            None => UnixMs(0),
        };
        self.common.last.insert(topic.to_owned(), (said_at, payload.to_owned()));
        self.last.insert(topic.to_owned(), (said_at, value.clone()));
    }

    fn ruling(&self, index: usize, topic: Option<&Arc<str>>, decision: Decision) -> Ruling {
        Ruling { rule: self.rules[index].name.clone(), topic: topic.cloned(), decision }
    }

    fn find_soonest(&mut self) {
        let waits = self.rules.iter().flat_map(|ruled| {
            let topics = ruled.kept.topics.values().filter_map(|on| on.waits.as_ref().map(|(until, _)| *until));
            topics.chain(ruled.kept.due)
        });
        self.soonest = waits.min();
    }

    fn save_within(&mut self, at: UnixMs, ms: u64) {
        self.save = self.save.into_iter().chain([at.plus_ms(ms)]).min();
    }

    /// The rules that look at a topic, and its name.
    fn looking(&mut self, topic: &str) -> (Arc<str>, Arc<[usize]>) {
        if let Some((topic, looking)) = self.looking.get_key_value(topic) {
            return (topic.clone(), looking.clone());
        }
        let looks = |(index, ruled): (usize, &Ruled)| ruled.rule.listens_to(topic).then_some(index);
        let looking: Arc<[usize]> = self.rules.iter().enumerate().filter_map(looks).collect();
        if self.looking.len() == KNOWN {
            self.looking.clear();
        }
        let topic: Arc<str> = topic.into();
        self.looking.insert(topic.clone(), looking.clone());
        (topic, looking)
    }

    /// Has a rule look: `Ok` where it is to act now, nothing where there is nothing to tell.
    fn look(&mut self, index: usize, sight: &Sight<'_>) -> Option<Result<(), Decision>> {
        let Ruled { rule, kept, changed, .. } = &mut self.rules[index];
        let outcome = match &rule.trigger {
            Trigger::Time(_) => return None,
            // What the broker had kept may be of a sensor that is long gone; and one that is waited for is not forgotten for others.
            Trigger::Silence { .. } if sight.retained || kept.is_full_for(sight.topic) => return None,
            Trigger::Message { retained: false, .. } if sight.retained => {
                return Some(Err(Decision::Held(Held::Retained)));
            }
            // It is cut off before it waits for anything.
            Trigger::Message { .. } if sight.chain.contains(&index) => return Some(Ok(())),
            Trigger::Silence { after_ms, .. } => {
                let on = kept.on(sight.topic, rule.when.leaves());
                let was_told = std::mem::take(&mut on.told);
                on.waits = Some((sight.at.plus_ms(*after_ms), remembered(sight.payload)));
                (None, was_told)
            }
            Trigger::Message { .. } => {
                let on = kept.on(sight.topic, rule.when.leaves());
                let was_told = on.told;
                let outcome = look_at(rule, on, sight, &self.last);
                (Some(outcome), was_told && !on.told)
            }
        };
        *changed = true;
        let (outcome, may_act_again) = outcome;
        let on = kept.on(sight.topic, rule.when.leaves());
        on.heard = sight.at;
        let waits = on.waits.as_ref().map(|(until, _)| *until);
        self.soonest = self.soonest.into_iter().chain(waits).min();
        if may_act_again {
            self.save_within(sight.at, 0);
        }
        outcome
    }

    /// The topics of a rule whose waiting is over, and what was said there.
    fn take_due(&mut self, index: usize, at: UnixMs) -> Vec<(Arc<str>, String)> {
        let topics = self.rules[index].kept.topics.iter_mut();
        let due = topics.filter(|(_, on)| on.waits.as_ref().is_some_and(|(until, _)| *until <= at));
        due.filter_map(|(topic, on)| Some((topic.clone(), on.waits.take()?.1))).collect()
    }

    /// Waiting is over: what was waited for holds still, or nothing was said.
    fn waited(&mut self, index: usize, sight: &Sight<'_>) -> Decision {
        let Ruled { rule, kept, changed, .. } = &mut self.rules[index];
        *changed = true;
        let look = Look { at: sight.at, payload: sight.value, last: &|topic| said_last(&self.last, topic) };
        let on = kept.on(sight.topic, rule.when.leaves());
        let holds = match &rule.trigger {
            Trigger::Silence { .. } => rule.when.test(&look, &mut on.leaves),
            Trigger::Message { .. } | Trigger::Time(_) => rule.when.still_holds(&look, &mut on.leaves),
        };
        let decision = match holds {
            Ok(()) => self.act(index, sight),
            Err(miss) => Decision::Misses(miss),
        };
        let Ruled { rule, kept, .. } = &mut self.rules[index];
        let lasts = matches!(rule.trigger, Trigger::Silence { .. }) || rule.for_ms > 0;
        // It may be let act later, as long as it lasts.
        if lasts && !matches!(decision, Decision::Acts(_) | Decision::Ignores) {
            let on = kept.on(sight.topic, rule.when.leaves());
            on.waits = Some((sight.at.plus_ms(RETRY_MS), remembered(sight.payload)));
        }
        decision
    }

    fn time_comes(&mut self, index: usize, at: UnixMs) -> Option<Decision> {
        let Ruled { rule, kept, changed, .. } = &mut self.rules[index];
        let Trigger::Time(moment) = &rule.trigger else { return None };
        kept.due.filter(|due| *due <= at)?;
        kept.due = moment.after(at, &self.place);
        *changed = true;
        let topic = &Arc::from("");
        let sight = Sight { at, topic, payload: "", value: &Value::Null, retained: false, chain: &[] };
        match holds(rule, kept.on(topic, rule.when.leaves()), &sight, &self.last) {
            Ok(()) => Some(self.act(index, &sight)),
            Err(miss) => Some(miss),
        }
    }

    /// Acts, unless it may not.
    fn act(&mut self, index: usize, sight: &Sight<'_>) -> Decision {
        let Ruled { rule, kept, .. } = &mut self.rules[index];
        let at = sight.at;
        if !rule.during.is_empty() && !rule.during.iter().any(|window| window.holds(at, &self.place)) {
            let windows: Vec<String> = rule.during.iter().map(ToString::to_string).collect();
            return Decision::Held(Held::Outside(windows.join(", ")));
        }
        let Some(act) = filled(&rule.action, sight, &self.last) else { return Decision::Ignores };
        let takes_room = !matches!(act, Act::Publish { .. });
        let held = why_held(kept, &rule.limits, self.limits, at, sight.chain.contains(&index));
        let held = held.or_else(|| (takes_room && self.room == 0).then_some(Held::Full));
        let asks = matches!(act, Act::Ask(_) | Act::Notify { .. });
        let held = held.or_else(|| asks.then(|| may_ask(&mut self.common.asked, self.limits, at).err()).flatten());
        if let Some(held) = held {
            return Decision::Held(held);
        }
        self.room -= usize::from(takes_room);
        kept.fired.push(at);
        kept.on(sight.topic, rule.when.leaves()).told = true;
        self.common_changed |= asks;
        if let Act::Publish { topic, payload, .. } = &act {
            self.echoes.published(at, topic, payload, sight.chain, index);
        }
        self.save_within(at, 0);
        Decision::Acts(act)
    }
}

/// A piece of memory as it is written down; nothing where it has become too large for that.
fn piece_of(memory: &impl serde::Serialize) -> Option<Value> {
    let piece = serde_json::to_value(memory).ok()?;
    (piece.to_string().len() <= LONGEST_PIECE).then_some(piece)
}

fn said_last<'a>(last: &'a LastWords, topic: &str) -> Option<(UnixMs, &'a Value)> {
    last.get(topic).map(|(at, value)| (*at, value))
}

/// Whether the condition holds, from whatever it is asked.
fn holds(rule: &Rule, on: &mut OnTopic, sight: &Sight<'_>, last: &LastWords) -> Result<(), Decision> {
    let look = Look { at: sight.at, payload: sight.value, last: &|topic| said_last(last, topic) };
    rule.when.test(&look, &mut on.leaves).map_err(Decision::Misses)
}

/// What a rule makes of a message: `Ok` where it is to act now.
fn look_at(rule: &Rule, on: &mut OnTopic, sight: &Sight<'_>, last: &LastWords) -> Result<(), Decision> {
    if let Err(miss) = holds(rule, on, sight, last) {
        // A message that says nothing of the value says nothing against it.
        if matches!(miss, Decision::Misses(Miss::Absent(_))) {
            return Err(miss);
        }
        (on.since, on.told, on.waits) = (None, false, None);
        return Err(miss);
    }
    let since = *on.since.get_or_insert(sight.at);
    if rule.once && on.told {
        return Err(Decision::Held(Held::Told));
    }
    let waits = since.plus_ms(rule.for_ms).max(sight.at.plus_ms(rule.debounce_ms));
    if waits <= sight.at {
        on.waits = None;
        return Ok(());
    }
    on.waits = Some((waits, remembered(sight.payload)));
    Err(Decision::Waits(waits))
}

/// A payload that is no JSON is a plain text, as many devices send it.
fn read(payload: &str) -> Value {
    serde_json::from_str(payload).unwrap_or_else(|_| Value::String(payload.to_owned()))
}

/// What a rule does, with its words filled in; nothing for one that ignores.
fn filled(action: &RuleAction, sight: &Sight<'_>, last: &LastWords) -> Option<Act> {
    let last = |topic: &str| last.get(topic).map(|(_, value)| value);
    let said = Said { topic: sight.topic, payload: sight.payload, value: sight.value, last: &last };
    match action {
        RuleAction::Ask(template) => Some(Act::Ask(fill(template, &said))),
        RuleAction::Notify { topic, ask, within_ms } => {
            Some(Act::Notify { topic: topic.clone(), words: fill(ask, &said), within_ms: *within_ms })
        }
        RuleAction::Call { tool, args } => Some(Act::Call { tool: tool.clone(), args: args.clone() }),
        RuleAction::Publish { topic, payload, retain } => {
            Some(Act::Publish { topic: topic.clone(), payload: fill(payload, &said), retain: *retain })
        }
        RuleAction::Ignore => None,
    }
}
