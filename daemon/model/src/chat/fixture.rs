//! The tiny model folder's tokenizer and template, and a house, for the tests of this crate.

use super::{Gemma4, Vocabulary};
use hob_events::{Area, Device, DeviceKind, Effects, Inventory, Offer, PluginName, Replies, Risk, ToolName, ToolSpec};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The committed fixture, or another model folder named by `HOB_TEST_MODEL`.
pub(crate) fn folder() -> PathBuf {
    match std::env::var_os("HOB_TEST_MODEL") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny"),
    }
}

pub(crate) fn vocabulary() -> Arc<Vocabulary> {
    Arc::new(Vocabulary::open(&folder().join("tokenizer.json")).unwrap())
}

pub(crate) fn gemma() -> Gemma4 {
    Gemma4::open(&folder(), vocabulary()).unwrap()
}

pub(crate) fn tool(name: &str, description: &str, schema: Value) -> ToolSpec {
    ToolSpec {
        name: ToolName::new(name).unwrap(),
        plugin: PluginName::new("home").unwrap(),
        description: description.into(),
        schema,
        effects: Effects::default(),
        risk: Risk::default(),
        replies: Replies::default(),
        deadline_ms: 1000,
    }
}

/// The tools that hob ships, as models are trained on them.
pub(crate) fn shipped_tools() -> Vec<ToolSpec> {
    let tools: Vec<Value> = serde_json::from_str(include_str!("../../../../models/tools/pocket/tools.json")).unwrap();
    let spec = |shipped: &Value| {
        tool(shipped["name"].as_str().unwrap(), shipped["description"].as_str().unwrap(), shipped["schema"].clone())
    };
    tools.iter().map(spec).collect()
}

pub(crate) fn house() -> Inventory {
    let device = |name: &str, aliases: &[&str], area: Option<&str>, kind| Device {
        name: name.into(),
        aliases: aliases.iter().map(|&alias| alias.into()).collect(),
        area: area.map(Into::into),
        kind,
        risk: Risk::Low,
    };
    Inventory {
        devices: vec![
            device("Kitchen Light", &[], Some("Kitchen"), DeviceKind::Light),
            device("ceiling lamp", &["big lamp", "lamp 2"], Some("living room"), DeviceKind::Light),
            device("heater", &[], Some("living room"), DeviceKind::Climate),
            device("movie night", &[], None, DeviceKind::Scene),
            device("front door", &[], Some("hall"), DeviceKind::Lock),
        ],
        areas: vec![Area { name: "Kitchen".into(), floor: Some("ground floor".into()) }],
    }
}

pub(crate) fn offer() -> Offer {
    Offer { tools: shipped_tools(), inventory: house() }
}

/// Ids as text, control tokens by their names.
pub(crate) fn shown(vocabulary: &Vocabulary, ids: &[u32]) -> String {
    let name = |id: &u32| vocabulary.control().iter().find(|(known, _)| known == id).map(|(_, name)| name.clone());
    ids.iter().map(|id| name(id).unwrap_or_else(|| vocabulary.text(&[*id]))).collect()
}

/// A template that knows thoughts as Gemma 4's does: `<|think|>` at the head of the system turn asks for them, and behind a
/// tool's response it opens one by itself.
pub(crate) const THINKING: &str = "{{ bos_token }}
{%- macro plain(value) -%}
{%- if value is string -%}<|\"|>{{ value }}<|\"|>{%- elif value is boolean -%}{{ 'true' if value else 'false' }}
{%- elif value is mapping -%}{{ '{' }}{{ pairs(value) }}{{ '}' }}{%- else -%}{{ value }}{%- endif -%}
{%- endmacro -%}
{%- macro pairs(value) -%}
{%- for key, item in value | dictsort -%}{{ key }}:{{ plain(item) }}{{ '' if loop.last else ',' }}{%- endfor -%}
{%- endmacro -%}
{%- set ns = namespace(responded=false) -%}
{%- if enable_thinking or messages[0].role == 'system' -%}
{{ '<|turn>system\\n' }}{%- if enable_thinking -%}{{ '<|think|>\\n' }}{%- endif -%}
{%- if messages[0].role == 'system' -%}{{ messages[0].content | trim }}{%- endif -%}{{ '<turn|>\\n' }}
{%- endif -%}
{%- for message in messages if message.role != 'system' -%}
{%- set ns.responded = false -%}
{{ '<|turn>' + ('model' if message.role == 'assistant' else message.role) + '\\n' }}
{%- for call in message.get('tool_calls', []) -%}
<|tool_call>call:{{ call.function.name }}{{ plain(call.function.arguments) }}<tool_call|>{%- endfor -%}
{%- for given in message.get('tool_responses', []) -%}
{%- set ns.responded = true -%}
<|tool_response>response:{{ given.name }}{{ plain(given.response) }}<tool_response|>{%- endfor -%}
{{ message.content | trim }}{%- if not ns.responded -%}{{ '<turn|>\\n' }}{%- endif -%}
{%- endfor -%}
{%- if not ns.responded -%}{{ '<|turn>model\\n' }}{%- elif enable_thinking -%}{{ '<|channel>thought\\n' }}{%- endif -%}";
