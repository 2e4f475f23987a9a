//! Grammars over a real tokenizer: what can be written, what cannot, and that whatever can is a call.

use super::*;
use crate::chat::fixture::{gemma, offer, tool};
use crate::chat::{ChatFormat, Gemma4};
use hob_events::{Inventory, Writing};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

fn grammars(format: &Gemma4) -> Grammars {
    Grammars::new(Arc::clone(format.vocabulary()), *format.markers().unwrap(), 3000).unwrap()
}

/// Whether the text, control tokens written out, can be written under the constraint.
fn can_write(format: &Gemma4, mut constraint: Constraint, text: &str) -> Result<(), String> {
    for id in format.vocabulary().ids(text) {
        let mask = constraint.allowed().unwrap().unwrap();
        let shown = format.vocabulary().text(&[id]);
        if !mask.allows(id) {
            return Err(format!("token {id} ({shown:?}) is not in the mask"));
        }
        constraint.accept(id).map_err(|error| format!("{shown:?}: {error}"))?;
    }
    Ok(())
}

#[test]
fn a_call_is_written_within_the_grammar_and_read_back() {
    let format = gemma();
    let grammars = grammars(&format);
    let text = "<|tool_call>call:turn_on{device:<|\"|>big lamp<|\"|>}<tool_call|>\
                <|tool_call>call:set_level{kind:<|\"|>light<|\"|>,percent:40}<tool_call|><|tool_response>";
    let constraint = grammars.constraint(&offer(), Allowed::CallsOrText).unwrap();
    can_write(&format, constraint, text).unwrap();
    let writing = format.parse(&format.vocabulary().ids(text), &[]);
    let calls: Vec<(String, Value)> = writing
        .into_iter()
        .map(|writing| match writing {
            Writing::Call(call) => (call.tool, Value::Object(call.args)),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        calls,
        [
            ("turn_on".to_owned(), json!({"device": "big lamp"})),
            ("set_level".to_owned(), json!({"kind": "light", "percent": 40}))
        ]
    );
}
