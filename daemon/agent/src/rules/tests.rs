use super::*;
use hob_events::UnixMs;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Half past ten at night on Wednesday, 25 November 2026, in universal time.
const EVENING: UnixMs = UnixMs(1_795_645_800_000);

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Rules at work, and a clock that is moved by hand.
struct Watched {
    engine: Engine,
    at: UnixMs,
    /// What was written down.
    saved: BTreeMap<String, Value>,
}

fn rules(written: Value) -> Vec<Rule> {
    serde_json::from_value(written).unwrap()
}

fn watched(written: Value) -> Watched {
    Watched::with(written, RuleLimits::default(), RuleMemory::default())
}

impl Watched {
    fn with(written: Value, limits: RuleLimits, memory: RuleMemory) -> Self {
        Self::in_place(written, Place::default(), limits, memory)
    }

    fn in_place(written: Value, place: Place, limits: RuleLimits, memory: RuleMemory) -> Self {
        let engine = Engine::new(rules(written), place, limits, memory, EVENING).unwrap();
        Self { engine, at: EVENING, saved: BTreeMap::new() }
    }

    /// What each rule says to a message so much later.
    fn after(&mut self, ms: u64, topic: &str, payload: &Value) -> Vec<String> {
        self.at = self.at.plus_ms(ms);
        let payload = payload.as_str().map_or_else(|| payload.to_string(), str::to_owned);
        let rulings = self.engine.message(self.at, topic, &payload, false);
        self.saved.extend(self.engine.changes(self.at));
        told(rulings)
    }

    /// What each rule says when so much time has passed, told at the moments that were asked for.
    fn wait(&mut self, ms: u64) -> Vec<String> {
        let until = self.at.plus_ms(ms);
        let mut all = Vec::new();
        while let Some(wake) = self.engine.next_wake().filter(|wake| *wake <= until) {
            self.at = self.at.max(wake);
            all.extend(told(self.engine.wake(self.at)));
            self.saved.extend(self.engine.changes(self.at));
        }
        self.at = until;
        all
    }

    /// The same after a restart that took so long.
    fn restarted(mut self, written: Value, ms: u64) -> Self {
        self.saved.extend(self.engine.all_changes());
        let (memory, at) = (RuleMemory::of(self.saved.clone()), self.at.plus_ms(ms));
        let engine = Engine::new(rules(written), Place::default(), RuleLimits::default(), memory, at).unwrap();
        Self { engine, at, saved: self.saved }
    }
}

fn told(rulings: Vec<Ruling>) -> Vec<String> {
    rulings.into_iter().map(|ruling| format!("{} {}", ruling.rule, ruling.decision)).collect()
}

fn ask(name: &str, more: Value) -> Value {
    let mut rule = json!({"name": name, "topic": "s", "do": {"ask": "!"}});
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!([rule])
}

#[test]
fn a_threshold_with_hysteresis_acts_once_until_it_is_back() {
    let mut damp = watched(ask("damp", json!({"when": {"pointer": "/h", "above": 70, "until": 65}})));
    let mut said = |number: f64| damp.after(SECOND, "s", &json!({"h": number}));
    assert_eq!(said(60.0), ["damp no: /h is 60, not above 70"]);
    assert_eq!(said(71.0), ["damp asks: !"]);
    assert_eq!(said(69.0), ["damp holds, but it has acted on this already"]);
    assert_eq!(said(72.0), ["damp holds, but it has acted on this already"]);
    assert_eq!(said(64.9), ["damp no: /h is 64.9, not above 65"]);
    assert_eq!(said(69.0), ["damp no: /h is 69, not above 70"]);
    assert_eq!(said(70.5), ["damp asks: !"]);
}

#[test]
fn a_message_without_the_value_changes_nothing() {
    let written = ask("damp", json!({"when": {"pointer": "/h", "above": 70, "until": 65}, "for_ms": MINUTE}));
    let mut damp = watched(written);
    damp.after(0, "s", &json!({"h": 75}));
    assert_eq!(damp.after(0, "s", &json!({"battery": 90})), ["damp no: there is no /h"]);
    assert_eq!(damp.wait(MINUTE), ["damp asks: !"]);
    damp.after(0, "s", &json!({"battery": 90}));
    assert_eq!(damp.after(0, "s", &json!({"h": 68})), ["damp holds, but it has acted on this already"]);
}

#[test]
fn what_has_to_hold_for_a_time_acts_when_that_is_over_and_not_when_it_ended_before() {
    let mut open =
        watched(ask("open", json!({"when": {"pointer": "/contact", "equals": false}, "for_ms": 10 * MINUTE})));
    assert_eq!(open.after(0, "s", &json!({"contact": false})), ["open waits until 2026-11-25 22:40:00 UTC"]);
    assert_eq!(open.after(9 * MINUTE, "s", &json!({"contact": false})), ["open waits until 2026-11-25 22:40:00 UTC"]);
    assert_eq!(open.after(30 * SECOND, "s", &json!({"contact": true})), ["open no: /contact is true"]);
    assert!(open.wait(HOUR).is_empty());
    open.after(0, "s", &json!({"contact": false}));
    assert_eq!(open.wait(HOUR), ["open asks: !"]);
    assert_eq!(open.after(0, "s", &json!({"contact": false})), ["open holds, but it has acted on this already"]);
}

#[test]
fn a_debounced_rule_looks_when_nothing_more_is_said() {
    let mut still = watched(ask("still", json!({"debounce_ms": 5 * SECOND, "do": {"ask": "{payload}"}})));
    for word in ["a", "b", "c"] {
        assert!(still.wait(SECOND).is_empty());
        still.after(SECOND, "s", &json!(word));
    }
    assert_eq!(still.wait(10 * SECOND), ["still asks: c"]);
}

#[test]
fn changes_and_rates_are_told_from_the_last_time() {
    let mut any = watched(ask("any", json!({"when": {"changed": true}})));
    assert_eq!(any.after(0, "s", &json!("on")), ["any no: the payload was never seen before"]);
    assert_eq!(any.after(0, "s", &json!("on")), ["any no: the payload has not changed enough"]);
    assert_eq!(any.after(0, "s", &json!("off")), ["any asks: !"]);
    let mut far = watched(ask("far", json!({"when": {"pointer": "/t", "changed_by": 2}})));
    far.after(0, "s", &json!({"t": 20}));
    assert_eq!(far.after(0, "s", &json!({"t": 21})), ["far no: /t has not changed enough"]);
    assert_eq!(far.after(0, "s", &json!({"t": 19})), ["far asks: !"]);
    let mut fast = watched(ask("fast", json!({"when": {"pointer": "/t", "rising_above": 1.5}})));
    fast.after(0, "s", &json!({"t": 20}));
    assert_eq!(fast.after(MINUTE, "s", &json!({"t": 21})), ["fast no: /t rises by 1.000 a minute"]);
    assert_eq!(fast.after(MINUTE, "s", &json!({"t": 23})), ["fast asks: !"]);
}

#[test]
fn silence_is_told_once_and_again_after_something_was_said() {
    let written =
        json!([{"name": "dead", "topic": "z/+", "silent_ms": 30 * MINUTE, "do": {"ask": "{topic} is silent"}}]);
    let mut dead = watched(written.clone());
    assert!(dead.wait(2 * HOUR).is_empty(), "nobody was ever heard");
    dead.after(0, "z/one", &json!("1"));
    dead.after(20 * MINUTE, "z/two", &json!("1"));
    assert_eq!(dead.wait(15 * MINUTE), ["dead asks: z/one is silent"]);
    assert_eq!(dead.wait(HOUR), ["dead asks: z/two is silent"]);
    assert!(dead.wait(24 * HOUR).is_empty());
    dead.after(0, "z/one", &json!("1"));
    let mut dead = dead.restarted(written, HOUR);
    assert!(dead.wait(29 * MINUTE).is_empty(), "what was said while hob was away nobody knows");
    assert_eq!(dead.wait(2 * MINUTE), ["dead asks: z/one is silent"]);
}

#[test]
fn a_single_topic_is_missed_from_the_start() {
    let mut dead = watched(json!([{"name": "dead", "topic": "z/one", "silent_ms": MINUTE, "do": {"ask": "!"}}]));
    assert_eq!(dead.wait(HOUR), ["dead asks: !"]);
}

#[test]
fn conditions_are_combined_over_topics() {
    let mut away = watched(ask(
        "away",
        json!({"when": {
            "equals": "open",
            "all": [{"topic": "mode", "equals": "away", "not_older_ms": HOUR}],
            "any": [{"topic": "lux", "below": 10}, {"topic": "sun", "equals": "down"}],
            "not": {"topic": "alarm", "equals": "off"},
        }}),
    ));
    let open = json!("open");
    assert_eq!(away.after(0, "s", &open), ["away no: mode has said nothing yet"]);
    assert!(away.after(0, "mode", &json!("away")).is_empty());
    assert_eq!(away.after(0, "s", &open), ["away no: none of 2 conditions holds"]);
    away.after(0, "lux", &json!("4"));
    assert_eq!(away.after(0, "s", &open), ["away asks: !"]);
    away.after(0, "alarm", &json!("off"));
    assert_eq!(away.after(0, "s", &open), ["away no: what must not hold does"]);
    away.after(0, "alarm", &json!("on"));
    assert_eq!(away.after(2 * HOUR, "s", &open), ["away no: mode said that 2 h ago"]);
}

#[test]
fn parts_of_the_day_go_over_midnight_and_by_the_local_clock() {
    let night = ask("night", json!({"during": [{"from": "22:00", "to": "06:00", "days": ["wed"]}]}));
    let mut here = watched(night.clone());
    assert_eq!(here.after(0, "s", &json!(1)), ["night asks: !"]);
    assert_eq!(here.after(7 * HOUR, "s", &json!(1)), ["night asks: !"], "Thursday, half past five");
    assert_eq!(here.after(HOUR, "s", &json!(1)), ["night holds, but only at 22:00–06:00 Wed"]);
    assert_eq!(here.after(16 * HOUR, "s", &json!(1)), ["night holds, but only at 22:00–06:00 Wed"], "Thursday night");
    let place = Place { zone: chrono_tz::Asia::Tokyo, position: None };
    let mut there = Watched::in_place(night, place, RuleLimits::default(), RuleMemory::default());
    assert_eq!(there.after(0, "s", &json!(1)), ["night holds, but only at 22:00–06:00 Wed"], "half past seven there");
}

#[test]
fn times_come_by_cron_and_by_the_sun() {
    let place = Place { zone: chrono_tz::Europe::Berlin, position: sunrise::Coordinates::new(52.52, 13.405) };
    let written = json!([
        {"name": "morning", "at": "30 6 * * 1-5", "do": {"ask": "up"}},
        {"name": "dusk", "at": {"sun": "sunset", "minutes": -30}, "do": {"ask": "dark"}},
    ]);
    let mut day = Watched::in_place(written, place, RuleLimits::default(), RuleMemory::default());
    assert!(day.wait(MINUTE).is_empty());
    assert_eq!(day.engine.next_wake(), Some(EVENING.plus_ms(7 * HOUR)), "half past six in Berlin");
    assert_eq!(day.wait(8 * HOUR), ["morning asks: up"]);
    // The sun sets in Berlin on 26 November at 15:59 local time by the almanac, 14:59 universal time.
    day.wait(MINUTE);
    let dusk = day.engine.next_wake().unwrap();
    let almanac = EVENING.plus_ms(15 * HOUR + 59 * MINUTE);
    assert!(dusk.since(almanac).max(almanac.since(dusk)) < 3 * MINUTE, "{dusk:?}");
    assert_eq!(day.wait(12 * HOUR), ["dusk asks: dark"]);
}

#[test]
fn a_time_that_was_missed_is_made_up_for_only_if_it_is_not_long_ago() {
    let written = json!([{"name": "late", "at": "0 23 * * *", "do": {"ask": "!"}}]);
    let again = |away: u64| watched(written.clone()).restarted(written.clone(), away).wait(SECOND);
    assert_eq!(again(32 * MINUTE), ["late asks: !"]);
    assert!(again(2 * HOUR).is_empty());
}

#[test]
fn limits_hold_for_each_rule_and_for_all_questions() {
    let mut few = watched(ask("few", json!({"at_most": {"times": 2, "within_ms": HOUR}, "not_within_ms": MINUTE})));
    let mut said = |ms: u64| few.after(ms, "s", &json!(1)).remove(0);
    assert_eq!(said(0), "few asks: !");
    assert_eq!(said(SECOND), "few holds, but it acts once in 60 s");
    assert_eq!(said(MINUTE), "few asks: !");
    assert_eq!(said(MINUTE), "few holds, but it acts 2 times in 60 min");
    assert_eq!(said(HOUR), "few asks: !");
    let limits = RuleLimits { asks_per_hour: 3, ..RuleLimits::default() };
    let mut all = Watched::with(ask("talk", json!({})), limits, RuleMemory::default());
    for _ in 0..3 {
        assert_eq!(all.after(SECOND, "s", &json!(1)), ["talk asks: !"]);
    }
    assert_eq!(all.after(SECOND, "s", &json!(1)), ["talk holds, but rules ask the model 3 times an hour"]);
    assert_eq!(all.after(HOUR, "s", &json!(1)), ["talk asks: !"]);
}

#[test]
fn a_rule_that_causes_itself_is_cut_off() {
    let mut ring = watched(json!([
        {"name": "ping", "topic": "a", "do": {"publish": {"topic": "b", "payload": "x"}}},
        {"name": "pong", "topic": "b", "do": {"publish": {"topic": "a", "payload": "x"}}},
    ]));
    assert_eq!(ring.after(0, "a", &json!("x")), ["ping publishes x to b"]);
    assert_eq!(ring.after(0, "b", &json!("x")), ["pong publishes x to a"]);
    let cut = "ping holds, but it caused itself or acts too often, and does nothing until 2026-11-25 22:40:00 UTC";
    assert_eq!(ring.after(0, "a", &json!("x")), [cut]);
    assert_eq!(ring.after(11 * MINUTE, "a", &json!("x")), ["ping publishes x to b"]);
    // By a way that hob does not see it is known by how often it acts.
    let mut storm = watched(json!([{"name": "storm", "topic": "a", "do": {"call": {"tool": "toggle"}}}]));
    let acts = (0..200).filter(|_| storm.after(10, "a", &json!(1))[0].contains("calls")).count();
    assert_eq!(acts, RuleLimits::default().acts_per_minute);
}

#[test]
fn the_first_that_acts_decides_and_all_remember() {
    let mut two = watched(json!([
        {"name": "quiet", "topic": "s", "when": {"equals": "test"}, "do": "ignore"},
        {"name": "first", "topic": "s", "when": {"changed": true}, "do": {"ask": "1"}},
        {"name": "second", "topic": "+", "when": {"changed": true}, "do": {"ask": "2"}},
    ]));
    two.after(0, "s", &json!("a"));
    assert_eq!(
        two.after(0, "s", &json!("test")),
        [
            "quiet ignores it",
            "first holds, but 'quiet' decided before it",
            "second holds, but 'quiet' decided before it"
        ]
    );
    assert_eq!(
        two.after(0, "s", &json!("b")),
        ["quiet no: the payload is \"b\"", "first asks: 1", "second holds, but 'first' decided before it"]
    );
}

#[test]
fn what_the_broker_kept_moves_no_rule_that_did_not_ask_for_it() {
    let mut engine = watched(ask("live", json!({}))).engine;
    assert_eq!(
        told(engine.message(EVENING, "s", "1", true)),
        ["live holds, but the broker had kept the message from before"]
    );
    let mut engine = watched(ask("kept", json!({"retained": true}))).engine;
    assert_eq!(told(engine.message(EVENING, "s", "1", true)), ["kept asks: !"]);
}

#[test]
fn what_is_held_leaves_the_message_to_the_next_rule() {
    let mut two = watched(json!([
        {"name": "day", "topic": "s", "during": [{"from": "06:00", "to": "22:00"}], "do": {"ask": "day"}},
        {"name": "any", "topic": "s", "do": {"ask": "any"}},
    ]));
    assert_eq!(two.after(0, "s", &json!(1)), ["day holds, but only at 06:00–22:00", "any asks: any"]);
    two.engine.leave_room(0);
    let full = "any holds, but as many commands of rules wait as may";
    assert_eq!(two.after(0, "s", &json!(1)).pop().unwrap(), full);
    two.engine.leave_room(1);
    assert_eq!(two.after(0, "s", &json!(1)).pop().unwrap(), "any asks: any");
    assert_eq!(two.after(0, "s", &json!(1)).pop().unwrap(), full);
}

#[test]
fn silence_that_may_not_be_told_is_told_later() {
    let mut dead = watched(json!([
        {"name": "dead", "topic": "z", "silent_ms": HOUR, "during": [{"from": "08:00", "to": "22:00"}], "do": {"ask": "!"}},
    ]));
    let night = dead.wait(9 * HOUR);
    assert!(!night.is_empty() && night.iter().all(|told| told == "dead holds, but only at 08:00–22:00"), "{night:?}");
    assert_eq!(dead.wait(HOUR).last().unwrap(), "dead asks: !");
    assert!(dead.wait(24 * HOUR).is_empty());
}

#[test]
fn what_the_broker_kept_is_no_sign_of_life_and_has_no_age() {
    let mut kept = watched(json!([
        {"name": "dead", "topic": "z/+", "silent_ms": MINUTE, "do": {"ask": "!"}},
        {"name": "mode", "topic": "s", "when": {"topic": "m", "equals": "x", "not_older_ms": HOUR}, "do": {"ask": "m"}},
        {"name": "any age", "topic": "s", "when": {"topic": "m", "equals": "x"}, "do": {"ask": "m"}},
    ]));
    kept.engine.message(EVENING, "z/one", "1", true);
    kept.engine.message(EVENING, "m", "x", true);
    assert!(kept.wait(HOUR).is_empty());
    let told = kept.after(0, "s", &json!(1));
    assert!(told[0].starts_with("mode no: m said that ") && told[1] == "any age asks: m", "{told:?}");
}

#[test]
fn what_others_say_meanwhile_counts_when_waiting_is_over() {
    let written = json!([{
        "name": "window", "topic": "w", "for_ms": 15 * MINUTE, "do": {"ask": "cold"},
        "when": {"equals": "open", "all": [{"topic": "out", "below": 10}], "not": {"topic": "mode", "equals": "airing"}},
    }]);
    let mut window = watched(written);
    window.after(0, "out", &json!(4));
    window.after(0, "w", &json!("open"));
    window.after(5 * MINUTE, "out", &json!(14));
    assert_eq!(window.wait(11 * MINUTE), ["window no: the payload is 14, not below 10"]);
    window.after(0, "out", &json!(3));
    window.after(0, "mode", &json!("airing"));
    assert_eq!(window.wait(6 * MINUTE), ["window no: what must not hold does"]);
    window.after(0, "mode", &json!("home"));
    assert_eq!(window.wait(6 * MINUTE), ["window asks: cold"]);
}

#[test]
fn a_rule_that_was_written_anew_begins_anew() {
    let timed = json!([{"name": "x", "at": "0 23 * * *", "do": {"ask": "!"}}]);
    let message =
        |pointer: &str| ask("x", json!({"when": {"pointer": pointer, "above": 5, "until": 3}, "for_ms": MINUTE}));
    let mut x = watched(timed).restarted(message("/t"), HOUR);
    assert!(x.engine.next_wake().is_none_or(|wake| wake > x.at), "nothing of the time is left");
    x.after(0, "s", &json!({"t": 6}));
    assert_eq!(x.wait(MINUTE), ["x asks: !"]);
    let mut x = x.restarted(message("/h"), 0);
    assert!(x.wait(HOUR).is_empty());
    assert_eq!(x.after(0, "s", &json!({"h": 4})), ["x no: /h is 4, not above 5"]);
    let silence = |topic: &str| json!([{"name": "x", "topic": topic, "silent_ms": MINUTE, "do": {"ask": "{topic}"}}]);
    let mut x = watched(silence("old")).restarted(silence("new"), 0);
    assert_eq!(x.wait(HOUR), ["x asks: new"]);
}

#[test]
fn what_means_harm_is_neither_remembered_nor_too_much() {
    let written = json!([
        {"name": "deep", "topic": "s", "when": {"topic": "deep", "changed": true}, "do": {"ask": "!"}},
        {"name": "many", "topic": "#", "for_ms": HOUR, "do": {"ask": "!"}},
    ]);
    let mut hostile = watched(written.clone());
    hostile.after(0, "deep", &json!("[".repeat(126) + &"]".repeat(126)));
    assert!(hostile.after(0, &"x".repeat(513), &json!("1")).is_empty());
    for number in 0..400 {
        let topic = format!("{number}{}", "\u{1}".repeat(500));
        hostile.after(1, &topic, &json!("\u{2}".repeat(5_000)));
    }
    hostile.saved.extend(hostile.engine.all_changes());
    for (name, piece) in &hostile.saved {
        let bytes = serde_json::to_vec(piece).unwrap();
        assert!(bytes.len() <= 1 << 20, "{name}: {} bytes", bytes.len());
        assert_eq!(&serde_json::from_slice::<Value>(&bytes).unwrap(), piece);
    }
    hostile.restarted(written, 0);
}

#[test]
fn a_clock_that_was_set_neither_holds_rules_nor_lets_times_come() {
    let limits = RuleLimits { asks_per_hour: 1, ..RuleLimits::default() };
    let written = json!([
        {"name": "x", "topic": "s", "not_within_ms": HOUR, "do": {"ask": "!"}},
        {"name": "morning", "at": "0 7 * * *", "do": {"ask": "up"}},
    ]);
    let mut set = Watched::with(written, limits, RuleMemory::default());
    // Years ahead, and back again.
    set.at = UnixMs(EVENING.0 + 4 * 365 * 24 * HOUR);
    assert!(set.wait(0).is_empty(), "no morning of four years is made up for");
    assert_eq!(set.after(0, "s", &json!(1)), ["x asks: !"]);
    set.at = EVENING;
    assert_eq!(set.after(0, "s", &json!(1)), ["x asks: !"]);
    assert_eq!(set.engine.next_wake(), Some(EVENING.plus_ms(8 * HOUR + 30 * MINUTE)), "the next morning");
    assert_eq!(set.wait(9 * HOUR), ["morning asks: up"]);
}

#[test]
fn everything_is_remembered_over_a_restart() {
    let written = ask("open", json!({"when": {"pointer": "/t", "above": 5, "until": 3}, "for_ms": 10 * MINUTE}));
    let mut open = watched(written.clone());
    open.after(0, "s", &json!({"t": 6}));
    let mut open = open.restarted(written.clone(), 5 * MINUTE);
    assert_eq!(open.wait(5 * MINUTE), ["open asks: !"]);
    let mut open = open.restarted(written, 0);
    assert_eq!(open.after(0, "s", &json!({"t": 4})), ["open holds, but it has acted on this already"]);
}

#[test]
fn a_clock_that_goes_back_brings_nothing_down() {
    let mut engine = watched(ask("x", json!({"not_within_ms": MINUTE, "when": {"rising_above": 1}}))).engine;
    for (ms, payload) in [(5_000, "1"), (0, "2"), (u64::MAX, "9"), (1, "nan"), (2, "{}")] {
        engine.message(UnixMs(ms), "s", payload, false);
        engine.wake(UnixMs(ms));
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_write() {
    let refused = |more: Value| {
        let mut rule = json!({"name": "x", "topic": "s", "do": "ignore"});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let rule = Value::Object(
            rule.as_object()
                .unwrap()
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        );
        serde_json::from_value::<Rule>(rule).unwrap_err().to_string()
    };
    insta::assert_snapshot!(
        [
            json!({"topic": null}),
            json!({"at": "0 7 * * *"}),
            json!({"topic": null, "at": "0 7 * *"}),
            json!({"topic": null, "at": "0 7 * * *", "for_ms": 3}),
            json!({"silent_ms": 5000, "once": true}),
            json!({"silent_ms": 5}),
            json!({"name": ""}),
            json!({"when": {"topic": "a/#/b"}}),
            json!({"when": {"topic": "a/+"}}),
            json!({"do": {"ask": "{last }"}}),
            json!({"do": {"ask": "{value humidity}"}}),
            json!({"when": {"one_of": []}}),
            json!({"topic": null, "at": "0 7 * * *", "when": {"pointer": "/x", "above": 1}}),
            json!({"topic": null, "at": {"sun": "sunset", "minutes": 2000}}),
            json!({"when": {"until": 3}}),
            json!({"when": {"above": 3, "until": 4}}),
            json!({"when": {"pointer": "humidity"}}),
            json!({"when": {"not_older_ms": 4}}),
            json!({"wen": {}}),
            json!({"during": [{"from": "25:00", "to": "6:00"}]}),
            json!({"during": [{"from": "22:00", "to": "6:00", "days": ["caturday"]}]}),
            json!({"at_most": {"times": 0, "within_ms": 1}}),
            json!({"do": {"publish": {"topic": "a/#", "payload": ""}}}),
            json!({"topic": "a/#/b"}),
        ]
        .map(refused)
        .join("\n"),
        @"
    rule 'x' needs a `topic`, or a time with `at`
    rule 'x' has `at`, and beside it a topic or a time of silence: write two rules
    rule 'x': '0 7 * *' is no cron pattern: Invalid pattern: Pattern must have between 5 and 7 fields. Write minute, hour, day of the month, month and day of the week, as in '30 6 * * 1-5'
    rule 'x': `for_ms` is about messages, and this rule waits for a time
    rule 'x': `once` is about messages, and this rule waits for silence
    rule 'x': `silent_ms` has to be 100 at least
    a rule needs a name
    rule 'x': 'a/#/b' is no topic: a condition looks at one, without '+' and '#'
    rule 'x': 'a/+' is no topic: a condition looks at one, without '+' and '#'
    rule 'x': '{last }' names no topic
    rule 'x': '{value humidity}' needs a pointer that begins with '/'
    rule 'x': `one_of` needs at least one value
    rule 'x' waits for a time: what its `when` asks needs a `topic`
    rule 'x': 2000 minutes from the sun is another day: at most 1440
    rule 'x': `until` needs `above` or `below` beside it, and not both
    rule 'x': with `above = 3`, `until` has to be smaller or the same
    rule 'x': the pointer 'humidity' has to begin with '/', or be empty for the whole payload (RFC 6901)
    rule 'x': `not_older_ms` is about another message: say of which `topic`
    unknown field `wen`, expected one of `name`, `topic`, `silent_ms`, `at`, `when`, `retained`, `once`, `for_ms`, `debounce_ms`, `during`, `not_within_ms`, `at_most`, `do`
    '25:00' is no time of day: write 06:30
    'caturday' is no day of the week: write mon, tue, wed, thu, fri, sat or sun
    rule 'x': `at_most` needs 1 to 1000 times, within at most 31 days
    rule 'x' publishes to 'a/#', which is no topic
    'a/#/b': '+' stands for one whole level and '#' for all that follow, at the end
    "
    );
    let twice = json!([{"name": "x", "topic": "s", "do": "ignore"}, {"name": "x", "topic": "t", "do": "ignore"}]);
    let sun = json!([{"name": "x", "at": {"sun": "sunset"}, "do": "ignore"}]);
    for (written, why) in [
        (twice, "two rules are called 'x'"),
        (sun, "rule 'x' goes by the sun: say where the board stands with `latitude` and `longitude` in `[place]`"),
    ] {
        let engine =
            Engine::new(rules(written), Place::default(), RuleLimits::default(), RuleMemory::default(), EVENING);
        assert_eq!(engine.unwrap_err().to_string(), why);
    }
}

proptest! {
    /// A rule never acts more often than it may, whatever is said, and every decision can be told.
    #[test]
    fn nobody_acts_more_often_than_allowed(
        said in proptest::collection::vec((0_u64..90_000, 0_usize..3, prop::sample::select(vec!["1", "9", "x", "{\"t\":5}", ""])), 1..80),
        times in 1_usize..4,
        for_ms in prop::sample::select(vec![0_u64, 5_000]),
    ) {
        let mut watched = watched(json!([
            {"name": "r", "topic": "+", "when": {"above": 3}, "for_ms": for_ms, "at_most": {"times": times, "within_ms": MINUTE}, "do": {"ask": "{payload}"}},
            {"name": "s", "topic": "a", "silent_ms": 20_000, "do": {"call": {"tool": "x"}}},
        ]));
        let mut acted: Vec<UnixMs> = Vec::new();
        for (ms, topic, payload) in said {
            let mut all = watched.wait(ms);
            all.extend(watched.after(0, ["a", "b", "c"][topic], &json!(payload)));
            let acts = all.iter().filter(|told| told.starts_with("r asks")).count();
            acted.extend(std::iter::repeat_n(watched.at, acts));
            prop_assert!(watched.engine.next_wake().is_none_or(|wake| wake > watched.at));
        }
        // Told at its own moments, so that no two minutes hold more than twice as many.
        for at in &acted {
            let lately = acted.iter().filter(|other| at.since(**other) < MINUTE && *other <= at).count();
            prop_assert!(lately <= times * 3);
        }
    }
}
