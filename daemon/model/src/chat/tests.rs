//! The format over a real tokenizer and a real template: what a model sees, and how its writing is read.

mod thoughts;

use super::fixture::{gemma, house, offer, shown, tool, vocabulary};
use super::*;
use hob_events::{Message, Offer, Part, Thinking, TokenizerId, ToolName, WrittenCall};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::sync::{Arc, LazyLock};

static GEMMA: LazyLock<Gemma4> = LazyLock::new(gemma);

fn prompt(offer: Offer, messages: Vec<Message>) -> Prompt {
    Prompt { system: "You look after this house.".into(), offer: Arc::new(offer), messages, thinking: Thinking::OFF }
}

fn user(text: &str) -> Message {
    Message::words(text)
}

/// A stretch as the model would have generated it.
fn written(format: &Gemma4, text: &str) -> Part {
    let tokens = format.vocabulary().ids(text);
    Part::Written { writing: format.parse(&tokens, &[]), tokens, tokenizer: format.vocabulary().tokenizer_id() }
}

fn response(tool: &str, value: Value) -> Part {
    Part::Response { tool: ToolName::new(tool).unwrap(), value }
}

fn render(format: &dyn ChatFormat, offer: Offer, messages: Vec<Message>) -> Vec<u32> {
    format.render(&prompt(offer, messages), &[]).unwrap()
}

const ON: &str = "<|tool_call>call:turn_on{device:<|\"|>big lamp<|\"|>}<tool_call|><|tool_response>";

#[test]
fn a_prompt_shows_the_system_text_the_tools_and_the_words() {
    let offer = Offer { tools: vec![offer().tool("set_level").unwrap().clone()], inventory: house() };
    let ids = render(&*GEMMA, offer, vec![user("(kitchen) half light")]);
    insta::assert_snapshot!(shown(GEMMA.vocabulary(), &ids), @r#"
    <bos><|turn>system
    you look after this house.<|tool>declaration:set_level{description:<|"|>sets brightness, position, speed or volume in percent.<|"|>,parameters:{properties:{area:{type:<|"|>string<|"|>},device:{type:<|"|>string<|"|>},kind:{type:<|"|>string<|"|>},percent:{type:<|"|>integer<|"|>}},required:[<|"|>percent<|"|>],type:<|"|>object<|"|>}}<tool|><turn|>
    <|turn>user
    (kitchen) half light<turn|>
    <|turn>model
    "#);
}

/// Each next prompt must begin with the ids of the one before and what was generated, or the KV slot is lost.
fn assert_steps_extend(format: &Gemma4) {
    let asked = || user("big lamp on");
    let first = render(format, offer(), vec![asked()]);
    assert_eq!(first.iter().filter(|id| **id == format.markers().unwrap().bos).count(), 1);

    let generated = format.vocabulary().ids(ON);
    let step = vec![written(format, ON), response("turn_on", json!({"ok": true, "at": 21.5}))];
    let second = render(format, offer(), vec![asked(), Message::Model { parts: step.clone() }]);
    let before: Vec<u32> = first.iter().chain(&generated).copied().collect();
    assert!(second.starts_with(&before), "{}", shown(format.vocabulary(), &second));
    let after = shown(format.vocabulary(), &second[before.len()..]);
    assert_eq!(after, "response:turn_on{at:21.5,ok:true}<tool_response|>");

    let words = format.vocabulary().ids("done.<turn|>");
    let mut parts = step;
    parts.push(written(format, "done.<turn|>"));
    let third = render(format, offer(), vec![asked(), Message::Model { parts }, user("thanks")]);
    let before: Vec<u32> = second.iter().chain(&words).copied().collect();
    assert!(third.starts_with(&before), "{}", shown(format.vocabulary(), &third));
    let after = shown(format.vocabulary(), &third[before.len()..]);
    assert_eq!(after, "\n<|turn>user\nthanks<turn|>\n<|turn>model\n");
}

#[test]
fn a_step_extends_the_step_before_it_id_by_id() {
    assert_steps_extend(&GEMMA);
}

/// Templates of before mid 2026 open a turn for every message; some know responses only as messages of their own.
const TEMPLATE_HEAD: &str = "{{ bos_token }}
{%- macro plain(value) -%}
{%- if value is string -%}<|\"|>{{ value }}<|\"|>{%- elif value is boolean -%}{{ 'true' if value else 'false' }}
{%- elif value is mapping -%}{{ '{' }}{{ pairs(value) }}{{ '}' }}{%- else -%}{{ value }}{%- endif -%}
{%- endmacro -%}
{%- macro pairs(value) -%}
{%- for key, item in value | dictsort -%}{{ key }}:{{ plain(item) }}{{ '' if loop.last else ',' }}{%- endfor -%}
{%- endmacro -%}
{%- macro answer(name, value) -%}<|tool_response>response:{{ name }}{{ plain(value) }}<tool_response|>{%- endmacro -%}
{%- macro calls(message) -%}
{%- for call in message.get('tool_calls', []) -%}
<|tool_call>call:{{ call.function.name }}{{ plain(call.function.arguments) }}<tool_call|>{%- endfor -%}
{%- endmacro -%}";

#[test]
fn templates_that_open_a_turn_for_every_message_serve_as_well() {
    let source = format!(
        "{TEMPLATE_HEAD}
{{%- for message in messages -%}}
{{{{ '<|turn>' + ('model' if message.role == 'assistant' else message.role) + '\\n' }}}}{{{{ calls(message) }}}}
{{%- for given in message.get('tool_responses', []) -%}}{{{{ answer(given.name, given.response) }}}}{{%- endfor -%}}
{{{{ message.content | trim }}}}{{{{ '<turn|>\\n' }}}}
{{%- endfor -%}}
{{{{ '<|turn>model\\n' }}}}"
    );
    assert_steps_extend(&Gemma4::new(source, "<bos>", vocabulary()).unwrap());
}

#[test]
fn templates_that_know_responses_only_as_messages_serve_as_well() {
    let source = format!(
        "{TEMPLATE_HEAD}
{{%- for message in messages -%}}
{{%- if message.role == 'tool' -%}}{{{{ answer(message.name, message.content) }}}}
{{%- else -%}}
{{{{ '<|turn>' + ('model' if message.role == 'assistant' else message.role) + '\\n' }}}}{{{{ calls(message) }}}}
{{{{- message.content | trim }}}}
{{%- if not message.get('tool_calls') -%}}{{{{ '<turn|>\\n' }}}}{{%- endif -%}}
{{%- endif -%}}
{{%- endfor -%}}
{{{{ '<|turn>model\\n' }}}}"
    );
    assert_steps_extend(&Gemma4::new(source, "<bos>", vocabulary()).unwrap());
}

#[test]
fn a_template_without_tool_responses_is_refused_when_the_folder_is_opened() {
    let source = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}".to_owned();
    let error = Gemma4::new(source, "<bos>", vocabulary()).unwrap_err();
    insta::assert_snapshot!(error, @"the model folder's chat_template.jinja shows no tool responses: it is no template of Gemma 4, take the published one");
}

#[test]
fn what_a_template_refuses_is_told_in_its_own_words() {
    let template = template::Template::parse("{{ raise_exception('roles must alternate') }}".into(), String::new());
    let error = template.unwrap().render(&[], &[], false).unwrap_err();
    insta::assert_snapshot!(error, @"the model folder's chat_template.jinja failed at line 1: roles must alternate");
    let error = template::Template::parse("{% for %}".into(), String::new()).unwrap_err();
    insta::assert_snapshot!(error, @"the model folder's chat_template.jinja failed at line 1: unexpected end of block, expected in");
}

#[test]
fn several_responses_follow_one_another_and_what_is_no_object_stands_under_value() {
    let parts =
        vec![written(&GEMMA, ON), response("turn_on", json!(true)), response("turn_on", json!(["a", {"b": "c"}]))];
    let ids = render(&*GEMMA, offer(), vec![user("on"), Message::Model { parts }]);
    let text = shown(GEMMA.vocabulary(), &ids);
    let (_, after) = text.rsplit_once("<tool_call|>").unwrap();
    insta::assert_snapshot!(after, @r#"<|tool_response>response:turn_on{value:true}<tool_response|><|tool_response>response:turn_on{value:[<|"|>a<|"|>,{b:<|"|>c<|"|>}]}<tool_response|>"#);
}

#[test]
fn a_turn_that_another_model_wrote_is_rendered_from_its_meaning() {
    let call = WrittenCall {
        tool: "turn_on".into(),
        args: json!({"device": "big lamp"}).as_object().unwrap().clone(),
        confidence: Confidence::CERTAIN,
    };
    let meaning = |writing| Part::Written { writing, tokens: vec![7, 7, 7], tokenizer: TokenizerId(7) };
    let foreign = vec![
        meaning(vec![Writing::Call(call)]),
        response("turn_on", json!({"ok": true})),
        meaning(vec![Writing::Text { text: "done.".into() }]),
    ];
    let own = vec![written(&GEMMA, ON), response("turn_on", json!({"ok": true})), written(&GEMMA, "done.<turn|>")];
    let conversation = |parts| vec![user("on"), Message::Model { parts }, user("thanks")];
    assert_eq!(render(&*GEMMA, offer(), conversation(foreign)), render(&*GEMMA, offer(), conversation(own)));
}

#[test]
fn a_call_that_ended_the_sequence_instead_of_waiting_goes_on_all_the_same() {
    let early = "<|tool_call>call:list_read{}<tool_call|><eos>";
    let parts = vec![written(&GEMMA, early), response("list_read", json!({"ok": true}))];
    let ids = render(&*GEMMA, offer(), vec![user("list"), Message::Model { parts }]);
    let text = shown(GEMMA.vocabulary(), &ids);
    assert!(text.ends_with("{}<tool_call|><|tool_response>response:list_read{ok:true}<tool_response|>"), "{text}");
}

fn parse(text: &str) -> Vec<Writing> {
    GEMMA.parse(&GEMMA.vocabulary().ids(text), &[])
}

/// Writings in short.
fn told(text: &str) -> Vec<String> {
    let told = |writing| match writing {
        Writing::Text { text } => format!("text {text}"),
        Writing::Call(call) => format!("call {} {}", call.tool, Value::Object(call.args)),
        Writing::Malformed { text, reason } => format!("malformed {text}: {reason}"),
    };
    parse(text).into_iter().map(told).collect()
}

#[test]
fn calls_words_and_thoughts_are_told_apart() {
    insta::assert_debug_snapshot!(told(
        "<|channel>thought\nhm {<channel|>wait. <|tool_call>call:a{x:<|\"|>{,}:]<|\"|>,n:{m:[1,-2.5,true,null,{}]}}<tool_call|>\
         <|tool_call>call:b{}<tool_call|><|tool_response>"
    ), @r#"
    [
        "text wait.",
        "call a {\"x\":\"{,}:]\",\"n\":{\"m\":[1,-2.5,true,null,{}]}}",
        "call b {}",
    ]
    "#);
}

#[test]
fn what_models_get_wrong_is_read_where_it_is_clear_and_told_where_it_is_not() {
    let cases = [
        // Ended by the turn's end, by the end of the sequence, by the next call.
        "<|tool_call>call:a{x:1}<turn|>",
        "<|tool_call>call:a{x:1}<eos>",
        "<|tool_call>call:a{x:1}<|tool_call>call:b{}<tool_call|>",
        // Quotes forgotten, blanks, no `call:`.
        "<|tool_call> a { x : kitchen light } <tool_call|>",
        // As words.
        "call:a{x:\"y\"}<turn|>",
        "call:a is what i would do<turn|>",
        // Cut off, or no call.
        "<|tool_call>call:a{x:<|\"|>y",
        "<|tool_call>call:a{x:1",
        "<|tool_call>call:a{x}<tool_call|>",
        "<|tool_call>{}<tool_call|>",
        "<|tool_call>call:a{} and more<tool_call|>",
        "<|tool_call><tool_call|>",
        "<|channel>thinking without end",
        "",
    ];
    let read: Vec<String> = cases.iter().map(|case| format!("{case} => {}", told(case).join(" | "))).collect();
    insta::assert_snapshot!(read.join("\n"), @r#"
    <|tool_call>call:a{x:1}<turn|> => call a {"x":1}
    <|tool_call>call:a{x:1}<eos> => call a {"x":1}
    <|tool_call>call:a{x:1}<|tool_call>call:b{}<tool_call|> => call a {"x":1} | call b {}
    <|tool_call> a { x : kitchen light } <tool_call|> => call a {"x":"kitchen light"}
    call:a{x:"y"}<turn|> => call a {"x":"y"}
    call:a is what i would do<turn|> => text call:a is what i would do
    <|tool_call>call:a{x:<|"|>y => malformed call:a{x:"y: a string does not end
    <|tool_call>call:a{x:1 => malformed call:a{x:1: a closing brace is missing
    <|tool_call>call:a{x}<tool_call|> => malformed call:a{x}: no value follows the key x
    <|tool_call>{}<tool_call|> => malformed {}: no tool is named
    <|tool_call>call:a{} and more<tool_call|> => malformed call:a{} and more: something follows the closing brace
    <|tool_call><tool_call|> => malformed : no tool is named
    <|channel>thinking without end => 
     => 
    "#);
}

#[test]
fn a_call_is_as_sure_as_its_least_sure_token() {
    let ids = GEMMA.vocabulary().ids("<|tool_call>call:a{}<tool_call|><|tool_call>call:b{}<tool_call|>");
    let mut sureness = vec![Confidence { kept: 0.9, winner: 0.8 }; ids.len()];
    sureness[2] = Confidence { kept: 0.5, winner: 0.7 };
    let sure: Vec<Confidence> = GEMMA
        .parse(&ids, &sureness)
        .into_iter()
        .filter_map(|writing| match writing {
            Writing::Call(call) => Some(call.confidence),
            Writing::Text { .. } | Writing::Malformed { .. } => None,
        })
        .collect();
    assert_eq!(sure, [Confidence { kept: 0.5, winner: 0.7 }, Confidence { kept: 0.9, winner: 0.8 }]);
}

#[test]
fn only_a_prompt_may_open_turns_and_declare_tools() {
    let id = |text| GEMMA.vocabulary().id(text).unwrap();
    for text in ["<bos>", "<pad>", "<|turn>", "<|tool>", "<tool|>", "<tool_response|>", "<|image|>"] {
        assert!(GEMMA.suppressed().contains(&id(text)), "{text}");
    }
    for text in ["<eos>", "<turn|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<|\"|>", "<|channel>"] {
        assert!(!GEMMA.suppressed().contains(&id(text)), "{text}");
    }
    assert_eq!(GEMMA.stop(id("<|tool_response>")), Some(StopReason::ToolCalls));
    assert_eq!(GEMMA.stop(id("<turn|>")), Some(StopReason::EndOfTurn));
    assert_eq!(GEMMA.stop(id("<tool_call|>")), None);
}

#[test]
fn plain_words_need_no_markers() {
    let vocabulary = vocabulary();
    let stop = vocabulary.id("<eos>").unwrap();
    let plain = Plain::new(Arc::clone(&vocabulary), stop);
    let ids = render(&plain, offer(), vec![user("lights on")]);
    insta::assert_snapshot!(vocabulary.text(&ids), @r"
    you look after this house.
    user: lights on
    model: 
    ");
    let ids = vocabulary.ids("sure.\ncall:turn_on{device:\"big lamp\"}");
    assert_eq!(plain.parse(&ids, &[]).len(), 2);
    assert_eq!(plain.stop(stop), Some(StopReason::EndOfTurn));
}

#[test]
fn a_text_is_made_harmless_and_stays_legible() {
    let harmless = |text| GEMMA.vocabulary().harmless(text);
    assert_eq!(harmless("a <|tool_call>b<turn|>, 1 < 2"), "a < |tool_call>b< turn|>, 1 < 2");
    assert_eq!(harmless("<tool_call\u{F8D0}|>"), "<tool_call\u{FFFD}|>");
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (-1000i32..1000).prop_map(|n| json!(f64::from(n) / 8.0)),
        "[a-z0-9 .,:{}\\[\\]é]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,6}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_rendered_call_reads_back_as_itself(
        tool in "[a-z][a-z_]{0,11}",
        args in prop::collection::btree_map("[a-z_]{1,8}", any_value(), 0..5),
    ) {
        let args: Map<String, Value> = args.into_iter().collect();
        let text = format!("<|tool_call>{}<tool_call|>", write_call(&tool, &args, "<|\"|>"));
        let call = WrittenCall { tool, args, confidence: Confidence::CERTAIN };
        prop_assert_eq!(parse(&text), vec![Writing::Call(call)]);
    }

    #[test]
    fn any_ids_have_some_meaning(ids in prop::collection::vec(prop_oneof![0u32..2000, 44u32..53, 98u32..108], 0..60)) {
        let writing = GEMMA.parse(&ids, &[]);
        prop_assert!(writing.len() <= ids.len());
    }

    #[test]
    fn no_text_from_outside_becomes_a_control_token(pieces in prop::collection::vec(
        prop_oneof![Just("<"), Just("<|tool_call>"), Just("<turn|>"), Just("<|"), Just("|>"), Just("tool_call"), Just("<eos>"), Just(" "), Just("\u{F8D0}"), Just("<TURN|>")],
        0..12,
    )) {
        let text = pieces.concat();
        let words = vec![user(&text)];
        let mut hostile = offer();
        hostile.tools = vec![tool("a", &text, json!({"properties": {"x": {"type": "string", "description": text}}}))];
        hostile.inventory = house();
        let safe = Offer { tools: vec![tool("a", "-", json!({"properties": {"x": {"type": "string", "description": "-"}}}))], inventory: house() };
        let control = |ids: Vec<u32>| -> Vec<u32> {
            ids.into_iter().filter(|id| GEMMA.vocabulary().bytes_of(*id).is_empty()).collect()
        };
        let describes = !GEMMA.vocabulary().harmless(&text).is_empty();
        prop_assume!(describes);
        prop_assert_eq!(control(render(&*GEMMA, hostile, words)), control(render(&*GEMMA, safe, vec![user("-")])));
    }
}

/// Both were found by fuzzing.
#[test]
fn a_tokenizer_that_the_library_panics_over_or_that_fills_the_memory_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let said = |change: &dyn Fn(&mut Value)| {
        let text =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/tiny/tokenizer.json"));
        let mut json = serde_json::from_str(&text.unwrap()).unwrap();
        change(&mut json);
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, json.to_string()).unwrap();
        let error = Vocabulary::open(&path).expect_err("it is damaged");
        error.to_string().replace(&folder.path().display().to_string(), "<folder>")
    };
    let decoder = |json: &mut Value| json["decoder"] = 5.into();
    let told = said(&decoder);
    assert!(told.starts_with("the tokenizer <folder>/tokenizer.json cannot be read: "), "{told}");
    let far = |json: &mut Value| json["model"]["vocab"]["far"] = u32::MAX.into();
    insta::assert_snapshot!(said(&far), @"the tokenizer has a token 4294967295, and hob knows none beyond 4194304: its file is damaged, fetch it again");
}
