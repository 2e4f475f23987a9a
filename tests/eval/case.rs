//! One case: a home, tools, words, and the calls that are right.

use anyhow::Context;
use hob_events::{
    DeviceKind, Effects, Inventory, PluginName, Replies, Risk, ToolName, ToolSpec, WrittenCall, same_name,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::path::Path;

/// A case, with its tools as the offer has them.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) set: String,
    pub(crate) inventory: Inventory,
    pub(crate) tools: Vec<ToolSpec>,
    pub(crate) instructions: String,
    pub(crate) area: Option<String>,
    pub(crate) text: String,
    /// Empty when nothing may be done.
    pub(crate) expect: Vec<Expected>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Expected {
    tool: String,
    args: Map<String, Value>,
}

#[derive(Deserialize)]
struct Line {
    set: String,
    inventory: Inventory,
    tools: Vec<Tool>,
    instructions: String,
    area: Option<String>,
    text: String,
    expect: Vec<Expected>,
}

#[derive(Deserialize)]
struct Tool {
    name: ToolName,
    plugin: PluginName,
    description: String,
    schema: Value,
}

/// Reads a file of cases.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Case>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let lines = text.lines().enumerate();
    lines.map(|(at, line)| parse(line).with_context(|| format!("{}:{}", path.display(), at + 1))).collect()
}

fn parse(line: &str) -> anyhow::Result<Case> {
    let Line { set, inventory, tools, instructions, area, text, expect } = serde_json::from_str(line)?;
    let tools = tools.into_iter().map(|tool| ToolSpec {
        name: tool.name,
        plugin: tool.plugin,
        description: tool.description,
        schema: tool.schema,
        effects: Effects::default(),
        risk: Risk::Low,
        replies: Replies::default(),
        deadline_ms: 0,
    });
    Ok(Case { set, inventory, tools: tools.collect(), instructions, area, text, expect })
}

impl Case {
    /// Whether these calls are right: none where nothing may be done, else as many as wanted, each the wanted tool with the wanted values, on the wanted
    /// devices, whether they are named one by one, by an alias, or as a group.
    pub(crate) fn is_met_by(&self, written: &[WrittenCall]) -> bool {
        let wanted = self.effects(self.expect.iter().map(|call| (call.tool.as_str(), &call.args)));
        let done = self.effects(written.iter().map(|call| (call.tool.as_str(), &call.args)));
        wanted == done
    }

    /// What calls come to: tool, device and values, one entry for each device that is touched.
    fn effects<'a>(&self, calls: impl Iterator<Item = (&'a str, &'a Map<String, Value>)>) -> BTreeSet<String> {
        let mut effects = BTreeSet::new();
        for (tool, args) in calls {
            let values = values(args);
            match self.touched(args) {
                Some(devices) => effects.extend(devices.iter().map(|device| format!("{tool} {device} {values}"))),
                None => {
                    effects.insert(format!("{tool} {values}"));
                }
            }
        }
        effects
    }

    /// The devices that a call's arguments name; nothing when it names none.
    fn touched(&self, args: &Map<String, Value>) -> Option<Vec<String>> {
        let text = |key: &str| args.get(key).and_then(Value::as_str);
        if let Some(name) = text("device") {
            let known =
                self.inventory.device(name).map_or_else(|| format!("unknown {name}"), |device| device.name.clone());
            return Some(vec![known]);
        }
        let kind = DeviceKind::from_word(text("kind")?)?;
        let group = self.inventory.group(kind, text("area"));
        let empty = || vec![format!("no {} in {:?}", kind.word(), text("area"))];
        Some(if group.is_empty() { empty() } else { group.iter().map(|device| device.name.clone()).collect() })
    }
}

/// The arguments that are no targets, in one form.
fn values(args: &Map<String, Value>) -> String {
    let mut values: Vec<String> = args
        .iter()
        .filter(|(key, _)| !["device", "area", "kind"].iter().any(|target| same_name(target, key)))
        .map(|(key, value)| match (value.as_f64(), value) {
            (Some(number), _) => format!("{key}={number}"),
            (None, Value::String(text)) => format!("{key}={}", text.trim().to_lowercase()),
            (None, other) => format!("{key}={other}"),
        })
        .collect();
    values.sort();
    values.join(" ")
}
