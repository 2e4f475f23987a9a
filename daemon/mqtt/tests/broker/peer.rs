//! Another client of the same broker, and hob's side with what it was told.

use crate::mosquitto::Broker;
use bytes::Bytes;
use hob_events::NodeName;
use hob_mqtt::{Arrived, MqttClient, MqttEvent, MqttSettings};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The longest that anything here may take, on a machine that does much else.
const DEADLINE: Duration = Duration::from_secs(20);

/// Waits for what must come.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("it came in time")
}

/// Someone who hears everything.
pub(crate) struct Peer {
    client: AsyncClient,
    eventloop: EventLoop,
}

impl Peer {
    pub(crate) async fn on(broker: &Broker) -> Self {
        let mut options = MqttOptions::new("peer", "127.0.0.1", broker.port);
        options.set_max_packet_size(Some(8 * 1024 * 1024));
        let (client, mut eventloop) = AsyncClient::new(options, 64);
        client.subscribe("#", QoS::AtLeastOnce).await.unwrap();
        let subscribed =
            async { while !matches!(eventloop.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {} };
        soon(subscribed).await;
        Self { client, eventloop }
    }

    /// Publishes, and waits until the broker has it.
    pub(crate) async fn say(&mut self, topic: &str, payload: impl Into<Bytes>, properties: PublishProperties) {
        self.client.publish_with_properties(topic, QoS::AtLeastOnce, false, payload, properties).await.unwrap();
        let taken =
            async { while !matches!(self.eventloop.poll().await.unwrap(), Event::Incoming(Packet::PubAck(_))) {} };
        soon(taken).await;
    }

    pub(crate) async fn command(&mut self, words: &'static str) {
        self.say("hob/attic/command", words, PublishProperties::default()).await;
    }

    /// The next message on a topic.
    pub(crate) async fn hears(&mut self, topic: &str) -> Publish {
        let heard = async {
            loop {
                if let Event::Incoming(Packet::Publish(publish)) = self.eventloop.poll().await.unwrap()
                    && publish.topic == topic
                {
                    return publish;
                }
            }
        };
        soon(heard).await
    }

    pub(crate) async fn hears_text(&mut self, topic: &str) -> String {
        String::from_utf8(self.hears(topic).await.payload.to_vec()).unwrap()
    }
}

/// hob's side, running.
pub(crate) struct Hob {
    pub(crate) client: MqttClient,
    pub(crate) events: mpsc::Receiver<MqttEvent>,
    stop: CancellationToken,
    task: JoinSet<()>,
}

impl Hob {
    pub(crate) fn on(broker: &Broker) -> Self {
        Self::with(broker, 16)
    }

    pub(crate) fn with(broker: &Broker, queue: usize) -> Self {
        let settings = MqttSettings {
            node: NodeName::new("attic").unwrap(),
            host: "127.0.0.1".into(),
            port: broker.port,
            client_id: "hob-attic".into(),
            username: None,
            password_file: None,
            keep_alive_s: 5,
            session_expiry_s: 3600,
            max_packet_bytes: 64 * 1024,
            queue,
            listen_to: vec!["zigbee2mqtt/+".into()],
        };
        let (sender, events) = mpsc::channel(16);
        let (client, connection) = MqttClient::open(settings, sender).unwrap();
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(connection.run(stop.clone()));
        Self { client, events, stop, task }
    }

    pub(crate) async fn next(&mut self) -> MqttEvent {
        soon(self.events.recv()).await.expect("the connection runs")
    }

    /// Waits for the connection. Returns whether the broker still knew the session.
    pub(crate) async fn connected(&mut self) -> bool {
        loop {
            if let MqttEvent::Connected { session_present } = self.next().await {
                return session_present;
            }
        }
    }

    /// The next command.
    pub(crate) async fn command(&mut self) -> Arrived {
        loop {
            if let MqttEvent::Command(arrived) = self.next().await {
                return arrived;
            }
        }
    }

    /// Leaves as hob does when it is told to stop.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        soon(self.task.join_next()).await.unwrap().unwrap();
    }

    /// Goes away without a word.
    pub(crate) async fn die(mut self) {
        self.task.shutdown().await;
    }
}
