//! The shipped plugins, from call to outcome.

use crate::fixture::{House, shipped, told};
use crate::memory_io::{Manner, object};
use hob_events::{Delivery, Risk, ToolSpec};
use hob_plugin_host::{DeviceBounds, Grant};
use insta::assert_snapshot;
use serde_json::{Value, json};
use std::path::Path;

async fn shipped_house(manner: Manner) -> House {
    let house = House::new(manner).await;
    house.add(&shipped("home")).await;
    house.add(&shipped("lists")).await;
    house
}

async fn home(house: &House, tool: &str, arguments: Value) -> String {
    told(&house.call("home", tool, arguments).await)
}

async fn lists(house: &House, tool: &str, arguments: Value) -> String {
    told(&house.call("lists", tool, arguments).await)
}

#[tokio::test]
async fn the_tools_are_exactly_those_the_model_was_trained_on() {
    let house = shipped_house(Manner::Answers).await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tools/pocket/tools.json");
    let trained: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let seen_by_model = |tool: &ToolSpec| json!({"name": tool.name, "plugin": tool.plugin, "description": tool.description, "schema": tool.schema});
    let offered: Vec<Value> = house.host.tools().iter().map(seen_by_model).collect();
    // As text too: the order of keys is part of a prompt.
    assert_eq!(serde_json::to_string_pretty(&offered).unwrap(), serde_json::to_string_pretty(&trained).unwrap());
}

#[tokio::test]
async fn every_tool_says_what_it_may_do_and_how_it_is_told() {
    let house = shipped_house(Manner::Answers).await;
    let mut lines = String::new();
    for tool in house.host.tools() {
        let reads = if tool.effects.read_only { "reads" } else { "acts" };
        assert!(tool.effects.idempotent, "{}: all of them may be sent twice", tool.name);
        lines += &format!(
            "{} {reads} {:?} {} ms | {} | {}\n",
            tool.name, tool.risk, tool.deadline_ms, tool.replies.confirmed, tool.replies.sent
        );
    }
    assert_snapshot!(lines, @r"
    close acts Low 4000 ms | {target} is closed. | {target} was told to close; it has not answered yet.
    get_state reads None 500 ms |  | 
    list_add acts Low 500 ms | {item} is on the {list} list. | 
    list_complete acts Low 500 ms | {item} is ticked off the {list} list. | 
    list_read reads None 500 ms |  | 
    list_remove acts Low 500 ms | {item} is off the {list} list. | 
    lock acts Low 4000 ms | {target} is locked. | {target} was told to lock; it has not answered yet.
    open acts Low 4000 ms | {target} is open. | {target} was told to open; it has not answered yet.
    set_level acts Low 4000 ms | {target} is at {percent} percent. | {target} was told to go to {percent} percent; it has not answered yet.
    set_temperature acts Medium 4000 ms | {target} is set to {celsius} degrees. | {target} was told to go to {celsius} degrees; it has not answered yet.
    turn_off acts Low 4000 ms | {target} is off. | {target} was told to turn off; it has not answered yet.
    turn_on acts Low 4000 ms | {target} is on. | {target} was told to turn on; it has not answered yet.
    unlock acts High 4000 ms | {target} is unlocked. | {target} was told to unlock; it has not answered yet.
    ");
}

#[tokio::test]
async fn a_device_is_switched_and_read_back() {
    let house = shipped_house(Manner::Answers).await;
    let ended = house.call("home", "turn_on", json!({"device": "DESK LAMP ALIAS"})).await;
    assert_snapshot!(told(&ended), @r#"returned {"ok":true,"target":"desk lamp"}"#);
    assert_eq!(ended.actions.len(), 1);
    assert_eq!((ended.actions[0].device.as_str(), ended.actions[0].delivery), ("desk lamp", Delivery::Confirmed));
    assert_eq!(ended.actions[0].change, object(json!({"state": "on"})));
    let order = house.io.orders.lock().unwrap()[0].clone();
    assert!(order.caller.idempotent && order.wait_ms == 1_500, "{order:?}");
}

#[tokio::test]
async fn every_tool_of_home_asks_for_its_own_change() {
    let house = shipped_house(Manner::Answers).await;
    let mut lines = String::new();
    for (tool, arguments) in [
        ("turn_off", json!({"device": "hall lamp"})),
        ("set_level", json!({"device": "hall lamp", "percent": 40})),
        ("set_temperature", json!({"device": "heater", "celsius": 21.5})),
        ("set_temperature", json!({"kind": "climate", "celsius": 20})),
        ("open", json!({"device": "garage"})),
        ("close", json!({"kind": "cover", "area": "yard"})),
        ("lock", json!({"device": "front door"})),
        ("unlock", json!({"kind": "lock"})),
    ] {
        lines += &format!("{tool} {}\n", home(&house, tool, arguments).await);
    }
    for order in house.io.orders.lock().unwrap().iter() {
        lines += &format!("{} {}\n", order.device, Value::Object(order.change.clone()));
    }
    assert_snapshot!(lines, @r#"
    turn_off returned {"ok":true,"target":"hall lamp"}
    set_level returned {"ok":true,"target":"hall lamp","percent":40}
    set_temperature returned {"ok":true,"target":"heater","celsius":21.5}
    set_temperature returned {"ok":true,"target":"heater","celsius":20}
    open returned {"ok":true,"target":"garage"}
    close returned {"ok":true,"target":"garage"}
    lock returned {"ok":true,"target":"front door"}
    unlock returned {"ok":true,"target":"front door"}
    hall lamp {"state":"off"}
    hall lamp {"percent":40}
    heater {"celsius":21.5}
    heater {"celsius":20}
    garage {"state":"open"}
    garage {"state":"closed"}
    front door {"state":"locked"}
    front door {"state":"unlocked"}
    "#);
}

#[tokio::test]
async fn a_group_is_switched_together() {
    let house = shipped_house(Manner::Answers).await;
    let ended = house.call("home", "turn_off", json!({"kind": "light", "area": "Ground Floor"})).await;
    assert_snapshot!(told(&ended), @r#"returned {"ok":true,"target":"every light in Ground Floor"}"#);
    let names: Vec<_> = ended.actions.iter().map(|action| action.device.as_str()).collect();
    assert_eq!(names, ["kitchen light", "hall lamp"]);
    assert_snapshot!(home(&house, "turn_on", json!({"kind": "fan"})).await, @"failed: there is no fan");
    assert_snapshot!(home(&house, "turn_on", json!({"kind": "light", "area": "attic"})).await, @"failed: there is no light in attic");
}

#[tokio::test]
async fn a_silent_device_is_told_as_sent() {
    let house = shipped_house(Manner::StaysSilent).await;
    let ended = house.call("home", "turn_on", json!({"device": "desk lamp"})).await;
    assert_eq!(ended.actions[0].delivery, Delivery::Sent);
    assert_snapshot!(told(&ended), @r#"returned {"ok":true,"target":"desk lamp"}"#);
}

#[tokio::test]
async fn a_command_cut_off_by_the_deadline_is_unknown() {
    let house = shipped_house(Manner::Hangs).await;
    let ended = house.call_with("home", "turn_on", json!({"device": "desk lamp"}), Risk::High, 150).await;
    assert_snapshot!(told(&ended), @"stopped: the plugin 'home' was stopped: it did not finish within 150ms");
    assert_eq!(ended.actions[0].delivery, Delivery::Unknown);
}

#[tokio::test]
async fn a_device_above_the_permit_is_denied() {
    let house = shipped_house(Manner::Answers).await;
    let ended = house.call_with("home", "lock", json!({"device": "front door"}), Risk::Low, 4_000).await;
    assert_snapshot!(told(&ended), @"denied: front door needs a yes first");
    assert!(ended.actions.is_empty(), "nothing left the board");
}

#[tokio::test]
async fn a_kind_outside_the_grant_is_denied_with_the_line_to_add() {
    let house = House::new(Manner::Answers).await;
    let report = house.host.install(&shipped("home")).await.unwrap();
    let mut grant = Grant::all_asked(&report.manifest);
    let bounds = |command| DeviceBounds { kinds: Some(vec![hob_events::DeviceKind::Light]), command };
    grant.capabilities.devices = Some(bounds(true));
    house.host.grant(&grant).await.unwrap();
    assert_snapshot!(home(&house, "lock", json!({"device": "front door"})).await, @r#"denied: front door is a lock, which the plugin may not touch: add "lock" to devices.kinds in grants/home.toml"#);
    grant.capabilities.devices = Some(bounds(false));
    house.host.grant(&grant).await.unwrap();
    assert_snapshot!(home(&house, "turn_on", json!({"device": "desk lamp"})).await, @"denied: the plugin may see devices, not change them: set command = true in devices of its plugin.toml and of grants/home.toml");
    assert!(house.io.orders.lock().unwrap().is_empty());
}

#[tokio::test]
async fn states_are_read() {
    let house = shipped_house(Manner::Answers).await;
    assert_snapshot!(home(&house, "get_state", json!({"device": "kitchen light"})).await, @r#"returned {"state":"on","percent":40}"#);
    assert_snapshot!(home(&house, "get_state", json!({"kind": "light"})).await, @r#"returned {"summary":"on: kitchen light, hall lamp; off: desk lamp"}"#);
    assert_snapshot!(home(&house, "get_state", json!({"device": "garage"})).await, @"failed: garage has not reported its state yet");
    assert_snapshot!(home(&house, "get_state", json!({"device": "attic light"})).await, @"failed: there is no device named 'attic light'");
}

#[tokio::test]
async fn arguments_that_do_not_fit_run_nothing() {
    let house = shipped_house(Manner::Answers).await;
    assert_snapshot!(home(&house, "set_level", json!({"device": "desk lamp", "percent": 400})).await, @"failed: the arguments do not fit: 'percent': 400 is greater than the maximum of 100");
    assert_snapshot!(home(&house, "turn_on", json!({})).await, @"failed: the arguments do not fit: give either 'device' or 'kind'");
    assert_snapshot!(home(&house, "dance", json!({})).await, @"failed: the plugin 'home' has no tool 'dance'");
    assert_snapshot!(told(&house.call("nobody", "dance", json!({})).await), @"failed: the plugin 'nobody' is not loaded: see `hob plugin list`");
    assert!(house.io.orders.lock().unwrap().is_empty());
}

#[tokio::test]
async fn lists_are_kept_read_and_ticked_off() {
    let house = shipped_house(Manner::Answers).await;
    let mut lines = String::new();
    for (tool, arguments) in [
        ("list_read", json!({})),
        ("list_add", json!({"item": "Milk"})),
        ("list_add", json!({"item": "bread", "list": "the Shopping List"})),
        ("list_add", json!({"item": "milk", "list": "shopping"})),
        ("list_read", json!({"list": "my shopping list"})),
        ("list_complete", json!({"item": "BREAD"})),
        ("list_read", json!({})),
        ("list_remove", json!({"item": "milk"})),
        ("list_remove", json!({"item": "milk"})),
        ("list_read", json!({})),
        ("list_add", json!({"item": "sweep", "list": "to do list"})),
        ("list_read", json!({"list": "to do"})),
    ] {
        lines += &format!("{tool} {arguments} {}\n", lists(&house, tool, arguments.clone()).await);
    }
    assert_snapshot!(lines, @r#"
    list_read {} returned {"items":[],"list":"shopping"}
    list_add {"item":"Milk"} returned {"ok":true,"item":"Milk","list":"shopping"}
    list_add {"item":"bread","list":"the Shopping List"} returned {"ok":true,"item":"bread","list":"shopping"}
    list_add {"item":"milk","list":"shopping"} returned {"ok":true,"item":"Milk","list":"shopping"}
    list_read {"list":"my shopping list"} returned {"items":["Milk","bread"],"list":"shopping"}
    list_complete {"item":"BREAD"} returned {"ok":true,"item":"bread","list":"shopping"}
    list_read {} returned {"items":["Milk"],"list":"shopping"}
    list_remove {"item":"milk"} returned {"ok":true,"item":"Milk","list":"shopping"}
    list_remove {"item":"milk"} failed: milk is not on the shopping list
    list_read {} returned {"items":[],"list":"shopping"}
    list_add {"item":"sweep","list":"to do list"} returned {"ok":true,"item":"sweep","list":"to do"}
    list_read {"list":"to do"} returned {"items":["sweep"],"list":"to do"}
    "#);
    let house = house.reopened().await;
    assert_snapshot!(lists(&house, "list_read", json!({"list": "to do"})).await, @r#"returned {"items":["sweep"],"list":"to do"}"#);
}
