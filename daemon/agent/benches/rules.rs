//! What a hundred rules take of a message, against reading its JSON alone. `cargo bench -p hob-agent`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hob_agent::{Engine, Place, Rule, RuleLimits, RuleMemory};
use hob_events::UnixMs;
use serde_json::{Value, json};
use std::hint::black_box;

/// Messages of as many sensors, each with its own rule, and every fourth with one for all beside it.
fn rules() -> Vec<Rule> {
    let of_one = |number: usize| {
        json!({
            "name": format!("rule {number}"),
            "topic": format!("zigbee2mqtt/sensor {number}"),
            "when": {"pointer": "/humidity", "above": 70, "until": 65, "all": [{"pointer": "/battery", "above": 5}]},
            "for_ms": 600_000,
            "not_within_ms": 60_000,
            "do": {"ask": "{topic} has {value /humidity} %"},
        })
    };
    let for_all = |number: usize| {
        json!({
            "name": format!("for all {number}"),
            "topic": "zigbee2mqtt/+",
            "when": {"pointer": "/battery", "below": 5 + number, "until": 50},
            "do": {"publish": {"topic": "notes", "payload": "{topic}"}},
        })
    };
    let rules: Vec<Value> = (0..96).map(of_one).chain((0..4).map(for_all)).collect();
    serde_json::from_value(rules.into()).expect("rules")
}

/// What a Zigbee sensor sends.
fn payload(number: usize) -> String {
    let numbers = json!({
        "battery": 60 + number % 40, "humidity": 30.5 + (number % 50) as f64, "temperature": 19.25, "linkquality": 92,
        "pressure": 1013.2, "voltage": 2985, "power_outage_count": 3, "last_seen": "2026-11-25T18:00:00+01:00",
        "update": {"installed_version": 4105, "latest_version": 4105, "state": "idle"},
    });
    numbers.to_string()
}

fn messages(criterion: &mut Criterion) {
    let messages: Vec<(String, String)> =
        (0..1_000).map(|number| (format!("zigbee2mqtt/sensor {}", number % 96), payload(number))).collect();
    let mut group = criterion.benchmark_group("a thousand messages");
    group.throughput(Throughput::Elements(messages.len() as u64));
    group.bench_function("read", |bencher| {
        bencher.iter(|| {
            for (_, payload) in &messages {
                black_box(serde_json::from_str::<Value>(payload)).expect("JSON");
            }
        });
    });
    group.bench_function("read and judged by a hundred rules", |bencher| {
        let mut at = UnixMs(1_795_645_800_000);
        let memory = RuleMemory::default();
        let mut engine = Engine::new(rules(), Place::default(), RuleLimits::default(), memory, at).expect("rules");
        bencher.iter(|| {
            for (topic, payload) in &messages {
                // A thousand in a second: what is remembered is written down once a minute.
                at = at.plus_ms(1);
                black_box(engine.message(at, topic, payload, false));
                black_box(engine.wake(at));
                black_box(engine.changes(at));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, messages);
criterion_main!(benches);
