//! A connection to the broker that comes back by itself, as every client's should.

use crate::task::{Task, spawn};
use crate::wait::DEADLINE;
use anyhow::Context;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Requests that may wait inside the client.
const REQUESTS: usize = 512;

/// A refused connection fails at once: this keeps the loop from spinning while the broker is away.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// What happens on a link.
pub(crate) enum Heard {
    /// It is (again) connected and its subscriptions are in force.
    Subscribed,
    /// A message came.
    Message(Box<Publish>),
}

/// A connection to the broker. Ends with this value.
#[derive(Debug)]
pub(crate) struct Link {
    client: AsyncClient,
    _poll: Task,
}

impl Link {
    /// Connects, subscribes, and calls `on` for whatever is heard from then on.
    pub(crate) async fn open(
        port: u16,
        name: &str,
        filters: Vec<String>,
        on: impl FnMut(&AsyncClient, Heard) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let mut options = MqttOptions::new(name, "127.0.0.1", port);
        let mut network = options.network_options();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        options.set_keep_alive(Duration::from_secs(30)).set_clean_start(true);
        options.set_max_packet_size(Some(4 * 1024 * 1024));
        let (client, events) = AsyncClient::new(options, REQUESTS);
        let (subscribed, mut ready) = watch::channel(false);
        let poll = spawn(poll(client.clone(), events, filters, subscribed, on));
        timeout(DEADLINE, ready.wait_for(|ready| *ready))
            .await
            .with_context(|| format!("the broker on port {port} does not answer {name}"))??;
        Ok(Self { client, _poll: poll })
    }

    pub(crate) fn client(&self) -> &AsyncClient {
        &self.client
    }
}

async fn poll(
    client: AsyncClient,
    mut events: EventLoop,
    filters: Vec<String>,
    subscribed: watch::Sender<bool>,
    mut on: impl FnMut(&AsyncClient, Heard) + Send + 'static,
) {
    let mut unanswered = 0;
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                unanswered = filters.len();
                for filter in &filters {
                    // The queue was emptied by polling; a full one shows as a test that waits in vain.
                    drop(client.try_subscribe(filter.clone(), QoS::AtLeastOnce));
                }
            }
            Ok(Event::Incoming(Packet::SubAck(_))) => {
                unanswered = unanswered.saturating_sub(1);
                if unanswered == 0 {
                    on(&client, Heard::Subscribed);
                    subscribed.send_replace(true);
                }
            }
            Ok(Event::Incoming(Packet::Publish(message))) => on(&client, Heard::Message(Box::new(message))),
            Ok(Event::Incoming(_) | Event::Outgoing(_)) => {}
            Err(_) => sleep(TRY_AGAIN_AFTER).await,
        }
    }
}
