//! What the connection promises, one test each.

use crate::mosquitto::Broker;
use crate::peer::{Hob, Peer, soon};
use hob_events::CommandId;
use hob_mqtt::{Class, Delivered, MqttEvent, Outgoing, TellError};
use rumqttc::v5::mqttbytes::v5::PublishProperties;

fn status(text: &str) -> Outgoing {
    Outgoing::json("status".into(), text.into())
}

#[tokio::test]
async fn a_command_comes_with_its_way_back_and_the_answer_takes_it() {
    let broker = Broker::started();
    let mut peer = Peer::on(&broker).await;
    let mut hob = Hob::on(&broker);
    hob.connected().await;
    let properties = PublishProperties {
        response_topic: Some("phone/answers".into()),
        correlation_data: Some("42".into()),
        message_expiry_interval: Some(60),
        ..PublishProperties::default()
    };
    peer.say("hob/attic/command", "lights off", properties).await;
    let arrived = hob.command().await;
    assert_eq!(arrived.payload, "lights off");
    assert_eq!(arrived.response_topic.as_deref(), Some("phone/answers"));
    assert!(!arrived.retained && !arrived.repeated && arrived.expires_in_s.is_some_and(|seconds| seconds <= 60));
    let answer =
        Outgoing { correlation: arrived.correlation, ..Outgoing::json("phone/answers".into(), b"{}".to_vec()) };
    let id = CommandId::new("c1").unwrap();
    hob.client.tell(answer, Class::Result(id.clone())).unwrap();
    hob.client.ack(arrived.ack);
    let heard = peer.hears("phone/answers").await;
    let properties = heard.properties.unwrap();
    assert_eq!(properties.correlation_data.as_deref(), Some(b"42".as_slice()));
    assert_eq!(properties.content_type.as_deref(), Some("application/json"));
    let told = hob.next().await;
    assert!(matches!(&told, MqttEvent::Told { command } if *command == id), "{told:?}");
    hob.stop().await;
}

#[tokio::test]
async fn a_command_comes_again_until_it_is_acknowledged() {
    let broker = Broker::started();
    let mut peer = Peer::on(&broker).await;
    let mut first = Hob::on(&broker);
    first.connected().await;
    peer.command("one").await;
    assert_eq!(first.command().await.payload, "one");
    first.die().await;
    let mut second = Hob::on(&broker);
    // It may come before the connection counts as complete: the session still had it.
    let again = second.command().await;
    assert!(again.payload == "one" && again.repeated);
    second.client.ack(again.ack);
    second.stop().await;
    let mut third = Hob::on(&broker);
    third.connected().await;
    peer.command("two").await;
    assert_eq!(third.command().await.payload, "two");
}

#[tokio::test]
async fn a_broker_that_forgot_everything_is_asked_again() {
    let mut broker = Broker::started();
    let mut hob = Hob::on(&broker);
    hob.connected().await;
    broker.kill();
    let lost = hob.next().await;
    assert!(matches!(lost, MqttEvent::Disconnected { .. }), "{lost:?}");
    broker.start("");
    assert!(!hob.connected().await, "the session is new");
    let mut peer = Peer::on(&broker).await;
    peer.command("lights off").await;
    assert_eq!(hob.command().await.payload, "lights off");
    peer.say("hob/attic/confirm/c1/set", "yes", PublishProperties::default()).await;
    let answer = hob.next().await;
    assert!(matches!(&answer, MqttEvent::Answer { command, .. } if command.as_str() == "c1"), "{answer:?}");
    peer.say("zigbee2mqtt/lamp", "{}", PublishProperties::default()).await;
    let message = hob.next().await;
    assert!(matches!(&message, MqttEvent::Message { topic, .. } if topic == "zigbee2mqtt/lamp"), "{message:?}");
}

#[tokio::test]
async fn while_the_broker_is_away_results_wait_statuses_go_and_actions_are_refused() {
    let mut broker = Broker::absent();
    let mut hob = Hob::with(&broker, 2);
    let result = |name: &str| {
        let message = Outgoing::json("result".into(), name.into());
        (message, Class::Result(CommandId::new(name).unwrap()))
    };
    let tell = |(message, class)| hob.client.tell(message, class);
    tell((status("thinking"), Class::Status)).unwrap();
    tell(result("r1")).unwrap();
    tell(result("r2")).unwrap();
    assert_eq!(tell(result("r3")), Err(TellError::QueueFull { limit: 2 }));
    assert_eq!(hob.client.dropped(), 1);
    assert!(matches!(hob.client.send_once(status("now")), Err(TellError::Away)));
    let wild = Outgoing::json("zigbee2mqtt/+/set".into(), Vec::new());
    assert!(matches!(hob.client.tell(wild, Class::Status), Err(TellError::Topic { .. })));
    broker.start("");
    hob.connected().await;
    let mut told = Vec::new();
    while told.len() < 2 {
        if let MqttEvent::Told { command } = hob.next().await {
            told.push(command.to_string());
        }
    }
    assert_eq!(told, ["r1", "r2"]);
}

#[tokio::test]
async fn a_payload_that_is_too_large_does_not_keep_the_next_one_away() {
    let broker = Broker::started();
    let mut peer = Peer::on(&broker).await;
    let mut hob = Hob::on(&broker);
    hob.connected().await;
    peer.say("hob/attic/command", vec![b'x'; 200_000], PublishProperties::default()).await;
    peer.command("lights off").await;
    assert_eq!(hob.command().await.payload, "lights off");
    let large = Outgoing::json("result".into(), vec![b'x'; 200_000]);
    assert!(matches!(hob.client.tell(large, Class::Status), Err(TellError::TooLarge { .. })));
}

#[tokio::test]
async fn availability_tells_online_stopped_and_offline_apart() {
    let broker = Broker::started();
    let mut peer = Peer::on(&broker).await;
    let hob = Hob::on(&broker);
    assert_eq!(peer.hears_text("hob/attic/availability").await, "online");
    hob.stop().await;
    assert_eq!(peer.hears_text("hob/attic/availability").await, "stopped");
    let hob = Hob::on(&broker);
    assert_eq!(peer.hears_text("hob/attic/availability").await, "online");
    hob.die().await;
    assert_eq!(peer.hears_text("hob/attic/availability").await, "offline");
}

#[tokio::test]
async fn an_action_whose_connection_broke_is_unknown_and_never_sent_again() {
    let mut broker = Broker::started();
    let mut hob = Hob::on(&broker);
    hob.connected().await;
    let sent = hob.client.send_once(Outgoing::json("lamp/set".into(), b"before".to_vec())).unwrap();
    assert_eq!(soon(sent).await, Ok(Delivered::Acknowledged));
    broker.freeze();
    let unknown = hob.client.send_once(Outgoing::json("lamp/set".into(), b"in between".to_vec())).unwrap();
    broker.kill();
    assert_eq!(soon(unknown).await, Ok(Delivered::Unknown));
    broker.start("");
    let mut peer = Peer::on(&broker).await;
    hob.connected().await;
    let after = hob.client.send_once(Outgoing::json("lamp/set".into(), b"after".to_vec())).unwrap();
    assert_eq!(peer.hears_text("lamp/set").await, "after");
    assert_eq!(soon(after).await, Ok(Delivered::Acknowledged));
}

#[tokio::test]
async fn what_the_access_list_forbids_is_told_as_refused() {
    let mut broker = Broker::absent();
    let acl = broker.file("acl", "topic readwrite hob/#\n");
    broker.start(&format!("acl_file {acl}"));
    let mut hob = Hob::on(&broker);
    hob.connected().await;
    let forbidden = hob.client.send_once(Outgoing::json("lamp/set".into(), Vec::new())).unwrap();
    assert_eq!(soon(forbidden).await, Ok(Delivered::Refused));
}

#[tokio::test]
async fn what_hob_says_does_not_come_back_to_it() {
    let broker = Broker::started();
    let mut peer = Peer::on(&broker).await;
    let mut hob = Hob::on(&broker);
    hob.connected().await;
    hob.client.tell(Outgoing::json("zigbee2mqtt/lamp".into(), b"own".to_vec()), Class::Status).unwrap();
    assert_eq!(peer.hears_text("zigbee2mqtt/lamp").await, "own");
    peer.say("zigbee2mqtt/lamp", "other", PublishProperties::default()).await;
    let heard = hob.next().await;
    assert!(matches!(&heard, MqttEvent::Message { payload, .. } if payload == "other"), "{heard:?}");
}
